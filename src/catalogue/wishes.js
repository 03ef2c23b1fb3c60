// The wishes that are not fulfilled yet: kept until the NAS says that they reached home.

let cfg, house, me;
const wishes = new Map();
const storeKey = () => "larder:" + cfg.page;

function readWishes() {
  const settled = new Set([...cfg.harvested, ...cfg.answers.map(a => a.id)]);
  const take = (wish, saved) => { if (wish && wish.id && !settled.has(wish.id) && !wishes.has(wish.id)) wishes.set(wish.id, { ...wish, saved }); };
  try { for (const w of JSON.parse(localStorage.getItem(storeKey())) || []) take(w, w.saved); } catch { /* no store here */ }
  try {
    for (const w of JSON.parse(by("work").textContent).items) {
      take(w, true);
      if (wishes.has(w.id)) wishes.get(w.id).saved = true;
    }
  } catch { /* a page without its last line */ }
}

function keepWishes() {
  try { localStorage.setItem(storeKey(), JSON.stringify([...wishes.values()])); } catch { /* no store here */ }
}

const plainWish = ({ saved, ...wish }) => wish;
const counts = w => w.op !== "open";
const unsaved = () => [...wishes.values()].filter(w => !w.saved);
const waiting = () => unsaved().filter(counts);

function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(10)), b => b.toString(16).padStart(2, "0")).join("");
}

const seenOf = x => isFolder(x) ? { size: x.all.bytes, mtime: x.all.newest } : { size: x.s, mtime: x.m };

// Wishes something. What is wished twice is wished once; pin and unpin, get and delete here of the
// same thing that are not saved yet cancel each other.
const OPPOSITE = { pin: "unpin", unpin: "pin", get: "delete", delete: "get" };
function wish(op, path, more) {
  const item = { id: newId(), op, path: percent(path), ...more, at: new Date().toISOString().replace(/\.\d+Z$/, "Z") };
  const same = other => other.op === op && other.path === item.path && String(other.to) === String(item.to)
    && other.with === item.with && other.from === item.from && other.limit_mb === item.limit_mb;
  const pending = unsaved();
  if (op !== "share" && op !== "undo" && [...wishes.values()].some(same)) {
    if (op !== "open") toast("You have asked for that already.");
    return;
  }
  const opposite = pending.find(o => o.op === OPPOSITE[op] && o.path === item.path && String(o.to) === String(item.to));
  if (opposite) wishes.delete(opposite.id);
  else if (wishes.size >= 9000) return toast("Save these changes first; there are very many.");
  else wishes.set(item.id, item);
  keepWishes();
  changed();
}

function undoLast() {
  const last = waiting().pop();
  if (!last) return;
  wishes.delete(last.id);
  keepWishes();
  changed();
  toast("Taken back: " + nameOfWish(last));
}

const answersStorm = w => w.op === "allow" || w.op === "keep-mine";
const nameOfWish = w => aboutDevices(w) ? (w.to || [""])[0] : answersStorm(w) ? clean((house.devices.find(device => w.to && w.to.includes(device.name)) || { label: "" }).label) : w.path ? show(fromPercent(w.path).split("/").pop()) : "All files";

// The wish that a row shows: the last one of its path.
let tags = new Map();
function readTags() {
  tags = new Map();
  for (const w of wishes.values()) if (counts(w) && !aboutDevices(w) && !answersStorm(w)) tags.set(fromPercent(w.path), w);
}
