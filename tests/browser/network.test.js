// The page and the real server together: shown over the network, wishes sent home, files opened.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { act, browser, common, folder, more, own, pages, ready, text, visit, wishes } from "./lib.js";

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
const KEYS = ["home0001-HTCphone,phone-secret,HTCphone"], PASSWORD = "open sesame";

/** A drive of its own with the common page on it, and `examples/serve.rs` over it. Everybody may read. */
async function larder(t, options = {}) {
  const drive = folder(t), { pages: keys = KEYS, ...more } = options;
  const rest = { common: "home0001", password: PASSWORD, readers: "true", ...more };
  for (const part of ["files", "catalogue"]) mkdirSync(join(drive, "BTsync", part), { recursive: true });
  const args = [...keys.map(key => ["--page", key]), ...Object.entries({ ...rest, drive }).filter(([, value]) => value !== undefined).map(([key, value]) => ["--" + key, value])].flat();
  const ready = process.env.LARDER_SERVE;
  const server = ready ? spawn(ready, args, { stdio: ["pipe", "pipe", "inherit"] })
    : spawn("cargo", ["run", "-q", "--example", "serve", "--", ...args], { cwd: root, stdio: ["pipe", "pipe", "inherit"] });
  const ended = new Promise(done => server.on("exit", done));
  t.after(() => { server.stdin.end(); return ended; });
  const lines = createInterface({ input: server.stdout })[Symbol.asyncIterator]();
  const next = async () => (await lines.next()).value;
  return { drive, url: await next(), taken: async () => JSON.parse(await next()),
    page: from => copyFileSync(from, join(drive, "BTsync", "catalogue", "catalogue.html")),
    put: (name, content) => writeFileSync(join(drive, "BTsync", "files", name), content) };
}

/** Types the password into the page that asks for it, and waits for the catalogue. */
async function signIn(context, url) {
  const page = await context.newPage();
  await page.goto(url + "/sign-in");
  await page.locator("#password").fill(PASSWORD);
  await page.getByRole("button", { name: "Sign in" }).click();
  await ready(page);
  await page.close();
}

test("the common page over the network: get, save, taken in", async t => {
  const home = await larder(t), context = await browser(t);
  home.page(common(pages(t)));
  await signIn(context, home.url);
  const page = await visit(context, home.url + "/");
  await more(page, "Music");
  await act(page, "get-for").click();
  await page.locator("#box input[type=checkbox]:enabled").first().check();
  await act(page, "go").click();
  await page.locator("#save").click();
  const { from, wishes } = await home.taken();
  assert.equal(from, "the common page");
  assert.deepEqual(wishes.map(w => [w.action, w.path]), [["get", "Music"]]);
  await page.locator("#toast", { hasText: "Sent to the NAS." }).waitFor();
  assert.match(await text(page, "#bar b"), /^1 change on/);
  assert.deepEqual(page.trouble, []);
});

test("a device's page from its file: the seal of its key admits, and nothing else does", async t => {
  const home = await larder(t), context = await browser(t);
  const page = await visit(context, own(pages(t, { home: home.url })));
  await more(page, "Documents");
  await act(page, "get").click();
  await page.locator("#save").click();
  const { from, wishes } = await home.taken();
  assert.equal(from, "HTCphone");
  assert.deepEqual(wishes.map(w => [w.action, w.path]), [["get", "Documents"]]);
  await page.locator("#toast", { hasText: "Sent to the NAS." }).waitFor();
  assert.deepEqual(page.trouble, []);

  const other = await larder(t, { pages: ["home0001-HTCphone,another-secret,HTCphone"] });
  const stranger = await visit(context, own(pages(t, { home: other.url })));
  await more(stranger, "Music");
  await act(stranger, "get").click();
  await stranger.locator("#save").click();
  await stranger.getByRole("button", { name: /Choose the file/ }).waitFor();
});

test("a page of another site gets nothing in and nothing out", async t => {
  const home = await larder(t), stranger = await larder(t), context = await browser(t);
  home.page(common(pages(t)));
  home.put("a.png", Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==", "base64"));
  home.put("a.txt", "private");
  writeFileSync(join(stranger.drive, "BTsync", "catalogue", "catalogue.html"), "<!doctype html><p>evil");
  // Signed in at home. The stranger has the same address and another port, so the browser even sends the cookie.
  await signIn(context, home.url);
  const page = await context.newPage();
  await page.goto(stranger.url);
  const got = await page.evaluate(async url => {
    const body = JSON.stringify({ v: 2, page: "home0001", device: null, gen: 1, nonce: "00", items: [{ id: "00112233445566778899", op: "destroy", path: "a.txt", at: "2026-11-23T10:00:00Z" }] });
    const attempt = promise => promise.then(r => r.type + " " + r.status, error => error.name);
    const send = (method, path, more = {}) => attempt(fetch(url + path, { method, credentials: "include", ...more }));
    const password = { headers: { "content-type": "application/json" }, body: JSON.stringify({ password: "open sesame" }) };
    const picture = src => new Promise(done => { const img = new Image(); img.onload = () => done("shown"); img.onerror = () => done("refused"); img.src = src; });
    const frame = document.createElement("iframe");
    frame.src = url + "/";
    document.body.append(frame);
    await new Promise(done => { frame.onload = done; });
    return {
      page: await attempt(fetch(url + "/")), file: await attempt(fetch(url + "/files/a.txt")),
      post: await attempt(fetch(url + "/worklist", { method: "POST", body })),
      claim: await send("POST", "/claim", password), signIn: await send("POST", "/session", password),
      signOut: await send("DELETE", "/session"), session: await send("GET", "/session"),
      withCookie: await send("POST", "/worklist", { body }),
      blind: await attempt(fetch(url + "/worklist", { method: "POST", body, mode: "no-cors" })),
      picture: await picture(url + "/files/a.png"),
      frame: (() => { try { return frame.contentDocument ? "open" : "closed"; } catch { return "closed"; } })(),
    };
  }, home.url);
  assert.deepEqual(got, { page: "TypeError", file: "TypeError", post: "TypeError", claim: "TypeError", signIn: "TypeError", signOut: "TypeError", session: "TypeError", withCookie: "TypeError", blind: "TypeError", picture: "refused", frame: "closed" });
  // Nothing had arrived when the next wish does, which is a good one.
  const right = await visit(context, home.url + "/");
  await more(right, "Music");
  await act(right, "destroy").click();
  await act(right, "yes").click();
  await right.locator("#save").click();
  assert.deepEqual((await home.taken()).wishes.map(w => w.path), ["Music"]);
  // The picture is shown to the page itself.
  assert.equal(await right.evaluate(() => new Promise(done => { const img = new Image(); img.onload = () => done("shown"); img.onerror = () => done("refused"); img.src = "/files/a.png"; })), "shown");
});

test("documents of strangers run no script beside the page", async t => {
  const home = await larder(t), context = await browser(t);
  home.page(common(pages(t)));
  const script = "document.title='ran';try{localStorage.x=1}catch{};fetch('/').catch(()=>{})";
  home.put("a.html", `<!doctype html><title>a</title><p id=p>Hello</p><script>${script}</script><img src=x onerror="${script}"><form action=/worklist method=post><button>go</button></form>`);
  home.put("a.svg", `<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><title>a</title><script>${script}</script><rect width="9" height="9" onload="${script}"/></svg>`);
  home.put("a.xhtml", `<html xmlns="http://www.w3.org/1999/xhtml"><head><title>a</title><script>${script}</script></head><body><p id="p">Hello</p></body></html>`);
  home.put("a.js", script);
  const page = await context.newPage(), asked = [];
  page.on("request", request => { if (!request.isNavigationRequest()) asked.push(request.url()); });
  for (const name of ["a.html", "a.svg", "a.xhtml"]) {
    await page.goto(home.url + "/files/" + name);
    await page.waitForLoadState();
    assert.notEqual(await page.title(), "ran", name);
    assert.equal(await page.evaluate(() => origin), "null", name);
  }
  assert.equal(asked.filter(url => !url.endsWith("/x")).length, 0, String(asked));
  // Nor does a page of ours take such a file for its script.
  await page.goto(home.url + "/files/a.js");
  assert.match(await page.locator("body").innerText(), /localStorage/);
});

test("pictures, sound and texts open, by names of any kind", async t => {
  const home = await larder(t), page = await (await browser(t)).newPage();
  home.put("ü &<b>.png", Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==", "base64"));
  home.put("notes.txt", "Grüße <b>");
  // A second of silence: the document that a browser makes for it fetches the sound once more.
  const wav = Buffer.alloc(44 + 8000);
  wav.write("RIFF", 0); wav.writeUInt32LE(36 + 8000, 4); wav.write("WAVEfmt ", 8); wav.writeUInt32LE(16, 16);
  wav.writeUInt16LE(1, 20); wav.writeUInt16LE(1, 22); wav.writeUInt32LE(8000, 24); wav.writeUInt32LE(8000, 28);
  wav.writeUInt16LE(1, 32); wav.writeUInt16LE(8, 34); wav.write("data", 36); wav.writeUInt32LE(8000, 40); wav.fill(128, 44);
  home.put("silence.wav", wav);
  await page.goto(home.url + "/files/%C3%BC%20%26%3Cb%3E.png");
  assert.equal(await page.locator("img").evaluate(img => img.naturalWidth), 1);
  await page.goto(home.url + "/files/notes.txt");
  assert.equal(await page.locator("body").innerText(), "Grüße <b>");
  await page.goto(home.url + "/files/silence.wav");
  await page.locator("video,audio").evaluate(media => new Promise((done, failed) => {
    if (media.readyState >= 1) return done();
    media.onloadedmetadata = done;
    media.onerror = () => failed(new Error("the sound does not play"));
    setTimeout(media.onerror, 20_000);
  }));
  assert.equal(await page.locator("video,audio").evaluate(media => media.duration), 1);
});

test("without a drive in it, it says so; with one, the page opens by itself", async t => {
  const home = await larder(t), page = await (await browser(t)).newPage();
  await page.goto(home.url + "/");
  assert.equal(await text(page, "h1"), "The first catalogue is being made");
  home.page(common(pages(t)));
  await page.locator("html[data-ready]").waitFor({ state: "attached" });
});

test("the password is chosen by the first who opens the page, and asked for from then on", async t => {
  const home = await larder(t, { password: undefined, readers: undefined, claim: "600" });
  home.page(common(pages(t)));
  const page = await (await browser(t)).newPage(), trouble = [];
  page.on("pageerror", error => trouble.push(error.message));
  await page.goto(home.url + "/");
  assert.equal(await text(page, "h1"), "Choose a password");
  await page.locator("#password").fill(PASSWORD);
  await page.locator("#again").fill("open sesam");
  await page.getByRole("button", { name: "Choose it" }).click();
  await page.locator("#why", { hasText: "The two passwords differ." }).waitFor();
  await page.locator("#again").fill(PASSWORD);
  await page.getByRole("button", { name: "Choose it" }).click();
  await ready(page);
  assert.equal(await page.evaluate(() => document.cookie), "", "no script reads the cookie");
  assert.deepEqual(trouble, []);

  const other = await (await browser(t)).newPage();
  await other.goto(home.url + "/");
  assert.equal(await text(other, "h1"), "Sign in");
  await other.locator("#password").fill("something else");
  await other.getByRole("button", { name: "Sign in" }).click();
  await other.locator("#why", { hasText: "this is not the password" }).waitFor();
  await other.locator("#password").fill(PASSWORD);
  await other.getByRole("button", { name: "Sign in" }).click();
  await ready(other);
  await other.reload();
  await ready(other);
});

test("a password is asked for where one is set, and wishes still arrive", async t => {
  const home = await larder(t, { readers: undefined }), context = await browser(t);
  home.page(common(pages(t)));
  const stranger = await (await browser(t)).newPage();
  await stranger.goto(home.url + "/");
  assert.equal(await text(stranger, "h1"), "Sign in");
  assert.equal(await stranger.locator("#cfg").count(), 0);
  await signIn(context, home.url);
  const page = await visit(context, home.url + "/");
  await more(page, "Music");
  await act(page, "destroy").click();
  await act(page, "yes").click();
  await page.locator("#save").click();
  assert.deepEqual((await home.taken()).wishes.map(w => w.action), ["destroy"]);
});

test("who may only read signs in on the page, and what he pressed before is taken in", async t => {
  const home = await larder(t), context = await browser(t);
  home.page(common(pages(t)));
  const page = await visit(context, home.url + "/");
  await page.locator(".signed-out").waitFor();
  await more(page, "Music");
  await act(page, "destroy").click();
  await act(page, "yes").click();
  await page.locator("#save").click();
  await page.locator("#box input[type=password]").fill("not the password");
  await act(page, "go").click();
  await page.locator("#box .wrong", { hasText: "That is not the password." }).waitFor();
  await page.locator("#box input[type=password]").fill(PASSWORD);
  await act(page, "go").click();
  assert.deepEqual((await home.taken()).wishes.map(w => [w.action, w.path]), [["destroy", "Music"]]);
  await page.locator("#toast", { hasText: "Sent to the NAS." }).waitFor();
  await page.locator(".device").first().click();
  await page.locator(".sessions li").first().waitFor();
  assert.match(await page.locator(".sessions li").first().innerText(), /\(this browser\)\s*used .*/);
  await page.locator(".sessions [data-op=sign-out]").first().click();
  await page.locator(".signed-out").waitFor();
});

test("a session that is ended elsewhere loses no wish", async t => {
  const home = await larder(t), context = await browser(t);
  home.page(common(pages(t)));
  const elsewhere = await browser(t);
  for (const each of [context, elsewhere]) await signIn(each, home.url);
  const page = await visit(context, home.url + "/"), other = await visit(elsewhere, home.url + "/");
  await more(page, "Music");
  await act(page, "destroy").click();
  await act(page, "yes").click();
  await other.locator(".device").first().click();
  await other.locator(".sessions li").nth(1).locator("[data-op=sign-out]").click();
  await other.waitForFunction(() => document.querySelectorAll(".sessions li").length === 1);
  await page.locator("#save").click();
  await page.locator("#box input[type=password]").waitFor();
  assert.deepEqual((await wishes(page)).map(w => !!w.saved), [false]);
  await page.locator("#box input[type=password]").fill(PASSWORD);
  await act(page, "go").click();
  assert.deepEqual((await home.taken()).wishes.map(w => w.path), ["Music"]);
  await page.locator("#toast", { hasText: "Sent to the NAS." }).waitFor();
});
