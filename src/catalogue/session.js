// Who this browser is to the NAS that serves the common page. That page has no key: what may be changed is told by the
// session (a cookie that no script can read), and the NAS proves its answers with `proof`, which only the two know.

let session = null;
// The proof of the first sign-in that this page saw, or of the last one made in it. Whatever is told later, no answer
// counts that is sealed with another: whoever comes in the NAS's place can't have it.
let pinned = null;

const bySession = () => served && !cfg.key;
const sessionFetch = (path, options) => fetch(path, { credentials: "same-origin", cache: "no-store", signal: AbortSignal.timeout(10000), ...options });

/**
 * What is told of the session, with the pinned proof where there is one.
 * @param {string|null} pinned
 * @param {any} told
 */
function sessionOf(pinned, told) {
  const state = ["claim", "closed", "signed-out", "signed-in"].includes(told && told.state) ? told.state : "signed-out";
  const proof = state !== "signed-in" ? null : pinned || (/^[0-9a-f]{64}$/.test(told.proof) ? told.proof : null);
  const sessions = Array.isArray(told && told.sessions) ? told.sessions.filter(s => s && /^[0-9a-f]{1,64}$/.test(s.id)) : [];
  return { state, proof, sessions };
}

async function askSession() {
  if (!bySession()) return;
  try {
    const answer = await sessionFetch("/session");
    if (answer.ok) session = sessionOf(pinned, await answer.json());
    else if (answer.status === 401) session = sessionOf(pinned, null);
    pinned = pinned || session && session.proof;
  } catch { /* out of reach: asked again when it is needed */ }
}

async function signedIn() {
  if (!session || !session.proof) await askSession();
  return !!(session && session.proof);
}

// What stands above the list while this browser may only look.
function sessionCards() {
  if (!bySession() || !session || session.state === "signed-in") return [];
  return [h("section", { class: "note-card signed-out" }, icon("key"), h("div", {}, h("b", {}, "You can look around."), h("p", {}, "To change something, " + (session.state === "signed-out" ? "sign in." : "a password has to be chosen first."))),
    h("button", { class: "small main", "data-op": "sign-in", onclick: signInStep }, session.state === "signed-out" ? "Sign in" : "How?"))];
}

const keptHere = () => waiting().length ? " Your changes are kept in this browser meanwhile." : "";

function signInStep() {
  const state = session ? session.state : "signed-out";
  const cancel = { op: "later", icon: "close", label: "Later", hint: "just look around", huge: true, act: closeBox };
  if (state === "claim" || state === "closed") {
    step({ icon: "key", title: "No password yet", facts: bdi(clean(house.nas)), text: [(state === "claim" ? "Whoever chooses the password of this NAS may change things."
      : "A password can be chosen in the half hour after Larder was switched on. Switch it off and on again, then open its page.") + keptHere()],
    buttons: [{ op: "door", icon: "key", label: state === "claim" ? "Choose it" : "Look again", hint: "opens the first page", main: true, huge: true, act: () => location.assign("/sign-in") }, cancel] });
    return;
  }
  const input = h("input", { type: "password", "data-first": true, autocomplete: "current-password", maxlength: 1024 }), wrong = h("p", { class: "wrong", role: "alert" });
  const go = async () => {
    wrong.textContent = input.value ? "" : "Write the password.";
    if (!input.value) return input.focus();
    const why = await signIn(input.value);
    if (why) {
      wrong.textContent = why;
      input.select();
      return input.focus();
    }
    closeBox();
    notes();
    if (waiting().length) save(); else toast("You are signed in.");
  };
  // A form for the sake of password managers; it sends nothing by itself.
  const form = h("form", { onsubmit: e => { e.preventDefault(); go(); } }, h("label", { class: "field" }, "Password", input));
  step({ icon: "key", title: "Sign in", facts: bdi(clean(house.nas)), text: ["With the password of this NAS." + keptHere()],
    parts: [form, wrong],
    buttons: [{ op: "go", icon: "check", label: "Sign in", hint: "this browser, for 30 days", main: true, huge: true, act: go }, cancel] });
}

// Signs in; why not, if not.
async function signIn(password) {
  try {
    const answer = await sessionFetch("/session", { method: "POST", body: JSON.stringify({ password }), headers: { "Content-Type": "application/json" } });
    if (answer.ok) {
      // Somebody typed the password just now: the proof is a new one.
      session = pinned = null;
      await askSession();
      return session && session.proof ? "" : "The browser does not keep the sign-in. Allow cookies for this page.";
    }
    return answer.status === 401 ? "That is not the password." : sentence(clean(whyOf(await answer.text())));
  } catch {
    return "Your NAS did not answer. Try again in a moment.";
  }
}

// The browsers that are signed in, at the end of the devices.
function sessionRows() {
  if (!bySession() || !session || !session.proof) return null;
  const at = text => { const secs = Date.parse(text) / 1000; return Number.isFinite(secs) ? moment(secs) : ""; };
  const first = s => s.here ? 0 : 1, listed = [...session.sessions].sort((a, b) => first(a) - first(b));
  const rows = listed.map(s => h("li", {}, h("span", { class: "badge" + (s.here ? " here" : "") }, icon("key")),
    h("div", {}, h("span", {}, bdi(clean(s.label || "A browser")), s.here ? " (this browser)" : ""),
      h("small", {}, [s.used && "used " + at(s.used), s.from && "from " + clean(s.from)].filter(Boolean).join(" \u00b7 ")), s.since && h("small", {}, "signed in " + at(s.since))),
    h("button", { class: "small", "data-op": "sign-out", onclick: () => signOut(s) }, "Sign out")));
  return rows.length ? [h("h3", {}, "Signed in with the password"), h("ul", { class: "room sessions" }, rows)] : null;
}

async function signOut(s) {
  try {
    const answer = await sessionFetch("/session" + (s.here ? "" : "/" + s.id), { method: "DELETE" });
    if (!answer.ok && answer.status !== 404 && answer.status !== 401) throw new Error(String(answer.status));
  } catch {
    return toast("Your NAS did not answer. Nobody was signed out.");
  }
  if (s.here) return location.assign("/");
  await askSession();
  devicesBox();
}
