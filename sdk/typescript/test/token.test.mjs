import assert from "node:assert/strict";
import { spawn } from "node:child_process";
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

test("a client that stops ends whatever waits for it, and what waits stays", async () => {
  const waiting = (chat) => {
    const talk = chat.conversation("01930f3d-1f20-7b61-8a4f-5e6f708192a3");
    const reader = chat.events()[Symbol.asyncIterator]();
    return { talk, sent: talk.send("waits"), all: [reader.next(), talk.send("waits, too").done, talk.live().ready()] };
  };
  const { chat, told } = client(() => "not-a-token");
  const { all, talk, sent } = waiting(chat);
  await chat.start();
  for (const one of all) await assert.rejects(one, { code: "invalid_token", status: 4501 });
  await assert.rejects(sent.done, { code: "invalid_token" });
  await assert.rejects(talk.send("later").done, { code: "invalid_token" });
  assert.equal(talk.outgoing.length, 3);
  await assert.rejects(chat.events().next(), { code: "invalid_token" });
  assert.deepEqual(told.errors, ["invalid_token"]);

  way.down(true);
  const { chat: other } = client(() => ana.token);
  await other.start();
  const [next, done, ready] = waiting(other).all;
  other.stop();
  assert.deepEqual(await next, { done: true, value: undefined });
  for (const one of [done, ready]) await assert.rejects(one, { code: "stopped" });
  way.down(false);
  // Another start sends it.
  await other.start();
  const [first] = other.conversation("01930f3d-1f20-7b61-8a4f-5e6f708192a3").outgoing;
  await assert.rejects(first.done, { code: "not_found" });
  other.stop();
});

test("a program with a wrong key says so, and fails", async () => {
  const code = `
    import { Verbatim } from ${JSON.stringify(String(new URL("../dist/index.js", import.meta.url)))};
    const chat = new Verbatim({ url: ${JSON.stringify(server.url)}, token: () => "mistyped" });
    await chat.start();
    for await (const event of chat.events()) console.log(event);`;
  const options = process.execArgv.filter((option) => !option.startsWith("--test"));
  const program = spawn(process.execPath, [...options, "--input-type=module", "--eval", code], { env: { ...process.env, NODE_TEST_CONTEXT: undefined } });
  let said = "";
  program.stderr.on("data", (data) => (said += data));
  const status = await new Promise((resolve) => program.once("exit", resolve));
  assert.notEqual(status, 0);
  assert.match(said, /invalid_token: the session ended/);
});

test("a key with a newline counts, and an answer that is no JSON is told apart from the network", async () => {
  const answer = async (target, init) => (/\/me$/.test(target) ? new Response("<html>log in to the network</html>") : fetch(target, init));
  const { chat, told } = client(() => `${ana.token}\n`, { fetch: answer });
  await chat.start();
  await until("live", () => chat.state === "live");
  await assert.rejects(chat.rest.get_me(), { code: "not_verbatim", status: 200, retryable: false });
  assert.equal((await chat.rest.get_user({ id: ana.id })).id, ana.id);
  assert.deepEqual(told.errors, []);
  chat.stop();
});

test("each failed attempt to connect is told", async () => {
  const gone = await proxy(server.port);
  gone.end();
  const { chat, told } = client(() => ana.token, { url: gone.url });
  await chat.start();
  await until("two attempts have failed", () => told.errors.length > 1);
  assert.deepEqual([...new Set(told.errors)], ["network"]);
  chat.stop();
});

test("an error of the application's own listener has its own code", async () => {
  const { chat, told } = client(() => ana.token);
  chat.on("event", () => {
    throw new TypeError("a fault of the application");
  });
  await chat.start();
  const talk = await chat.group({ title: "Faulty" });
  await talk.send("one").done;
  await until("it is told", () => told.errors.length > 0);
  assert.equal(told.errors[0], "listener_failed");
  chat.stop();
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

test("a callback that fails after the token has expired is asked again", async () => {
  const { chat, told } = client((n) => {
    if (n === 1) return ending(ana.token, -200);
    if (n < 4) throw new Error("the backend is away");
    return ana.token;
  });
  await chat.start();
  await until("live", () => chat.state === "live");
  assert.deepEqual(told.why, ["start", "refused", "refused", "refused"]);
  assert.deepEqual(told.errors, ["token_failed", "token_failed"]);
  chat.stop();
});

test("a client that stops while it asks for a token plans no other request", async () => {
  const starts = client(() => sleep(100).then(() => ending(ana.token, 2)));
  await starts.chat.start();
  starts.chat.stop();
  const renews = client(async (n) => {
    if (n === 1) return ending(ana.token, 2);
    await sleep(300);
    throw new Error("the backend is away");
  });
  await renews.chat.start();
  await until("it renews the token", () => renews.told.why.length === 2);
  renews.chat.stop();
  await sleep(2_500);
  assert.deepEqual([starts.told.why, renews.told.why], [["start"], ["start", "expiring"]]);
  assert.deepEqual([...starts.told.errors, ...renews.told.errors], []);
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
