// Builds and runs potok for the tests. Everything that a test started is gone when the test is over.
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

export const root = fileURLToPath(new URL("../..", import.meta.url));
export const artifacts = join(root, ".artifacts", "browser");
const binary = join(artifacts, "potok");

// limit bounds every wait. It is long because the machine may be busy; nothing waits longer than it has to.
export const limit = 90_000;

export async function build() {
  mkdirSync(artifacts, { recursive: true });
  await promisify(execFile)("go", ["build", "-o", binary, "./cmd/potok"], { cwd: root });
}

// Fatal is an error that waiting does not mend.
class Fatal extends Error {}

// eventually calls f until it returns without an error, and returns what it returns.
export async function eventually(what, f, within = limit) {
  for (const end = Date.now() + within; ;) {
    try {
      return await f();
    } catch (err) {
      if (err instanceof Fatal) throw err;
      if (Date.now() > end) throw new Error(`${what}: not within ${within / 1000} s: ${err.message}`, { cause: err });
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

// Programs are the processes of one test file, their directory and their logs.
export class Programs {
  #running = new Set();
  #names = new Map();
  #dir = mkdtempSync(join(tmpdir(), "potok-browser-"));

  dir(name) { return join(this.#dir, name); }

  // start runs potok and returns at once. Its log is kept as an artefact.
  start(name, args, env = {}) {
    const n = (this.#names.get(name) ?? 0) + 1;
    this.#names.set(name, n);
    const log = createWriteStream(join(artifacts, `${name}-${n}.log`));
    const child = spawn(binary, [...args, "--log-format", "json"], {
      env: { ...process.env, POTOK_DATA_DIR: this.dir("state"), ...env }, stdio: ["ignore", "pipe", "pipe"],
    });
    child.stdout.pipe(log, { end: false });
    child.stderr.pipe(log, { end: false });
    child.ended = once(child, "close").then(([code, signal]) => { this.#running.delete(child); log.end(); return code ?? signal; });
    this.#running.add(child);
    return child;
  }

  // run runs potok to its end, which must be good.
  async run(name, args, env) {
    const code = await this.start(name, args, env).ended;
    if (code !== 0) throw new Error(`potok ${args.join(" ")} ended with ${code}: see ${name}*.log in ${artifacts}`);
  }

  // close ends everything.
  async close() {
    for (const child of this.#running) {
      const hard = setTimeout(() => child.kill("SIGKILL"), 20_000);
      child.kill("SIGTERM");
      await child.ended;
      clearTimeout(hard);
    }
    rmSync(this.#dir, { recursive: true, force: true });
  }
}

// ready waits until the view at url serves.
export async function ready(url, child) {
  await eventually(`${url} is ready`, async () => {
    if (child.exitCode !== null) throw new Fatal(`potok ended with ${child.exitCode}: see the logs in ${artifacts}`);
    const resp = await fetch(`${url}/readyz`);
    await resp.body?.cancel();
    if (!resp.ok) throw new Error(`status ${resp.status}`);
  });
}

// ask returns an answer of the API; it must be there, and current: a lag of 0 says that all of what was published is in it.
export async function ask(url, path, { current = false } = {}) {
  const resp = await fetch(url + path);
  if (!resp.ok) throw new Error(`${path}: ${resp.status}: ${await resp.text()}`);
  const body = await resp.json();
  if (current && resp.headers.get("Potok-Lag") !== "0") throw new Error(`${path}: a lag of ${resp.headers.get("Potok-Lag")}`);
  return body;
}
