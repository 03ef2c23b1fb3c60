// Carrying the wishes home, by the best way there is: to the NAS itself, into this page's file, as
// a small file beside it, by the share sheet, by the clipboard.

// Put together here, so that the page holds each marker once.
const BEGIN = "<!--" + "WORKLIST-BEGIN-->", END = "<!--" + "WORKLIST-END-->";
const served = /^https?:$/.test(location.protocol);

/**
 * One save: the wishes that go into it, a number drawn for it, and its text. What became of them is noted of these
 * alone: a wish that is pressed while they are on their way is in the next.
 * @param {object[]} some
 * @param {{page: string, device: string|null, gen: number}} of the page that they are of
 * @param {string|null} key seals the text, where there is one
 * @param {string} nonce
 */
function batchOf(some, of, key, nonce) {
  const list_ = { v: 2, page: of.page, device: of.device, gen: of.gen, nonce, items: some.map(plainWish) };
  // Escaped for the page, where `<` could end the element, and so for every way: the seal covers these bytes.
  return { wishes: some, nonce, text: seal(key, "worklist", JSON.stringify(list_).replace(/</g, "\\u003c")) };
}

const newBatch = some => batchOf(some, cfg, cfg.key, randomHex(16));

/**
 * What an answer proves: the wishes of the batch that were taken, and why others were refused. Null when it proves
 * nothing: who does not have the key can't answer for the NAS.
 * @param {string} text the answer, as it came
 * @param {{wishes: {id: string}[], nonce: string}} batch
 * @param {string|null} key
 */
function provenAnswer(text, batch, key) {
  if (!isSealed(key, "answer", text)) return null;
  let told;
  try { told = JSON.parse(text); } catch { return null; }
  if (!told || told.nonce !== batch.nonce) return null;
  const list_ = value => Array.isArray(value) ? value : [], why = told.why ? String(told.why) : "";
  const taken = new Set(list_(told.taken)), refused = new Map();
  for (const r of list_(told.refused)) if (r && typeof r.id === "string") refused.set(r.id, String(r.why || "refused"));
  const settled = batch.wishes.filter(w => taken.has(w.id) || refused.has(w.id));
  return { settled, refused, why, whole: settled.length === batch.wishes.length };
}

let saving = false;
async function save() {
  rereadWishes();
  if (saving || !unsaved().length) return changed();
  saving = true;
  const batch = newBatch(unsaved());
  batch.wishes.forEach(w => sending.add(w.id));
  changed();
  try {
    const sent = await post(batch);
    if (sent === "saved") return;
    if (sent) await sent();
    else if (window.showOpenFilePicker && !served) await saveIntoFile();
    else download();
  } finally {
    saving = false;
    batch.wishes.forEach(w => sending.delete(w.id));
    changed();
  }
}

function done(some, what, next, refused) {
  markSaved(some, refused);
  changed();
  toast(what + " " + next);
  watch();
}

/**
 * Sends a batch to the NAS: "saved" when it proved that it took all of it, a function that tells what to do when the
 * NAS is there and does not take it, and null when another way has to be found.
 */
async function post(batch) {
  const home = served ? location.origin : house.home;
  if (!home || (!served && !cfg.key)) return null;
  const bySession = !cfg.key;
  if (bySession && !(await signedIn())) return signInStep;
  const key = cfg.key || session.proof;
  let answer, text;
  try {
    answer = await fetch(home + "/worklist", { method: "POST", body: batch.text, headers: { "Content-Type": "text/plain" },
      credentials: bySession ? "same-origin" : "omit", cache: "no-store", signal: AbortSignal.timeout(served ? 10000 : 2000) });
    text = await answer.text();
  } catch {
    return bySession ? () => notTakenStep("Your NAS did not answer.") : null;
  }
  if (bySession && answer.status === 401) {
    session = sessionOf(pinned, null);
    return signInStep;
  }
  const proven = answer.ok ? provenAnswer(text, batch, key) : null;
  if (!proven) return bySession ? () => notTakenStep(answer.ok ? NOT_PROVEN : whyOf(text)) : null;
  const { settled, refused, why, whole } = proven;
  if (settled.length) {
    const no = settled.filter(w => refused.has(w.id));
    done(settled, no.length ? plural(no.length, "change") + " could not be read by the NAS: " + clean(refused.get(no[0].id)) : "Sent to the NAS.",
      no.length ? "" : "The answer comes with the next page.", refused);
  }
  return whole ? "saved" : bySession ? () => notTakenStep(why || "Your NAS took only some of them.") : null;
}

// What an answer says of itself. Only of a page that the NAS served: others can't tell who says it.
function whyOf(text) {
  try { return String(JSON.parse(text).why || NO_REASON); } catch { return NO_REASON; }
}

const NO_REASON = "Your NAS did not take it, and did not say why.";
const NOT_PROVEN = "What answered could not prove to be your NAS. If you signed in anew in another window, open this page anew and try again.";
// As errors are told by the NAS, made a sentence.
const sentence = text => text.replace(/^./, c => c.toUpperCase()).replace(/[^.!?]$/, "$&.");

function notTakenStep(why) {
  step({ icon: "warn", title: "Not sent yet", facts: "Your changes are kept in this browser", text: [sentence(clean(why))],
    buttons: [
      { op: "again", huge: true, icon: "wait", label: "Try again", hint: "send them once more", main: true, act: () => { closeBox(); save(); } },
      { op: "anew", huge: true, icon: "page", label: "Open anew", hint: "reload the page", act: () => location.reload() },
      { op: "later", huge: true, icon: "close", label: "Later", hint: "they stay here", act: closeBox },
    ] });
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
  for (const page of [cfg.page, formerPage()]) if (!handle) handle = await remember("readonly", s => s.get(page)).catch(() => null) || null;
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
      { huge: true, icon: "get", label: "Save as a small file", hint: "beside the page", act: () => download() },
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
    let there = null, text = "", settled = [];
    try {
      text = utf8.decode(bytesOf(/<script[^>]*>([^]*)<\/script>$/.exec(tail.slice(from, to))[1]));
      there = JSON.parse(text);
      const own = JSON.parse(/<script[^>]* id="cfg">([^]*?)<\/script>/.exec(tail)[1]);
      settled = [...own.harvested, ...own.answers.map(a => a.id)];
    } catch { /* told below */ }
    if (from < 0 || to < from || !there || there.page !== cfg.page || !Array.isArray(there.items)) {
      throw plainly("That file is not this page. Nothing was changed in it.");
    }
    rereadWishes();
    // Of what stands there only what this page sealed is sealed again; the common page has no seal.
    const ours = cfg.key === null || isSealed(cfg.key, "worklist", text);
    const items = new Map([...(ours ? there.items : []), ...wishes.values()].map(w => [w.id, w]));
    for (const id of settled) items.delete(id);
    const batch = batchOf([...items.values()], there, cfg.key, randomHex(16));
    const written = [...wishes.values()].filter(w => items.has(w.id) || settled.includes(w.id));
    const line = BEGIN + '<script type="application/json" id="work">' + batch.text + "<\/script>";
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
    return done(written, "Saved into this page.", "It travels home with the next synchronization.");
  }
  throw plainly("The page is being changed by someone else just now. Try again in a moment.");
}

function fileName() {
  const stamp = new Date().toISOString().slice(0, 19).replace("T", "-").replace(/:/g, "");
  return "catalogue-worklist-" + (cfg.device || "home") + "-" + stamp + ".json";
}

// What is in the file, and nothing that is pressed later, is saved when the owner says that the file is there.
function download(batch = newBatch(unsaved())) {
  const { text } = batch, name = fileName(), file = new File([text], name, { type: "application/json" });
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
      { huge: true, icon: "check", label: "It is there", hint: "the NAS will find it", main: true, act: () => { closeBox(); done(batch.wishes, "Saved as a file.", "It travels home with the next synchronization."); } },
      share && { huge: true, icon: "share", label: "Share", hint: "send the file another way", act: () => navigator.share({ files: [file] }).catch(() => {}) },
      { huge: true, icon: "copy", label: "Copy", hint: "to paste it somewhere", act: () => copy(text) },
      { huge: true, icon: "get", label: "Download again", hint: "if it did not arrive", act: () => download(batch) },
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

// Of the page as it is served now; nothing when who is there would not show it.
async function lastModified() {
  const answer = await fetch(location.href, { method: "HEAD", cache: "no-store" });
  return answer.ok ? answer.headers.get("Last-Modified") : null;
}

// Looks now and then whether a newer page has arrived.
let watching = false;
function watch() {
  if (watching || (!served && !handle)) return;
  watching = true;
  let first = null, looks = 0;
  const look = async () => {
    try {
      const now = served ? await lastModified()
        : (await handle.getFile()).lastModified;
      if (first === null) first = now;
      else if (now && now !== first) return newerPage();
    } catch { /* out of reach: look again later */ }
    if (++looks < 400) setTimeout(look, looks < 30 ? 2000 : 15000); else watching = false;
  };
  look();
}
