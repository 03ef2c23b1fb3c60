// The common page as the NAS serves it: who is signed in, and what an answer proves then.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { test } from "node:test";
import { act, answerTo, browser, common, more, pages, ready, text, visit, wishes } from "./lib.js";
import { parts } from "./modules.js";
import { PASSWORD, serve } from "./nas.js";

async function nas(t, options) {
  const home = await serve(common(pages(t)), options);
  t.after(home.end);
  return home;
}

async function press(page, name) {
  await more(page, name);
  await act(page, "destroy").click();
  await act(page, "yes").click();
}

async function signIn(page, password = PASSWORD) {
  await page.locator("#box input[type=password]").fill(password);
  await act(page, "go").click();
}

const sent = page => page.locator("#toast", { hasText: "Sent to the NAS." }).waitFor();

test("who may only read is shown so, signs in, and what he pressed before is sent", async t => {
  const home = await nas(t), page = await visit(await browser(t), home.url);
  assert.deepEqual(await page.evaluate(() => [isSecureContext, typeof crypto.subtle, typeof navigator.locks]), [false, "undefined", "undefined"]);
  await page.locator(".signed-out", { hasText: "To change something, sign in." }).waitFor();
  await press(page, "Music");
  await page.locator("#save").click();
  await page.locator("#box input[type=password]").waitFor();
  assert.deepEqual(home.posts(), [], "nothing is sent before");
  assert.match(await text(page, "#box"), /Sign in[^]*Your changes are kept in this browser meanwhile/);
  await act(page, "go").click();
  assert.equal(await text(page, "#box .wrong"), "Write the password.");
  await signIn(page, "wrong");
  await page.locator("#box .wrong", { hasText: "That is not the password." }).waitFor();
  home.state.refuse = 429;
  home.state.why = "too many wrong passwords; try again in 30 s";
  await signIn(page, "wrong");
  await page.locator("#box .wrong", { hasText: "Too many wrong passwords; try again in 30 s." }).waitFor();
  assert.deepEqual((await wishes(page)).map(w => !!w.saved), [false]);
  await signIn(page);
  await sent(page);
  assert.equal(await page.locator(".signed-out").count(), 0);
  const [body] = home.posts().map(JSON.parse);
  assert.deepEqual([body.v, body.page, body.device, body.items.map(w => w.path), "mac" in body, "key" in body], [2, "home0001", null, ["Music"], false, false]);
  assert.ok(home.asked.find(a => a.url === "/worklist").cookie);
  assert.equal(await text(page, "#bar b"), "1 change on the way home");
  // What is proved with is in the memory of the page, and nowhere else.
  const token = [...home.tokens.keys()][0], proof = createHmac("sha256", token).update("larder proof").digest("hex");
  const stored = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, document.documentElement.outerHTML]));
  assert.ok(!stored.includes(proof) && !stored.includes(token) && !stored.includes(PASSWORD));
  assert.deepEqual(page.trouble.filter(line => !/status of (401|429)/.test(line)), []);
});

test("a session that ended loses no wish", async t => {
  const home = await nas(t), page = await visit(await browser(t), home.url);
  await page.locator("[data-op=sign-in]").click();
  await signIn(page);
  await page.locator("#toast", { hasText: "You are signed in." }).waitFor();
  await press(page, "Music");
  home.tokens.clear();
  await page.locator("#save").click();
  await page.locator("#box input[type=password]").waitFor();
  assert.deepEqual((await wishes(page)).map(w => !!w.saved), [false]);
  await page.reload();
  await ready(page);
  assert.equal(await text(page, "#bar b"), "1 change waiting");
  await page.locator("#save").click();
  await signIn(page);
  await sent(page);
  assert.deepEqual(home.posts().map(body => JSON.parse(body).items.map(w => w.path)), [["Music"], ["Music"]]);
});

test("what can't prove to be the NAS saves nothing, and says so", async t => {
  const home = await nas(t), page = await visit(await browser(t), home.url);
  await page.locator("[data-op=sign-in]").click();
  await signIn(page);
  await page.locator("#toast", { hasText: "You are signed in." }).waitFor();
  await press(page, "Music");
  const all = raw => JSON.stringify({ taken: JSON.parse(raw).items.map(w => w.id), refused: [], nonce: JSON.parse(raw).nonce });
  for (const [lie, words] of [
    [raw => [200, all(raw)], /could not prove to be your NAS/],
    [raw => [200, answerTo(raw, "ab".repeat(32))], /could not prove to be your NAS/],
    [(raw, proof) => [200, answerTo(raw, proof, told => ({ ...told, nonce: "0" }))], /could not prove to be your NAS/],
    [raw => [503, JSON.stringify({ taken: [], refused: [], why: "the drive is not plugged in" })], /The drive is not plugged in\./],
    [(raw, proof) => [500, answerTo(raw, proof)], /did not say why/],
  ]) {
    home.state.lie = lie;
    await page.locator("#save").click();
    await page.locator("#box", { hasText: "Not sent yet" }).waitFor();
    assert.match(await text(page, "#box"), words);
    assert.deepEqual((await wishes(page)).map(w => !!w.saved), [false]);
    await act(page, "later").click();
  }
  home.state.lie = null;
  await page.locator("#save").click();
  await sent(page);
});

test("who comes in the NAS's place can't talk the page into another proof", async t => {
  const home = await nas(t), page = await visit(await browser(t), home.url);
  await page.locator("[data-op=sign-in]").click();
  await signIn(page);
  await page.locator("#toast", { hasText: "You are signed in." }).waitFor();
  await press(page, "Music");
  const own = "cd".repeat(32);
  for (const state of ["signed-out", "closed", "signed-in"]) {
    // It says that nobody is signed in, and then that somebody is, with a proof of its own.
    home.state.lie = () => [401, JSON.stringify({ taken: [], refused: [], why: "sign in first" })];
    home.state.session = { state, readers: true, proof: null, sessions: [] };
    await page.locator("#save").click();
    await page.locator("#box input[type=password]").waitFor();
    await page.keyboard.press("Escape");
    home.state.session = { state: "signed-in", readers: true, proof: own, sessions: [] };
    home.state.lie = raw => [200, answerTo(raw, own)];
    await page.locator("#save").click();
    await page.locator("#box", { hasText: "could not prove to be your NAS" }).waitFor();
    assert.deepEqual((await wishes(page)).map(w => !!w.saved), [false], state);
    await act(page, "later").click();
  }
  // The NAS itself is believed again, without another sign-in.
  home.state.lie = home.state.session = null;
  await page.locator("#save").click();
  await sent(page);
});

test("the browsers that are signed in are listed, and one is signed out", async t => {
  const home = await nas(t);
  home.add("ab".repeat(32), "Firefox on <b>Android");
  const page = await visit(await browser(t), home.url);
  await page.locator(".device").first().click();
  assert.equal(await page.locator(".sessions").count(), 0, "a reader sees none");
  await page.keyboard.press("Escape");
  await page.locator("[data-op=sign-in]").click();
  await signIn(page);
  await page.locator("#toast", { hasText: "You are signed in." }).waitFor();
  await page.locator(".device").first().click();
  const rows = page.locator(".sessions li");
  assert.equal(await rows.count(), 2);
  assert.match(await rows.first().innerText(), /\(this browser\)/);
  assert.match(await rows.last().innerText(), /Firefox on <b>Android\s*used .* from 192\.168\.1\.5\s*signed in/);
  await rows.last().locator("[data-op=sign-out]").click();
  await page.waitForFunction(() => document.querySelectorAll(".sessions li").length === 1);
  assert.ok(!home.tokens.has("ab".repeat(32)));
  await rows.first().locator("[data-op=sign-out]").click();
  await page.locator(".signed-out").waitFor();
  assert.equal(home.tokens.size, 0);
});

test("without a password it is said how one is chosen", async t => {
  for (const [password, words] of [[false, /Whoever chooses the password/], [null, /Switch it off and on again/]]) {
    const home = await nas(t, { password }), page = await visit(await browser(t), home.url);
    await page.locator("[data-op=sign-in]").click();
    assert.match(await text(page, "#box"), words);
    assert.equal(await page.locator("#box input").count(), 0);
  }
});

test("the common page as a file asks nobody and needs no password", async t => {
  const page = await visit(await browser(t), common(pages(t, { home: "http://127.0.0.1:9/" })));
  assert.equal(await page.locator(".signed-out").count(), 0);
  await press(page, "Music");
  await page.locator("#save").click();
  await page.getByRole("button", { name: /Choose the file/ }).waitFor();
  assert.deepEqual(page.trouble, []);
});

test("a proof that is known is not exchanged for another", () => {
  const { sessionOf } = parts(["session.js"], ["sessionOf"]);
  const first = "0a".repeat(32), other = "0b".repeat(32), told = { state: "signed-in", proof: first, sessions: [{ id: "00ff00ff" }, { id: "../x" }, null] };
  const known = sessionOf(null, told);
  assert.deepEqual(known, { state: "signed-in", proof: first, sessions: [{ id: "00ff00ff" }] });
  assert.equal(sessionOf(known.proof, { ...told, proof: other }).proof, first);
  assert.equal(sessionOf(known.proof, { state: "signed-out" }).proof, null);
  for (const broken of [null, {}, { state: "king", proof: other }, { state: "signed-in", proof: "" }]) assert.equal(sessionOf(null, broken).proof, null);
});
