// The box: what there is to know about one file or folder, and the large buttons. Steps that ask
// something replace its content; Escape and the cross close it.

const may = op => cfg.may.includes(op);
let boxOf = null;

// Shows one step: icon, title, facts under it, texts, parts of any kind, buttons.
function step({ icon: sign, title, facts, text = [], parts = [], buttons = [], back, danger }) {
  const box = by("box");
  const close = h("button", { class: "x", "aria-label": back ? "Back" : "Close", onclick: back || closeBox }, icon(back ? "back" : "close"));
  const grid = h("div", { class: "grid" + (buttons.some(b => b && b.huge) ? " huge" : "") }, buttons.filter(Boolean).map(button));
  box.replaceChildren(
    h("div", { class: "box-head" }, h("span", { class: "kind" + (danger ? " danger" : "") }, icon(sign)),
      h("div", { class: "what" }, h("h2", { id: "box-title" }, bdi(title)), facts && h("p", {}, facts)), close),
    h("div", { class: "box-body" }, text.filter(Boolean).map(t => t instanceof Node ? t : h("p", { class: "text" }, t)), parts, grid));
  if (!box.open) box.showModal();
  const first = box.querySelector("[data-first]") || box.querySelector(".grid button.main:enabled") || box.querySelector(".grid button:enabled") || close;
  first.focus({ preventScroll: true });
}

function closeBox() {
  if (by("box").open) by("box").close();
}

function button(b) {
  return h("button", { class: "act" + (b.main ? " main" : "") + (b.danger ? " danger" : ""), disabled: !!b.off, onclick: b.act, "data-op": b.op },
    icon(b.icon), h("b", {}, b.label), b.hint && h("small", {}, b.hint));
}

const whereOf = x => { const up = isFolder(x) ? x.parent : x.f; return up && up.path ? bdi(showPath(up.path)) : "top level"; };

function factsOf(x) {
  const facts = isFolder(x) ? sumsOf(x) : size(x.s) + " \u00b7 " + date(x.m);
  return x.parent === null ? [facts] : [facts + " \u00b7 ", whereOf(x)];
}

const titleOf = x => x.n ? show(x.n) : "All files";
const pathIn = (paths, path) => paths.some(p => { const at = fromPercent(p); return at === path || !at || path.startsWith(at + "/"); });

// How a thing stands with a device: n of so many, and in words.
function standing(x, d) {
  if (!isFolder(x)) {
    const s = stateOf(x, d);
    return { n: s === HERE ? 1 : 0, moving: s === MOVING ? 1 : 0, of: 1, words: stateWords(s, progressOf(x, d)) };
  }
  const n = x.all.here[d], moving = x.all.moving[d], of = x.all.files;
  return { n, moving, of, words: num(n) + " of " + num(of) + (moving ? ", " + num(moving) + " on the way" : "") };
}

function deviceRows(x) {
  const path = pathOf(x), rows = house.devices.map((device, d) => {
    const at = standing(x, d), notes = [at.words];
    if (pathIn(device.pins, path)) notes.push("pinned");
    if (isFolder(x) && pathIn(device.follows, path)) notes.push("new files too");
    return h("li", {}, h("span", { class: "badge" + (at.of && at.n === at.of ? " here" : at.n || at.moving ? " part" : "") }, letters[d]),
      h("span", {}, bdi(device.label), d === me ? " (this device)" : ""), h("em", {}, notes.join(" \u00b7 ")));
  });
  const all = isFolder(x) ? num(x.all.files) + " of " + num(x.all.files) : "here";
  rows.push(h("li", {}, h("span", { class: "badge here" }, "N"), h("span", {}, bdi(house.nas)), h("em", {}, all)));
  return h("ul", { class: "where" }, rows);
}

function openBox(x) {
  boxOf = x;
  if (x.ghost) return versionsStep(x.n, true);
  const dir = isFolder(x), path = pathOf(x), seen = seenOf(x), own = me >= 0 ? standing(x, me) : null;
  const others = house.devices.length > (me >= 0 ? 1 : 0);
  const someone = house.devices.some((_, d) => { const s = standing(x, d); return s.n || s.moving; });
  const here = own && own.of > 0 && own.n === own.of, some = own && (own.n || own.moving);
  const ask = (op, more, close = true) => { wish(op, path, { seen, ...more }); if (close) closeBox(); };
  const shares = sharesOf(path), share = shares.length === 1 && shares[0], joined = shares.some(s => s.folder && !s.destroyed), old = house.versions.filter(v => fromPercent(v.path) === path);
  const top = x.parent === null, pinned = own && pathIn(house.devices[me].pins, path);
  const needs = dir ? x.all.bytes : x.s, device = me >= 0 && house.devices[me];
  const tight = own && !here && device.quota !== null && device.used + needs > device.quota;
  const buttons = [
    own && may("get") && { op: "get", icon: "get", label: "Get", main: true, off: here || (own.moving && !dir),
      hint: here ? "already here" : own.moving && !dir ? "on its way" : tight ? "may make room first" : dir ? "copy all to this device" : "copy to this device", act: () => askGet(x, [me], () => ask("get"), backTo(x)) },
    !dir && { op: "open", icon: "open", label: "Open", off: own && !here, main: here && !may("get"), hint: own && !here ? "get it first" : "in a new tab", act: () => openFile(x) },
    others && may("get") && { op: "get-for", icon: "devices", label: own ? "Get for others" : "Get", main: !own, hint: own ? "choose the devices" : "choose the devices", act: () => devicesStep(x, "get") },
    dir && may("mkdir") && { op: "mkdir", icon: "mkdir", label: "Create folder", hint: top ? "at the top" : "inside this folder", act: () => folderStep(x) },
    !dir && may("share") && { op: "share", icon: "share", label: "Share", hint: "with other people", act: () => shareStep(x) },
    dir && !top && may("share-folder") && { op: "share-folder", icon: "share", label: joined ? "Change the share" : "Share folder", hint: joined ? "who may join, limit" : "with other people", act: () => shareStep(x) },
    share && mayEnd(share) && { op: "revoke", icon: "close", label: "End the share", hint: share.with ? clean(share.with) : "other people", act: () => share.folder ? revokeStep(x, share) : shareEnd(share) },
    share && share.folder && !share.destroyed && may("destroy-folder") && { op: "destroy-folder", icon: "fire", label: "Destroy for the others", hint: "your files stay", danger: true, act: () => wipeStep(x, share) },
    shares.length > 1 && { op: "shares", icon: "share", label: "Shared", hint: plural(shares.length, "share") + ", end one", act: () => sharesStep(x) },
    others && !top && may("move") && { op: "move", icon: "move", label: "Move", off: !someone, hint: someone ? "to other devices" : "on no device yet", act: () => devicesStep(x, "move") },
    !top && may("torrent") && { op: "torrent", icon: "magnet", label: "Create torrent", hint: "for anyone with the file", act: () => ask("torrent") },
    !top && may("torrent-once") && { op: "torrent-once", icon: "once", label: "One-time torrent", hint: "ends after one download", act: () => ask("torrent-once") },
    own && may(pinned ? "unpin" : "pin") && { op: "pin", icon: "pin", label: pinned ? "Unpin" : "Pin", off: !some, hint: pinned ? "may go when room is needed" : some ? "always keep it here" : "get it first", act: () => ask(pinned ? "unpin" : "pin") },
    old.length && may("undo") && { op: "undo", icon: "once", label: "Older versions", hint: plural(old.length, "version") + " kept", act: () => versionsStep(path) },
    !old.length && !dir && house.unlisted > 0 && may("undo") && { op: "older", icon: "once", label: "Older version", hint: "if one is kept", act: () => unlistedStep(x) },
    may("delete") && { op: "delete", icon: "trash", label: own ? "Delete here" : "Delete from", off: own ? !some : !someone, hint: own && !some ? "stays on the NAS" : own ? "only from this device" : "choose the devices", act: () => own ? deleteStep(x) : devicesStep(x, "delete") },
    !top && may("destroy") && { op: "destroy", icon: "fire", label: "Destroy", danger: true, hint: "everywhere, for good", act: () => destroyStep(x) },
  ];
  const shared = shares.length > 1 ? h("p", { class: "text" }, "Shared " + num(shares.length) + " times.") : share && shareCard(x, share);
  step({ icon: kindOf(x), title: titleOf(x), facts: factsOf(x), parts: [deviceRows(x), shared].filter(Boolean), buttons });
}

function openFile(x) {
  if (may("open")) wish("open", pathOf(x));
  const link = h("a", { href: "../files/" + percent(pathOf(x)), target: "_blank", rel: "noopener noreferrer" });
  link.click();
}

const backTo = x => () => openBox(x);

// Choosing devices, for get, move and delete.
function devicesStep(x, op) {
  const has = d => { const s = standing(x, d); return s.n > 0 || s.moving > 0; };
  const full = d => { const s = standing(x, d); return s.of > 0 && s.n === s.of; };
  let from = me >= 0 && has(me) ? me : house.devices.findIndex((_, d) => has(d));
  const chosen = new Set();
  const verb = { get: "Get", move: "Move", delete: "Delete" }[op];
  const show_ = () => {
    const open_ = d => op === "get" ? !full(d) : op === "move" ? d !== from && !full(d) : has(d);
    const choices = house.devices.map((device, d) => {
      const box = h("input", { type: "checkbox", "data-first": !chosen.size && open_(d) });
      box.disabled = !open_(d);
      box.checked = chosen.has(d);
      box.addEventListener("change", () => { if (box.checked) chosen.add(d); else chosen.delete(d); ready(); });
      const note = op === "move" && d === from ? "it leaves this device" : standing(x, d).words;
      return h("label", { class: "choice" }, box, h("span", {}, bdi(device.label), d === me ? " (this device)" : ""), h("em", {}, note));
    });
    const sources = op === "move" && house.devices.filter((_, d) => has(d)).length > 1 && h("label", { class: "field" }, "From",
      (() => {
        const pick = h("select", { onchange: () => { from = +pick.value; chosen.delete(from); show_(); } },
          house.devices.map((device, d) => has(d) && h("option", { value: d }, clean(device.label))));
        pick.value = from;
        return pick;
      })());
    const ready = () => { by("box").querySelector("[data-op=go]").disabled = !chosen.size; };
    step({ icon: { get: "devices", move: "move", delete: "trash" }[op], title: verb + " " + titleOf(x), back: backTo(x),
      facts: { get: "For which devices?", move: "To which devices? The file itself stays on the NAS.", delete: "From which devices? It stays on the NAS." }[op],
      parts: [sources, h("div", { class: "choices" }, choices)].filter(Boolean),
      buttons: [
        { op: "go", icon: { get: "get", move: "move", delete: "trash" }[op], label: verb, main: true, huge: true, off: true, hint: titleOf(x), act: () => {
          const devices = [...chosen], to = devices.map(d => house.devices[d].name);
          const go = () => { wish(op, pathOf(x), { to, ...(op === "move" ? { from: house.devices[from].name } : {}), seen: seenOf(x) }); closeBox(); };
          if (op === "delete") go(); else askGet(x, devices, go, show_);
        } },
        { icon: "close", label: "Cancel", huge: true, hint: "change nothing", act: closeBox },
      ] });
    ready();
  };
  show_();
}

const holders = x => house.devices.filter((_, d) => { const s = standing(x, d); return s.n || s.moving; });

function deleteStep(x) {
  const n = standing(x, me).n + standing(x, me).moving;
  const what = isFolder(x) ? plural(n, "file") + " of it " + (n === 1 ? "goes" : "go") : "It goes";
  step({ icon: "trash", title: "Delete " + titleOf(x) + " here?", back: backTo(x), facts: factsOf(x),
    text: [what + " from this device only. The NAS keeps it, and you can get it again."],
    buttons: [
      { op: "yes", icon: "trash", label: "Delete here", hint: "the NAS keeps it", main: true, huge: true, act: () => { wish("delete", pathOf(x), { seen: seenOf(x) }); closeBox(); } },
      { icon: "close", label: "Cancel", hint: "keep it", huge: true, act: closeBox },
    ] });
}

function destroyStep(x) {
  const stays = h("p", { class: "text stays" });
  staysWords(x).then(words => { stays.textContent = words; });
  const on = holders(x), what = isFolder(x) ? plural(x.all.files, "file") + ", " + size(x.all.bytes) + "," : "It";
  const names = on.length ? " (" + list(on.map(d => clean(d.label))) + ")" : "";
  const one = !isFolder(x) || x.all.files === 1;
  step({ icon: "fire", danger: true, title: "Destroy " + titleOf(x) + "?", back: backTo(x), facts: factsOf(x),
    text: [what + (one ? " goes" : " go") + " for good: on the NAS" + (on.length ? " and on " + plural(on.length, "device") + names : "; no device has a copy") + ".",
      stays,
      house.undo > 0 ? "You can bring it back for " + span(house.undo) + "." : "Nobody can bring it back."],
    buttons: [
      { op: "yes", icon: "fire", label: "Destroy everywhere", hint: on.length ? "the NAS and " + plural(on.length, "device") : "on the NAS", danger: true, huge: true, act: () => { wish("destroy", pathOf(x), { seen: seenOf(x) }); closeBox(); } },
      { icon: "close", label: "Cancel", hint: "keep it", huge: true, act: closeBox },
    ] });
  by("box").querySelector(".grid button:last-child").focus();
}

// Why a text is no name for a file or folder; empty when it is one.
function wrongName(text) {
  if (!text.trim()) return "Write a name.";
  if (/[/\u0000]/.test(text) || text === "." || text === "..") return "A name has no / and is not . or ..";
  return fromText(text).length > 255 ? "That name is too long." : "";
}

function folderStep(f) {
  const input = h("input", { type: "text", maxlength: 255, "data-first": true, dir: "auto", "aria-label": "Name of the folder", autocomplete: "off" });
  const wrong = h("p", { class: "wrong", role: "alert" });
  const go = () => {
    const name = input.value.trim(), path = (f.path ? f.path + "/" : "") + fromText(name);
    const taken = f.kids.some(kid => kid.n === fromText(name)) && "There is a folder of that name already.";
    wrong.textContent = wrongName(name) || taken || "";
    if (wrong.textContent) return input.focus();
    wish("mkdir", path);
    closeBox();
  };
  input.addEventListener("keydown", e => { if (e.key === "Enter") { e.preventDefault(); go(); } });
  step({ icon: "mkdir", title: "Create a folder", facts: ["in ", bdi(titleOf(f))], back: backTo(f), parts: [h("label", { class: "field" }, "Name", input), wrong],
    buttons: [{ op: "go", icon: "mkdir", label: "Create folder", hint: "on the NAS", main: true, huge: true, act: go }, { icon: "close", label: "Cancel", huge: true, hint: "change nothing", act: closeBox }] });
}

// Said of a file of which more is kept than the page lists.
function olderWords(path) {
  const older = house.older.find(([at]) => fromPercent(at) === path);
  return older && "The NAS keeps " + plural(older[1], "still older version") + ", the last until " + date(older[2]) + "; they are not listed here.";
}

function versionsStep(path, ghost) {
  const rows = house.versions.filter(v => fromPercent(v.path) === path).map(v => h("li", {},
    h("span", {}, "As it was until " + moment(v.at), h("small", {}, size(v.size) + " \u00b7 " + clean(v.why) + " \u00b7 kept until " + date(v.until))),
    may("undo") && h("button", { class: "small", "data-op": "undo", onclick: () => { wish("undo", path, { with: String(v.id) }); closeBox(); } }, "Bring back")));
  const older = olderWords(path);
  step({ icon: "once", title: show(path.split("/").pop()), facts: ghost ? "Destroyed. It can be brought back while it is kept." : "Older versions", back: ghost ? null : backTo(boxOf),
    text: [!ghost && may("undo") && "When one is brought back, what is there now becomes an older version."],
    parts: [h("ul", { class: "versions" }, rows), older && h("p", { class: "text" }, older)].filter(Boolean) });
}

// More files have older versions than the page lists: this may be one of them.
function unlistedStep(x) {
  step({ icon: "once", title: titleOf(x), facts: "Older version", back: backTo(x),
    text: ["This page lists no older version of it, but the NAS keeps some of " + plural(house.unlisted, "file") + " more than are listed. If this is one of them, the newest can be brought back; what is there now becomes an older version."],
    buttons: [
      { op: "undo", icon: "once", label: "Bring back", hint: "the newest, if one is kept", main: true, huge: true, act: () => { wish("undo", pathOf(x), {}); closeBox(); } },
      { icon: "close", label: "Cancel", hint: "keep it as it is", huge: true, act: closeBox },
    ] });
}
