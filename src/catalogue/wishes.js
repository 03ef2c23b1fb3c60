// The wishes that are not fulfilled yet: kept until the NAS says that they reached home.
//
// Each wish is stored under a key of its own. So no tab of this page ever writes over what another one stored, without
// any lock between them (Web Locks need a secure context, which a page served over http is not).

let cfg, house, me;
const wishes = new Map();
const storeKey = () => "larder:" + cfg.page;
const wishKey = id => storeKey() + ":wish:" + id;
// Wishes on their way to the NAS or into the file at this moment: what is sent can't be taken back.
const sending = new Set();
let lastTime = 0;

/** The stored wishes of this page by id; null where the browser stores nothing for it. */
function storedWishes() {
  try {
    const prefix = wishKey(""), found = new Map();
    for (let i = 0; i < localStorage.length; i++) {
      const key = localStorage.key(i);
      if (!key.startsWith(prefix)) continue;
      try {
        const wish = JSON.parse(localStorage.getItem(key));
        if (wish && wish.id === key.slice(prefix.length)) found.set(wish.id, wish);
      } catch { /* damaged: not a wish of ours */ }
    }
    return found;
  } catch {
    return null;
  }
}

// What makes a stored wish of one in memory; `kept` says only here that it is stored.
function storeWish(w) {
  const { kept, ...stored } = w;
  try {
    localStorage.setItem(wishKey(w.id), JSON.stringify(stored));
    w.kept = true;
  } catch { /* no store here, or no room in it: this tab still has it */ }
}

function dropWish(id) {
  wishes.delete(id);
  try { localStorage.removeItem(wishKey(id)); } catch { /* no store here */ }
}

/**
 * The wishes of this tab and of the store as one: what another tab pressed or saved is in it, what another tab dropped
 * is not, and what could not be stored stays.
 * @param {Map<string, object>} own
 * @param {Map<string, object>} stored
 * @returns {object[]} in the order in which they were pressed
 */
function mergedWishes(own, stored) {
  const all = [...own.values()].filter(w => !w.kept && !stored.has(w.id));
  for (const w of stored.values()) {
    const mine = own.get(w.id);
    all.push({ ...w, ...(w.saved || (mine && mine.saved) ? { saved: true } : {}), kept: true });
  }
  return all.sort((a, b) => (a.t || 0) - (b.t || 0));
}

function rereadWishes() {
  const stored = storedWishes();
  if (!stored) return;
  const merged = mergedWishes(wishes, stored);
  wishes.clear();
  for (const w of merged) wishes.set(w.id, w);
}

// Pages of the first form had one id for all of them, the part before the device, and one list under it.
const formerPage = () => cfg.device && cfg.page.endsWith("-" + cfg.device) ? cfg.page.slice(0, -cfg.device.length - 1) : cfg.page;

function adoptFormerWishes() {
  try {
    const key = "larder:" + formerPage(), list_ = JSON.parse(localStorage.getItem(key));
    if (!Array.isArray(list_)) return;
    for (const w of list_) if (w && w.id && !wishes.has(w.id)) addWish(w);
    if (list_.every(w => !w || !w.id || wishes.get(w.id).kept)) localStorage.removeItem(key);
  } catch { /* no store here */ }
}

function addWish(w) {
  lastTime = Math.max(lastTime + 1, Date.now());
  const added = { ...w, t: lastTime };
  wishes.set(w.id, added);
  storeWish(added);
}

function readWishes() {
  rereadWishes();
  adoptFormerWishes();
  try {
    for (const w of JSON.parse(by("work").textContent).items) {
      if (w && w.id && !wishes.has(w.id)) addWish({ ...w, saved: true });
      else if (w && w.id && !wishes.get(w.id).saved) markSaved([wishes.get(w.id)]);
    }
  } catch { /* a page without its last line */ }
  for (const id of [...cfg.harvested, ...cfg.answers.map(a => a.id)]) if (wishes.has(id)) dropWish(id);
}

// Notes that these, and only these, reached what carries them home. One that another tab took back meanwhile is on its
// way all the same, so it is shown.
function markSaved(some, refused = new Map()) {
  for (const w of some) {
    const saved = { ...w, saved: true, ...(refused.has(w.id) ? { why: String(refused.get(w.id)) } : {}) };
    wishes.set(w.id, saved);
    storeWish(saved);
  }
}

// To be sent once more, since they seem to be lost.
function markUnsaved(some) {
  for (const w of some) {
    delete w.saved;
    storeWish(w);
  }
}

const plainWish = ({ saved, kept, why, t, ...wish }) => wish;
const counts = w => w.op !== "open";
const unsaved = () => [...wishes.values()].filter(w => !w.saved);
const waiting = () => unsaved().filter(counts);
const mayTakeBack = w => !w.saved && !sending.has(w.id);

const newId = () => randomHex(10);

const seenOf = x => isFolder(x) ? { size: x.all.bytes, mtime: x.all.newest } : { size: x.s, mtime: x.m };

// Wishes something. What is wished twice is wished once; pin and unpin, get and delete here of the
// same thing that are not saved yet cancel each other.
const OPPOSITE = { pin: "unpin", unpin: "pin", get: "delete", delete: "get" };
function wish(op, path, more) {
  rereadWishes();
  const item = { id: newId(), op, path: percent(path), ...more, at: new Date().toISOString().replace(/\.\d+Z$/, "Z") };
  const same = other => other.op === op && other.path === item.path && String(other.to) === String(item.to)
    && other.with === item.with && other.from === item.from && other.limit_mb === item.limit_mb;
  if (op !== "share" && op !== "undo" && [...wishes.values()].some(same)) {
    if (op !== "open") toast("You have asked for that already.");
    return;
  }
  const opposite = unsaved().filter(mayTakeBack).find(o => o.op === OPPOSITE[op] && o.path === item.path && String(o.to) === String(item.to));
  if (opposite) dropWish(opposite.id);
  else if (wishes.size >= 9000) return toast("Save these changes first; there are very many.");
  else addWish(item);
  changed();
}

function undoLast() {
  rereadWishes();
  const last = waiting().filter(mayTakeBack).pop();
  if (!last) return changed();
  dropWish(last.id);
  changed();
  toast("Taken back: " + nameOfWish(last));
}

const answersStorm = w => ABOUT[w.op] === "mass-change";
const nameOfWish = w => aboutDevices(w) ? (w.to || [""])[0] : answersStorm(w) ? clean((house.devices.find(device => w.to && w.to.includes(device.name)) || { label: "" }).label) : w.path ? show(fromPercent(w.path).split("/").pop()) : "All files";

// The wish that a row shows: the last one of its path.
let tags = new Map();
function readTags() {
  tags = new Map();
  for (const w of wishes.values()) if (counts(w) && !aboutDevices(w) && !answersStorm(w)) tags.set(fromPercent(w.path), w);
}

// Another tab of this page pressed, saved or took back something.
function heedOtherTabs() {
  const heed = () => { rereadWishes(); changed(); };
  addEventListener("storage", e => { if (e.key === null || e.key.startsWith(wishKey(""))) heed(); });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) heed(); });
}
