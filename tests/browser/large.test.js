// Large catalogues stay quick. LARDER_FILES sets the size; default 100,000.

import assert from "node:assert/strict";
import { test } from "node:test";
import { act, browser, expand, own, pages, row, search, text, visit } from "./lib.js";

const files = +(process.env.LARDER_FILES || 100_000);

test(`${files} files are usable`, async t => {
  const out = pages(t, { files, case: "log" }), context = await browser(t);
  t.diagnostic(out.told.trim().split("\n").at(-1));
  const start = performance.now(), page = await visit(context, own(out));
  t.diagnostic("first rows after " + Math.round(performance.now() - start) + " ms");
  // The longest that the page was busy without a pause.
  await page.evaluate(() => { window.longest = 0; new PerformanceObserver(l => { for (const e of l.getEntries()) window.longest = Math.max(window.longest, e.duration); }).observe({ entryTypes: ["longtask"] }); });
  // A folder that only the log knows.
  await expand(page, "A new folder");
  await expand(page, "inside");
  await row(page, "new.txt").waitFor();
  await expand(page, "Photos");
  const searching = performance.now();
  await search(page, "added later");
  t.diagnostic("all names searched in " + Math.round(performance.now() - searching) + " ms");
  assert.equal(await text(page, "#count"), "1 found");
  // What the log took away is gone, and what it brought in a new folder is there.
  await search(page, "inside new");
  assert.equal(await page.locator(".row:visible .name").first().innerText(), "new.txt");
  await search(page, "jpg");
  assert.match(await text(page, "#count"), /^[\d,]+ found/);
  await page.keyboard.press("ArrowDown");
  for (let i = 0; i < 20; i++) await page.keyboard.press("PageDown");
  await page.keyboard.press("Enter");
  await act(page, "get").waitFor();
  assert.equal(await row(page, "2004").count(), 0);
  const longest = await page.evaluate(() => window.longest);
  t.diagnostic("longest without a pause " + Math.round(longest) + " ms");
  assert.ok(longest < 1000);
  assert.deepEqual(page.trouble, []);
});
