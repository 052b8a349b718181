// A real server in dev mode for the tests, its users, and a proxy that misbehaves on purpose.
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const binary = process.env.VERBATIM_BIN;
if (!binary) throw new Error("VERBATIM_BIN has to name the binary of the server");

// A port outside the range from which the system assigns ports. So a restarted server can get its port back.
async function freePort() {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 20_000);
    const server = net.createServer().listen(port, "127.0.0.1");
    const isFree = await new Promise((resolve) => server.once("listening", () => resolve(true)).once("error", () => resolve(false)));
    if (!isFree) continue;
    await new Promise((resolve) => server.close(resolve));
    return port;
  }
}

export class Server {
  static async start(settings = {}) {
    const server = new Server();
    server.folder = await mkdtemp(join(tmpdir(), "verbatim-sdk-"));
    server.port = await freePort();
    server.admin = await freePort();
    server.settings = settings;
    server.url = `http://127.0.0.1:${server.port}`;
    await server.run();
    return server;
  }

  async run() {
    // These limits are off because the tests send hundreds of messages in seconds. Other tests cover the limits.
    const off = ["register", "send", "conversation", "user", "frames", "connect", "connect-address", "address"];
    const limits = Object.fromEntries(off.map((name) => [`limit-${name}`, "off"]));
    const settings = {
      "data-dir": `${this.folder}/data`, listen: `127.0.0.1:${this.port}`, "admin-listen": `127.0.0.1:${this.admin}`,
      // Cheap password hashes, because the tests create many users.
      "argon2-memory": 8, "argon2-passes": 1, ...limits, ...this.settings,
    };
    this.process = spawn(
      binary,
      ["dev", ...Object.entries(settings).map(([name, value]) => `--${name}=${value}`)],
      { stdio: ["ignore", "ignore", "pipe"] },
    );
    let log = "";
    this.process.stderr.on("data", (data) => (log = (log + data).slice(-4000)));
    for (let i = 0; i < 300; i++) {
      if (this.process.exitCode !== null) throw new Error(`the server has ended: ${log}`);
      const ready = await fetch(`http://127.0.0.1:${this.admin}/readyz`).catch(() => undefined);
      if (ready?.ok) return;
      await sleep(200);
    }
    throw new Error(`the server does not become ready: ${log}`);
  }

  /** Kills the node without a clean stop, and restarts it on the same data. */
  async crash() {
    const ended = new Promise((resolve) => this.process.once("exit", resolve));
    this.process.kill("SIGKILL");
    await ended;
    await this.run();
  }

  async stop() {
    const ended = new Promise((resolve) => this.process.once("exit", resolve));
    this.process.kill("SIGTERM");
    await Promise.race([ended, sleep(15_000).then(() => this.process.kill("SIGKILL"))]);
    await ended;
    await rm(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }

  async post(path, body, token) {
    const response = await fetch(`${this.url}/v1${path}`, {
      method: "POST",
      headers: { "Content-Type": "application/json", ...(token && { Authorization: `Bearer ${token}` }) },
      body: JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return response.json();
  }

  /** The API key with all scopes that dev mode stores for users of the machine. */
  async key() {
    const lines = (await readFile(`${this.folder}/data/dev.env`, "utf8")).split("\n");
    return lines.find((line) => line.startsWith("VERBATIM_KEY=")).slice("VERBATIM_KEY=".length);
  }

  /** A new user with a token. */
  async user(name) {
    const username = `${name}${Math.random().toString(36).slice(2, 10)}`;
    const password = "correct horse battery";
    const { id } = await this.post("/accounts", { username, password });
    const { access_token } = await this.post("/logins", { username, password });
    return { id, username, password, token: access_token, log_in: () => this.post("/logins", { username, password }) };
  }
}

/**
 * A TCP proxy. `cut()` breaks all connections; `lose(text)` drops the next frame from the server that contains the
 * text.
 */
export async function proxy(port) {
  const open = new Set();
  let lost;
  let isDown = false;
  const server = net.createServer((client) => {
    if (isDown) return client.destroy();
    const upstream = net.connect(port, "127.0.0.1");
    open.add(client).add(upstream);
    client.setNoDelay(true);
    upstream.setNoDelay(true);
    const end = () => (client.destroy(), upstream.destroy(), open.delete(client), open.delete(upstream));
    for (const socket of [client, upstream]) socket.on("error", end).on("close", end);
    client.on("data", (data) => upstream.write(data));
    upstream.on("data", (data) => client.write(lost && data.includes(lost) ? lose(data) : data));
  });
  // Removes the frame from the bytes. The server sends small frames unfragmented, with a header of two or four bytes.
  function lose(data) {
    const at = data.indexOf(lost);
    for (let head = at; head >= 0; head--) {
      if (data[head] !== 0x81) continue;
      const short = data[head + 1];
      const [start, length] = short < 126 ? [head + 2, short] : [head + 4, data.readUInt16BE(head + 2)];
      if (start > at || start + length < at) continue;
      lost = undefined;
      server.swallowed++;
      return Buffer.concat([data.subarray(0, head), data.subarray(start + length)]);
    }
    return data;
  }
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  server.swallowed = 0;
  return Object.assign(server, {
    url: `http://127.0.0.1:${server.address().port}`,
    cut: () => open.forEach((socket) => socket.destroy()),
    down: (down) => (isDown = down),
    lose: (text) => (lost = text),
    end: () => (server.close(), open.forEach((socket) => socket.destroy())),
  });
}

export async function until(what, condition, seconds = 20) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) throw new Error(`not within ${seconds} s: ${what}`);
    await sleep(20);
  }
}

export { sleep };
