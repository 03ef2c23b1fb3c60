// What the browser tests share: pages made by the real encoder, and a real Chromium.

import { chromium } from "playwright-core";
import { execFileSync } from "node:child_process";
import { createHmac } from "node:crypto";
import { mkdtempSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
const flags = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
  // As at home: a name that is no secure context, unlike a loopback address.
  "--host-resolver-rules=MAP larder.local 127.0.0.1"];
const executablePath = process.env.CHROMIUM || "/usr/bin/chromium";
export const phone = { viewport: { width: 412, height: 915 }, hasTouch: true, isMobile: true };
export const desktop = { viewport: { width: 1280, height: 860 } };

/** A folder of this test run, removed at its end. */
export function folder(t) {
  const path = mkdtempSync(join(tmpdir(), "larder-page-"));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** Makes pages with `examples/page.rs` and returns the folder they are in. */
export function pages(t, options = {}) {
  const out = folder(t);
  const args = Object.entries({ files: 2400, ...options, out }).flatMap(([key, value]) => ["--" + key, String(value)]);
  const ready = process.env.LARDER_PAGE;
  const told = ready ? execFileSync(ready, args, { cwd: root })
    : execFileSync("cargo", ["run", "-q", "--example", "page", "--", ...args], { cwd: root });
  return Object.assign(new String(out), { told: String(told) });
}

export const own = out => join(String(out), "catalogue", "catalogue.html");
export const common = out => join(String(out), "home", "catalogue.html");

/** A fresh browser profile in which pages from files may write files that are handed to them. */
export async function browser(t, options = {}) {
  const profile = mkdtempSync(join(tmpdir(), "larder-profile-"));
  mkdirSync(join(profile, "Default"));
  const allowed = { "file:///*,*": { setting: 1 } };
  writeFileSync(join(profile, "Default", "Preferences"), JSON.stringify({
    profile: { content_settings: { exceptions: { file_system_read_guard: allowed, file_system_write_guard: allowed } } },
  }));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath, args: flags, locale: "en-US", timezoneId: "UTC", reducedMotion: "reduce", acceptDownloads: true, ...desktop, ...options,
  });
  t.after(async () => {
    await context.close();
    rmSync(profile, { recursive: true, force: true });
  });
  return context;
}

/** Opens a page and waits until it has drawn its first rows. Errors and refusals end in `page.trouble`. */
export async function visit(context, file) {
  const page = await context.newPage();
  page.trouble = [];
  page.on("pageerror", error => page.trouble.push(error.message));
  page.on("console", message => { if (message.type() === "error") page.trouble.push(message.text()); });
  await page.goto(file.includes("://") ? file : "file://" + file);
  await ready(page);
  return page;
}

export const ready = page => page.locator("html[data-ready]").waitFor({ state: "attached" });
export const row = (page, name) => page.locator(".row:visible", { has: page.getByText(name, { exact: true }) }).first();
export const act = (page, op) => page.locator(`#box [data-op=${op}]`);
export const text = (page, selector) => page.locator(selector).innerText();
export const more = (page, name) => row(page, name).locator(".more").click();

/** Opens a folder of the tree, waiting for what is in it. */
export async function expand(page, name) {
  await row(page, name).click({ position: { x: 150, y: 20 } });
  await row(page, name).and(page.locator("[aria-expanded=true]")).waitFor();
}

export async function search(page, words) {
  await page.locator("#q").fill(words);
  await page.locator(`#list[data-shows$=${JSON.stringify(":" + words.trim())}][aria-busy=false]`).waitFor();
}

/** Wishes that the page keeps, in the order in which they were pressed. */
export const wishes = async page => (await page.evaluate(() => Object.entries(localStorage).filter(([key]) => /^larder:[^:]+:wish:/.test(key)).map(([, value]) => JSON.parse(value))))
  .sort((a, b) => a.t - b.t).map(({ t, ...wish }) => wish);

/** The page's key and id that `examples/page.rs` gives the phone's page. */
export const KEY = "phone-secret", PAGE = "home0001-HTCphone";

const mac = (key, text) => createHmac("sha256", key).update(text).digest("hex");

/** A text with the seal of a key, by Node's own HMAC. */
export const sealed = (key, what, text) => text.slice(0, -1) + ',"mac":"' + mac(key, `larder ${what} 2\n` + text.slice(0, -1)) + '"}';

/** Whether a text is sealed so. */
export const isSealed = (key, what, text) => /,"mac":"[0-9a-f]{64}"}$/.test(text) && sealed(key, what, text.replace(/,"mac":"[0-9a-f]{64}"}$/, "}")) === text;

/** What the NAS answers to a worklist that it takes; `change` makes something else of it before it is sealed. */
export function answerTo(body, key = KEY, change = told => told) {
  const { items, nonce } = JSON.parse(body);
  return sealed(key, "answer", JSON.stringify(change({ taken: items.map(w => w.id), refused: [], nonce })));
}

/** The worklist in a page's file. */
export function worklist(file) {
  const bytes = readFileSync(file, "latin1");
  const from = bytes.lastIndexOf("<!--WORKLIST-BEGIN-->"), to = bytes.lastIndexOf("<!--WORKLIST-END-->");
  const line = bytes.slice(from, to);
  const found = /^<!--WORKLIST-BEGIN--><script type="application\/json" id="work">(.*)<\/script>$/.exec(line);
  return { before: bytes.slice(0, from), after: bytes.slice(to), json: JSON.parse(Buffer.from(found[1], "latin1").toString("utf8")), raw: found[1] };
}

/** Gives the page a real, writable handle of a file: it is dropped on the page, and the picker returns it. */
export async function handOver(page, file) {
  await page.evaluate(() => {
    window.dropped = new Promise(resolve => {
      addEventListener("dragover", e => e.preventDefault());
      addEventListener("drop", e => {
        e.preventDefault();
        resolve(e.dataTransfer.items[0].getAsFileSystemHandle());
      }, { once: true });
    });
    window.picks = 0;
    window.showOpenFilePicker = async () => { window.picks++; return [await window.dropped]; };
  });
  const cdp = await page.context().newCDPSession(page);
  const data = { items: [], files: [file], dragOperationsMask: 1 };
  for (const type of ["dragEnter", "dragOver", "drop"]) await cdp.send("Input.dispatchDragEvent", { type, x: 300, y: 300, data });
  await page.evaluate(() => window.dropped.then(handle => handle.name));
}
