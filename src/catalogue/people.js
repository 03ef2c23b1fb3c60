// Who belongs to the house and who may fetch from it: devices that ask, a phone to be connected, what
// to send to somebody else.

// The QR code of a text that the NAS made one for (its own device id), or null. Dark on white in
// every scheme, with the quiet zone of four modules, because cameras want it so.
function qr(text) {
  if (!house.qr || text !== house.id) return null;
  const bytes = bytesOf(atob(house.qr)), side = Math.floor(Math.sqrt(bytes.length * 8)), svg = document.createElementNS(SVG, "svg"), path = document.createElementNS(SVG, "path");
  let d = "";
  for (let i = 0; i < side * side; i++) if (bytes[i >> 3] >> (7 - i % 8) & 1) d += "M" + (i % side + 4) + " " + (Math.floor(i / side) + 4) + "h1v1h-1z";
  path.setAttribute("d", d);
  svg.setAttribute("viewBox", "0 0 " + (side + 8) + " " + (side + 8));
  svg.setAttribute("class", "qr");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", "QR code of the device ID");
  svg.append(path);
  return svg;
}

const copyId = () => house.id && { op: "copy", icon: "copy", label: "Copy the ID", hint: "to paste it somewhere", huge: true, act: () => copy(house.id) };

function connectStep() {
  const steps = ["Install a Syncthing app on the phone and open it.", "Add a device there: scan this code, or type the ID below it.",
    "Come back to the page at home: the phone is shown there as asking. Accept it, and accept the two folders on the phone. Its page is then BTsync/catalogue/catalogue.html."];
  const waits = "Larder does not know its own device ID yet: its sync engine is not running. What is the matter is told on the page and in STATUS.txt.";
  step({ icon: "devices", title: "Connect a phone", facts: "or a tablet, or a computer", back: devicesBox, text: house.id ? [] : [waits],
    parts: house.id ? [h("div", { class: "connect" }, qr(house.id), h("ol", {}, steps.map(text => h("li", {}, text)))), h("p", { class: "text" }, h("code", {}, house.id))] : [],
    buttons: [copyId(), { op: "close", icon: "check", label: "Close", hint: "the phone asks by itself", huge: true, main: true, act: closeBox }] });
}

// What to send to the person that something is shared with.
function sendStep(x, share) {
  step({ icon: "share", title: "Send this", facts: share.with ? ["for ", bdi(clean(share.with))] : "to the other person", back: backTo(x),
    text: ["They add this device in their Syncthing, by the code or the ID, and send you theirs. Let them in when they ask, or share it again with the same word and their ID. Then the folder is offered to them."],
    parts: [h("div", { class: "connect" }, qr(house.id), h("p", { class: "text" }, ...share.link.split("\n").flatMap(line => [h("code", {}, clean(line)), h("br", {})])))],
    buttons: [{ op: "copy", icon: "copy", label: "Copy", hint: "to send it", main: true, huge: true, act: () => copy(share.link) }, { icon: "check", label: "Close", huge: true, act: closeBox }] });
}

const aboutDevices = w => ABOUT[w.op] === "member";
// The wish about one that asks, as a device or as a person for a share, or about a device by its name.
const decided = (id, name) => [...wishes.values()].filter(w => id ? w.with && w.with.endsWith(id) : w.op === "forget" && w.to[0] === name).pop();

// A decision takes the place of one about the same device that is not saved yet.
function decide(op, more) {
  for (const w of unsaved()) if (aboutDevices(w) && w.with && w.with === more.with && mayTakeBack(w)) dropWish(w.id);
  wish(op, "", more);
  closeBox();
}

const nameOfAsking = a => clean(a.name) || "A device without a name";
const whereFrom = address => clean(address || "").replace(/^[a-z0-9]+:\/\//, "").replace(/:\d+$/, "");

function askingCard(a) {
  const now = decided(a.id), facts = [a.from && "from " + whereFrom(a.from), a.at && "since " + moment(a.at)].filter(Boolean).join(" \u00b7 ");
  return h("section", { class: "note-card warn asking" }, icon("devices"), h("div", {}, h("b", {}, bdi(nameOfAsking(a)), " asks to be let in."), h("p", {}, h("code", {}, a.id), facts && " " + facts),
      !may("accept") && h("p", {}, "Answer on the page at home" + (house.home ? ", " + house.home : "") + ".")),
    may("accept") && (now ? h("span", { class: "tag" }, WILL[now.op]) : h("span", { class: "two" }, h("button", { class: "small", "data-op": "refuse", onclick: () => decide("refuse", { with: a.id }) }, "Refuse"),
      h("button", { class: "small main", "data-op": "accept", onclick: () => acceptStep(a) }, "Accept"))));
}

const askingCards = () => house.asking.filter(a => !a.refused).map(askingCard);

function acceptStep(a) {
  const free = house.devices.filter(device => !device.known), name = nameOfAsking(a);
  step({ icon: "devices", title: "Let in " + name, facts: whereFrom(a.from),
    text: ["Only if its Syncthing shows the same ID:", h("p", { class: "text" }, h("code", {}, a.id)), free.length ? "Which device is it?" : null],
    buttons: [
      ...free.map(device => ({ op: "as", icon: "devices", label: clean(device.label), hint: "one of your devices", main: free.length === 1, act: () => decide("accept", { with: a.id, to: [device.name] }) })),
      { op: "as-new", icon: "mkdir", label: "A new device", hint: "of your own", main: !free.length, act: () => newDeviceStep(a) },
      { op: "as-person", icon: "share", label: "Another person", hint: house.shares.length ? "who may fetch a share" : "share something first", off: !house.shares.length || !may("share"), act: () => personStep(a) },
    ] });
}

const deviceNamed = name => house.devices.find(device => device.name.toLowerCase() === name.toLowerCase());

// A name for a device made of what it calls itself.
function suggestName(text) {
  const base = text.normalize("NFKD").replace(/\p{M}/gu, "").replace(/[^A-Za-z0-9._-]+/g, "-").replace(/^[^A-Za-z0-9]+|[^A-Za-z0-9]+$/g, "").slice(0, 60) || "phone";
  let name = base;
  for (let n = 2; deviceNamed(name); n++) name = base + n;
  return name;
}

const wrongDevice = name => !/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/.test(name) ? "Use letters, digits, \u201c.\u201d, \u201c_\u201d or \u201c-\u201d, and begin with a letter or digit."
  : deviceNamed(name) ? "There is a device of that name already." : "";

function newDeviceStep(a) {
  const input = h("input", { type: "text", maxlength: 64, "data-first": true, autocomplete: "off", spellcheck: "false" }), wrong = h("p", { class: "wrong", role: "alert" });
  input.value = suggestName(a.name);
  const go = () => {
    const name = input.value.trim();
    wrong.textContent = wrongDevice(name);
    if (wrong.textContent) return input.focus();
    decide("accept", { with: a.id, to: [name] });
  };
  input.addEventListener("keydown", e => { if (e.key === "Enter") { e.preventDefault(); go(); } });
  step({ icon: "devices", title: "A new device", facts: bdi(nameOfAsking(a)), back: () => acceptStep(a), text: ["Its folder on the drive gets this name."],
    parts: [h("label", { class: "field" }, "Name", input), wrong],
    buttons: [{ op: "go", icon: "check", label: "Let it in", hint: "as a device of yours", main: true, huge: true, act: go }, { icon: "close", label: "Cancel", huge: true, hint: "change nothing", act: closeBox }] });
}

function personStep(a) {
  step({ icon: "share", title: "Which share?", facts: ["for ", bdi(nameOfAsking(a))], back: () => acceptStep(a),
    text: ["They get what is in that share and nothing else."],
    buttons: house.shares.map(s => ({ op: "share", icon: "share", label: show(fromPercent(s.path).split("/").pop()), hint: s.with ? "shared with " + clean(s.with) : "shared", act: () => {
      wish(s.folder ? "share-folder" : "share", fromPercent(s.path), { with: (s.with + " " + a.id).trim() });
      closeBox();
    } })) });
}

function forgetStep(device) {
  step({ icon: "warn", danger: true, title: "Forget " + clean(device.label) + "?", facts: "lost, or given away", back: devicesBox,
    text: ["It gets nothing any more, and what its page still wished is dropped. What it had stays on the NAS. What is on the device itself stays there: nobody can reach it."],
    buttons: [{ op: "yes", icon: "close", label: "Forget it", hint: "at once", danger: true, huge: true, act: () => decide("forget", { to: [device.name] }) },
      { icon: "check", label: "Cancel", huge: true, hint: "keep it", act: closeBox }] });
  by("box").querySelector(".grid button:last-child").focus();
}

// How long ago, for what is longer ago than a week.
function ago(secs) {
  const days = Math.floor((Date.now() / 1000 - secs) / 86400);
  return days < 7 ? moment(secs) : days < 60 ? plural(Math.floor(days / 7), "week") + " ago" : plural(Math.floor(days / 30), "month") + " ago";
}

// Whether a device is there and has everything.
function presence(device, d) {
  const moving = tree.root.all.moving[d], way = moving ? num(moving) + (device.up ? " on the way" : " wait for it") : "";
  const at = device.up ? "connected" + (device.from ? " from " + whereFrom(device.from) : "") : device.seen ? "last seen " + ago(device.seen) : device.known ? "not seen yet" : "not connected to the NAS";
  return [at, way || (device.up ? "in sync" : "")].filter(Boolean).join(" \u00b7 ");
}

// What a row of the devices has besides words.
function deviceActs(device) {
  if (!may("forget") || !device.letin) return null;
  const asked = decided(null, device.name);
  return asked ? h("span", { class: "tag" }, WILL.forget) : h("button", { class: "small", "data-op": "forget", onclick: () => forgetStep(device) }, "Forget");
}

// Who was turned away and asks again: quietly, at the end of the devices.
const refusedRows = () => house.asking.filter(a => a.refused).map(a => h("li", {}, h("span", { class: "badge" }, "?"),
  h("div", {}, h("span", {}, bdi(nameOfAsking(a))), h("small", {}, "turned away, asks again \u00b7 " + a.id)),
  may("accept") && (decided(a.id) ? h("span", { class: "tag" }, WILL[decided(a.id).op]) : h("button", { class: "small", "data-op": "accept", onclick: () => acceptStep(a) }, "Accept"))));
