// Who belongs to the house: devices that ask, a phone to be connected, what to send to somebody.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { act, browser, common, desktop, own, pages, phone, text, visit, wishes } from "./lib.js";

const bare = async page => (await wishes(page)).map(({ id, at, saved, ...rest }) => rest);
const id = letter => Array(8).fill(letter.repeat(7)).join("-");
const card = page => page.locator(".asking");

test("a device that asks is let in as one that is expected, as a new one, or turned away", async t => {
  const page = await visit(await browser(t), common(pages(t, { case: "people" })));
  assert.match(await card(page).innerText(), /Pixel 9 of ▯the child asks to be let in\./);
  assert.ok((await card(page).innerText()).includes(id("A")));
  assert.equal(await card(page).count(), 1, "who was turned away does not nag");
  await card(page).locator("[data-op=accept]").click();
  assert.ok((await text(page, "#box")).includes(id("A")), "the id is there to be compared");
  // The one device of the settings without an id.
  assert.equal(await act(page, "as").count(), 1);
  await act(page, "as").click();
  const [wish] = await bare(page);
  assert.deepEqual({ ...wish, to: wish.to.length }, { op: "accept", path: "", with: id("A"), to: 1 });
  assert.match(await text(page, "#bar small"), /^will let in: /);
  assert.equal(await card(page).locator(".tag").innerText(), "will let in");
  assert.equal(await page.locator(".row .tag").count(), 0, "no file wears it");
  await page.locator("#undo").click();
  await card(page).locator("[data-op=accept]").click();
  await act(page, "as-new").click();
  const name = page.locator("#box input");
  assert.equal(await name.inputValue(), "Pixel-9-of-the-child");
  for (const [typed, wrong] of [["my phone", /Use letters/], ["htcPHONE", /of that name already/], ["", /Use letters/], ["-x", /Use letters/]]) {
    await name.fill(typed);
    await act(page, "go").click();
    assert.match(await text(page, ".wrong"), wrong, typed);
  }
  await name.fill("Pixel9");
  await name.press("Enter");
  assert.deepEqual(await bare(page), [{ op: "accept", path: "", with: id("A"), to: ["Pixel9"] }]);
  await page.locator("#undo").click();
  await card(page).locator("[data-op=refuse]").click();
  assert.deepEqual(await bare(page), [{ op: "refuse", path: "", with: id("A") }]);
  assert.deepEqual(page.trouble, []);
});

test("a person is let in to one share and nothing else", async t => {
  const page = await visit(await browser(t), common(pages(t, { case: "people" })));
  await card(page).locator("[data-op=accept]").click();
  await act(page, "as-person").click();
  await act(page, "share").click();
  const [wish] = await bare(page);
  assert.equal(wish.op, "share");
  assert.equal(wish.with, "the neighbours " + id("A"));
  assert.ok(wish.path);
  assert.equal(await card(page).locator(".tag").innerText(), "will share");
});

test("the page of a device tells who asks and decides nothing", async t => {
  const page = await visit(await browser(t), own(pages(t, { case: "people", home: "http://larder.local:8080/" })));
  assert.match(await card(page).innerText(), /Answer on the page at home, http:\/\/larder\.local:8080\./);
  assert.equal(await page.locator("[data-op=accept], [data-op=refuse]").count(), 0);
  await page.locator(".device").first().click();
  assert.equal(await act(page, "forget").count(), 0);
});

test("the devices say who is there, and one that was let in here can be forgotten", async t => {
  const page = await visit(await browser(t), common(pages(t, { case: "people" })));
  await page.locator(".device").first().click();
  const told = await text(page, "#box .room");
  assert.match(told, /last seen 3 weeks ago · \d+ wait for it/);
  assert.match(told, /not connected to the NAS/);
  assert.match(told, /connected from 192\.168\.1\.7/);
  assert.match(told, /turned away, asks again/);
  assert.equal(await act(page, "forget").count(), 1);
  await act(page, "forget").click();
  assert.match(await text(page, "#box"), /What it had stays on the NAS/);
  await act(page, "yes").click();
  const [wish] = await bare(page);
  assert.deepEqual({ ...wish, to: wish.to.length }, { op: "forget", path: "", to: 1 });
  await page.locator(".device").first().click();
  assert.match(await text(page, "#box .room"), /will forget/);
  // Who was turned away can still be let in.
  await act(page, "accept").click();
  assert.ok((await text(page, "#box")).includes(id("B")));
});

/** Reads QR codes from a picture of the page, where a reader is installed. */
function scan(picture) {
  try {
    return execFileSync("zbarimg", ["-q", "--raw", "-"], { input: picture, stdio: ["pipe", "pipe", "ignore"] }).toString().trim();
  } catch (error) {
    if (error.code === "ENOENT") return null;
    throw error;
  }
}

test("a phone scans the code, and a person is sent the ids", async t => {
  for (const [size, colorScheme] of [[phone, "dark"], [desktop, "light"]]) {
    const page = await visit(await browser(t, { ...size, colorScheme }), common(pages(t, { case: "people" })));
    await page.locator(".device").first().click();
    await act(page, "connect").click();
    assert.ok((await text(page, "#box")).includes(id("N")));
    assert.equal(await page.locator("#box ol li").count(), 3);
    const box = await page.locator("svg.qr").boundingBox();
    assert.ok(box.width >= 180 && Math.abs(box.width - box.height) < 1, JSON.stringify(box));
    const read = scan(await page.screenshot());
    if (read === null) t.diagnostic("NOT CHECKED: zbar-tools is not installed: no reader has read the QR code");
    else assert.equal(read, id("N"));
    await page.locator("#box [data-op=close]").click();
    await page.locator("[data-filter=shared]").click();
    await page.locator(".row:visible:not(.folder):not(.note)").first().click();
    await act(page, "send").click();
    assert.match(await text(page, "#box"), new RegExp(id("N") + "[^]*" + "f".repeat(26)));
    assert.equal(await page.locator("svg.qr").count(), 1);
    assert.deepEqual(page.trouble, []);
  }
});

