// The whole way, with nothing made up: a real tree of files, the real engine, its page in a real browser, a wish saved
// through a real file handle, the link made, the page telling it.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, existsSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { test } from "node:test";
import { act, browser, folder, handOver, ready, row, search, visit, worklist } from "./lib.js";

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
const program = process.env.LARDER || join(process.env.CARGO_TARGET_DIR || join(root, "target"), "debug", "larder");
// A tree that every Debian has; LARDER_TREE=/usr/share takes all of it.
const tree = process.env.LARDER_TREE || "/usr/share/perl5";

/** Waits until `look` has something, a minute at the most. */
async function until(what, look) {
  for (let i = 0; i < 600; i++) {
    const found = look();
    if (found) return found;
    await new Promise(done => setTimeout(done, 100));
  }
  throw new Error("in vain: " + what);
}

test("a real tree, the real engine: get pressed on the page, saved into its file, linked, told", async t => {
  assert.ok(existsSync(program), program + " is not built: cargo build");
  // Before the folder that goes at the end: hooks run in the order in which they are asked for.
  let engine;
  t.after(async () => {
    if (!engine || engine.exitCode !== null) return;
    engine.kill();
    await once(engine, "exit");
  });
  const home = folder(t), drive = join(home, "drive"), boot = join(home, "boot");
  mkdirSync(join(drive, "BTsync"), { recursive: true });
  mkdirSync(boot);
  cpSync(tree, join(drive, "BTsync/files/share"), { recursive: true, verbatimSymlinks: true });
  writeFileSync(join(drive, "BTsync/files/share/Letter to the house.txt"), "hello\n");
  writeFileSync(join(boot, "larder.toml"), "[devices.HTCphone]\n[web]\nenabled = false\n[sync]\nenabled = false\n");
  engine = spawn(program, ["run", "--drive", drive, "--boot", boot], { stdio: "ignore" });

  const file = join(drive, "BTsync/catalogue/HTCphone/catalogue.html");
  await until("a page", () => existsSync(file));
  const page = await visit(await browser(t), file);
  await handOver(page, file);
  await search(page, "Letter to the house");
  await row(page, "Letter to the house.txt").click();
  await act(page, "get").click();
  const before = statSync(file).ino;
  await page.locator("#save").click();
  await page.getByRole("button", { name: /Choose/ }).click();

  const link = join(drive, "BTsync/devices/HTCphone/share/Letter to the house.txt");
  await until("the link", () => existsSync(link));
  assert.equal(statSync(link).ino, statSync(join(drive, "BTsync/files/share/Letter to the house.txt")).ino);
  await until("a new page without the wish", () => statSync(file).ino !== before && worklist(file).json.items.length === 0);
  await page.reload();
  await ready(page);
  await search(page, "Letter to the house");
  await row(page, "Letter to the house.txt").click();
  await act(page, "open").and(page.locator(":enabled")).waitFor();
  assert.deepEqual(page.trouble, []);
});
