// A small server that keeps sessions and answers worklists as the NAS does, and lies when it is told to.

import { createHmac, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { answerTo } from "./lib.js";

export const PASSWORD = "open sesame";

/** A server that keeps sessions as the NAS does: what it is asked is in `asked`. */
export async function serve(page, options = {}) {
  const tokens = new Map(), asked = [];
  const proofOf = token => createHmac("sha256", token).update("larder proof").digest("hex");
  const state = { readers: true, password: true, lie: null, session: null, ...options };
  const add = (token, label) => tokens.set(token, { id: randomBytes(4).toString("hex"), label, from: "192.168.1.5", since: "2026-11-20T10:00:00Z", used: "2026-11-23T18:42:00Z" });
  const server = createServer((request, response) => {
    const chunks = [];
    request.on("data", chunk => chunks.push(chunk)).on("end", () => {
      const body = String(Buffer.concat(chunks)), { method, url } = request;
      const token = /larder=([0-9a-f]{64})/.exec(request.headers.cookie || "")?.[1], known = tokens.has(token);
      if (url !== "/") asked.push({ method, url, body, cookie: !!token });
      const say = (status, told = "", headers = {}) => response.writeHead(status, headers).end(told);
      if (url === "/" && (method === "GET" || method === "HEAD")) return say(known || state.readers ? 200 : 401, known || state.readers ? readFileSync(page) : "<h1>The door</h1>", { "Content-Type": "text/html" });
      if (url === "/session" && method === "GET" && state.session) return say(200, JSON.stringify(state.session));
      if (url === "/session" && method === "GET") {
        const kind = known ? "signed-in" : state.password ? "signed-out" : state.password === null ? "closed" : "claim";
        const list = known ? [...tokens].map(([each, s]) => ({ ...s, here: each === token })) : [];
        return say(200, JSON.stringify({ state: kind, readers: state.readers, proof: known ? proofOf(token) : null, sessions: list }));
      }
      if (url === "/session" && method === "POST") {
        if (JSON.parse(body).password !== PASSWORD) return say(state.refuse || 401, JSON.stringify({ why: state.why }));
        const fresh = randomBytes(32).toString("hex");
        add(fresh, "Chromium on Linux");
        return say(204, "", { "Set-Cookie": `larder=${fresh}; HttpOnly; SameSite=Strict; Path=/; Max-Age=2592000` });
      }
      if (method === "DELETE" && url === "/session") { tokens.delete(token); return say(204, "", { "Set-Cookie": "larder=; Path=/; Max-Age=0" }); }
      if (method === "DELETE") { for (const [each, s] of tokens) if (url === "/session/" + s.id) tokens.delete(each); return say(204); }
      if (url === "/worklist" && method === "POST") {
        if (!known) return say(401, JSON.stringify({ taken: [], refused: [], why: "sign in first" }));
        return state.lie ? say(...state.lie(body, proofOf(token))) : say(200, answerTo(body, proofOf(token)));
      }
      return say(404);
    });
  });
  await new Promise(done => server.listen(0, "127.0.0.1", done));
  return { url: "http://larder.local:" + server.address().port + "/", end: () => { server.closeAllConnections(); server.close(); }, asked, state, tokens, add,
    posts: () => asked.filter(a => a.url === "/worklist").map(a => a.body) };
}
