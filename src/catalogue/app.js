// The page as a whole: start, head, filters, news, the bar of changes, keys.

let live = new Map(), letters = [];

// One or two letters for each device, all different where that is possible.
function nameLetters() {
  const taken = new Set(["N"]);
  letters = house.devices.map(({ label }) => {
    const word = Array.from(clean(label).toUpperCase().replace(/[^\p{L}\p{N}]/gu, "")), first = word[0] || "?";
    const choice = [first, ...word.slice(1).map(c => first + c), first + taken.size].find(c => !taken.has(c)) || first;
    taken.add(choice);
    return choice;
  });
}

function head() {
  const own = me >= 0 ? house.devices[me].label : house.nas;
  document.title = "Catalogue \u00b7 " + clean(own);
  by("subtitle").replaceChildren(bdi(clean(own)), " \u00b7 ", h("span", { class: "wide" }, "updated "), moment(cfg.now));
  const part = device => device.quota ? Math.min(100, device.used * 100 / device.quota) : 0;
  by("rings").replaceChildren(...house.devices.slice(0, 8).map((device, d) => {
    const words = device.label + ": " + size(device.used) + (device.quota === null ? ", no limit" : " of " + size(device.quota));
    return h("button", { class: "device" + (d === me ? " own" : "") + (part(device) > 95 ? " tight" : ""), "aria-label": words, title: words, onclick: devicesBox }, ring(part(device), letters[d], "ring"));
  }));
  if (house.space) {
    const [free, all] = house.space, used = all ? 100 - free * 100 / all : 0, words = clean(house.nas) + ": " + size(free) + " free of " + size(all);
    by("rings").append(h("button", { class: "device nas", "aria-label": words, title: words, onclick: devicesBox }, ring(used, "N", "ring" + (used > 95 ? " tight" : ""))));
    by("space").replaceChildren(size(free) + " free of " + size(all), meter(used, "Room used on the drive"));
  }
}

function meter(percent_, label) {
  const fill = h("i", {});
  fill.style.width = percent_ + "%";
  return h("span", { class: "meter" + (percent_ > 95 ? " tight" : ""), role: "meter", "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": Math.round(percent_), "aria-label": label }, fill);
}

// All the devices with their room, and the drive's.
function devicesBox() {
  const rows = house.devices.map((device, d) => h("li", {}, h("button", { class: "row-button", "data-op": "device", onclick: () => deviceStep(d) }, h("span", { class: "badge" + (d === me ? " here" : "") }, letters[d]),
    h("div", {}, h("span", {}, bdi(clean(device.label)), d === me ? " (this device)" : ""),
      h("small", {}, size(device.used) + (device.quota === null ? " \u00b7 no limit" : " of " + size(device.quota)) + " \u00b7 " + plural(tree.root.all.here[d], "file")
      ), h("small", {}, presence(device, d)), quotaBar(device)), icon("chevron")), deviceActs(device)));
  const [free, all] = house.space || [0, 0];
  rows.push(h("li", {}, h("span", { class: "badge here" }, "N"), h("div", {}, h("span", {}, bdi(clean(house.nas))),
    h("small", {}, (all ? size(free) + " free of " + size(all) + " \u00b7 " : "") + plural(tree.files, "file")), house.machine ? h("small", { class: "machine" }, clean(house.machine)) : null, all ? meter(100 - free * 100 / all, "Room used") : null)), ...refusedRows());
  step({ icon: "devices", title: "Devices", facts: plural(house.devices.length, "device") + " and the NAS", parts: [h("ul", { class: "room" }, rows), sessionRows()].flat().filter(Boolean),
    buttons: [{ op: "connect", icon: "devices", label: "Connect a phone", hint: "or another device", main: true, huge: true, act: connectStep }] });
}

function filters() {
  const all = tree.root.all, sum = list_ => list_.reduce((a, b) => a + b, 0);
  const here = me >= 0 ? all.here[me] : null, moving = sum(all.moving), gone = new Set(house.versions.filter(v => v.gone).map(v => v.path)).size;
  const chips = [["all", "All"], ["here", me >= 0 ? "On this device" : "On a device", here], ["elsewhere", me >= 0 ? "Elsewhere" : "Only on the NAS", me >= 0 ? all.files - here : null],
    ["moving", "Moving", moving], house.shares.length && ["shared", "Shared", house.shares.length], gone && ["gone", "Destroyed", gone]];
  by("filters").replaceChildren(...chips.filter(Boolean).map(([id, label, n]) => h("button", { class: "chip", "aria-pressed": String(view.filter === id), "data-filter": id, onclick: () => {
    view.filter = id;
    view.sel = -1;
    by("list").scrollTop = 0;
    filters();
    arrange();
  } }, label, typeof n === "number" && h("small", {}, num(n)))));
}

const SIGNS = { done: "check", waiting: "wait", refused: "warn" };
const HOW = { done: "Done", waiting: "Waiting", refused: "Not done" };
// An answer to a wish that could not be read names nothing that was wished.
const titleOfAnswer = a => a.op ? [HOW[a.state] + ": " + WISHED[a.op] + " ", bdi(nameOfWish(a))] : ["A change could not be read"];
const hiddenKey = () => storeKey() + ":read";
let read = new Set(), allNotes = false;

// What the owner should know, then what became of the last wishes.
function notes() {
  const close = (label, act) => h("button", { class: "x", "aria-label": label, onclick: act }, icon("close"));
  const cards = [...sessionCards(), ...askingCards()];
  if (!house.devices.length) cards.push(h("section", { class: "note-card" }, icon("devices"), h("div", {}, h("b", {}, "No device takes part yet."), h("p", {}, "Connect a phone, and it gets what you choose.")),
    h("button", { class: "small main", "data-op": "connect", onclick: connectStep }, "Connect a phone")));
  cards.push(...stormCards(), ...house.held.map(held => {
    const d = house.devices.findIndex(device => device.name === held.device), path = fromPercent(held.path);
    const mine = me < 0 || d === me, to = d === me ? {} : { to: [held.device] }, asked = tags.get(path);
    const tell = op => () => { wish(op, path, to); notes(); };
    return h("section", { class: "note-card warn" }, icon("warn"), h("div", {},
      h("b", {}, plural(held.files, "file") + " vanished at once from ", bdi(clean(d < 0 ? held.device : house.devices[d].label)), path ? [" in ", bdi(showPath(path))] : null, "."),
      h("p", {}, mine ? "Were they deleted on purpose? Until you say so they stay in the catalogue, and on the NAS in any case." : "Its owner is asked on that device's page.")),
    mine && !asked && h("span", { class: "two" }, may("delete") && h("button", { class: "small", "data-op": "forget", onclick: tell("delete") }, "Forget them"),
      may("get") && h("button", { class: "small main", "data-op": "back", onclick: tell("get") }, "Put them back")), mine && asked && h("span", { class: "tag" }, asked.op === "get" ? "will put them back" : "will forget them"));
  }));
  const fresh = cfg.answers.filter(a => !read.has(a.id + a.state));
  if (fresh.length) {
    const a = fresh.find(f => f.state === "refused") || fresh[0];
    cards.push(h("section", { class: "note-card answer " + a.state }, icon(SIGNS[a.state]), h("div", {}, h("b", {}, titleOfAnswer(a)), h("p", {}, bdi(clean(a.text)))),
      cfg.answers.length > 1 && h("button", { class: "small", "data-op": "answers", onclick: answersBox }, "All " + num(cfg.answers.length)),
      close("Hide the answers", () => {
        fresh.forEach(f => read.add(f.id + f.state));
        try { localStorage.setItem(hiddenKey(), JSON.stringify([...read].slice(-500))); } catch { /* no store here */ }
        notes();
        draw();
      })));
  }
  for (const n of house.notices) cards.push(h("section", { class: "note-card " + (n.condition === "ready" ? "" : "warn") }, icon(n.condition === "ready" ? "check" : "warn"),
    h("div", {}, h("b", {}, clean(n.what)), h("p", {}, clean(n.next)))));
  // The list comes first: where there is little room, one at a time.
  const room = allNotes ? cards.length : Math.min(cards.length, innerWidth < 700 || innerHeight < 600 ? 1 : 3), more = cards.length - room;
  by("notes").replaceChildren(...cards.slice(0, room), more ? h("button", { class: "small", "data-op": "more-notes", onclick: () => { allNotes = true; notes(); } }, num(more) + " more") : "");
}

function answersBox() {
  const rows = cfg.answers.map(a => h("li", { class: a.state }, icon(SIGNS[a.state]), h("div", {}, h("b", {}, titleOfAnswer(a)), h("p", {}, bdi(clean(a.text))), h("small", {}, moment(a.at)))));
  step({ icon: "check", title: "Your last wishes", facts: "What became of them", parts: [h("ul", { class: "answers" }, rows)] });
}

// The bar of changes that wait to be saved, and of those on their way.
function bar() {
  const fresh = waiting(), sent = [...wishes.values()].filter(w => w.saved && counts(w)), last = fresh[fresh.length - 1];
  by("bar").hidden = !fresh.length && !sent.length;
  by("bar").classList.toggle("quiet", !fresh.length);
  if (fresh.length) {
    by("bar").replaceChildren(h("div", {}, h("b", {}, plural(fresh.length, "change") + " waiting"), h("small", {}, WILL[last.op] + ": ", bdi(nameOfWish(last)))),
      h("button", { id: "undo", onclick: undoLast }, "Undo"), h("button", { id: "save", class: "main", disabled: saving, onclick: save }, saving ? "Saving\u2026" : "Save"));
  } else if (sent.length) {
    by("bar").replaceChildren(h("div", {}, h("b", {}, plural(sent.length, "change") + " on the way home"), h("small", {}, "the answer comes with the next page")), h("button", { id: "sent", onclick: sentBox }, "Show"));
  }
}

function sentBox() {
  const sent = [...wishes.values()].filter(w => w.saved);
  step({ icon: "wait", title: "On the way home", facts: "Saved, and not answered by the NAS yet", parts: [h("ul", { class: "answers" }, sent.filter(counts).map(w =>
    h("li", {}, icon("wait"), h("div", {}, h("b", {}, WISHED[w.op] + " ", bdi(nameOfWish(w))), w.why && h("p", {}, clean(w.why)), h("small", {}, moment(Date.parse(w.at) / 1000))))))],
  buttons: [
    { huge: true, icon: "get", label: "Save again", hint: "if it got lost", act: () => { markUnsaved(sent); closeBox(); save(); } },
    { huge: true, icon: "open", label: "Look again", hint: "reload the page", act: () => location.reload() },
  ] });
}

// Something about the wishes changed.
function changed() {
  readTags();
  if (house.asking.length || house.storms.length || house.held.length) notes();
  bar();
  draw();
}

function newerPage() {
  const el = by("toast");
  el.replaceChildren("A newer page has arrived. ", h("button", { class: "small main", onclick: () => location.reload() }, "Show it"));
  el.className = "on stay";
}

let toasting;
function toast(text) {
  const el = by("toast");
  if (el.classList.contains("stay")) return;
  el.replaceChildren(bdi(text));
  el.className = "on";
  clearTimeout(toasting);
  toasting = setTimeout(() => { if (!el.classList.contains("stay")) el.className = ""; }, 5000);
}

function keys(e) {
  if (by("box").open || e.ctrlKey || e.metaKey || e.altKey) return;
  const typing = e.target === by("q");
  if (e.key === "/" && !typing) { e.preventDefault(); by("q").focus(); by("q").select(); return; }
  if (typing) {
    if (e.key === "Escape") { by("q").value = ""; query(); }
    if (e.key === "ArrowDown" || e.key === "Enter") { e.preventDefault(); by("list").focus(); }
    return;
  }
  if (e.target !== by("list")) return;
  const x = view.rows[view.sel], dir = x && isFolder(x), page = Math.max(1, Math.floor(by("list").clientHeight / rowHeight) - 1);
  const go = {
    ArrowDown: () => choose(view.sel + 1), ArrowUp: () => choose(Math.max(0, view.sel - 1)), PageDown: () => choose(view.sel + page), PageUp: () => choose(Math.max(0, view.sel - page)),
    Home: () => choose(0), End: () => choose(view.rows.length - 1),
    ArrowRight: () => { if (dir && nested() && !x.open) toggle(x); else if (dir) choose(view.sel + 1); },
    ArrowLeft: () => { if (dir && x.open && nested()) toggle(x); else if (nested() && x && !x.note) { const up = view.rows.indexOf(dir ? x.parent : x.f); if (up >= 0) choose(up); } },
    Enter: () => { if (x && !x.note) openBox(x); }, " ": () => { if (dir && nested()) toggle(x); else if (x && !x.note) openBox(x); },
  }[e.key];
  if (go) { e.preventDefault(); go(); }
}

let typing;
function query() {
  by("clear").hidden = !by("q").value;
  clearTimeout(typing);
  typing = setTimeout(() => {
    view.query = by("q").value.trim();
    view.sel = -1;
    by("list").scrollTop = 0;
    arrange();
  }, 90);
}

function press(e) {
  const el = e.target.closest(".row");
  if (!el || !el.x || el.x.note) return;
  const x = el.x;
  choose(+el.dataset.i);
  if (!isFolder(x) || e.target.closest(".more")) openBox(x);
  else if (nested()) toggle(x);
  else reveal(x);
}

async function start() {
  cfg = JSON.parse(by("cfg").textContent);
  house = JSON.parse(utf8.decode(await unpack(by("house").textContent)));
  me = house.devices.findIndex(device => device.name === cfg.device);
  live = new Map(house.live.map(([d, path, percent_]) => [d + " " + fromPercent(path), percent_]));
  try { read = new Set(JSON.parse(localStorage.getItem(hiddenKey()) || "[]")); } catch { /* no store here */ }
  document.body.classList.toggle("home", me < 0);
  nameLetters();
  await readTree(document.querySelectorAll("script.data"), by("log"));
  readWishes();
  readTags();
  head();
  filters();
  notes();
  bar();
  let frame = 0;
  by("list").addEventListener("scroll", () => { if (!frame) frame = requestAnimationFrame(() => { frame = 0; draw(); }); }, { passive: true });
  by("list").addEventListener("click", press);
  by("q").addEventListener("input", query);
  by("clear").addEventListener("click", () => { by("q").value = ""; query(); by("q").focus(); });
  by("box").addEventListener("click", e => { if (e.target === by("box")) closeBox(); });
  by("box").addEventListener("close", () => by("list").focus({ preventScroll: true }));
  document.addEventListener("keydown", keys);
  heedOtherTabs();
  new ResizeObserver(draw).observe(by("list"));
  await arrange();
  document.documentElement.dataset.ready = "1";
  askSession().then(notes);
  if ([...wishes.values()].some(w => w.saved)) knownHandle().then(watch);
}

const begin = () => start().catch(error => {
  by("rows").replaceChildren(h("p", { class: "row note" }, "The catalogue can't be shown: " + error.message));
  console.error(error);
});
if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin); else begin();
