// A full phone with the real engine: what its page says before a get is what goes, and nothing else.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, linkSync, mkdirSync, readdirSync, readFileSync, renameSync, utimesSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import { act, browser, folder, row, sealed, text, visit, wishes } from "./lib.js";

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
const program = process.env.LARDER || join(process.env.CARGO_TARGET_DIR || join(root, "target"), "debug", "larder");

test("what the page says would go is what the engine takes", async t => {
  assert.ok(existsSync(program), program + " is not built: cargo build");
  const home = folder(t), drive = join(home, "drive"), boot = join(home, "boot"), files = join(drive, "BTsync/files");
  mkdirSync(boot);
  for (const dir of ["a", "b", "b/deep"]) mkdirSync(join(files, dir), { recursive: true });
  const put = (name, bytes, age) => {
    writeFileSync(join(files, name), "x".repeat(bytes));
    utimesSync(join(files, name), 1.7e9 - age * 1000, 1.7e9 - age * 1000);
  };
  // Sizes that are no whole blocks, and times in no order of the names.
  for (let n = 0; n < 30; n++) put(["a/", "b/", "b/deep/"][n % 3] + "file " + n, 1 + n * 977 % 9000, n * 7 % 30);
  put("film", 50_000, 0);
  linkSync(join(files, "film"), join(files, "film again"));
  put("too large", 400_000, 0);
  const run = () => execFileSync(program, ["run", "--once", "--settle", "1", "--drive", drive, "--boot", boot], { stdio: "ignore" });
  const pages = join(drive, "BTsync/catalogue/HTCphone");
  let lists = 0;
  const wished = items => {
    const own = JSON.parse(/<script type="application\/json" id="cfg">([^]*?)<\/script>/.exec(readFileSync(join(pages, "catalogue.html"), "utf8"))[1]);
    const list = { v: 2, page: own.page, device: own.device, gen: 1, nonce: "0".repeat(32), items: items.map((item, n) => ({ id: (100 * ++lists + n).toString(16).padStart(20, "0"), at: "2026-11-23T10:00:00Z", ...item })) };
    writeFileSync(join(home, "list"), sealed(own.key, "worklist", JSON.stringify(list)));
    renameSync(join(home, "list"), join(pages, `catalogue-worklist-HTCphone-${lists}.json`));
    run();
  };
  const quota = kib => writeFileSync(join(boot, "larder.toml"), `[devices.HTCphone]\nquota = "${kib} KiB"\n[web]\nenabled = false\n[sync]\nenabled = false\n`);
  quota(1000);
  run();
  wished([{ op: "get", path: "a" }, { op: "get", path: "b" }, { op: "pin", path: "a/file%203" }]);
  quota(200);
  run();
  const there = () => readdirSync(join(drive, "BTsync/devices/HTCphone"), { recursive: true, withFileTypes: true }).filter(e => e.isFile()).map(e => e.name).sort();
  const before = there();

  const page = await visit(await browser(t), join(pages, "catalogue.html"));
  await row(page, "too large").click();
  await act(page, "get").click();
  assert.match(await page.locator(".no-room").innerText(), /it does not fit this device: it needs 401 kB; the limit there is 205 kB, 4\.1 kB of it pinned\./);
  await page.keyboard.press("Escape");
  await row(page, "film").click();
  await act(page, "get").click();
  await act(page, "go").waitFor();
  const said = (await page.locator("#box .going bdi:first-child").allInnerTexts()).filter(name => name.startsWith("file ")).sort();
  assert.ok(said.length > 3 && said.length < before.length - 3, said + " of " + before);
  assert.ok(!said.includes("file 3"));
  assert.ok((await text(page, "#box")).includes(`To make room, ${said.length} files (`));
  await act(page, "go").click();
  const [wish] = await wishes(page);
  wished([{ op: wish.op, path: wish.path }]);
  const after = there();
  assert.deepEqual(before.filter(name => !after.includes(name)), said);
  assert.ok(after.includes("film"));

  await page.reload();
  await page.locator("html[data-ready]").waitFor({ state: "attached" });
  await page.locator(".device").first().click();
  await act(page, "device").first().click();
  await page.locator("#box .went li").first().waitFor();
  const went = (await page.locator("#box .went li span > bdi:first-child").allInnerTexts()).sort();
  assert.ok(said.every(name => went.includes(name)), said + " in " + went);

  // Another name of what is there needs nothing: nothing is said, and nothing goes.
  await page.keyboard.press("Escape");
  await row(page, "film again").click();
  await act(page, "get").click();
  await page.locator("#box:not([open])").waitFor({ state: "attached" });
  wished([{ op: "get", path: (await wishes(page)).at(-1).path }]);
  assert.deepEqual(there(), [...after, "film again"].sort());
  assert.deepEqual(page.trouble, []);
});
