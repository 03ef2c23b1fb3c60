// Our own HMAC beside Node's, the vectors of the standards, and the NAS's side of the seal.

import assert from "node:assert/strict";
import { createHash, createHmac, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { parts } from "./modules.js";

const { sha256, hmac, inHex, seal, isSealed, randomHex } = parts(["hmac.js"], ["sha256", "hmac", "inHex", "seal", "isSealed", "randomHex"]);
const utf8 = text => new TextEncoder().encode(text);
const hex = text => Uint8Array.from(Buffer.from(text, "hex"));

test("SHA-256 of the examples of FIPS 180-4 and of every length around its blocks", () => {
  assert.equal(inHex(sha256(utf8("abc"))), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  assert.equal(inHex(sha256(utf8(""))), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  assert.equal(inHex(sha256(utf8("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"))), "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  assert.equal(inHex(sha256(new Uint8Array(1_000_000).fill(0x61))), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  for (let length = 0; length <= 260; length++) {
    const bytes = new Uint8Array(randomBytes(length));
    assert.equal(inHex(sha256(bytes)), createHash("sha256").update(bytes).digest("hex"), String(length));
  }
});

test("HMAC-SHA-256 of the test cases of RFC 4231", () => {
  for (const [key, data, mac] of [
    ["0b".repeat(20), Buffer.from("Hi There").toString("hex"), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"],
    [Buffer.from("Jefe").toString("hex"), Buffer.from("what do ya want for nothing?").toString("hex"), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"],
    ["aa".repeat(20), "dd".repeat(50), "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"],
    ["0102030405060708090a0b0c0d0e0f10111213141516171819", "cd".repeat(50), "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"],
    ["aa".repeat(131), Buffer.from("Test Using Larger Than Block-Size Key - Hash Key First").toString("hex"), "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"],
    ["aa".repeat(131), Buffer.from("This is a test using a larger than block-size key and a larger than block-size data. The key needs to be hashed before being used by the HMAC algorithm.").toString("hex"), "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"],
  ]) assert.equal(inHex(hmac(hex(key), hex(data))), mac);
});

test("HMAC like Node's, for keys and texts of any length", () => {
  for (let n = 0; n < 300; n++) {
    const key = new Uint8Array(randomBytes(n % 140)), data = new Uint8Array(randomBytes(n * 7 % 1000));
    assert.equal(inHex(hmac(key, data)), createHmac("sha256", key).update(data).digest("hex"), String(n));
  }
});

test("the seal is that of the NAS: the vectors of src/worklist/mac.rs", () => {
  const rust = readFileSync(new URL("../../src/worklist/mac.rs", import.meta.url), "utf8");
  const [, key] = /const KEY: &str = "([0-9a-f]{32})"/.exec(rust);
  const known = name => new RegExp(`const ${name}: &str = concat!\\(\\s*r#"(.*)"#,\\s*"([0-9a-f]{64})",`).exec(rust).slice(1).join("") + '"}';
  assert.equal(seal(key, "worklist", '{"v":2,"items":[]}'), known("KNOWN_WORKLIST"));
  assert.equal(seal(key, "answer", '{"taken":[]}'), known("KNOWN_ANSWER"));
  assert.ok(isSealed(key, "answer", known("KNOWN_ANSWER")));
  assert.ok(isSealed(key, "answer", known("KNOWN_ANSWER") + "\r\n"));
});

test("nothing else is sealed", () => {
  const key = randomHex(16), text = '{"taken":["\u00fc\u{1f600}"],"nonce":"00"}', sealed = seal(key, "answer", text);
  assert.ok(isSealed(key, "answer", sealed));
  const mac = createHmac("sha256", key).update("larder answer 2\n" + text.slice(0, -1)).digest("hex");
  assert.equal(sealed, text.slice(0, -1) + `,"mac":"${mac}"}`);
  for (const other of [text, "", "{}", sealed.replace("00", "01"), sealed.slice(1), sealed + "x", sealed.toUpperCase(), sealed.replace('"mac"', ' "mac"'), seal(key, "worklist", text)]) {
    assert.ok(!isSealed(key, "answer", other), other);
  }
  assert.ok(!isSealed(randomHex(16), "answer", sealed));
  for (const blank of [null, "", "0000", "aaaa"]) {
    assert.equal(seal(blank, "answer", text), text);
    const forged = createHmac("sha256", blank || "").update("larder answer 2\n" + text.slice(0, -1)).digest("hex");
    assert.ok(!isSealed(blank, "answer", text.slice(0, -1) + `,"mac":"${forged}"}`));
  }
  assert.match(randomHex(16), /^[0-9a-f]{32}$/);
  assert.notEqual(randomHex(16), randomHex(16));
});
