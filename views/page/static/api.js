// Requests to the view, with the token if it wants one, and the event stream. The stream is read with fetch and not with
// EventSource, which cannot send a token.
import { t } from "./i18n.js";

const tokenKey = "potok.token";
const login = document.getElementById("login");
const input = document.getElementById("token");
let asking = null;

function askToken() {
  asking ??= new Promise((resolve) => {
    document.getElementById("login-error").textContent = sessionStorage.getItem(tokenKey) ? t("wrongToken") : "";
    const done = () => {
      const token = input.value.trim();
      if (!token) return;
      input.value = "";
      if (!/^[!-~]+$/.test(token)) { // no header can carry it, so the view can't be asked
        document.getElementById("login-error").textContent = t("wrongToken");
        return;
      }
      sessionStorage.setItem(tokenKey, token);
      asking = null;
      login.close();
      resolve();
    };
    login.querySelector("form").onsubmit = (e) => { e.preventDefault(); done(); };
    login.oncancel = (e) => e.preventDefault();
    login.showModal();
  });
  return asking;
}

export async function request(path, options = {}) {
  for (;;) {
    const token = sessionStorage.getItem(tokenKey);
    const headers = { ...options.headers, ...(token ? { Authorization: `Bearer ${token}` } : {}) };
    const resp = await fetch(path, { ...options, headers, cache: "no-store" });
    if (resp.status !== 401) return resp;
    if (sessionStorage.getItem(tokenKey) === token) await askToken(); // else another request has asked meanwhile
  }
}

// get returns an answer. measured, if given, is told when the answer's lag was measured, in this machine's time: the age is taken
// by the view's clock, which may differ.
export async function get(path, measured = () => {}) {
  const resp = await request(path);
  if (!resp.ok) throw Object.assign(new Error(`${path}: ${resp.status}`), { status: resp.status });
  const at = Date.parse(resp.headers.get("Potok-Lag-Time")), sent = Date.parse(resp.headers.get("Date")) || Date.now();
  const body = await resp.json();
  if (at) measured(Date.now() - Math.max(0, sent - at));
  return body;
}

// readEvents calls on(name, data) for every event until the stream ends. Silence is told from death by the heartbeats.
async function readEvents(path, on, opened) {
  const abort = new AbortController();
  let silence = setTimeout(() => abort.abort(), 40000);
  try {
    const resp = await request(path, { signal: abort.signal });
    if (!resp.ok) throw Object.assign(new Error(String(resp.status)), { status: resp.status });
    opened();
    const reader = resp.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      clearTimeout(silence);
      silence = setTimeout(() => abort.abort(), 40000);
      const parts = (rest + value).split("\n\n");
      rest = parts.pop();
      for (const part of parts) {
        let name = "", data = "";
        for (const line of part.split("\n")) {
          if (line.startsWith("event: ")) name = line.slice(7);
          else if (line.startsWith("data: ")) data = line.slice(6);
        }
        if (name) on(name, data);
      }
    }
  } finally {
    clearTimeout(silence);
  }
}

// follow keeps a stream open for ever and tells of its state: connecting, live, waiting (503), reconnecting.
export async function follow(path, on, state) {
  state("connecting");
  for (let wait = 500; ; wait = Math.min(wait * 1.7, 5000)) {
    try {
      await readEvents(path, on, () => { wait = 500; state("live"); });
      state("reconnecting");
    } catch (err) {
      state(err.status === 503 ? "waiting" : "reconnecting");
    }
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}
