// Carrying wishes home, each way of it, with real files and a real server.

import assert from "node:assert/strict";
import { appendFileSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { dirname } from "node:path";
import { test } from "node:test";
import { act, answerTo, browser, common, handOver, isSealed, KEY, more, own, PAGE, pages, ready, sealed, search, text, visit, wishes, worklist } from "./lib.js";

async function wishFor(page, name, op = "get") {
  await more(page, name);
  await act(page, op).click();
}

/** A server that notes what is posted; `answer` says what it answers to a body: a status, or a status and a text. */
async function server(t, answer, files = {}) {
  const posts = [];
  const server = createServer((request, response) => {
    const chunks = [];
    request.on("data", chunk => chunks.push(chunk)).on("end", () => {
      if (request.method === "POST") {
        const raw = String(Buffer.concat(chunks));
        posts.push({ url: request.url, origin: request.headers.origin, raw, body: JSON.parse(raw) });
        Promise.resolve(typeof answer === "function" ? answer(raw) : [answer, ""]).then(([status, told]) =>
          response.writeHead(status, { "Access-Control-Allow-Origin": "null" }).end(told));
      } else if (files[request.url]) response.writeHead(200, { "Content-Type": "text/html" }).end(request.method === "HEAD" ? "" : readFileSync(files[request.url]));
      else response.writeHead(404).end();
    });
  });
  await new Promise(done => server.listen(0, "127.0.0.1", done));
  t.after(() => { server.closeAllConnections(); server.close(); });
  return { posts, url: "http://127.0.0.1:" + server.address().port };
}

test("into the page's own file: only between the last markers, merged by id", async t => {
  const file = own(pages(t)), context = await browser(t), page = await visit(context, file);
  // Another wish came into the file since the page was opened, and something between the markers
  // in front of the last ones must not matter.
  const foreign = { id: "ffffffffffffffffffff", op: "pin", path: "Photos/%3C", at: "2026-01-01T00:00:00Z" };
  writeFileSync(file, readFileSync(file, "latin1").replace('"items":[]', '"items":[' + JSON.stringify(foreign) + "]"), "latin1");
  const foreignList = worklist(file).json;
  writeFileSync(file, readFileSync(file, "latin1").replace(/\{"v":2.*}(?=<.script><!--WORKLIST-END)/, sealed(KEY, "worklist", JSON.stringify(foreignList))), "latin1");
  const before = worklist(file);
  await handOver(page, file);
  await wishFor(page, "Documents");
  await wishFor(page, "Music");
  await page.locator("#save").click();
  await page.getByRole("button", { name: /Choose the file/ }).click();
  await page.locator("#toast", { hasText: "Saved into this page." }).waitFor();
  const after = worklist(file);
  assert.equal(after.before, before.before);
  assert.equal(after.after, before.after);
  const { items, nonce, mac, ...envelope } = after.json;
  const { items: _, nonce: n, mac: m, ...was } = before.json;
  assert.deepEqual(envelope, was);
  assert.ok(/^[0-9a-f]{32}$/.test(nonce) && nonce !== n && isSealed(KEY, "worklist", after.raw));
  assert.ok(!after.raw.includes(KEY));
  assert.deepEqual(items.map(w => [w.op, w.path]), [["pin", "Photos/%3C"], ["get", "Documents"], ["get", "Music"]]);
  assert.ok(!after.raw.includes("<") && items.every(w => !("saved" in w)));
  assert.deepEqual(readdirSync(dirname(file)), ["catalogue.html"]);
  assert.equal(await text(page, "#bar b"), "2 changes on the way home");

  // The handle is remembered: no picker the second time, and the page is still a page.
  await page.reload();
  await ready(page);
  await page.evaluate(() => { window.showOpenFilePicker = async () => { window.picked = true; throw new DOMException("no", "AbortError"); }; });
  await wishFor(page, "Projects", "pin");
  await page.locator("#save").click();
  await page.locator("#toast", { hasText: "Saved into this page." }).waitFor();
  assert.equal(await page.evaluate(() => window.picked), undefined);
  assert.deepEqual(worklist(file).json.items.map(w => w.path), ["Photos/%3C", "Documents", "Music", "Projects"]);
  assert.deepEqual(page.trouble, []);
});

test("wishes that a newer page answered are dropped from the file", async t => {
  const file = own(pages(t)), page = await visit(await browser(t), file);
  await wishFor(page, "Documents");
  await wishFor(page, "Music");
  const [first] = await wishes(page);
  writeFileSync(file, readFileSync(file, "latin1").replace('"harvested":[]', '"harvested":["' + first.id + '"]').replaceAll('"gen":2', '"gen":9'), "latin1");
  await handOver(page, file);
  await page.locator("#save").click();
  await page.getByRole("button", { name: /Choose the file/ }).click();
  await page.locator("#toast", { hasText: "Saved into this page." }).waitFor();
  const { json } = worklist(file);
  assert.deepEqual([json.gen, json.items.map(w => w.path)], [9, ["Music"]]);
});

test("another file is left alone", async t => {
  const context = await browser(t), page = await visit(context, own(pages(t))), other = pages(t, { case: "empty" });
  for (const file of [String(other) + "/home/catalogue.html", String(other) + "/note.html"]) {
    if (file.endsWith("note.html")) writeFileSync(file, "<p>my notes");
    const before = readFileSync(file);
    await handOver(page, file);
    if (!await page.locator("#bar").isVisible()) await wishFor(page, "Music");
    await page.locator("#save").click();
    await page.getByRole("button", { name: /Choose the file/ }).click();
    await page.getByText("That file is not this page.").waitFor();
    assert.deepEqual(readFileSync(file), before);
    await page.keyboard.press("Escape");
  }
});

test("a file that changes while it is written is read again", async t => {
  const file = own(pages(t)), page = await visit(await browser(t), file);
  await handOver(page, file);
  await page.exposeFunction("changeFile", () => appendFileSync(file, "\n"));
  await page.evaluate(() => {
    const make = FileSystemFileHandle.prototype.createWritable;
    FileSystemFileHandle.prototype.createWritable = async function (...args) {
      if (!window.once) { window.once = true; await window.changeFile(); }
      return make.apply(this, args);
    };
  });
  await wishFor(page, "Music");
  await page.locator("#save").click();
  await page.getByRole("button", { name: /Choose the file/ }).click();
  await page.locator("#toast", { hasText: "Saved into this page." }).waitFor();
  const after = worklist(file);
  assert.equal(after.json.items.length, 1);
  assert.ok(after.after.endsWith("-->\n\n"));
});

test("straight to the NAS when it is in reach, with the page's seal and never with its key", async t => {
  const nas = await server(t, raw => [200, answerTo(raw)]), page = await visit(await browser(t), own(pages(t, { home: nas.url + "/" })));
  await wishFor(page, "Music");
  await page.locator("#save").click();
  await page.locator("#toast", { hasText: "Sent to the NAS." }).waitFor();
  assert.equal(nas.posts.length, 1);
  const { url, origin, body, raw } = nas.posts[0];
  assert.deepEqual([url, origin], ["/worklist", "null"]);
  assert.deepEqual([body.v, body.page, body.device, body.gen], [2, PAGE, "HTCphone", 2]);
  assert.ok(isSealed(KEY, "worklist", raw) && !raw.includes(KEY) && /^[0-9a-f]{32}$/.test(body.nonce), raw);
  assert.deepEqual(body.items.map(w => w.path), ["Music"]);
  assert.equal(await text(page, "#bar b"), "1 change on the way home");
});

test("a NAS that refuses leads to the next way", async t => {
  const nas = await server(t, 403), page = await visit(await browser(t), own(pages(t, { home: nas.url })));
  await wishFor(page, "Music");
  await page.locator("#save").click();
  await page.getByRole("button", { name: /Choose the file/ }).waitFor();
  assert.equal(nas.posts.length, 1);
});

test("a page that the NAS serves posts to where it came from", async t => {
  const file = own(pages(t)), nas = await server(t, raw => [200, answerTo(raw)], { "/catalogue/catalogue.html": file });
  const page = await visit(await browser(t), nas.url + "/catalogue/catalogue.html");
  await wishFor(page, "Music");
  await page.locator("#save").click();
  await page.locator("#toast", { hasText: "Sent to the NAS." }).waitFor();
  assert.equal(nas.posts[0].url, "/worklist");
});

test("as a file to lay beside the page, where the browser has no handles", async t => {
  const page = await visit(await browser(t), own(pages(t)));
  await page.evaluate(() => { delete window.showOpenFilePicker; });
  await wishFor(page, "Music");
  const [download] = await Promise.all([page.waitForEvent("download"), page.locator("#save").click()]);
  assert.match(download.suggestedFilename(), /^catalogue-worklist-HTCphone-\d{4}-\d\d-\d\d-\d{6}\.json$/);
  const raw = readFileSync(await download.path(), "utf8"), saved = JSON.parse(raw);
  assert.deepEqual([saved.v, saved.page, saved.device, saved.items.map(w => w.path)], [2, PAGE, "HTCphone", ["Music"]]);
  assert.ok(isSealed(KEY, "worklist", raw) && !raw.includes(KEY), raw);
  await page.getByRole("button", { name: /It is there/ }).click();
  assert.equal(await text(page, "#bar b"), "1 change on the way home");
  await page.locator("#sent").click();
  await page.getByRole("button", { name: /Save again/ }).waitFor();
});

test("a fake NAS that answers \u201ctaken\u201d to everything makes no wish saved", async t => {
  const lies = [
    raw => [200, JSON.stringify({ taken: JSON.parse(raw).items.map(w => w.id), refused: [], nonce: JSON.parse(raw).nonce })],
    raw => [200, answerTo(raw, "0123456789abcdef0123456789abcdef")],
    // An answer to an earlier save, which somebody listened to.
    raw => [200, answerTo(raw, KEY, told => ({ ...told, nonce: "00".repeat(16) }))],
    // What was sent, sent back: sealed with the right key, as something else.
    raw => [200, raw],
    raw => [500, answerTo(raw)],
    raw => [403, answerTo(raw)],
    () => [200, ""],
    raw => [200, answerTo(raw).replace('"refused"', ' "refused"')],
    // Right, and about other wishes.
    raw => [200, answerTo(raw, KEY, told => ({ ...told, taken: ["ffffffffffffffffffff", 5, null] }))],
  ];
  let lie = 0;
  const nas = await server(t, raw => lies[lie](raw)), page = await visit(await browser(t), own(pages(t, { home: nas.url })));
  await wishFor(page, "Music");
  for (lie = 0; lie < lies.length; lie++) {
    await page.locator("#save").click();
    await page.getByRole("button", { name: /Choose the file/ }).waitFor();
    assert.deepEqual((await wishes(page)).map(w => !!w.saved), [false], String(lies[lie]));
    await page.keyboard.press("Escape");
    assert.equal(await text(page, "#bar b"), "1 change waiting");
  }
  assert.equal(nas.posts.length, lies.length);
});

test("a wish pressed while a save is in flight stays unsaved, and is in the next", async t => {
  let answer;
  const held = () => new Promise(go => { answer = go; });
  let wait = held();
  const nas = await server(t, async raw => { await wait; return [200, answerTo(raw)]; });
  const page = await visit(await browser(t), own(pages(t, { home: nas.url })));
  await wishFor(page, "Music");
  await page.locator("#save").click();
  while (!nas.posts.length) await page.waitForTimeout(20);
  await wishFor(page, "Documents");
  // What is on its way can't be taken back; what was pressed meanwhile can.
  await page.locator("#undo").click();
  await page.locator("#undo").click();
  assert.deepEqual((await wishes(page)).map(w => w.path), ["Music"]);
  await wishFor(page, "Projects");
  answer();
  await page.locator("#toast", { hasText: "Sent to the NAS." }).waitFor();
  assert.deepEqual((await wishes(page)).map(w => [w.path, !!w.saved]), [["Music", true], ["Projects", false]]);
  assert.equal(await text(page, "#bar b"), "1 change waiting");
  wait = null;
  await page.locator("#save").click();
  await page.waitForFunction(() => document.querySelector("#bar b").textContent.endsWith("on the way home"));
  assert.deepEqual(nas.posts.map(p => p.body.items.map(w => w.path)), [["Music"], ["Projects"]]);
  assert.notEqual(nas.posts[0].body.nonce, nas.posts[1].body.nonce);
});

test("only the wishes that were taken are saved; one that was refused is answered with why", async t => {
  const nas = await server(t, raw => [200, answerTo(raw, KEY, told => ({ ...told, taken: [told.taken[0]], refused: [{ id: told.taken[1], why: "it has no path" }, { id: null, why: "x" }] }))]);
  const page = await visit(await browser(t), own(pages(t, { home: nas.url })));
  for (const name of ["Music", "Documents", "Projects"]) await wishFor(page, name);
  await page.locator("#save").click();
  // The rest goes the next way.
  await page.getByRole("button", { name: /Choose the file/ }).waitFor();
  assert.deepEqual((await wishes(page)).map(w => [w.path, !!w.saved, w.why]), [["Music", true, undefined], ["Documents", true, "it has no path"], ["Projects", false, undefined]]);
});

test("a write into the file marks what it wrote and nothing else", async t => {
  const file = own(pages(t)), page = await visit(await browser(t), file);
  await handOver(page, file);
  await wishFor(page, "Music");
  await page.evaluate(() => {
    const close = FileSystemWritableFileStream.prototype.close;
    FileSystemWritableFileStream.prototype.close = async function (...args) {
      // As if it were pressed while the browser writes.
      wishNow();
      return close.apply(this, args);
    };
    window.wishNow = () => { const key = Object.keys(localStorage).find(k => k.includes(":wish:")), w = JSON.parse(localStorage.getItem(key));
      const id = "aaaaaaaaaaaaaaaaaaaa";
      localStorage.setItem(key.replace(/[^:]+$/, id), JSON.stringify({ ...w, id, path: "Photos", t: w.t + 1 })); };
  });
  await page.locator("#save").click();
  await page.getByRole("button", { name: /Choose the file/ }).click();
  await page.locator("#toast", { hasText: "Saved into this page." }).waitFor();
  assert.deepEqual(worklist(file).json.items.map(w => w.path), ["Music"]);
  assert.deepEqual((await wishes(page)).map(w => [w.path, !!w.saved]), [["Music", true], ["Photos", false]]);
});

test("a download marks what the file held and nothing else", async t => {
  const context = await browser(t), file = own(pages(t)), page = await visit(context, file), other = await visit(context, file);
  await page.evaluate(() => { delete window.showOpenFilePicker; });
  await wishFor(page, "Music");
  const [download] = await Promise.all([page.waitForEvent("download"), page.locator("#save").click()]);
  await wishFor(other, "Documents");
  const [again] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: /Download again/ }).click()]);
  for (const d of [download, again]) assert.deepEqual(JSON.parse(readFileSync(await d.path())).items.map(w => w.path), ["Music"]);
  await page.getByRole("button", { name: /It is there/ }).click();
  assert.deepEqual((await wishes(page)).map(w => [w.path, !!w.saved]), [["Music", true], ["Documents", false]]);
});

test("wishes in the file that this page did not write are not sealed by it", async t => {
  const file = own(pages(t)), page = await visit(await browser(t), file);
  const foreign = { id: "ffffffffffffffffffff", op: "destroy", path: "Photos", at: "2026-01-01T00:00:00Z" };
  writeFileSync(file, readFileSync(file, "latin1").replace('"items":[]', '"items":[' + JSON.stringify(foreign) + "]"), "latin1");
  await handOver(page, file);
  await wishFor(page, "Music");
  await page.locator("#save").click();
  await page.getByRole("button", { name: /Choose the file/ }).click();
  await page.locator("#toast", { hasText: "Saved into this page." }).waitFor();
  assert.deepEqual(worklist(file).json.items.map(w => w.path), ["Music"]);
});

test("names that are no ASCII are sealed as the bytes that are sent and written", async t => {
  const nas = await server(t, raw => [200, answerTo(raw)]), file = own(pages(t, { home: nas.url })), page = await visit(await browser(t), file);
  await more(page, "Music");
  await act(page, "share-folder").click();
  await page.locator("#box input[type=text]").first().fill("Zo\u00eb <b> \u{1f600}");
  await act(page, "go").click();
  await page.locator("#save").click();
  await page.locator("#toast", { hasText: "Sent to the NAS." }).waitFor();
  const [{ raw, body }] = nas.posts;
  assert.ok(isSealed(KEY, "worklist", raw) && !raw.includes("<"));
  assert.match(JSON.stringify(body.items), /Zo\u00eb <b> \u{1f600}/u);
});

test("two tabs of one page: neither loses the other's wishes", async t => {
  const nas = await server(t, raw => [200, answerTo(raw)]), file = own(pages(t, { home: nas.url })), context = await browser(t);
  const one = await visit(context, file), other = await visit(context, file);
  await wishFor(one, "Music");
  await other.waitForFunction(() => /1 change waiting/.test(document.getElementById("bar").textContent));
  await wishFor(other, "Documents");
  await one.waitForFunction(() => /2 changes waiting/.test(document.getElementById("bar").textContent));
  await wishFor(one, "Projects");
  assert.deepEqual((await wishes(other)).map(w => w.path), ["Music", "Documents", "Projects"]);
  // Taken back in one is taken back in the other; saved by one is saved for both.
  await other.waitForFunction(() => /3 changes waiting/.test(document.getElementById("bar").textContent));
  await other.locator("#undo").click();
  await one.waitForFunction(() => /2 changes waiting/.test(document.getElementById("bar").textContent));
  await other.locator("#save").click();
  await one.waitForFunction(() => /2 changes on the way home/.test(document.getElementById("bar").textContent));
  assert.deepEqual(nas.posts.map(p => p.body.items.map(w => w.path)), [["Music", "Documents"]]);
  await one.reload();
  await ready(one);
  assert.equal(await text(one, "#bar b"), "2 changes on the way home");
});

test("two tabs that press at the same moment keep all of it", async t => {
  const context = await browser(t), file = own(pages(t)), tabs = [await visit(context, file), await visit(context, file)];
  for (const tab of tabs) await search(tab, "jpg");
  const press = (tab, op) => tab.evaluate(async op_ => {
    const names = [...document.querySelectorAll(".row:not(.folder)")].filter(row => row.x && !row.x.note).slice(0, 12).map(row => row.dataset.i);
    for (const i of names) {
      document.querySelector(`.row[data-i="${i}"]`).click();
      document.querySelector(`#box [data-op=${op_}]`).click();
      await new Promise(done => setTimeout(done));
    }
    return names.length;
  }, op);
  const pressed = await Promise.all([press(tabs[0], "torrent"), press(tabs[1], "torrent-once")]);
  assert.ok(pressed[0] >= 8 && pressed[1] >= 8, String(pressed));
  const kept = await wishes(tabs[0]);
  assert.deepEqual(["torrent", "torrent-once"].map(op => kept.filter(w => w.op === op).length), pressed);
  for (const tab of tabs) await tab.waitForFunction(n => document.querySelector("#bar b").textContent === n + " changes waiting", pressed[0] + pressed[1]);
});

test("pages of two devices in one browser keep their wishes apart", async t => {
  const context = await browser(t), out = pages(t), phone = await visit(context, own(out)), home = await visit(context, common(out));
  await wishFor(phone, "Music");
  assert.ok(await home.locator("#bar").isHidden());
  await home.reload();
  await ready(home);
  assert.ok(await home.locator("#bar").isHidden());
  await more(home, "Photos");
  await act(home, "delete").click();
  await home.getByRole("checkbox", { name: "Laptop" }).check();
  await act(home, "go").click();
  const kept = await home.evaluate(() => Object.keys(localStorage).filter(k => k.includes(":wish:")).map(k => k.split(":")[1]).sort());
  assert.deepEqual(kept, ["home0001", PAGE]);
  assert.equal(await text(phone, "#bar b"), "1 change waiting");
});

test("wishes that a page of the first form kept are adopted once", async t => {
  const context = await browser(t), file = own(pages(t)), page = await visit(context, file);
  const old = [{ id: "00000000000000000001", op: "get", path: "Music", at: "2026-01-01T00:00:00Z" }, { id: "00000000000000000002", op: "pin", path: "Photos", at: "2026-01-01T00:00:00Z", saved: true }];
  await page.evaluate(list => localStorage.setItem("larder:home0001", JSON.stringify(list)), old);
  await page.reload();
  await ready(page);
  assert.deepEqual((await wishes(page)).map(w => [w.id, !!w.saved]), [[old[0].id, false], [old[1].id, true]]);
  assert.equal(await page.evaluate(() => localStorage.getItem("larder:home0001")), null);
  await page.locator("#undo").click();
  await page.reload();
  await ready(page);
  assert.deepEqual((await wishes(page)).map(w => w.id), [old[1].id]);
});
