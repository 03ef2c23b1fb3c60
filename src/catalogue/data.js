// Reading the data: base64, deflate, columns; the tree of folders; sections opened when needed.
// Names are kept as strings of bytes (one character 0 to 255 a byte), because a name on the drive
// need not be text. `show` in words.js makes them readable.

const ABSENT = 0, HERE = 1, MOVING = 2;
// So many files of opened sections stay in memory.
const KEEP = 260000;

const by = id => document.getElementById(id);

async function unpack(block) {
  const text = block.trim();
  let bytes;
  if (Uint8Array.fromBase64) bytes = Uint8Array.fromBase64(text);
  else {
    const raw = atob(text);
    bytes = new Uint8Array(raw.length);
    for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  }
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

class Reader {
  constructor(bytes) { this.b = bytes; this.i = 0; }
  uint() {
    for (let v = 0, m = 1; ; m *= 128) {
      const c = this.b[this.i++];
      v += (c & 127) * m;
      if (!(c > 127)) return v;
    }
  }
  int() { const v = this.uint(); return v % 2 ? -(v + 1) / 2 : v / 2; }
  uints(n) { const all = new Float64Array(n); for (let i = 0; i < n; i++) all[i] = this.uint(); return all; }
  sums(n) { const all = new Float64Array(n); for (let i = 0, at = 0; i < n; i++) all[i] = at += this.int(); return all; }
  take(n) { return this.b.subarray(this.i, this.i += n); }
  name() { return binary(this.take(this.uint())); }
  get more() { return this.i < this.b.length; }
}

function binary(bytes) {
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode.apply(null, bytes.subarray(i, i + 8192));
  return text;
}

// Front-coded names, each followed by NUL, which no name contains.
function names(r, n) {
  const shared = r.uints(n), own = r.uints(n);
  let size = n;
  for (let i = 0; i < n; i++) size += shared[i] + own[i];
  const all = new Uint8Array(size), ends = new Uint32Array(n + 1);
  for (let i = 0, at = 0, last = 0; i < n; i++) {
    const start = at;
    all.copyWithin(at, last, last + shared[i]);
    at += shared[i];
    all.set(r.take(own[i]), at);
    at += own[i] + 1;
    last = start;
    ends[i + 1] = at;
  }
  return { all, ends };
}

// A folder: `n` its name, `path` of bytes, `files bytes newest here[] moving[]` its own sums and
// then those of the whole tree below (`all`), `start count` its files in the base, `lost gained`
// what the log says of them.
function folder(parent, n, devices) {
  const path = parent ? (parent.path ? parent.path + "/" + n : n) : "";
  return { parent, n, path, depth: parent ? parent.depth + 1 : 0, kids: [], start: 0, count: 0, files: 0,
    bytes: 0, newest: 0, here: new Array(devices).fill(0), moving: new Array(devices).fill(0), open: false };
}

const tree = { root: null, order: [], devices: 0, sections: [], byPath: new Map(), files: 0 };

async function readTree(blocks, log) {
  const r = new Reader(await unpack(blocks[0].textContent));
  const devices = tree.devices = r.uint(), n = r.uint(), sections = r.uint();
  let start = 0;
  for (let i = 0; i < sections; i++) {
    const files = r.uint();
    tree.sections.push({ block: blocks[i + 1], start, files, data: null, used: 0 });
    start += files;
  }
  const depths = r.uints(n), names_ = names(r, n), files = r.uints(n), bytes = r.uints(n), newest = r.sums(n);
  const counts = [];
  for (let d = 0; d < devices; d++) counts.push([r.uints(n), r.uints(n)]);
  const stack = [];
  start = 0;
  for (let i = 0; i < n; i++) {
    const name = binary(names_.all.subarray(names_.ends[i], names_.ends[i + 1] - 1));
    const f = folder(stack[depths[i] - 1], name, devices);
    stack[depths[i]] = f;
    f.start = start;
    start += f.count = f.files = files[i];
    f.bytes = bytes[i];
    f.newest = newest[i];
    counts.forEach(([here, moving], d) => { f.here[d] = here[i]; f.moving[d] = moving[i]; });
    if (f.parent) f.parent.kids.push(f); else tree.root = f;
    tree.byPath.set(f.path, f);
  }
  for (const chunk of log.textContent.split("\n")) if (chunk.trim()) readLog(new Reader(await unpack(chunk)));
  addUp();
}

function readLog(r) {
  while (r.more) {
    const gone = r.take(1)[0] === 0, path = r.name();
    if (gone) {
      const f = tree.byPath.get(path);
      if (f && f.parent) f.parent.kids = f.parent.kids.filter(k => k !== f);
      if (f) f.gone = true;
      continue;
    }
    const f = grow(path);
    f.files = r.uint();
    f.bytes = r.uint();
    f.newest = r.int();
    for (let d = 0; d < tree.devices; d++) { f.here[d] = r.uint(); f.moving[d] = r.uint(); }
    f.lost = new Set();
    for (let n = r.uint(), at = 0; n > 0; n--) f.lost.add(at += r.uint());
    f.gained = [];
    for (let n = r.uint(); n > 0; n--) {
      f.gained.push({ f, n: r.name(), s: r.uint(), m: r.int(), t: binary(r.take(Math.ceil(tree.devices / 4))) });
    }
  }
}

// The folder at a path, made when the log speaks of a new one.
function grow(path) {
  let f = tree.byPath.get(path);
  if (f && !f.gone) return f;
  const cut = path.lastIndexOf("/"), parent = path ? grow(cut < 0 ? "" : path.slice(0, cut)) : null;
  const was = f;
  f = folder(parent, path.slice(cut + 1), tree.devices);
  if (was) { f.start = was.start; f.count = was.count; }
  if (parent) parent.kids.push(f);
  tree.byPath.set(path, f);
  return f;
}

// Adds up the folders below, last first, and puts all in order.
function addUp() {
  const walk = f => { tree.order.push(f); f.kids.forEach(walk); };
  walk(tree.root);
  for (const f of tree.order) f.all = { files: f.files, bytes: f.bytes, newest: f.newest, here: f.here.slice(), moving: f.moving.slice() };
  for (let i = tree.order.length - 1; i > 0; i--) {
    const f = tree.order[i], p = f.parent.all, own = f.all;
    p.newest = !p.files ? own.newest : own.files ? Math.max(p.newest, own.newest) : p.newest;
    p.files += own.files;
    p.bytes += own.bytes;
    for (let d = 0; d < tree.devices; d++) { p.here[d] += own.here[d]; p.moving[d] += own.moving[d]; }
  }
  tree.files = tree.root.all.files;
}

let clock = 0;

// A section, opened. Of a large catalogue the ones not used for longest are closed again.
async function open(section) {
  section.used = ++clock;
  if (section.data) return section.data;
  section.data = (async () => {
    const r = new Reader(await unpack(section.block.textContent)), n = r.uint();
    const { all, ends } = names(r, n), sizes = r.uints(n), mtimes = r.sums(n), planes = [];
    for (let p = 0; p < Math.ceil(tree.devices / 4); p++) planes.push(r.take(n));
    const text = binary(all);
    return { n, text, bytes: all, ends, sizes, mtimes, planes };
  })();
  let kept = 0;
  const opened = tree.sections.filter(s => s.data).sort((a, b) => b.used - a.used);
  for (const s of opened) {
    kept += s.files;
    if (kept > KEEP && s !== section) s.data = null;
  }
  return section.data;
}

function fileAt(f, data, i) {
  let t = "";
  for (const plane of data.planes) t += String.fromCharCode(plane[i]);
  return { f, n: data.text.slice(data.ends[i], data.ends[i + 1] - 1), s: data.sizes[i], m: data.mtimes[i], t };
}

// Calls each(data, i) for the files that the base has in a folder and the log has not taken away.
async function eachInBase(f, each) {
  let lo = 0, hi = tree.sections.length;
  while (lo < hi) {
    const mid = (lo + hi) >> 1, s = tree.sections[mid];
    if (s.start + s.files <= f.start) lo = mid + 1; else hi = mid;
  }
  for (let at = f.start, end = f.start + f.count; at < end; lo++) {
    const s = tree.sections[lo], data = await open(s);
    for (const stop = Math.min(end, s.start + s.files); at < stop; at++) {
      if (!f.lost || !f.lost.has(at - f.start)) each(data, at - s.start);
    }
  }
}

// The files of a folder, in the order people expect.
async function filesOf(f) {
  if (f.list) return f.list;
  const list = [];
  await eachInBase(f, (data, i) => list.push(fileAt(f, data, i)));
  if (f.gained) list.push(...f.gained);
  return f.list = inOrder(list);
}

function kidsOf(f) {
  if (!f.sorted) { f.kids = inOrder(f.kids); f.sorted = true; }
  return f.kids;
}

const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });

function inOrder(list) {
  if (list.length > 20000) return list.sort((a, b) => a.n < b.n ? -1 : 1);
  for (const x of list) x.k = show(x.n);
  list.sort((a, b) => collator.compare(a.k, b.k) || (a.n < b.n ? -1 : 1));
  for (const x of list) delete x.k;
  return list;
}

const isFolder = x => x.kids !== undefined;
const pathOf = x => isFolder(x) ? x.path : x.f.path ? x.f.path + "/" + x.n : x.n;
const stateOf = (file, d) => d < 0 ? HERE : file.t.charCodeAt(d >> 2) >> (d & 3) * 2 & 3;

// What lies at a path; null when nothing does.
async function find(path) {
  const f = tree.byPath.get(path);
  if (f && !f.gone) return f;
  const cut = path.lastIndexOf("/"), parent = tree.byPath.get(cut < 0 ? "" : path.slice(0, cut));
  if (!parent || parent.gone) return null;
  return (await filesOf(parent)).find(x => x.n === path.slice(cut + 1)) || null;
}
