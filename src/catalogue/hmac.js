// HMAC-SHA-256 (FIPS 180-4, RFC 2104) and the seal made with it. A page that is served over plain http is no secure
// context and has no crypto.subtle, so this is our own, for every page alike. src/worklist/mac.rs is the other side.

// The first 32 bits of the fractional parts of the square roots of the first 8 primes, and of the cube roots of the
// first 64: worked out, since a table of them is what nobody proofreads. Doubles hold all of these bits.
const PRIMES = [];
for (let n = 2; PRIMES.length < 64; n++) if (PRIMES.every(p => n % p)) PRIMES.push(n);
const fraction = x => (x - Math.floor(x)) * 2 ** 32 | 0;
const SHA_START = PRIMES.slice(0, 8).map(p => fraction(Math.sqrt(p)));
const SHA_ROUNDS = PRIMES.map(p => fraction(Math.cbrt(p)));

const rotate = (x, n) => x >>> n | x << 32 - n;

/**
 * The SHA-256 of some bytes.
 * @param {Uint8Array} bytes
 * @returns {Uint8Array} 32 bytes
 */
function sha256(bytes) {
  const padded = new Uint8Array((bytes.length + 72) >> 6 << 6), view = new DataView(padded.buffer);
  padded.set(bytes);
  padded[bytes.length] = 0x80;
  view.setUint32(padded.length - 8, Math.floor(bytes.length / 2 ** 29));
  view.setUint32(padded.length - 4, bytes.length << 3);
  const state = Int32Array.from(SHA_START), w = new Int32Array(64);
  for (let at = 0; at < padded.length; at += 64) {
    for (let i = 0; i < 16; i++) w[i] = view.getInt32(at + 4 * i);
    for (let i = 16; i < 64; i++) {
      const x = w[i - 15], y = w[i - 2];
      const s0 = rotate(x, 7) ^ rotate(x, 18) ^ x >>> 3, s1 = rotate(y, 17) ^ rotate(y, 19) ^ y >>> 10;
      w[i] = w[i - 16] + s0 + w[i - 7] + s1 | 0;
    }
    let [a, b, c, d, e, f, g, last] = state;
    for (let i = 0; i < 64; i++) {
      const s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25), one = last + s1 + (e & f ^ ~e & g) + SHA_ROUNDS[i] + w[i] | 0;
      const s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22), two = s0 + (a & b ^ a & c ^ b & c) | 0;
      [last, g, f, e, d, c, b, a] = [g, f, e, d + one | 0, c, b, a, one + two | 0];
    }
    [a, b, c, d, e, f, g, last].forEach((word, i) => { state[i] = state[i] + word | 0; });
  }
  const out = new Uint8Array(32), words = new DataView(out.buffer);
  state.forEach((word, i) => words.setInt32(4 * i, word));
  return out;
}

const concat = (one, other) => {
  const both = new Uint8Array(one.length + other.length);
  both.set(one);
  both.set(other, one.length);
  return both;
};

/**
 * The HMAC-SHA-256 of some bytes.
 * @param {Uint8Array} key
 * @param {Uint8Array} bytes
 * @returns {Uint8Array} 32 bytes
 */
function hmac(key, bytes) {
  const block = new Uint8Array(64);
  block.set(key.length > 64 ? sha256(key) : key);
  return sha256(concat(block.map(b => b ^ 0x5c), sha256(concat(block.map(b => b ^ 0x36), bytes))));
}

const inHex = bytes => Array.from(bytes, b => b.toString(16).padStart(2, "0")).join("");
const randomHex = bytes => inHex(crypto.getRandomValues(new Uint8Array(bytes)));

// What a seal says of the text it is on.
const SEALED = { worklist: "larder worklist 2\n", answer: "larder answer 2\n" };

// A key that nobody drew: none, or one character over and over. It seals nothing.
const blankKey = key => !key || [...key].every(c => c === key[0]);

function macOf(key, what, open) {
  const encoder = new TextEncoder();
  return inHex(hmac(encoder.encode(key), encoder.encode(SEALED[what] + open)));
}

/**
 * A JSON object with the seal as its last member. Covers the bytes as they are: escape before, not after.
 * @param {string|null} key
 * @param {"worklist"|"answer"} what
 * @param {string} text an object with at least one member
 * @returns {string}
 */
function seal(key, what, text) {
  if (blankKey(key)) return text;
  const open = text.slice(0, -1);
  return open + ',"mac":"' + macOf(key, what, open) + '"}';
}

/**
 * Whether a text ends in the seal of that key. White space around it does not count.
 * @param {string|null} key
 * @param {"worklist"|"answer"} what
 * @param {string} text
 * @returns {boolean}
 */
function isSealed(key, what, text) {
  const parts = /^([^]*),"mac":"([0-9a-f]{64})"}$/.exec(text.trim());
  // Compared plainly: who could measure how long it takes runs in this page already.
  return !!parts && !blankKey(key) && macOf(key, what, parts[1]) === parts[2];
}
