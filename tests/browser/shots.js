// Takes pictures of the page: `node shots.js PAGES OUT`. For people to look at; nothing is tested. PAGES has
// what `examples/page --case CASE --out PAGES/CASE` makes: plain, news, empty, hostile, people, tight, twins, storm,
// own-storm and unlisted. ONLY=tree or ONLY=phone-dark takes those whose name has it.

import { chromium } from "playwright-core";
import { mkdirSync } from "node:fs";
import { resolve } from "node:path";
import { PASSWORD, serve } from "./nas.js";

const [pages, out] = process.argv.slice(2).map(p => resolve(p));
mkdirSync(out, { recursive: true });
const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP larder.local 127.0.0.1"];
const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args });
const only = process.env.ONLY;
const sizes = { phone: { viewport: { width: 412, height: 915 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true }, desktop: { viewport: { width: 1280, height: 860 } } };

async function shot(name, kind, scheme, file, act) {
  if (only && !`${name}-${kind}-${scheme}`.includes(only)) return;
  const context = await browser.newContext({ ...sizes[kind], colorScheme: scheme, locale: "en-US", timezoneId: "UTC", reducedMotion: "reduce" });
  const page = await context.newPage();
  page.on("console", m => console.log(name, m.type(), m.text()));
  page.on("pageerror", e => console.log(name, "error", e.message));
  await page.goto(file.includes("://") ? file : "file://" + pages + "/" + file);
  await page.locator("html[data-ready]").waitFor({ state: "attached" });
  if (act) await act(page);
  await page.waitForTimeout(150);
  await page.screenshot({ path: `${out}/${name}-${kind}-${scheme}.png` });
  await context.close();
}

const row = (page, text) => page.locator(".row:visible", { hasText: text }).first();
const expand = async (page, ...names) => { for (const n of names) { await page.locator(".row.folder:visible", { has: page.getByText(n, { exact: true }) }).first().click({ position: { x: 120, y: 20 } }); await page.waitForTimeout(150); } };
const toTheEnd = page => page.locator("#box .box-body, #box .going").evaluateAll(all => all.forEach(box => { box.scrollTop = box.scrollHeight; }));

for (const kind of ["phone", "desktop"]) for (const scheme of ["light", "dark"]) {
  const p = "plain/catalogue/catalogue.html";
  await shot("tree", kind, scheme, p, async page => { await expand(page, "Photos", "2012"); await page.locator(".row.folder", { hasText: "2012-" }).first().click(); });
  await shot("search", kind, scheme, p, async page => { await page.locator("#q").fill("img"); await page.waitForTimeout(300); });
  await shot("box-file", kind, scheme, p, async page => { await page.locator("#q").fill("dsc"); await page.waitForTimeout(300); await page.locator(".row:not(.folder):not(:has(.badge.own.here))").first().click(); });
  await shot("box-folder", kind, scheme, p, async page => { await row(page, "Documents").locator(".more").click(); });
  await shot("destroy", kind, scheme, p, async page => { await row(page, "Documents").locator(".more").click(); await page.locator("[data-op=destroy]").click(); });
  await shot("devices-step", kind, scheme, p, async page => { await row(page, "Documents").locator(".more").click(); await page.locator("[data-op=move]").click(); });
  await shot("share-folder", kind, scheme, p, async page => { await row(page, "Documents").locator(".more").click(); await page.locator("[data-op=share-folder]").click(); });
  const joined = async page => { await row(page, "Photos").locator(".more").click(); };
  await shot("joined-folder", kind, scheme, "news/catalogue/catalogue.html", joined);
  await shot("joined-change", kind, scheme, "news/catalogue/catalogue.html", async page => { await joined(page); await page.locator("[data-op=share-folder]").click(); });
  await shot("joined-revoke", kind, scheme, "news/catalogue/catalogue.html", async page => { await joined(page); await page.locator("[data-op=revoke]").click(); });
  await shot("joined-destroy", kind, scheme, "news/catalogue/catalogue.html", async page => { await joined(page); await page.locator("[data-op=destroy-folder]").click(); });
  await shot("moving", kind, scheme, p, async page => { await page.locator("[data-filter=moving]").click(); await page.waitForTimeout(300); });
  await shot("pending", kind, scheme, p, async page => {
    await row(page, "Documents").locator(".more").click(); await page.locator("[data-op=get]").click();
    await expand(page, "Documents");
  });
  await shot("save-step", kind, scheme, p, async page => {
    await row(page, "Documents").locator(".more").click(); await page.locator("[data-op=get]").click();
    await page.locator("#save").click(); await page.waitForTimeout(2600);
  });
  await shot("news", kind, scheme, "news/catalogue/catalogue.html");
  await shot("answers", kind, scheme, "news/catalogue/catalogue.html", async page => { const more = page.locator("[data-op=more-notes]"); if (await more.count()) await more.click(); await page.locator("[data-op=answers]").click(); });
  await shot("devices", kind, scheme, p, async page => { await page.locator(".device").first().click(); });
  await shot("empty", kind, scheme, "empty/catalogue/catalogue.html");
  await shot("hostile", kind, scheme, "hostile/catalogue/catalogue.html");
  const asks = "people/home/catalogue.html";
  await shot("asking", kind, scheme, asks);
  await shot("accept", kind, scheme, asks, page => page.locator("[data-op=accept]").first().click());
  await shot("accept-new", kind, scheme, asks, async page => { await page.locator("[data-op=accept]").first().click(); await page.locator("[data-op=as-new]").click(); });
  await shot("house", kind, scheme, asks, page => page.locator(".device").first().click());
  await shot("connect", kind, scheme, asks, async page => { await page.locator(".device").first().click(); await page.locator("[data-op=connect]").click(); });
  await shot("forget", kind, scheme, asks, async page => { await page.locator(".device").first().click(); await page.locator("[data-op=forget]").click(); });
  await shot("send", kind, scheme, asks, async page => { await page.locator("[data-filter=shared]").click(); await page.waitForTimeout(300); await page.locator(".row:not(.note):not(.folder)").first().click(); await page.locator("[data-op=send]").click(); });
  await shot("storm", kind, scheme, "storm/home/catalogue.html");
  for (const op of ["keep-mine", "allow"]) {
    await shot("storm-" + op, kind, scheme, "storm/home/catalogue.html", page => page.locator(`.storm [data-op=${op}]`).click());
  }
  await shot("storm-answered", kind, scheme, "storm/home/catalogue.html", async page => { await page.locator(".storm [data-op=keep-mine]").click(); await page.locator("#box [data-op=yes]").click(); });
  await shot("storm-on-its-own-device", kind, scheme, "own-storm/catalogue/catalogue.html");
  const tight = "tight/catalogue/catalogue.html";
  const getting = async (page, folder) => { await row(page, folder).locator(".more").click(); await page.locator("[data-op=get]").click(); await page.locator("#box [data-op=cancel]").waitFor(); };
  await shot("makes-room", kind, scheme, tight, page => getting(page, "Documents"));
  await shot("makes-room-end", kind, scheme, tight, async page => { await getting(page, "Documents"); await toTheEnd(page); });
  await shot("fits-in-part", kind, scheme, tight, page => getting(page, "Photos"));
  const twins = "twins/catalogue/catalogue.html";
  await shot("no-room", kind, scheme, twins, async page => { await expand(page, "Films"); await row(page, "Longest film").click(); await page.locator("#box [data-op=get]").click(); await page.locator("#box .no-room").waitFor(); });
  await shot("makes-room-for-names", kind, scheme, twins, page => getting(page, "Mixed"));
  await shot("makes-room-elsewhere", kind, scheme, "tight/home/catalogue.html", async page => {
    await row(page, "Documents").locator(".more").click(); await page.locator("[data-op=get-for]").click();
    await page.locator(".choice", { hasText: "Phone" }).click(); await page.locator("#box [data-op=go]").click(); await page.locator("#box [data-op=cancel]").waitFor();
  });
  await shot("rooms", kind, scheme, tight, page => page.locator(".device").first().click());
  const room = async page => { await page.locator(".device").first().click(); await page.locator("[data-op=device]").first().click(); await page.locator("#box .went").waitFor(); };
  await shot("room", kind, scheme, tight, room);
  await shot("room-end", kind, scheme, tight, async page => { await room(page); await toTheEnd(page); });
  await shot("room-no-limit", kind, scheme, tight, async page => { await page.locator(".device").first().click(); await page.locator("[data-op=device]", { hasText: "Laptop" }).click(); await page.locator("#box .big").waitFor(); });
  const versioned = async page => { await page.locator("[data-filter=shared]").click(); await page.waitForTimeout(300); await page.locator(".row:not(.note):not(.folder)").first().click(); };
  await shot("versions-button", kind, scheme, "news/catalogue/catalogue.html", versioned);
  await shot("versions", kind, scheme, "news/catalogue/catalogue.html", async page => { await versioned(page); await page.locator("#box [data-op=undo]").click(); });
  await shot("versions-end", kind, scheme, "news/catalogue/catalogue.html", async page => { await versioned(page); await page.locator("#box [data-op=undo]").click(); await toTheEnd(page); });
  await shot("bring-back", kind, scheme, "news/catalogue/catalogue.html", async page => { await page.locator("[data-filter=gone]").click(); await page.waitForTimeout(300); await row(page, "To the bank").click(); });
  const unlisted = async page => { await page.locator("#q").fill("dsc"); await page.waitForTimeout(300); await page.locator(".row:visible:not(.folder)").first().click(); await page.locator("#box [data-op=older]").waitFor(); };
  await shot("unlisted-button", kind, scheme, "unlisted/catalogue/catalogue.html", unlisted);
  await shot("unlisted", kind, scheme, "unlisted/catalogue/catalogue.html", async page => { await unlisted(page); await page.locator("#box [data-op=older]").click(); });
  const twin = async page => { await expand(page, "Documents", "Copies"); await page.locator(".row[aria-level='3']:visible").first().click(); await page.locator("#box [data-op=destroy]").click(); await page.locator("#box .stays:not(:empty)").waitFor(); };
  await shot("destroy-twin", kind, scheme, tight, twin);
  await shot("destroy-twins", kind, scheme, tight, async page => { await expand(page, "Documents"); await row(page, "Copies").locator(".more").click(); await page.locator("#box [data-op=destroy]").click(); await page.locator("#box .stays:not(:empty)").waitFor(); });
  await shot("asking-on-a-device", kind, scheme, "people/catalogue/catalogue.html");
  await shot("home", kind, scheme, "plain/home/catalogue.html", async page => { await expand(page, "Photos", "2012"); await page.locator(".row.folder", { hasText: "2012-" }).first().click(); });
  // Served by a NAS: somebody who may only read, signing in, and who is signed in.
  const home = await serve(pages + "/plain/home/catalogue.html");
  home.add("ab".repeat(32), "Firefox on Android");
  home.add("cd".repeat(32), "Safari on iPhone");
  const signIn = async page => { await page.locator("[data-op=sign-in]").click(); await page.locator("#box input").fill(PASSWORD); await page.locator("#box [data-op=go]").click(); await page.locator("#toast.on").waitFor(); };
  const wishFor = async page => { await row(page, "Music").locator(".more").click(); await page.locator("[data-op=destroy]").click(); await page.locator("[data-op=yes]").click(); };
  await shot("reader", kind, scheme, home.url);
  await shot("sign-in", kind, scheme, home.url, async page => { await wishFor(page); await page.locator("#save").click(); });
  await shot("sign-in-wrong", kind, scheme, home.url, async page => { await page.locator("[data-op=sign-in]").click(); await page.locator("#box input").fill("x"); await page.locator("#box [data-op=go]").click(); await page.locator("#box .wrong:not(:empty)").waitFor(); });
  await shot("sessions", kind, scheme, home.url, async page => { await signIn(page); await page.locator(".device").first().click(); await toTheEnd(page); });
  await shot("not-sent", kind, scheme, home.url, async page => { await signIn(page); await wishFor(page); home.state.lie = () => [503, JSON.stringify({ why: "the drive is not plugged in; the wishes are kept in the page until it is" })]; await page.locator("#save").click(); await page.locator("#box [data-op=again]").waitFor(); home.state.lie = null; });
  home.state.password = null;
  await shot("no-password", kind, scheme, home.url, page => page.locator("[data-op=sign-in]").click());
  home.end();
}
await browser.close();
