// The list: which rows there are, and drawing those in sight. A row is a folder, a file, or a note.

const view = { filter: "all", query: "", words: [], rows: [], sel: -1, results: null, total: 0, run: 0, busy: 0 };
// Browsers do not draw boxes higher than this; longer lists are scrolled in proportion.
const TALLEST = 15e6;
// So many found files are listed; more are counted.
const MOST = 20000;
const rowHeight = 58;

const isHere = file => me >= 0 ? stateOf(file, me) === HERE : [...house.devices.keys()].some(d => stateOf(file, d));
const isMoving = file => house.devices.some((_, d) => stateOf(file, d) === MOVING);
const FILTERS = {
  all: { file: () => true, folder: () => true },
  here: { file: isHere, folder: f => me >= 0 ? f.all.here[me] > 0 : f.all.here.some(n => n) || f.all.moving.some(n => n) },
  elsewhere: { file: x => !isHere(x), folder: f => me >= 0 ? f.all.here[me] < f.all.files : true },
};
const nested = () => !view.query && FILTERS[view.filter];

// Puts the rows together anew: the open folders, or what was found.
async function arrange() {
  const run = ++view.run;
  if (!nested()) return seek(run);
  view.results = null;
  view.busy = 0;
  const filter = FILTERS[view.filter], rows = [], chosen = view.rows[view.sel];
  const add = async f => {
    for (const kid of kidsOf(f)) {
      if (!filter.folder(kid)) continue;
      rows.push(kid);
      if (kid.open) await add(kid);
    }
    const files = await filesOf(f);
    for (const x of files) if (filter.file(x)) rows.push(x);
    if (f.open && !f.kids.length && !files.length) rows.push({ note: "This folder is empty.", depth: f.depth + 1 });
  };
  tree.root.open = false;
  await add(tree.root);
  if (run !== view.run) return;
  view.rows = rows;
  view.total = tree.files;
  if (chosen) view.sel = rows.indexOf(chosen);
  settle();
}

const pause = () => new Promise(resolve => setTimeout(resolve));

// Goes through all the files in slices, so that the page stays awake, and shows what it finds.
async function seek(run) {
  view.words = fold(view.query).split(/\s+/).filter(Boolean);
  const rows = [], words = view.words, flat = !FILTERS[view.filter];
  const passes = flat ? () => true : FILTERS[view.filter].file;
  view.rows = rows;
  view.sel = -1;
  view.total = 0;
  by("list").scrollTop = 0;
  const within = text => words.every(word => text.includes(word));
  const add = x => { if (rows.length < MOST) rows.push(x); view.total++; };
  if (flat && view.filter !== "moving") {
    const paths = view.filter === "shared" ? house.shares : house.versions.filter(v => v.gone);
    for (const path of new Set(paths.map(p => fromPercent(p.path)))) {
      const x = await find(path) || { ghost: true, f: folder(null, "", 0), n: path, s: 0, m: 0, t: "" };
      if (within(fold(show(pathOf(x))))) add(x);
    }
    if (run === view.run) settle();
    return;
  }
  if (!flat && words.length) for (const f of tree.order) if (f.parent && FILTERS[view.filter].folder(f) && within(fold(show(f.n)))) add(f);
  let slice = performance.now(), drawn = slice;
  for (let i = 0; i < tree.order.length; i++) {
    const f = tree.order[i];
    if (!f.files || (flat && !f.moving.some(n => n))) continue;
    // A word may stand in the folder's path, but one at least in the file's own name.
    const above = fold(showPath(f.path)), left = words.filter(word => !above.includes(word));
    const match = name => left.every(word => name.includes(word)) && (left.length || !words.length || words.some(word => name.includes(word)));
    const look = x => { if (flat ? isMoving(x) : passes(x)) add(x); };
    let section = null;
    await eachInBase(f, (data, at) => {
      if (section !== data) { section = data; low(data); }
      if (match(data.low[at])) look(fileAt(f, data, at));
    });
    for (const x of f.gained || []) if (match(fold(show(x.n)))) look(x);
    if (performance.now() - slice > 12) {
      view.busy = (i + 1) / tree.order.length;
      if (performance.now() - drawn > 150) { settle(); drawn = performance.now(); }
      await pause();
      if (run !== view.run) return;
      slice = performance.now();
    }
  }
  if (run !== view.run) return;
  view.busy = 0;
  settle();
}

// The names of a section as they are searched.
function low(data) {
  if (!data.low) data.low = fold(/^[\u0000-\u007f]*$/.test(data.text) ? data.text : utf8.decode(data.bytes)).split("\0");
}

function settle() {
  view.sel = Math.min(view.sel, view.rows.length - 1);
  if (!view.rows.length && !view.busy) view.rows = [{ note: emptyWords(), depth: 1 }];
  by("list").setAttribute("aria-busy", view.busy > 0);
  by("list").dataset.shows = view.filter + ":" + view.query;
  draw();
  crumbs();
  tally();
}

function emptyWords() {
  if (view.query) return "Nothing is called that.";
  if (!tree.files) return "No files yet. What you put into BTsync/files on the NAS appears here.";
  return { here: "Nothing is on this device yet. Press a file, then Get.", moving: "Nothing is on its way just now.",
    elsewhere: "Everything is on this device." }[view.filter] || "Nothing here.";
}

function tally() {
  const all = tree.root.all;
  by("count").textContent = nested() ? plural(all.files, "file") + " \u00b7 " + size(all.bytes)
    : num(view.total) + (view.busy ? " found so far \u00b7 " + Math.round(view.busy * 100) + " %" : view.total > MOST ? " found, the first " + num(MOST) + " shown" : " found");
}

// The elements in use by the row they show, so that a row keeps its element while it is in sight,
// and those out of use.
let shown = new Map();
const spare = [];
let heights = { scale: 1, tall: 0 };

function draw() {
  const box = by("list"), sheet = by("rows"), n = view.rows.length;
  const full = n * rowHeight, tall = Math.min(full, TALLEST), room = box.clientHeight;
  heights = { scale: full > TALLEST ? (full - room) / (tall - room) : 1, tall };
  sheet.style.height = tall + "px";
  const top = box.scrollTop * heights.scale, first = Math.max(0, Math.floor(top / rowHeight) - 4);
  const last = Math.min(n, Math.ceil((top + room) / rowHeight) + 4);
  const next = new Map();
  for (const [i, el] of shown) if (i < first || i >= last) { el.hidden = true; spare.push(el); }
  for (let i = first; i < last; i++) {
    const el = shown.get(i) || spare.pop() || sheet.appendChild(h("div", { class: "row", role: "treeitem" }));
    fill(el, view.rows[i], i, i * rowHeight - top + box.scrollTop);
    next.set(i, el);
  }
  shown = next;
  const active = shown.get(view.sel);
  if (active) box.setAttribute("aria-activedescendant", active.id); else box.removeAttribute("aria-activedescendant");
}

function fill(el, x, i, y) {
  el.hidden = false;
  el.style.transform = "translateY(" + y + "px)";
  el.id = "row" + i;
  el.dataset.i = i;
  el.classList.toggle("sel", i === view.sel && !x.note);
  el.setAttribute("aria-selected", i === view.sel);
  const tag = !x.note && tags.get(x.ghost ? x.n : pathOf(x)), mark = [x.open, tag && tag.op, tag && tag.saved, view.query, nested() ? 1 : 0].join();
  if (el.x === x && el.mark === mark) return;
  el.x = x;
  el.mark = mark;
  const level = nested() ? (x.depth ?? x.f.depth + 1) : 1;
  el.setAttribute("aria-level", level);
  el.style.setProperty("--level", Math.min(level - 1, 12));
  el.classList.toggle("folder", isFolder(x));
  el.classList.toggle("note", !!x.note);
  if (isFolder(x)) el.setAttribute("aria-expanded", x.open); else el.removeAttribute("aria-expanded");
  el.replaceChildren(...(x.note ? [x.note] : cells(x, tag)));
}

function cells(x, tag) {
  const dir = isFolder(x), where = dir ? x.parent : x.f, text = x.ghost ? showPath(x.n) : show(x.n);
  const name = bdi("", "name");
  let at = 0;
  for (const [from, to] of view.query ? hits(text, view.words) : []) {
    name.append(text.slice(at, from), h("mark", {}, text.slice(from, to)));
    at = to;
  }
  name.append(text.slice(at));
  const facts = x.ghost ? "destroyed, can be brought back" : dir ? sumsOf(x) : size(x.s) + " \u00b7 " + date(x.m);
  const more = [facts];
  if (!nested() && where && where.path) more.push(" \u00b7 ", bdi(showPath(where.path)));
  return [
    h("span", { class: "twist" }, dir && nested() && icon("chevron")),
    h("span", { class: "kind" }, icon(kindOf(x))),
    h("span", { class: "what" }, name, h("small", {}, more)),
    tag && h("span", { class: "tag" + (tag.saved ? " sent" : "") }, tag.saved ? "on its way" : WILL[tag.op]),
    x.ghost ? null : dir ? folderEnd(x) : fileEnd(x),
  ].filter(Boolean);
}

function folderEnd(f) {
  const n = me >= 0 ? f.all.here[me] : 0;
  const held = me >= 0 && n ? h("span", { class: "held" + (n === f.all.files ? " full" : "") }, n === f.all.files ? "all here" : num(n) + " of " + num(f.all.files)) : null;
  return h("span", { class: "end" }, held,
    h("button", { class: "more", tabindex: -1, "aria-label": "What to do with " + show(f.n) }, icon("more")));
}

function fileEnd(x) {
  const marks = house.devices.map((device, d) => badge(d, stateOf(x, d), d === me, progressOf(x, d)));
  return h("span", { class: "end badges" }, marks, h("span", { class: "badge here nas", title: house.nas + ": here" }, "N"));
}

const sumsOf = f => f.all.files ? plural(f.all.files, "file") + " \u00b7 " + size(f.all.bytes) : "empty";
const progressOf = (x, d) => live.get(d + " " + pathOf(x));

function badge(d, state, own, percent_) {
  const device = house.devices[d], words = device.label + ": " + stateWords(state, percent_);
  if (state === MOVING) return ring(percent_ || 0, percent_ === undefined ? letters[d] : percent_, "badge ring" + (own ? " own" : ""), words);
  return h("span", { class: "badge" + (state === HERE ? " here" : "") + (own ? " own" : ""), title: words, role: "img", "aria-label": words }, letters[d]);
}

const stateWords = (state, percent_) => state === HERE ? "here" : state === ABSENT ? "not there"
  : percent_ === undefined ? "queued" : "syncing " + percent_ + " %";

// A ring filled so far, with a word inside.
function ring(percent_, word, cls, words) {
  const ns = "http://www.w3.org/2000/svg", svg = document.createElementNS(ns, "svg"), round = 2 * Math.PI * 15.5;
  svg.setAttribute("viewBox", "0 0 36 36");
  for (const part of ["track", "fill"]) {
    const c = document.createElementNS(ns, "circle");
    for (const [key, value] of Object.entries({ cx: 18, cy: 18, r: 15.5, class: part })) c.setAttribute(key, value);
    if (part === "fill") c.setAttribute("stroke-dasharray", round * percent_ / 100 + " " + round);
    svg.append(c);
  }
  return h("span", { class: cls, title: words, role: words && "img", "aria-label": words, "aria-hidden": !words }, svg, h("i", {}, String(word)));
}

// Opens or closes a folder of the tree.
async function toggle(f, to = !f.open) {
  f.open = to;
  await arrange();
}

// Shows a folder in the tree, opened, and brings it into sight.
async function reveal(f) {
  for (let up = f; up && up.parent; up = up.parent) up.open = true;
  if (view.query || !FILTERS[view.filter]) { view.filter = "all"; view.query = by("q").value = ""; by("clear").hidden = true; filters(); }
  await arrange();
  choose(f.parent ? view.rows.indexOf(f) : -1, true);
}

// Makes a row the current one.
function choose(i, toTop) {
  const box = by("list");
  view.sel = Math.max(-1, Math.min(i, view.rows.length - 1));
  const y = Math.max(0, view.sel) * rowHeight, top = box.scrollTop * heights.scale;
  if (toTop || y < top || y + rowHeight > top + box.clientHeight) {
    const to = toTop ? y - rowHeight : y < top ? y : y + rowHeight - box.clientHeight;
    box.scrollTop = Math.max(0, to) / heights.scale;
  }
  draw();
  crumbs();
}

function crumbs() {
  const x = view.rows[view.sel], trail = [];
  for (let f = !x || x.note || x.ghost ? tree.root : isFolder(x) ? x : x.f; f; f = f.parent) trail.unshift(f);
  const last = trail.length - 1;
  by("crumbs").replaceChildren(...trail.flatMap((f, i) => [
    i ? h("span", { class: "sep", "aria-hidden": true }, "\u203a") : null,
    h("button", { "aria-current": i === last ? "true" : null, onclick: () => reveal(f) }, bdi(f.parent ? show(f.n) : "All files")),
  ]).filter(Boolean), may("mkdir") || !last ? h("button", { class: "more", "aria-label": "What to do with this folder", onclick: () => openBox(trail[last]) }, icon("more")) : "");
  by("crumbs").scrollLeft = 1e6;
}
