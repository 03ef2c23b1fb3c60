// What is shared with other people: who may have it, what to send them, and how it ends.

const sharesOf = path => house.shares.filter(s => fromPercent(s.path) === path);
const shareEnd = s => { wish(s.folder ? "revoke-share" : "revoke", fromPercent(s.path), { with: s.name }); closeBox(); };
const mayEnd = s => may(s.folder ? "revoke-share" : "revoke");

// What there is to know of one share.
function shareCard(x, s, buttons = []) {
  const who = s.people.map(clean);
  const lines = [
    (s.folder ? "Shared as " + clean(s.name) : "Shared") + (s.with ? " with " + clean(s.with) : "") + " since " + moment(s.at) + ".",
    !who.length ? "Nobody is let in yet. Share it again with " + (s.folder ? "" : "the same word and ") + "their device ID."
      : list(who) + (s.folder ? " may read it and put files into it." : " may fetch it."),
    s.folder && !s.destroyed && (s.limit === null ? size(s.used) + " in it, no limit." : size(s.used) + " of at most " + size(s.limit) + " in it."),
  ];
  const full = s.full && "It is full: nothing more is taken from the others. Raise the limit, or take something out of the folder, and it goes on by itself.";
  const gone = s.destroyed && "Its content was destroyed on " + moment(s.destroyed) + ". It stays until that has reached everybody; then end the share.";
  return h("section", { class: "share" }, lines.filter(Boolean).map(line => h("p", {}, line)),
    (full || gone) && h("p", { class: "wrong" }, full || gone),
    h("div", { class: "two" }, s.link && h("button", { class: "small", "data-op": "send", onclick: () => sendStep(x, s) }, "What to send"), buttons));
}

// Everything that is shared of one thing, when that is more than one share.
function sharesStep(x) {
  const cards = sharesOf(pathOf(x)).map(s => shareCard(x, s, [
    mayEnd(s) && h("button", { class: "small", "data-op": "end", onclick: () => shareEnd(s) }, "End this share"),
    s.folder && !s.destroyed && may("destroy-folder") && h("button", { class: "small", "data-op": "wipe", onclick: () => wipeStep(x, s) }, "Destroy for the others")]));
  step({ icon: "share", title: "Shared: " + titleOf(x), facts: plural(cards.length, "share"), back: backTo(x), parts: cards });
}

function shareStep(x) {
  const dir = isFolder(x), whom = h("input", { type: "text", maxlength: 160, dir: "auto", "data-first": !dir, autocomplete: "off" });
  const before = dir && sharesOf(pathOf(x)).find(s => s.folder && !s.destroyed), endless = before && before.limit === null;
  const limit = h("input", { type: "number", min: 1, step: 1, value: before && !endless ? Math.round(before.limit / 1e6) : 500, inputmode: "numeric", "data-first": dir, disabled: endless });
  const none = h("input", { type: "checkbox", onchange: () => { limit.disabled = none.checked; } }), wrong = h("p", { class: "wrong", role: "alert" });
  none.checked = !!endless;
  const go = () => {
    const mb = none.checked ? -1 : Math.floor(+limit.value);
    if (dir && !none.checked && !(mb >= 1)) { wrong.textContent = "Write how many MB, or choose no limit."; return; }
    const word = whom.value.trim(), more = word ? { with: word } : {};
    wish(dir ? "share-folder" : "share", pathOf(x), dir ? { ...more, limit_mb: mb } : { ...more, seen: seenOf(x) });
    closeBox();
  };
  const who = h("label", { class: "field" }, dir ? "Who may join? A word for them, and their device ID once you have it" : "For whom? A word to remember it by, and their device ID once you have it", whom);
  step({ icon: "share", title: (before ? "Change the share: " : "Share ") + titleOf(x), facts: factsOf(x), back: backTo(x),
    text: [dir ? "Other people can read this folder, put files into it and change them. Their files come into your folder; what they change keeps its old version, and what they delete stays with you." : "Others can fetch this file and never change it. You can end the share at any time.",
      dir && "At the limit nothing more is taken from them, until there is room again."],
    parts: dir ? [h("label", { class: "field" }, "At most, in MB", limit), h("label", { class: "choice" }, none, h("span", {}, "No limit")), wrong, who] : [who],
    buttons: [{ op: "go", icon: "share", label: before ? "Change it" : dir ? "Share folder" : "Share", hint: "the NAS prepares it", main: true, huge: true, act: go }, { icon: "close", label: "Cancel", huge: true, hint: "change nothing", act: closeBox }] });
}

function revokeStep(x, s) {
  step({ icon: "close", title: "End the share of " + titleOf(x) + "?", back: backTo(x), facts: s.people.length ? "with " + list(s.people.map(clean)) : factsOf(x),
    text: ["Nothing more goes to the others or comes from them. What they have they keep; your files stay where they are.", !s.destroyed && "What was shared is kept once more on the drive, in BTsync/shared, under a name with today's date. That takes no room."],
    buttons: [{ op: "yes", icon: "close", label: "End the share", hint: "your files stay", main: true, huge: true, act: () => shareEnd(s) }, { icon: "back", label: "Cancel", huge: true, hint: "keep sharing", act: closeBox }] });
}

// [destroy folder]: it is the others' copies that go, so nothing at home is named as going.
function wipeStep(x, s) {
  step({ icon: "fire", danger: true, title: "Destroy " + titleOf(x) + " for the others?", back: backTo(x), facts: s.people.length ? "shared with " + list(s.people.map(clean)) : factsOf(x),
    text: ["Everything in the shared folder goes from every device of other people that joined it, as soon as each of them is in reach. A note stays there: that you destroyed it, and when.",
      "Your own files stay, on the NAS and on your devices. Nobody can put anything into the folder any more."],
    buttons: [
      { op: "yes", icon: "fire", label: "Destroy for the others", hint: "your files stay", danger: true, huge: true, act: () => { wish("destroy-folder", pathOf(x), { with: s.name }); closeBox(); } },
      { icon: "close", label: "Cancel", hint: "keep it", huge: true, act: closeBox },
    ] });
  by("box").querySelector(".grid button:last-child").focus();
}
