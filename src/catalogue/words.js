// How names, sizes, times and states are said.

const lang = /^en/i.test(navigator.language) ? navigator.language : "en-GB";
const whole = new Intl.NumberFormat(lang);
const num = n => whole.format(n);
const plural = (n, one, many) => num(n) + " " + (n === 1 ? one : many || one + "s");

function size(bytes) {
  const units = ["kB", "MB", "GB", "TB", "PB"];
  if (bytes < 1000) return plural(bytes, "byte");
  let u = -1;
  do { bytes /= 1000; u++; } while (bytes >= 999.5 && u < units.length - 1);
  const digits = bytes < 9.95 ? 1 : 0;
  return bytes.toLocaleString(lang, { maximumFractionDigits: digits, minimumFractionDigits: digits }) + " " + units[u];
}

const dayForm = new Intl.DateTimeFormat(lang, { year: "numeric", month: "short", day: "numeric" });
const timeForm = new Intl.DateTimeFormat(lang, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const date = secs => dayForm.format(secs * 1000);
const time = secs => timeForm.format(secs * 1000);

const shortForm = new Intl.DateTimeFormat(lang, { month: "short", day: "numeric" });
// "today 18:42", "yesterday 09:10", "May 19 18:42", and with the year when it is not this one.
function moment(secs) {
  const day = t => new Date(t).setHours(0, 0, 0, 0), now = Date.now();
  const days = Math.round((day(now) - day(secs * 1000)) / 864e5);
  return (days === 0 ? "today" : days === 1 ? "yesterday" : days > 1 && days < 300 ? shortForm.format(secs * 1000) : date(secs)) + " " + time(secs);
}

function span(secs) {
  const [n, unit] = secs >= 86400 ? [secs / 86400, "day"] : secs >= 3600 ? [secs / 3600, "hour"] : [secs / 60, "minute"];
  return plural(Math.max(1, Math.round(n)), unit);
}

const list = words => new Intl.ListFormat(lang).format(words);

const utf8 = new TextDecoder();
const bytesOf = name => Uint8Array.from(name, c => c.charCodeAt(0));
const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffd]/g;

// A name of bytes as text; what would hide or dress up something is shown as a box.
function show(name) {
  const plain = /^[ -~]*$/.test(name);
  return plain ? name : utf8.decode(bytesOf(name)).replace(HIDDEN, "\u25af");
}

const clean = text => String(text).replace(/\n/g, " ").replace(HIDDEN, "\u25af");
const showPath = path => path.split("/").map(show).join(" \u203a ");

const percent = path => path.replace(/[^A-Za-z0-9\-._~/]/g, c => "%" + c.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0"));
const fromPercent = text => text.replace(/%([0-9A-Fa-f]{2})/g, (_, h) => String.fromCharCode(parseInt(h, 16)));
const fromText = text => binary(new TextEncoder().encode(text.normalize("NFC")));

// Small letters without accents, for searching.
const fold = text => /^[\u0000-\u007f]*$/.test(text) ? text.toLowerCase()
  : text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();

// Where the words of a search stand in a text: pairs of start and end.
function hits(text, words) {
  let low = "";
  const at = [];
  let i = 0;
  for (const c of text) {
    const f = fold(c);
    for (let k = 0; k < f.length; k++) at.push(i);
    low += f;
    i += c.length;
  }
  at.push(i);
  const found = [];
  for (const word of words) {
    for (let p = low.indexOf(word); p >= 0; p = low.indexOf(word, p + word.length)) found.push([at[p], at[p + word.length]]);
  }
  found.sort((a, b) => a[0] - b[0]);
  return found.filter((x, n) => x[1] > x[0] && (!n || x[0] >= found[n - 1][1]));
}

const KINDS = {
  image: "jpg jpeg png gif webp heic heif avif bmp tif tiff svg raw cr2 nef dng",
  video: "mp4 mov mkv avi webm m4v 3gp mpg mpeg",
  music: "mp3 flac ogg opus m4a aac wav wma aiff",
  text: "txt md pdf doc docx odt rtf xls xlsx ods csv ppt pptx odp epub tex",
  code: "js ts rs py c h cpp java go html css json xml sh toml yaml yml",
  archive: "zip gz xz tar 7z rar bz2 zst iso img",
};
const kinds = new Map(Object.entries(KINDS).flatMap(([kind, ends]) => ends.split(" ").map(end => [end, kind])));

function kindOf(x) {
  if (isFolder(x)) return "folder";
  const end = /\.([A-Za-z0-9]{1,5})$/.exec(x.n);
  return end && kinds.get(end[1].toLowerCase()) || "file";
}

// What a wish will do, in two or three words, and in a sentence.
const WILL = {
  get: "will get", delete: "will delete here", destroy: "will destroy", move: "will move", share: "will share",
  revoke: "will end the share", torrent: "will make a torrent", "torrent-once": "will make a one-time torrent",
  mkdir: "will create", "share-folder": "will share", "revoke-share": "will end the share",
  "destroy-folder": "will destroy for the others", accept: "will let in", refuse: "will turn away", forget: "will forget", pin: "will pin", unpin: "will unpin", undo: "will bring back", open: "opened",
  allow: "will let it happen", "keep-mine": "will keep yours",
};
const WISHED = { ...Object.fromEntries(Object.entries(WILL).map(([op, words]) => [op, words.replace(/^will /, "").replace(/^./, c => c.toUpperCase())])), open: "Open" };

// A DOM element: properties, then children; texts only ever become text.
function h(tag, props, ...kids) {
  const el = document.createElement(tag);
  for (const [key, value] of Object.entries(props || {})) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) el.addEventListener(key.slice(2), value);
    else if (key === "class") el.className = value;
    else el.setAttribute(key, value === true ? "" : value);
  }
  el.append(...kids.flat().filter(kid => kid !== null && kid !== undefined && kid !== false));
  return el;
}

const SVG = "http://www.w3.org/2000/svg";
function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", "#i-" + name);
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

// A name from the drive, kept from reaching into its surroundings.
const bdi = (text, cls) => h("bdi", { dir: "auto", class: cls }, text);
