// What the page shows: tree, search, filters, states, keys, hostile names.

import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { test } from "node:test";
import { act, browser, common, expand, more, own, pages, phone, ready, row, search, text, visit, wishes } from "./lib.js";

const number = words => +/([\d,]+)/.exec(words)[1].replace(/,/g, "");

test("opens from a file, without a network, and shows the tree", async t => {
  const page = await visit(await browser(t), own(pages(t)));
  assert.deepEqual(await page.locator(".row:visible .name").allInnerTexts(), ["Documents", "Empty folder", "Music", "Photos", "Projects"]);
  assert.match(await text(page, "#subtitle"), /^Phone · updated today \d\d:\d\d$/);
  assert.match(await text(page, "#count"), /^2,400 files · [\d.]+ GB$/);
  await expand(page, "Music");
  const artist = (await page.locator(".row[aria-level='2']:visible .name").allInnerTexts())[0];
  await expand(page, artist);
  assert.match(await text(page, "#crumbs"), new RegExp("All files\\s*›\\s*Music\\s*›\\s*" + artist));
  // Only rows in sight have elements.
  assert.ok(await page.locator(".row").count() < 60);
  await expand(page, "Empty folder");
  await page.getByText("This folder is empty.").waitFor();
  assert.deepEqual(page.trouble, []);
});

test("a page of 3,000 files is at most 100 kB", t => {
  const size = statSync(own(pages(t, { files: 3000 }))).size;
  assert.ok(size <= 100_000, size + " bytes");
});

test("searches names, folders and paths, and marks what it found", async t => {
  const page = await visit(await browser(t), own(pages(t)));
  await search(page, "dsc_");
  const names = await page.locator(".row:visible .name").allInnerTexts();
  assert.ok(names.length > 5 && names.every(name => name.startsWith("DSC_")));
  assert.equal(await page.locator(".row:visible mark").first().innerText(), "DSC_");
  const all = number(await text(page, "#count"));
  // A second word may stand in the folder.
  await search(page, "dsc_ photos");
  assert.equal(number(await text(page, "#count")), all);
  await search(page, "DSC_ music");
  assert.equal(await text(page, "#count"), "0 found");
  await page.getByText("Nothing is called that.").waitFor();
  await search(page, "letters");
  assert.equal(await page.locator(".row:visible .name").first().innerText(), "Letters");
  await page.locator("#q").press("Escape");
  await row(page, "Photos").waitFor();
  assert.equal(await page.locator(".row:visible mark").count(), 0);
});

test("finds words with other accents", async t => {
  const page = await visit(await browser(t), own(pages(t, { case: "hostile" })));
  await search(page, "CAFÉ");
  // The accent in the name is a letter of its own; it is marked with the letter before it.
  assert.equal((await page.locator(".row:visible mark").first().innerText()).normalize("NFC"), "Café");
});

test("filters, and folder totals, agree with each other", async t => {
  const page = await visit(await browser(t), own(pages(t)));
  const chip = id => page.locator(`[data-filter=${id}]`).innerText().then(number);
  const [here, elsewhere] = [await chip("here"), await chip("elsewhere")];
  assert.equal(here + elsewhere, 2400);
  const held = await page.locator(".row:visible .held").allInnerTexts();
  assert.equal(held.map(number).reduce((a, b) => a + b), here);
  await page.locator("[data-filter=here]").click();
  await search(page, "jpg");
  assert.equal(await page.locator(".row:visible").count(), await page.locator(".row:visible .badge.own.here").count());
  await page.locator("#clear").click();
  await page.locator("[data-filter=moving]").click();
  await page.locator("#count", { hasText: "found" }).waitFor();
  const moving = number(await text(page, "#count"));
  assert.ok(moving > 0);
  assert.equal(await page.locator(".row:visible").count(), await page.locator(".row:visible:has(.badge.ring)").count());
  assert.match(await page.locator(".badge.ring").first().getAttribute("aria-label"), /^\w[\w ]*: (queued|syncing \d+ %)$/);
  await page.locator(".row:visible").first().click();
  assert.match(await text(page, ".where"), /queued|syncing \d+ %/);
});

test("works by keyboard alone, and says what it is to a screen reader", async t => {
  const page = await visit(await browser(t), own(pages(t)));
  await page.keyboard.press("/");
  assert.equal(await page.evaluate(() => document.activeElement.id), "q");
  await page.keyboard.press("ArrowDown");
  const active = () => page.evaluate(() => {
    const el = document.getElementById(document.getElementById("list").getAttribute("aria-activedescendant"));
    return { name: el.querySelector(".name").textContent, role: el.getAttribute("role"), level: el.getAttribute("aria-level"), open: el.getAttribute("aria-expanded") };
  });
  await page.keyboard.press("ArrowDown");
  assert.deepEqual(await active(), { name: "Documents", role: "treeitem", level: "1", open: "false" });
  await page.keyboard.press("ArrowRight");
  await page.locator("[aria-level='2']").first().waitFor();
  await page.keyboard.press("ArrowDown");
  assert.equal((await active()).level, "2");
  await page.keyboard.press("ArrowLeft");
  assert.equal((await active()).name, "Documents");
  await page.keyboard.press("Enter");
  assert.equal(await text(page, "#box-title"), "Documents");
  // Focus stays inside while the box is open.
  for (let i = 0; i < 30; i++) {
    await page.keyboard.press("Tab");
    assert.ok(await page.evaluate(() => document.activeElement === document.body || document.getElementById("box").contains(document.activeElement)));
  }
  await page.keyboard.press("Escape");
  await page.locator("#box").waitFor({ state: "hidden" });
  assert.equal(await page.evaluate(() => document.activeElement.id), "list");
  await page.keyboard.press("ArrowLeft");
  await page.keyboard.press("End");
  assert.equal((await active()).name, "Projects");
  assert.equal(await page.getByRole("tree", { name: "Files and folders" }).count(), 1);
});

test("hostile names are text and nothing else", async t => {
  const context = await browser(t), out = pages(t, { case: "hostile" });
  const page = await visit(context, own(out));
  for (const name of ["<", "<b>folder<", "<script>window.pwned=1<"]) await expand(page, name);
  const shown = new Set();
  for (let i = 0; i < 60; i++) {
    await page.keyboard.press("ArrowDown");
    for (const name of await page.locator(".row:visible .name").allInnerTexts()) shown.add(name);
  }
  for (const name of ["<img src=x onerror=window.pwned=1>.jpg", "<!--WORKLIST-BEGIN-->", "gpj.▯exe", "▯[31mred.txt", "a▯b▯▯c.txt", "not utf-8 ▯▯▯.bin", "javascript:window.pwned=1", "x".repeat(255)]) {
    assert.ok(shown.has(name), name + " in " + [...shown]);
  }
  for (const words of ["pwned", "▯", "<script>", "</script>", "\\", "{{", "."]) await search(page, words);
  await search(page, "onerror");
  await page.locator(".row:visible").first().click();
  await page.keyboard.press("Escape");
  await search(page, "javascript");
  await page.locator(".row:visible").first().click();
  await act(page, "destroy").click();
  assert.match(await text(page, "#box-title"), /^Destroy javascript:/);
  await page.keyboard.press("Escape");
  assert.equal(await page.evaluate(() => window.pwned), undefined);
  assert.deepEqual(page.trouble, []);

  // The common page opens every file, whatever bytes its name has.
  const home = await visit(context, common(out));
  await search(home, "not utf-8");
  await home.locator(".row:visible", { hasText: "not utf-8" }).first().click();
  const [opened] = await Promise.all([context.waitForEvent("page"), act(home, "open").click()]);
  const [use] = (await wishes(home)).filter(w => w.op === "open");
  assert.equal(use.path, "not%20utf-8%20%FF%FE%80.bin");
  // A name that is a path of its own or has a query in it stays one name.
  await opened.close();
  await home.keyboard.press("Escape");
  await search(home, "bar #1");
  const link = home.evaluate(() => new Promise(resolve => addEventListener("click", e => { if (e.target.href) { e.preventDefault(); resolve(e.target.href); } }, true)));
  await home.evaluate(() => { const click = HTMLAnchorElement.prototype.click; HTMLAnchorElement.prototype.click = function () { document.body.append(this); click.call(this); this.remove(); }; });
  await home.locator(".row:visible").first().click();
  await act(home, "open").click();
  assert.match(await link, /\/files\/Cafe%CC%81%20%26%20Bar%20%231%3Fx%3D%252e%252e\.pdf$/);
});

test("tells answers, notices and vanished files in words", async t => {
  const page = await visit(await browser(t), own(pages(t, { case: "news" })));
  const news = await text(page, "#notes");
  assert.match(news, /212 files vanished at once from Phone in Photos/);
  assert.match(news, /larder\.toml, line 12: unknown key `qouta`/);
  assert.match(news, /Not done: Destroy .*\s*It changed after you saw it/);
  await page.locator("[data-op=answers]").click();
  assert.match(await text(page, ".answers"), /Waiting: Get[^]*Waiting for Phone[^]*Not done: Destroy[^]*Done: Pin/);
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Hide the answers" }).click();
  await page.reload();
  await ready(page);
  assert.doesNotMatch(await text(page, "#notes"), /Not done/);
  await page.locator("[data-op=back]").click();
  assert.deepEqual((await wishes(page)).map(({ op, path, to }) => ({ op, path, to })), [{ op: "get", path: "Photos", to: undefined }]);
  await page.locator("#undo").click();
  await page.reload();
  await ready(page);
  await page.locator("[data-op=forget]").click();
  assert.equal((await wishes(page))[0].op, "delete");
});

test("old versions and destroyed files can be brought back", async t => {
  const page = await visit(await browser(t), own(pages(t, { case: "news" })));
  await page.locator("[data-filter=gone]").click();
  await page.locator(".row:visible", { hasText: "To the bank" }).click();
  await act(page, "undo").click();
  const [wish] = await wishes(page);
  assert.deepEqual([wish.op, wish.path, wish.with], ["undo", "Documents/Letters/To%20the%20bank.odt", "39"]);
  await page.locator("[data-filter=shared]").click();
  await page.locator(".row:visible").first().click();
  assert.match(await text(page, "#box"), /Shared with the neighbours since/);
  await act(page, "undo").click();
  assert.match(await text(page, ".versions"), /As it was until [^]*changed on Laptop[^]*kept until [^]*changed on Phone/);
  // Saved more often than there is room for: the page says so, and how long the rest is kept.
  assert.match(await text(page, "#box"), /The NAS keeps 503 still older versions, the last until .*2\d\d\d; they are not listed here/);
});

test("a folder that others joined says who, how full, what to send, and how it ends", async t => {
  const page = await visit(await browser(t), own(pages(t, { case: "news" })));
  const open_ = async name => { await page.locator(".row.folder:visible", { has: page.getByText(name, { exact: true }) }).first().locator(".more").click(); };
  await open_("Photos");
  const card = await text(page, ".share");
  for (const part of [/Shared as Photos with the band since/, /the band and the choir may read it and put files into it/, /498 MB of at most 500 MB/, /It is full: nothing more is taken/])
    assert.match(card, part);
  await act(page, "send").click();
  assert.match(await text(page, "#box"), /Device ID: MFZWI3D[^]*Folder ID: k3fq/);
  await page.locator("#box .x").click();
  // Changing it proposes what is so now.
  await act(page, "share-folder").click();
  assert.equal(await page.getByLabel("At most, in MB").inputValue(), "500");
  await page.getByLabel("At most, in MB").fill("900");
  await page.getByLabel("Who may join?").fill("the choir ABC");
  await act(page, "go").click();
  await open_("Music");
  assert.match(await text(page, ".share"), /Nobody is let in yet[^]*12 MB in it, no limit/);
  await act(page, "share-folder").click();
  assert.ok(await page.getByRole("checkbox", { name: "No limit" }).isChecked());
  await page.locator("#box .x").click();
  await act(page, "revoke").click();
  assert.match(await text(page, "#box"), /What they have they keep; your files stay/);
  await act(page, "yes").click();
  // What [destroy folder] says is what it does: the others' copies go, one's own stay.
  await open_("Photos");
  await act(page, "destroy-folder").click();
  const said = await text(page, "#box");
  assert.match(said, /goes from every device of other people/);
  assert.match(said, /Your own files stay, on the NAS and on your devices/);
  assert.doesNotMatch(said, /for good|Destroy everywhere/);
  await act(page, "yes").click();
  await open_("Documents");
  assert.match(await text(page, ".share"), /Its content was destroyed on/);
  assert.equal(await act(page, "destroy-folder").count(), 0);
  await act(page, "revoke").click();
  await act(page, "yes").click();
  const all = (await wishes(page)).map(w => [w.op, w.path, w.with, w.limit_mb]);
  assert.deepEqual(all, [
    ["share-folder", "Photos", "the choir ABC", 900],
    ["revoke-share", "Music", "Music", undefined],
    ["destroy-folder", "Photos", "Photos", undefined],
    ["revoke-share", "Documents", "Documents", undefined],
  ]);
  assert.deepEqual(page.trouble, []);
});

test("an empty catalogue says what to do", async t => {
  const page = await visit(await browser(t), own(pages(t, { case: "empty" })));
  await page.getByText("No files yet.").waitFor();
  assert.deepEqual(page.trouble, []);
});

test("fits a phone: a sheet at the bottom, large buttons, nothing sticks out", async t => {
  const page = await visit(await browser(t, phone), own(pages(t)));
  const wide = () => page.evaluate(() => document.documentElement.scrollWidth <= innerWidth);
  assert.ok(await wide());
  await more(page, "Documents");
  const sheet = await page.locator("#box").boundingBox();
  assert.ok(Math.abs(sheet.y + sheet.height - 915) < 2 && Math.abs(sheet.width - 412) < 2, JSON.stringify(sheet));
  for (const button of await page.locator("#box button.act").all()) assert.ok((await button.boundingBox()).height >= 90);
  await act(page, "destroy").click();
  for (const button of await page.locator("#box button.act").all()) {
    const { width, height } = await button.boundingBox();
    assert.ok(width >= 160 && height >= 120, `${width} x ${height}`);
  }
  assert.ok(await wide());
});

test("more devices than four, and a page that may do little", async t => {
  const context = await browser(t);
  const wide = await visit(context, own(pages(t, { case: "wide" })));
  await more(wide, "Photos");
  assert.equal(await wide.locator(".where li").count(), 10);
  const child = await visit(context, own(pages(t, { case: "child" })));
  await more(child, "Photos");
  assert.deepEqual(await child.locator("#box .act").evaluateAll(all => all.map(b => b.dataset.op)), ["get", "get-for"]);
});

test("of a file whose versions are not listed, the newest can be asked for", async t => {
  const page = await visit(await browser(t), own(pages(t, { case: "unlisted" })));
  await page.locator("#q").fill("dsc");
  await page.locator(".row:visible:not(.folder)").first().click();
  assert.equal(await act(page, "undo").count(), 0);
  await act(page, "older").click();
  assert.match(await text(page, "#box"), /keeps some of 2 files more than are listed/);
  await act(page, "undo").click();
  const [wish] = await wishes(page);
  assert.deepEqual([wish.op, /dsc/i.test(wish.path), wish.with], ["undo", true, undefined]);
});
