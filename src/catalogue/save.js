// Carrying the wishes home, by the best way there is: to the NAS itself, into this page's file, as
// a small file beside it, by the share sheet, by the clipboard.

// Put together here, so that the page holds each marker once.
const BEGIN = "<!--" + "WORKLIST-BEGIN-->", END = "<!--" + "WORKLIST-END-->";
const served = /^https?:$/.test(location.protocol);

function worklist() {
  return { v: 1, page: cfg.page, key: cfg.key, device: cfg.device, gen: cfg.gen, items: [...wishes.values()].map(plainWish) };
}

let saving = false;
async function save() {
  if (saving || !unsaved().length) return;
  saving = true;
  changed();
  try {
    if (await post()) done("Sent to the NAS.", "The answer comes with the next page.");
    else if (window.showOpenFilePicker && !served) await saveIntoFile();
    else download();
  } finally {
    saving = false;
    changed();
  }
}

function done(what, next) {
  for (const w of wishes.values()) w.saved = true;
  keepWishes();
  changed();
  toast(what + " " + next);
  watch();
}

// True when the NAS took them.
async function post() {
  const home = served ? location.origin : house.home;
  if (!home) return false;
  try {
    const body = JSON.stringify(worklist());
    const answer = await fetch(home + "/worklist", { method: "POST", body, headers: { "Content-Type": "text/plain" },
      credentials: "omit", cache: "no-store", signal: AbortSignal.timeout(served ? 10000 : 2000) });
    return answer.ok;
  } catch {
    return false;
  }
}

// The handle of this page's file is remembered by the browser, so that it is chosen once.
function remember(mode, change) {
  return new Promise((resolve, reject) => {
    const ask = indexedDB.open("larder", 1);
    ask.onupgradeneeded = () => ask.result.createObjectStore("handles");
    ask.onerror = () => reject(ask.error);
    ask.onsuccess = () => {
      const db = ask.result, deal = db.transaction("handles", mode), request = change(deal.objectStore("handles"));
      deal.oncomplete = () => { db.close(); resolve(request.result); };
      deal.onabort = deal.onerror = () => { db.close(); reject(deal.error); };
    };
  });
}

let handle = null;
async function knownHandle() {
  if (!handle) handle = await remember("readonly", s => s.get(cfg.page)).catch(() => null) || null;
  return handle;
}

async function saveIntoFile() {
  if (await knownHandle()) {
    try {
      const allowed = await handle.queryPermission({ mode: "readwrite" }) === "granted"
        || await handle.requestPermission({ mode: "readwrite" }) === "granted";
      if (allowed) return await intoFile();
    } catch (error) {
      handle = null;
    }
  }
  askForFile();
}

function askForFile(trouble) {
  step({
    icon: "page", title: "Save into this page",
    text: [trouble, "Choose the file catalogue.html in the folder BTsync/catalogue of this device: this very page. Your wishes are written into it and travel home by themselves. The browser asks once and then remembers."],
    buttons: [
      { huge: true, icon: "page", label: "Choose the file", hint: "catalogue.html, and allow changes", main: true, act: chooseFile },
      { huge: true, icon: "get", label: "Save as a small file", hint: "beside the page", act: download },
    ],
  });
}

async function chooseFile() {
  try {
    [handle] = await window.showOpenFilePicker({ id: "larder", types: [{ description: "Catalogue", accept: { "text/html": [".html"] } }] });
  } catch (error) {
    return error.name === "AbortError" ? undefined : download();
  }
  try {
    if (await handle.queryPermission({ mode: "readwrite" }) !== "granted"
      && await handle.requestPermission({ mode: "readwrite" }) !== "granted") {
      return askForFile("The browser was not allowed to change the file.");
    }
    await intoFile();
  } catch (error) {
    handle = null;
    askForFile(error.plain || "The file could not be written.");
  }
}

const plainly = text => Object.assign(new Error(text), { plain: text });

// Reads the file afresh, replaces what stands between the last two markers and nothing else, and
// writes only when the file is still the one it read.
async function intoFile() {
  for (let tries = 0; tries < 4; tries++) {
    const file = await handle.getFile(), skip = Math.max(0, file.size - (4 << 20));
    const tail = binary(new Uint8Array(await file.slice(skip).arrayBuffer()));
    const from = tail.lastIndexOf(BEGIN), to = tail.lastIndexOf(END);
    let there = null, settled = [];
    try {
      there = JSON.parse(utf8.decode(bytesOf(/<script[^>]*>([^]*)<\/script>$/.exec(tail.slice(from, to))[1])));
      const own = JSON.parse(/<script[^>]* id="cfg">([^]*?)<\/script>/.exec(tail)[1]);
      settled = [...own.harvested, ...own.answers.map(a => a.id)];
    } catch { /* told below */ }
    if (from < 0 || to < from || !there || there.page !== cfg.page || !Array.isArray(there.items)) {
      throw plainly("That file is not this page. Nothing was changed in it.");
    }
    const items = new Map(there.items.map(w => [w.id, w]));
    for (const w of wishes.values()) if (!items.has(w.id)) items.set(w.id, plainWish(w));
    for (const id of settled) items.delete(id);
    const json = JSON.stringify({ ...there, items: [...items.values()] }).replace(/</g, "\\u003c");
    const line = BEGIN + '<script type="application/json" id="work">' + json + "<\/script>";
    const writer = await handle.createWritable();
    try {
      await writer.write(new Blob([file.slice(0, skip + from), line, file.slice(skip + to)]));
      const now = await handle.getFile();
      if (now.lastModified !== file.lastModified || now.size !== file.size) {
        await writer.abort();
        continue;
      }
      await writer.close();
    } catch (error) {
      await writer.abort().catch(() => {});
      // What can't be read any more has changed meanwhile.
      if (error.name === "NotReadableError" || error.name === "NotFoundError") continue;
      throw error;
    }
    await remember("readwrite", s => s.put(handle, cfg.page)).catch(() => {});
    closeBox();
    return done("Saved into this page.", "It travels home with the next synchronization.");
  }
  throw plainly("The page is being changed by someone else just now. Try again in a moment.");
}

function fileName() {
  const stamp = new Date().toISOString().slice(0, 19).replace("T", "-").replace(/:/g, "");
  return "catalogue-worklist-" + (cfg.device || "home") + "-" + stamp + ".json";
}

function download() {
  const name = fileName(), text = JSON.stringify(worklist()), file = new File([text], name, { type: "application/json" });
  const url = URL.createObjectURL(file), link = h("a", { href: url, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(url), 60000);
  const share = navigator.canShare && navigator.canShare({ files: [file] });
  step({
    icon: "check", title: "One more step",
    text: ["Your wishes are in the file", h("code", {}, name), "Put it into the folder BTsync/catalogue, where this page lies, if it is not there already. Your NAS takes it from there."],
    buttons: [
      { huge: true, icon: "check", label: "It is there", hint: "the NAS will find it", main: true, act: () => { closeBox(); done("Saved as a file.", "It travels home with the next synchronization."); } },
      share && { huge: true, icon: "share", label: "Share", hint: "send the file another way", act: () => navigator.share({ files: [file] }).catch(() => {}) },
      { huge: true, icon: "copy", label: "Copy", hint: "to paste it somewhere", act: () => copy(text) },
      { huge: true, icon: "get", label: "Download again", hint: "if it did not arrive", act: download },
    ],
  });
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    toast("Copied.");
  } catch {
    const area = h("textarea", { class: "copy", "aria-label": "Your wishes, to be copied" });
    area.value = text;
    by("box").append(area);
    area.select();
  }
}

// Looks now and then whether a newer page has arrived.
let watching = false;
function watch() {
  if (watching || (!served && !handle)) return;
  watching = true;
  let first = null, looks = 0;
  const look = async () => {
    try {
      const now = served ? (await fetch(location.href, { method: "HEAD", cache: "no-store" })).headers.get("Last-Modified")
        : (await handle.getFile()).lastModified;
      if (first === null) first = now;
      else if (now && now !== first) return newerPage();
    } catch { /* out of reach: look again later */ }
    if (++looks < 400) setTimeout(look, looks < 30 ? 2000 : 15000); else watching = false;
  };
  look();
}
