// Room on a device: what would go before something is got, what went lately, and what a device does
// too much of. The order is the NAS's own; a page has the first so many of what would go.

const BLOCK = 4096;
const up = bytes => Math.ceil(bytes / BLOCK) * BLOCK;
const isWithin = (x, folder) => { const path = pathOf(x), at = pathOf(folder); return path === at || !at || path.startsWith(at + "/"); };

// A folder's files in byte order of their names, as the NAS counts them.
async function inBytes(f) {
  if (!f.plain) {
    const all = [];
    await eachInBase(f, (data, i) => all.push(fileAt(f, data, i)));
    if (f.gained) all.push(...f.gained);
    f.plain = all.sort((a, b) => a.n < b.n ? -1 : 1);
  }
  return f.plain;
}

// Names that are told by their place, with their marks (see room.rs), opened as far as they are asked for.
async function* places(packed) {
  const r = new Reader(await unpack(packed));
  let folder = "";
  while (r.more) {
    folder = folder.slice(0, r.uint()) + r.name();
    const f = tree.byPath.get(folder), files = f && !f.gone ? await inBytes(f) : [];
    for (let n = r.uint(), at = 0; n > 0; n--) {
      at += r.int();
      yield { x: files[at], mark: r.uint() };
    }
  }
}

// What would go first from a device, in order: contents with their names.
const firsts = new Map();
function oldest(d) {
  const read_ = async packed => {
    const all = [];
    for await (const { x, mark } of places(packed)) {
      if (!x) continue;
      if (mark === 1 && all.length) all[all.length - 1].names.push(x);
      else all.push({ names: [x], cost: mark ? mark - 2 : up(x.s) });
    }
    return all;
  };
  const packed = cfg.room && cfg.room[house.devices[d].name];
  if (!firsts.has(d)) firsts.set(d, packed ? read_(packed) : Promise.resolve([]));
  return firsts.get(d);
}

// The sizes and times of what a device lacks of a file or folder and what costs it room: each content once, and none
// that it has, or has on its way, under another name. `counted` are contents that are counted already.
async function lacking(x, d, counted = new Set()) {
  const groups = await readTwins(), all = [];
  const look = file => {
    if (!file.s || stateOf(file, d) !== ABSENT) return;
    const group = groups.size && groups.get(pathOf(file));
    if (group) {
      if (counted.has(group) || group.some(name => stateOf(name, d) !== ABSENT)) return;
      counted.add(group);
    }
    all.push({ s: file.s, m: file.m });
  };
  const walk = async f => {
    if (f.files > f.here[d] + f.moving[d]) {
      await eachInBase(f, (data, i) => look(fileAt(f, data, i)));
      (f.gained || []).forEach(look);
    }
    for (const kid of f.kids) await walk(kid);
  };
  if (isFolder(x)) await walk(x); else look(x);
  return all;
}

const sum = all => all.reduce((bytes, file) => bytes + up(file.s), 0);
const gets = (d, path) => [...wishes.values()].filter(w => w.op === "get" && isFor(w, d) && fromPercent(w.path) !== path);
const isFor = (w, d) => w.to ? w.to.includes(house.devices[d].name) : d === me;

// True when it fits whatever the device has of it, so that nothing has to be opened to know.
function surelyFits(x, d) {
  const device = house.devices[d], most = (f, bytes) => f ? f.all.bytes + f.all.files * BLOCK : up(bytes);
  if (device.quota === null || !device.room) return true;
  const others = gets(d, pathOf(x)).map(w => most(tree.byPath.get(fromPercent(w.path)), w.seen ? w.seen.size : Infinity));
  return others.reduce((all, bytes) => all + bytes, device.used + most(isFolder(x) && x, x.s)) <= device.quota;
}

// What other gets for a device need, that wait or are on their way.
async function promised(d, path, counted) {
  let bytes = 0;
  for (const w of gets(d, path).slice(0, 100)) {
    const x = await find(fromPercent(w.path));
    if (x) bytes += sum(await lacking(x, d, counted));
  }
  return bytes;
}

// What a get would do to the room on a device; nothing when it simply fits.
async function preview(x, d) {
  const device = house.devices[d];
  if (device.quota === null || !device.room) return null;
  const counted = new Set(), lacks = await lacking(x, d, counted), need = sum(lacks), before = need ? await promised(d, pathOf(x), counted) : 0;
  if (!need || device.used + before + need <= device.quota) return null;
  const all = await oldest(d), groups = await readTwins();
  // What gets another name stays.
  const inside = content => content.names.some(name => isWithin(name, x) || (groups.get(pathOf(name)) || []).some(other => isWithin(other, x)));
  const stays = all.filter(inside).reduce((bytes, content) => bytes + content.cost, 0);
  let room = device.quota + device.room[0] - stays - device.used - before, taken = 0, left = 0, leftBytes = 0;
  for (const file of lacks.sort((a, b) => b.m - a.m)) {
    if (up(file.s) <= room) { room -= up(file.s); taken += up(file.s); } else { left++; leftBytes += file.s; }
  }
  const spent = Math.max(0, device.used + before - device.quota), over = device.used + before + taken - device.quota;
  const going = [];
  let freed = 0;
  if (taken && over > 0) {
    for (const content of all) {
      if (freed >= over) break;
      if (inside(content)) continue;
      if (freed >= spent) going.push(...content.names.map((name, n) => ({ x: name, cost: n ? 0 : content.cost })));
      freed += content.cost;
    }
  }
  return { d, device, need, taken, left, leftBytes, going, bytes: Math.max(0, over - spent), more: taken > 0 && freed < over };
}

// Why there is no more room, with the numbers.
function numbers(device) {
  const [, pinned, unsaved, moving] = device.room;
  const parts = [[pinned, "pinned"], [unsaved, "not safely at home yet"], [moving, "still on its way there"]];
  return "the limit there is " + size(device.quota) + parts.filter(([bytes]) => bytes).map(([bytes, what]) => ", " + size(bytes) + " of it " + what).join("");
}

function previewParts(p) {
  const where = p.d === me ? "this device" : clean(p.device.label), parts = [];
  if (!p.taken) return [h("p", { class: "text no-room" }, "As far as this page knows, it does not fit " + where + ": it needs " + size(p.need) + "; " + numbers(p.device) + ".")];
  if (p.left) parts.push(h("p", { class: "text" }, "Not all of it fits " + where + ". The newest files are taken first; " + plural(p.left, "file") + " (" + size(p.leftBytes) + ") will be missing: " + numbers(p.device) + "."));
  if (p.bytes) {
    const n = p.going.length, costs = p.going.reduce((all, g) => all + g.cost, 0);
    const one = n === 1 && !p.more, what = n ? (p.more ? "more than " : "") + plural(n, "file") + " (" + size(costs) + ")" + (one ? " leaves " : " leave ") : "about " + size(p.bytes) + " leave ";
    parts.push(h("p", { class: "text" }, "To make room, " + what + where + ": " + (one ? "what was" : "those that were") + " not used for the longest time. The NAS keeps everything."));
    if (n) {
      parts.push(h("ul", { class: "going" }, p.going.slice(0, 60).map(g => h("li", {}, icon(kindOf(g.x)), h("span", {}, bdi(show(g.x.n)), h("small", {}, size(g.x.s) + " \u00b7 ", whereOf(g.x))))),
        n > 60 && h("li", {}, "and " + num(n - 60) + " more")));
    }
  }
  return parts;
}

// Gets something: at once where it fits, else after saying what has to go. Where nothing fits it can be asked for all
// the same: the NAS decides, and the page may be older than the NAS.
async function askGet(x, devices, go, back) {
  const unsure = devices.filter(d => !surelyFits(x, d));
  if (!unsure.length) return go();
  const found = (await Promise.all(unsure.map(d => preview(x, d)))).filter(p => p && (p.bytes || p.left || !p.taken));
  if (!found.length) return go();
  const none = found.some(p => !p.taken), some = found.some(p => p.left && p.taken), parts = found.flatMap(previewParts);
  if (none) parts.push(h("p", { class: "text" }, "The NAS may know better: ask it all the same, and it answers on this page."));
  step({ icon: "get", title: (none ? "No room for " : "Get ") + titleOf(x) + (none ? "" : "?"), facts: factsOf(x), back, parts,
    buttons: [
      { op: "go", icon: "get", label: none ? "Ask all the same" : some ? "Get what fits" : "Get", hint: none ? "the NAS decides" : "makes room first", main: !none, huge: true, act: go },
      { op: "cancel", icon: "close", label: none ? "Close" : "Cancel", hint: "change nothing", huge: true, act: closeBox },
    ] });
  if (none) by("box").querySelector(".grid button:last-child").focus();
}

// How full a device is: pinned, on its way, the rest, and what is free.
function quotaBar(device) {
  if (device.quota === null) return null;
  const [, pinned, , moving] = device.room || [0, 0, 0, 0], part = bytes => Math.min(100, device.quota ? bytes * 100 / device.quota : 100);
  const segment = (cls, bytes) => { const i = h("i", { class: cls }); i.style.width = part(bytes) + "%"; return bytes ? i : null; };
  const words = size(device.used) + " of " + size(device.quota);
  return h("div", { class: "quota" + (device.used > device.quota ? " over" : ""), role: "meter", "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": Math.round(part(device.used)), "aria-label": "Room used: " + words },
    segment("pinned", pinned), segment("rest", Math.max(0, device.used - pinned - moving)), segment("moving", moving));
}

// One device: its room, its state, what made room lately.
async function deviceStep(d) {
  const device = house.devices[d], [may_, pinned, unsaved, moving] = device.room || [0, 0, 0, 0], all = tree.root.all;
  const key = (cls, bytes, words) => bytes ? h("li", {}, h("i", { class: cls }), h("span", {}, words), h("em", {}, size(bytes))) : null;
  const rest = device.used - pinned - moving, free = device.quota - device.used;
  const legend = device.quota === null ? null : h("ul", { class: "legend" }, key("pinned", pinned, "pinned, stays"), key("rest", rest, (rest === may_ ? "" : "here, " + size(may_) + " of it ") + "may go when room is needed"),
    key("moving", moving, "on its way, stays"), unsaved ? h("li", {}, h("span", {}, size(unsaved) + " of it is not safely at home yet, and stays")) : null,
    free >= 0 ? h("li", {}, h("i", { class: "free" }), h("span", {}, "free"), h("em", {}, size(free))) : h("li", {}, h("i", { class: "over" }), h("span", {}, "more than it may hold"), h("em", {}, size(-free))));
  const to = d === me ? {} : { to: [device.name] }, asked = path => [...wishes.values()].some(w => w.op === "get" && fromPercent(w.path) === path && isFor(w, d));
  const went = [];
  for await (const { x, mark } of places(device.went)) {
    if (!x || stateOf(x, d) !== ABSENT) continue;
    const go = () => { wish("get", pathOf(x), { seen: seenOf(x), ...to }); deviceStep(d); };
    went.push(h("li", {}, h("span", {}, bdi(show(x.n)), h("small", {}, size(x.s) + " \u00b7 went " + moment(mark) + " \u00b7 ", whereOf(x))),
      asked(pathOf(x)) ? h("span", { class: "tag" }, WILL.get) : may("get") && h("button", { class: "small", "data-op": "get-again", onclick: () => askGet(x, [d], go, () => deviceStep(d)) }, "Get")));
  }
  step({ icon: "devices", title: clean(device.label), back: devicesBox,
    facts: (d === me ? "This device \u00b7 " : "") + presence(device, d),
    parts: [h("p", { class: "big" }, size(device.used) + (device.quota === null ? " used, no limit" : " of " + size(device.quota) + " used")),
      h("p", { class: "text" }, plural(all.here[d], "file") + (all.moving[d] ? " \u00b7 " + num(all.moving[d]) + " on the way" : "")), quotaBar(device), legend,
      went.length ? [h("h3", {}, "Went lately to make room"), h("small", {}, "The NAS still has all of it."), h("ul", { class: "versions went" }, went)] : device.quota !== null && h("p", { class: "text" }, "Nothing had to go lately to make room.")].flat().filter(Boolean) });
}

// Storms: a device changed so much that the owner is asked.
function stormCards() {
  return house.storms.map(s => {
    const d = house.devices.findIndex(device => device.name === s.device), label = clean(d < 0 ? s.device : house.devices[d].label), own = d === me;
    const asked = [...wishes.values()].find(w => (w.op === "allow" || w.op === "keep-mine") && w.to.includes(s.device));
    return h("section", { class: "note-card warn storm" }, icon("warn"), h("div", {},
      h("b", {}, bdi(label), " changed " + plural(s.rewritten, "file") + " and deleted " + num(s.deleted) + ", much more than ever in so short a time."),
      h("p", {}, asked ? "You have answered. It counts as soon as " + (asked.saved ? "it has come home." : "you save it.")
        : "Until somebody answers, nothing more of this is taken over, and everything as it was before is kept. "
          + (own ? "This device can't answer for itself: answer on the common page of the NAS, or on another device." : "Look at that device first. Did somebody do this on purpose?"))),
    !own && !asked && h("span", { class: "two" }, may("allow") && h("button", { class: "small", "data-op": "allow", onclick: () => stormStep(s, label, "allow") }, "Let it happen"),
      may("keep-mine") && h("button", { class: "small main", "data-op": "keep-mine", onclick: () => stormStep(s, label, "keep-mine") }, "Keep mine")),
    asked && h("span", { class: "tag" }, WILL[asked.op]));
  });
}

function stormStep(s, label, op) {
  const keep = op === "keep-mine", names = s.some.map(path => h("li", {}, h("span", {}, bdi(showPath(fromPercent(path))))));
  const all = s.rewritten + s.deleted + s.created;
  step({ icon: "warn", danger: !keep, title: keep ? "Keep mine?" : "Let it happen?", facts: [bdi(label), " \u00b7 noticed " + moment(s.at)],
    text: [plural(s.rewritten, "file") + " changed, " + num(s.deleted) + " deleted, " + num(s.created) + " new.",
      keep ? h("p", { class: "text" }, "Your files become what they were before, and ", bdi(label), " gets them back. What it wrote is not lost at once: it is kept for a while among the older versions.")
        : "What it wrote takes the place of your files, on the NAS and on every device that has them. Your files as they were before are kept for a while among the older versions."],
    parts: [h("ul", { class: "going" }, names, all > names.length && names.length ? h("li", {}, "and others") : null)],
    buttons: [
      { op: "yes", icon: keep ? "check" : "warn", label: keep ? "Keep mine" : "Let it happen", hint: keep ? "all as it was before" : "its changes stay", main: keep, danger: !keep, huge: true, act: () => { wish(op, "", { to: [s.device] }); closeBox(); notes(); } },
      { icon: "close", label: "Cancel", hint: "decide later", huge: true, act: closeBox },
    ] });
  if (!keep) by("box").querySelector(".grid button:last-child").focus();
}

// The files whose content has several names: by path, all of them.
let twins;
function readTwins() {
  twins = twins || (async () => {
    const groups = new Map();
    let group = [];
    for await (const { x, mark } of places(house.twins)) {
      if (!mark) group = [];
      if (x) { group.push(x); groups.set(pathOf(x), group); }
    }
    return groups;
  })();
  return twins;
}

// What stays when something is destroyed, because it has the same content.
async function staysWords(x) {
  const groups = await readTwins(), at = pathOf(x), within = path => path === at || isFolder(x) && (!at || path.startsWith(at + "/"));
  const there = new Set();
  let files = 0;
  for (const [path, group] of groups) {
    if (!within(path)) continue;
    const out = group.map(pathOf).filter(other => !within(other));
    if (out.length) files++;
    out.forEach(other => there.add(other));
  }
  if (!files) return house.more_twins ? "Other files may have the same content; those stay." : "";
  const some = [...there].slice(0, 3).map(showPath), more = there.size - some.length;
  const what = isFolder(x) ? "The content of " + plural(files, "file") + " of it is also at " : "The same content is also at ", all = more > 0 ? [...some, plural(more, "other place")] : some;
  return all.length === 1 ? what + all[0] + "; that stays." : [what.trim() + ":", ...all.map(place => "\u2022 " + place), "That stays."].join("\n");
}
