// Takes the picture of the README: `make demo`, then `node tests/browser/readme.js` from the top of the repository.
// Shows the real page of the demo's phone, on a phone and on a desk. Nothing is tested.

import { chromium } from "playwright-core";
import { mkdirSync } from "node:fs";
import { resolve } from "node:path";

const out = resolve("image/readme"), page_of = device => "file://" + resolve("build/demo/drive/BTsync/catalogue", device, "catalogue.html");
mkdirSync(out, { recursive: true });
const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"];
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args });

async function shot(device, size, steps) {
  const context = await browser.newContext({ colorScheme: "light", locale: "en-US", timezoneId: "UTC", reducedMotion: "reduce", ...size });
  const page = await context.newPage();
  await page.goto(page_of(device));
  await page.locator("html[data-ready]").waitFor({ state: "attached" });
  const folder = name => page.locator(".row.folder:visible", { has: page.getByText(name, { exact: true }) }).first();
  await steps({ page, open: async (...names) => { for (const name of names) { await folder(name).click({ position: { x: 120, y: 20 } }); await page.waitForTimeout(200); } } });
  await page.waitForTimeout(300);
  const taken = await page.screenshot();
  await context.close();
  return "data:image/png;base64," + taken.toString("base64");
}

const desk = await shot("win7Laptop", { viewport: { width: 860, height: 580 } }, async ({ page, open }) => {
  await open("Documents", "House", "Photos", "2012");
  await page.mouse.wheel(0, -2000);
});
const phone = await shot("HTCphone", { viewport: { width: 400, height: 780 }, deviceScaleFactor: 0.76, hasTouch: true, isMobile: true }, async ({ page, open }) => {
  await open("Photos", "2014", "2014-02-02 Snow");
  await page.locator(".row:not(.folder):visible", { has: page.getByText("Snowman.png", { exact: true }) }).first().click();
});
const context = await browser.newContext({ viewport: { width: 1240, height: 640 } });
const page = await context.newPage();
await page.setContent(`<body style="margin:0;background:#e9e4d8;height:640px;position:relative">
  <img src="${desk}" style="position:absolute;left:24px;top:30px;border-radius:10px">
  <img src="${phone}" style="position:absolute;right:24px;top:18px;border-radius:20px;border:5px solid #2b2b2b">`);
await page.waitForTimeout(200);
await page.screenshot({ path: out + "/catalogue.png" });
await browser.close();
