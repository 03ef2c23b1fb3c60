// Room on devices: bars, what goes before something is got, what went; storms; what stays when something is destroyed.

import assert from "node:assert/strict";
import { test } from "node:test";
import { act, browser, common, expand, more, own, pages, phone, row, search, text, visit, wishes } from "./lib.js";

const bytes = words => {
  const [, n, unit] = /([\d.,]+) (bytes?|kB|MB|GB)/.exec(words);
  return n.replace(/,/g, "") * { byte: 1, bytes: 1, kB: 1e3, MB: 1e6, GB: 1e9 }[unit];
};
const file = (page, has) => page.locator(`.row:visible:not(.folder)${has}`).first();

test("a device tells its room in a bar, and what made room with [get] beside it", async t => {
  const page = await visit(await browser(t), own(pages(t, { case: "tight" })));
  await page.locator(".device").first().click();
  assert.equal(await page.locator("#box .quota").count(), 3, "the laptop has no limit");
  await page.locator("#box [data-op=device]").first().click();
  await page.locator("#box-title", { hasText: "Phone" }).waitFor();
  const bar = page.locator("#box .quota");
  assert.match(await bar.getAttribute("aria-label"), /^Room used: [\d.]+ GB of [\d.]+ GB$/);
  const widths = await bar.locator("i").evaluateAll(all => all.map(i => parseFloat(i.style.width)));
  const used = +await bar.getAttribute("aria-valuenow");
  assert.ok(Math.abs(widths.reduce((a, b) => a + b) - used) < 1, widths + " of " + used);
  assert.match(await text(page, "#box .legend"), /pinned, stays[^]*may go when room is needed[^]*on its way, stays[^]*free/);
  const went = page.locator("#box .went li");
  assert.equal(await went.count(), 50);
  const name = await went.first().locator("bdi").first().innerText();
  await went.nth(40).locator("[data-op=get-again]").click();
  // It needs room as well: this is said first.
  const makesRoom = await page.getByText("To make room, ").count();
  if (makesRoom) await act(page, "go").click();
  await page.locator("#box .went .tag").waitFor();
  const [wish] = await wishes(page);
  assert.equal(wish.op, "get");
  assert.equal(wish.to, undefined);
  assert.notEqual(name, "");
  assert.deepEqual(page.trouble, []);
});

test("the devices box says how the NAS itself fares", async t => {
  const page = await visit(await browser(t), own(pages(t)));
  await page.locator(".device").first().click();
  const nas = page.locator("#box ul.room li", { has: page.locator(".machine") });
  assert.equal(await nas.count(), 1, "the NAS alone");
  assert.match(await nas.innerText(), /612 GB free of 2\.7 TB/);
  assert.equal(await nas.locator(".machine").innerText(), "Memory 210 MB of 970 MB, load 0.3, 51 \u00b0C");
  assert.deepEqual(page.trouble, []);
});

test("before a get is confirmed it says what would go, as much as is needed", async t => {
  const page = await visit(await browser(t, phone), own(pages(t, { case: "tight" })));
  await more(page, "Documents");
  assert.match(await act(page, "get").innerText(), /may make room first/);
  await act(page, "get").click();
  await act(page, "go").waitFor();
  const words = await page.locator("#box .text").first().innerText();
  const [, files, going] = /^To make room, ([\d,]+) files \(([\d.]+ \wB)\) leave this device: those that were not used for the longest time\. The NAS keeps everything\.$/.exec(words);
  assert.equal(await page.locator("#box .going li:has(bdi)").count(), Math.min(60, +files));
  assert.equal(await page.locator("#box .going li", { hasText: "Documents" }).count(), 0, "nothing of the folder itself goes");
  assert.ok(bytes(going) > 1e8);
  assert.deepEqual(await wishes(page), [], "nothing is wished yet");
  await act(page, "cancel").click();
  assert.deepEqual(await wishes(page), []);
  await more(page, "Documents");
  await act(page, "get").click();
  await act(page, "go").click();
  assert.deepEqual((await wishes(page)).map(w => [w.op, w.path]), [["get", "Documents"]]);
  // The next one needs room on top of that.
  await search(page, "mp3");
  await file(page, ":not(:has(.badge.own.here, .badge.own.ring))").click();
  await act(page, "get").click();
  await act(page, "go").waitFor();
  assert.match(await page.locator("#box .text").first().innerText(), /^To make room, \d+ files? \(/);
  assert.deepEqual(page.trouble, []);
});

test("what fits is got at once, and of a folder that is too large the newest files are offered", async t => {
  const page = await visit(await browser(t), own(pages(t, { case: "tight" })));
  await search(page, "pdf");
  await file(page, ":not(:has(.badge.own.here, .badge.own.ring))").click();
  await act(page, "get").click();
  await page.locator("#box:not([open])").waitFor({ state: "attached" });
  assert.equal((await wishes(page)).length, 1);
  await page.locator("#clear").click();
  await more(page, "Photos");
  await act(page, "get").click();
  await page.locator("#box-title", { hasText: "Get Photos?" }).waitFor();
  const words = await text(page, "#box .box-body");
  assert.match(words, /Not all of it fits this device\. The newest files are taken first; [\d,]+ files \([\d.]+ GB\) will be missing: the limit there is [\d.]+ GB, [\d.]+ \wB of it pinned/);
  assert.match(await act(page, "go").innerText(), /Get what fits/);
  assert.deepEqual(page.trouble, []);
});

test("for other devices the common page tells it, too", async t => {
  const page = await visit(await browser(t), common(pages(t, { case: "tight" })));
  await more(page, "Documents");
  await act(page, "get-for").click();
  await page.locator(".choice", { hasText: "Phone" }).click();
  await act(page, "go").click();
  await page.locator("#box-title", { hasText: "Get Documents?" }).waitFor();
  assert.match(await page.locator("#box .text").first().innerText(), /^To make room, \d+ files \([\d.]+ MB\) leave Phone: /);
  await act(page, "go").click();
  assert.deepEqual((await wishes(page)).map(w => [w.op, w.to]), [["get", ["HTCphone"]]]);
});

// The phone has 8 GB, and 5 of them are a pinned film.
const twins = async t => visit(await browser(t, phone), own(pages(t, { case: "twins" })));
const got = async (page, ...paths) => {
  await page.locator("#box:not([open])").waitFor({ state: "attached" });
  assert.deepEqual((await wishes(page)).map(w => [w.op, w.path]), paths.map(path => ["get", path]));
  assert.deepEqual(page.trouble, []);
};

test("another name of a content that is there is got at once, also when there is no room", async t => {
  const page = await twins(t);
  await expand(page, "Copies");
  await row(page, "Long film.mkv").click();
  await act(page, "get").click();
  await got(page, "Copies/Long%20film.mkv");
});

test("so is a folder of such names, one of them of what is on its way", async t => {
  const page = await twins(t);
  await more(page, "Copies");
  await act(page, "get").click();
  await got(page, "Copies");
});

test("of a folder with several names of a content it is counted once, and not again by the next get", async t => {
  const page = await twins(t);
  await more(page, "Trip");
  await act(page, "get").click();
  await got(page, "Trip");
  await expand(page, "Trip again");
  await row(page, "Third name.mkv").click();
  await act(page, "get").click();
  await got(page, "Trip", "Trip%20again/Third%20name.mkv");
});

test("what would get another name is not among what would go", async t => {
  const page = await twins(t);
  await more(page, "Mixed");
  await act(page, "get").click();
  await act(page, "go").waitFor();
  assert.deepEqual(await page.locator("#box .going li > span > bdi").allInnerTexts(), ["Young film.mkv"]);
  assert.match(await page.locator("#box .text").first().innerText(), /^To make room, 1 file \(300 MB\) leaves this device: /);
  assert.deepEqual(page.trouble, []);
});

test("where the page sees no room it says why, and the NAS can be asked all the same", async t => {
  const page = await twins(t);
  await expand(page, "Films");
  await row(page, "Longest film.mkv").click();
  await act(page, "get").click();
  await page.locator("#box-title", { hasText: "No room for Longest film.mkv" }).waitFor();
  assert.match(await text(page, "#box .no-room"), /^As far as this page knows, it does not fit this device: it needs 6\.0 GB; the limit there is 8\.0 GB, 5\.0 GB of it pinned, 600 MB of it still on its way there\.$/);
  assert.match(await act(page, "go").innerText(), /Ask all the same\s+the NAS decides/);
  assert.equal(await page.evaluate(() => document.activeElement.dataset.op), "cancel", "the careful way is the one at hand");
  assert.deepEqual(await wishes(page), []);
  await act(page, "go").click();
  await got(page, "Films/Longest%20film.mkv");
});

test("a destroy says where the same content stays", async t => {
  const page = await visit(await browser(t), own(pages(t, { case: "tight" })));
  await expand(page, "Documents");
  await expand(page, "Copies");
  const copy = page.locator(".row[aria-level='3']:visible").first();
  const name = await copy.locator(".name").innerText();
  await copy.click();
  await act(page, "destroy").click();
  await page.locator("#box .stays:not(:empty)").waitFor();
  const words = await text(page, "#box .box-body");
  assert.match(words, /The same content is also at Documents › .+; that stays\./);
  assert.ok(words.includes(name));
  await page.keyboard.press("Escape");
  await more(page, "Copies");
  await act(page, "destroy").click();
  await page.locator("#box .stays:not(:empty)").waitFor();
  assert.match(await text(page, "#box .stays"), /^The content of 3 files of it is also at:\n(• Documents › .+\n){3}That stays\.$/);
  await page.keyboard.press("Escape");
  await more(page, "Music");
  await act(page, "destroy").click();
  await act(page, "yes").waitFor();
  assert.doesNotMatch(await text(page, "#box .box-body"), /same content|also at/);
});

test("a storm asks on the common page and on other devices, never on its own", async t => {
  const context = await browser(t), out = pages(t, { case: "storm" });
  for (const [op, label] of [["keep-mine", "Keep mine?"], ["allow", "Let it happen?"]]) {
    const page = await visit(context, op === "allow" ? common(out) : own(out));
    assert.match(await text(page, ".storm"), /Tablet changed 212 files and deleted 30, much more than ever in so short a time\./);
    await page.locator(`.storm [data-op=${op}]`).click();
    assert.equal(await text(page, "#box-title"), label);
    assert.match(await text(page, "#box .box-body"), /212 files changed, 30 deleted, 213 new\.[^]*DSC_0001\.JPG\.locked/);
    await act(page, "yes").click();
    assert.equal(await page.locator(".storm .small").count(), 0);
    assert.match(await text(page, ".storm"), /You have answered\. It counts as soon as you save it\./);
    const asked = (await wishes(page)).filter(w => w.op === op);
    assert.deepEqual(asked.map(w => [w.path, w.to]), [["", ["tablet"]]]);
    assert.match(await text(page, "#bar"), /Tablet/);
    await page.locator("#undo").click();
    assert.equal(await page.locator(".storm .small").count(), 2, "it asks again");
    assert.deepEqual(page.trouble, []);
  }
  const page = await visit(context, own(pages(t, { case: "own-storm" })));
  assert.match(await text(page, ".storm"), /can't answer for itself/);
  assert.equal(await page.locator(".storm button").count(), 0);
});
