// Carrying wishes home, each way of it, with real files and a real server.

import assert from "node:assert/strict";
import { appendFileSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { dirname } from "node:path";
import { test } from "node:test";
import { act, browser, handOver, more, own, pages, ready, text, visit, wishes, worklist } from "./lib.js";

async function wishFor(page, name, op = "get") {
  await more(page, name);
  await act(page, op).click();
}

/** A server that notes what is posted; `answer` decides the status. */
async function server(t, answer, files = {}) {
  const posts = [];
  const server = createServer((request, response) => {
    const chunks = [];
    request.on("data", chunk => chunks.push(chunk)).on("end", () => {
      if (request.method === "POST") {
        posts.push({ url: request.url, origin: request.headers.origin, body: JSON.parse(Buffer.concat(chunks)) });
        response.writeHead(answer, { "Access-Control-Allow-Origin": "null" }).end();
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
  const { items, ...envelope } = after.json;
  const { items: _, ...was } = before.json;
  assert.deepEqual(envelope, was);
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

test("straight to the NAS when it is in reach, with the page's secret", async t => {
  const nas = await server(t, 200), page = await visit(await browser(t), own(pages(t, { home: nas.url + "/" })));
  await wishFor(page, "Music");
  await page.locator("#save").click();
  await page.locator("#toast", { hasText: "Sent to the NAS." }).waitFor();
  assert.equal(nas.posts.length, 1);
  const { url, origin, body } = nas.posts[0];
  assert.deepEqual([url, origin], ["/worklist", "null"]);
  assert.deepEqual([body.v, body.page, body.key, body.device, body.gen], [1, "htc00001", "phone-secret", "HTCphone", 2]);
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
  const file = own(pages(t)), nas = await server(t, 200, { "/catalogue/catalogue.html": file });
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
  const saved = JSON.parse(readFileSync(await download.path()));
  assert.deepEqual([saved.v, saved.key, saved.device, saved.items.map(w => w.path)], [1, "phone-secret", "HTCphone", ["Music"]]);
  await page.getByRole("button", { name: /It is there/ }).click();
  assert.equal(await text(page, "#bar b"), "1 change on the way home");
  await page.locator("#sent").click();
  await page.getByRole("button", { name: /Save again/ }).waitFor();
});
