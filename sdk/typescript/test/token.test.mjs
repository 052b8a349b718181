import assert from "node:assert/strict";
import { generateKeyPairSync, sign } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { memory, Verbatim, VerbatimError } from "../dist/index.js";
import { Server, proxy, sleep, until } from "./server.mjs";

// The server gets a key that the tests know, so the tests can sign tokens that expire soon.
const { privateKey } = generateKeyPairSync("ed25519");
const folder = mkdtempSync(join(tmpdir(), "verbatim-sdk-key-"));
const file = join(folder, "key.pem");
writeFileSync(file, privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600 });

let server, way, ana;
before(async () => {
  server = await Server.start({ "signing-key-file": file });
  way = await proxy(server.port);
  ana = await server.user("ana");
});
after(async () => {
  way.end();
  await server.stop();
  rmSync(folder, { recursive: true });
});

/** The same token with an expiry in this many seconds, or an expired one if the number is negative. */
function ending(token, seconds) {
  const [head, body] = token.split(".");
  const claims = JSON.parse(Buffer.from(body, "base64url"));
  const now = Math.floor(Date.now() / 1000);
  const begin = now - (seconds < 0 ? 600 : 0);
  const made = { ...claims, iat: begin, nbf: begin, exp: now + seconds };
  const signed = `${head}.${Buffer.from(JSON.stringify(made)).toString("base64url")}`;
  return `${signed}.${sign(null, Buffer.from(signed), privateKey).toString("base64url")}`;
}

function client(give, more = {}) {
  const told = { why: [], states: [], errors: [] };
  const chat = new Verbatim({
    url: way.url,
    token: (why) => {
      told.why.push(why);
      return give(told.why.length, why);
    },
    ...more,
  });
  chat.on("state", (state) => told.states.push(state));
  chat.on("error", ({ code }) => told.errors.push(code));
  return { chat, told };
}

test("a token is replaced before it ends, on the same socket", async () => {
  const { chat, told } = client(() => ending(ana.token, 6));
  await chat.start();
  // This takes longer than the lifetime of a token, so without renewal the server would have closed the socket.
  await until("it has been renewed often", () => told.why.length >= 4, 20);
  assert.deepEqual(told.why.slice(0, 4), ["start", "expiring", "expiring", "expiring"]);
  assert.deepEqual(told.states, ["connecting", "live"]);
  assert.deepEqual(told.errors, []);
  chat.stop();
});

test("a token of usual length is asked for a minute before its end", async (t) => {
  const waits = [];
  const real = globalThis.setTimeout;
  t.mock.method(globalThis, "setTimeout", (act, ms, ...rest) => (waits.push(ms), real(act, ms, ...rest)));
  const { chat } = client(() => ending(ana.token, 600));
  await chat.start();
  await until("live", () => chat.state === "live");
  assert.ok(waits.some((ms) => ms > 535_000 && ms <= 540_000), `one of ${waits}`);
  chat.stop();
});

test("requests at once ask for one token", async () => {
  const { chat, told } = client(() => sleep(100).then(() => ana.token));
  await Promise.all([chat.start(), chat.rest.get_me(), chat.rest.get_me(), chat.rest.list_conversations()]);
  await until("live", () => chat.state === "live");
  assert.deepEqual(told.why, ["start"]);
  chat.stop();
});

test("an expired token is replaced once, by the socket and by a request", async () => {
  const { chat, told } = client((n) => (n === 1 ? ending(ana.token, -200) : ana.token));
  await chat.start();
  await until("live", () => chat.state === "live");
  assert.deepEqual(told.why, ["start", "refused"]);
  chat.stop();

  const other = client((n) => (n === 1 ? ending(ana.token, -200) : ana.token));
  assert.equal((await other.chat.rest.get_me()).id, ana.id);
  assert.deepEqual(other.told.why, ["start", "refused"]);
});

test("a callback that gives expired tokens only stops the client", async () => {
  const { chat, told } = client(() => ending(ana.token, -200));
  await chat.start();
  await until("stopped", () => chat.state === "stopped");
  assert.deepEqual(told.why, ["start", "refused"]);
  assert.equal(chat.why.code, "token_expired");
  assert.equal(chat.why.status, 4401);
});

test("a token that does not count stops the client with the code", async () => {
  const { chat, told } = client(() => "not-a-token");
  await chat.start();
  await until("stopped", () => chat.state === "stopped");
  assert.deepEqual([chat.why.code, chat.why.status], ["invalid_token", 4501]);
  assert.deepEqual(told.states, ["connecting", "stopped"]);
  await sleep(1_000);
  assert.deepEqual(told.why, ["start"]);

  const impossible = client(() => "characters that no header may have");
  await impossible.chat.start();
  await until("stopped", () => impossible.chat.state === "stopped");
  assert.equal(impossible.chat.why.code, "invalid_token");
});

test("a login that is revoked stops the client, and what waits stays", async () => {
  const ben = await server.user("ben");
  const { access_token, login_id } = await ben.log_in();
  const { chat } = client(() => access_token);
  await chat.start();
  await until("live", () => chat.state === "live");
  const talk = await chat.group({ title: "Revoked" });
  const ended = await fetch(`${server.url}/v1/logins/${login_id}`, { method: "DELETE", headers: { Authorization: `Bearer ${ben.token}` } });
  assert.equal(ended.status, 204);
  await until("stopped", () => chat.state === "stopped");
  assert.deepEqual([chat.why.code, chat.why.status], ["login_revoked", 4503]);
  talk.send("later");
  await sleep(200);
  assert.deepEqual(talk.outgoing.map(({ state }) => state), ["sending"]);
});

test("a callback that fails is asked again", async () => {
  const { chat, told } = client((n) => {
    if (n < 3) throw new Error("the backend is away");
    return ana.token;
  });
  await chat.start();
  await until("live", () => chat.state === "live");
  assert.deepEqual(told.errors, ["token_failed", "token_failed"]);
  chat.stop();
});

test("a renewal that is refused for good stops the client", async () => {
  const { chat, told } = client((n) => {
    if (n === 1) return ending(ana.token, 20);
    throw new VerbatimError("invalid_grant", "the login is over", { retryable: false });
  });
  const begin = Date.now();
  await chat.start();
  await until("stopped", () => chat.state === "stopped");
  // The server has not closed the socket: another tab may show it tokens of another login for ever.
  assert.ok(Date.now() - begin < 18_000);
  assert.deepEqual([chat.why.code, told.errors, told.states], ["invalid_grant", ["invalid_grant"], ["connecting", "live", "stopped"]]);
});

test("a client that is stopped before it has started stays stopped, and can be started again", async () => {
  const store = memory();
  let isSlow = true;
  const { chat, told } = client(() => ana.token, { store: { ...store, all: (prefix) => sleep(isSlow ? 100 : 0).then(() => store.all(prefix)) } });
  for (let i = 0; i < 2; i++) {
    const starting = chat.start();
    await sleep(20);
    chat.stop();
    assert.equal(chat.state, "stopped");
    await starting;
  }
  await sleep(500);
  assert.deepEqual(told.states, ["stopped"]);
  isSlow = false;
  await chat.start();
  await until("live", () => chat.state === "live");
  chat.stop();
});

test("the states tell the truth", async () => {
  const { chat, told } = client(() => ana.token);
  assert.equal(chat.state, "offline");
  await chat.start();
  await until("live", () => chat.state === "live");
  way.down(true);
  way.cut();
  await until("offline", () => told.states.includes("offline"));
  way.down(false);
  await until("live", () => chat.state === "live");
  chat.stop();
  assert.equal(chat.state, "stopped");
  const once = told.states.filter((state, i) => state !== "connecting" && state !== "offline" || !told.states.slice(0, i).includes(state));
  assert.deepEqual(once, ["connecting", "live", "offline", "catching_up", "live", "stopped"]);
});
