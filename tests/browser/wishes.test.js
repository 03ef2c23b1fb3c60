// Making wishes: each button, the steps that ask, the bar of changes and its undo.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { act, browser, common, expand, more, own, pages, ready, row, search, text, visit, wishes } from "./lib.js";

const bare = async page => (await wishes(page)).map(({ id, at, seen, saved, ...rest }) => rest);

test("get, its tag and bar, and undo", async t => {
  const page = await visit(await browser(t), own(pages(t)));
  await more(page, "Documents");
  assert.match(await text(page, ".where"), /Phone \(this device\)\s*\d+ of \d+[^]*NAS\s*(\d+) of \1/);
  await act(page, "get").click();
  assert.equal(await text(page, "#bar b"), "1 change waiting");
  assert.match(await text(page, "#bar small"), /will get: Documents/);
  assert.equal(await row(page, "Documents").locator(".tag").innerText(), "will get");
  const [wish] = await wishes(page);
  assert.match(wish.id, /^[0-9a-f]{20}$/);
  assert.match(wish.at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  assert.ok(wish.seen.size > 0 && wish.seen.mtime > 1e9);
  assert.deepEqual(await bare(page), [{ op: "get", path: "Documents" }]);
  // Still there after the page was closed and opened again.
  await page.reload();
  await ready(page);
  await more(page, "Music");
  await act(page, "get").click();
  assert.equal(await text(page, "#bar b"), "2 changes waiting");
  await page.locator("#undo").click();
  await page.locator("#undo").click();
  assert.ok(await page.locator("#bar").isHidden());
  assert.deepEqual(await wishes(page), []);
});

test("what destroys asks first and says what will happen", async t => {
  const page = await visit(await browser(t), own(pages(t)));
  await more(page, "Documents");
  await act(page, "destroy").click();
  assert.equal(await text(page, "#box-title"), "Destroy Documents?");
  assert.match(await text(page, "#box"), /135 files, 194 MB, go for good: on the NAS and on 3 devices \(Phone, Laptop, and Desk computer\)\.\s*Nobody can bring it back\./);
  // What has the focus is the harmless button.
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Cancelkeep it");
  await page.keyboard.press("Enter");
  assert.deepEqual(await wishes(page), []);
  await more(page, "Documents");
  await act(page, "destroy").click();
  await act(page, "yes").click();
  assert.deepEqual(await bare(page), [{ op: "destroy", path: "Documents" }]);
  assert.equal(await row(page, "Documents").locator(".tag").innerText(), "will destroy");
  await more(page, "Photos");
  await act(page, "delete").click();
  assert.match(await text(page, "#box"), /428 files of it go from this device only\. The NAS keeps it/);
  await act(page, "yes").click();
  assert.equal((await bare(page))[1].op, "delete");
});

test("with undo set, destroy says for how long it can be brought back", async t => {
  const page = await visit(await browser(t), own(pages(t, { case: "news" })));
  await more(page, "Music");
  await act(page, "destroy").click();
  assert.match(await text(page, "#box"), /You can bring it back for 1 day\./);
});

test("for other devices: get, move", async t => {
  const page = await visit(await browser(t), own(pages(t)));
  await more(page, "Music");
  await act(page, "get-for").click();
  assert.ok(await act(page, "go").isDisabled());
  await page.getByRole("checkbox", { name: "Laptop" }).check();
  await page.getByRole("checkbox", { name: "Tablet" }).check();
  await act(page, "go").click();
  await more(page, "Photos");
  await act(page, "move").click();
  assert.ok(await page.getByRole("checkbox", { name: "Phone" }).isDisabled());
  await page.getByRole("checkbox", { name: "Tablet" }).check();
  await act(page, "go").click();
  assert.deepEqual(await bare(page), [
    { op: "get", path: "Music", to: ["LinuxLaptop", "tablet"] },
    { op: "move", path: "Photos", to: ["tablet"], from: "HTCphone" },
  ]);
});

test("new folders, shares and torrents", async t => {
  const page = await visit(await browser(t), own(pages(t)));
  await more(page, "Documents");
  await act(page, "mkdir").click();
  const name = page.getByLabel("Name of the folder");
  for (const [bad, why] of [["", "Write a name."], ["a/b", "A name has no /"], ["..", "is not . or .."], ["é".repeat(128), "too long"], ["Letters", "already"]]) {
    await name.fill(bad);
    await act(page, "go").click();
    assert.ok((await text(page, ".wrong")).includes(why), why);
  }
  await name.fill("Été 2027 <b>");
  await name.press("Enter");
  await more(page, "Music");
  await act(page, "share-folder").click();
  await page.getByLabel("At most, in MB").fill("250");
  await act(page, "go").click();
  await more(page, "Photos");
  await act(page, "share-folder").click();
  await page.getByRole("checkbox", { name: "No limit" }).check();
  await act(page, "go").click();
  await search(page, "dsc_1");
  await page.locator(".row:visible").first().click();
  await act(page, "share").click();
  await page.getByLabel("For whom?").fill("the neighbours");
  await act(page, "go").click();
  for (const op of ["torrent", "torrent-once"]) {
    await page.locator(".row:visible").nth(1).click();
    await act(page, op).click();
  }
  const all = await bare(page);
  assert.deepEqual(all.slice(0, 3), [
    { op: "mkdir", path: "Documents/%C3%89t%C3%A9%202027%20%3Cb%3E" },
    { op: "share-folder", path: "Music", limit_mb: 250 },
    { op: "share-folder", path: "Photos", limit_mb: -1 },
  ]);
  assert.deepEqual(all.slice(3).map(w => [w.op, w.with]), [["share", "the neighbours"], ["torrent", undefined], ["torrent-once", undefined]]);
  assert.match(all[3].path, /^Photos\/\d{4}\/.*DSC_1\d*\.JPG$/);
});

test("pin and unpin take each other back", async t => {
  const page = await visit(await browser(t), own(pages(t)));
  await more(page, "Photos");
  await act(page, "pin").click();
  assert.equal((await bare(page))[0].op, "pin");
  await more(page, "Photos");
  await act(page, "pin").click();
  assert.match(await text(page, "#toast"), /asked for that already/);
  assert.equal((await wishes(page)).length, 1);
});

test("opening notes the use, and is no change that waits", async t => {
  const context = await browser(t), page = await visit(context, own(pages(t)));
  await page.locator("[data-filter=here]").click();
  await search(page, "jpg");
  await page.locator(".row:visible").first().click();
  const [opened] = await Promise.all([context.waitForEvent("page"), act(page, "open").click()]);
  await opened.close();
  assert.equal((await wishes(page))[0].op, "open");
  assert.ok(await page.locator("#bar").isHidden());
});

test("the common page asks which devices", async t => {
  const page = await visit(await browser(t), common(pages(t)));
  await more(page, "Photos");
  await act(page, "delete").click();
  await page.getByRole("checkbox", { name: "Laptop" }).check();
  await act(page, "go").click();
  assert.deepEqual(await bare(page), [{ op: "delete", path: "Photos", to: ["LinuxLaptop"] }]);
});

test("wishes that reached home leave the page", async t => {
  const file = own(pages(t)), page = await visit(await browser(t), file);
  await more(page, "Documents");
  await act(page, "get").click();
  await more(page, "Music");
  await act(page, "get").click();
  const [first, second] = await wishes(page), html = readFileSync(file, "latin1");
  // As the engine writes it: the first is harvested and answered.
  const answer = { id: first.id, op: "get", path: "Documents", state: "waiting", text: "Waiting for Phone.", at: Math.floor(Date.now() / 1000) };
  writeFileSync(file, html.replace('"answers":[]', '"answers":[' + JSON.stringify(answer) + "]"), "latin1");
  await page.reload();
  await ready(page);
  assert.deepEqual((await wishes(page)).map(w => w.id), [second.id]);
  assert.match(await text(page, "#notes"), /Waiting: Get Documents\s*Waiting for Phone\./);
  // A wish that stands in the page's own worklist is known too, as one on its way.
  const third = { id: "0123456789abcdef0123", op: "pin", path: "Photos", at: "2026-01-01T00:00:00Z" };
  writeFileSync(file, html.replace('"items":[]', '"items":[' + JSON.stringify(third) + "]").replace('"harvested":[]', '"harvested":["' + second.id + '"]'), "latin1");
  await page.reload();
  await ready(page);
  assert.equal(await text(page, "#bar b"), "1 change on the way home");
  await expand(page, "Photos");
  assert.equal(await row(page, "Photos").locator(".tag").innerText(), "on its way");
});

test("the answer to a wish that could not be read is told as such, and not as an action", async t => {
  const file = own(pages(t)), html = readFileSync(file, "latin1");
  const answer = { id: "00000000000000000009", op: null, path: "", state: "refused", text: "`path` is missing; press it again", at: Math.floor(Date.now() / 1000) };
  writeFileSync(file, html.replace('"answers":[]', '"answers":[' + JSON.stringify([answer, { ...answer, id: "00000000000000000008" }]).slice(1, -1) + "]"), "latin1");
  const page = await visit(await browser(t), file);
  assert.match(await text(page, "#notes"), /A change could not be read\s*`path` is missing; press it again/);
  await page.locator("[data-op=answers]").click();
  assert.doesNotMatch(await text(page, "#box"), /Open|undefined|All files/);
  assert.deepEqual(page.trouble, []);
});
