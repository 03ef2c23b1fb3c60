// The page's own pure parts, as functions for Node: the parts share one scope in the page, and so they do here.

import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const catalogue = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "src", "catalogue");

/** Some names of some parts, with what these need of a browser. */
export function parts(files, names, needs = {}) {
  const source = files.map(file => readFileSync(join(catalogue, file), "utf8")).join("");
  return Function(...Object.keys(needs), `"use strict";${source};return {${names.join()}};`)(...Object.values(needs));
}
