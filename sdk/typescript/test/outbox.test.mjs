import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { after, before, test } from "node:test";
import { memory, Verbatim } from "../dist/index.js";
import { Server, proxy, sleep, until } from "./server.mjs";

let server, ana, ben;
before(async () => {
  server = await Server.start();
  [ana, ben] = await Promise.all([server.user("ana"), server.user("ben")]);
});
after(() => server.stop());

const client = (user, more = {}) => new Verbatim({ url: server.url, token: () => user.token, ...more });
const texts = async (token, id, position) => {
  const response = await fetch(`${server.url}/v1/conversations/${id}/messages?limit=200&min_position=${position}`, { headers: { Authorization: `Bearer ${token}` } });
  return (await response.json()).items.map(({ text }) => text).reverse();
};

test("a refused message steps aside, and can be retried or discarded", async () => {
  const chat = client(ana);
  await chat.start();
  const talk = await chat.direct(ben.id);
  const view = await talk.live().ready();
  const first = talk.send("one");
  const stranger = talk.send({ text: "an answer to nothing", replyTo: "01930f3d-1f20-7b61-8a4f-5e6f708192a3" });
  const huge = talk.send("x".repeat(80_000));
  const last = talk.send("two");
  // The refused acts must not block the last one.
  const { position } = await last.done;
  await assert.rejects(stranger.done, { name: "VerbatimError", code: "bad_reference", retryable: false });
  await assert.rejects(huge.done, { code: "too_large" });
  assert.deepEqual([first.state, stranger.state, huge.state, last.state], ["sent", "failed", "failed", "sent"]);
  await until("both are shown", () => view.messages.length === 2);
  assert.deepEqual(view.pending.map(({ state }) => state), ["failed", "failed"]);
  stranger.retry();
  assert.equal(stranger.state, "sending");
  await assert.rejects(stranger.done, { code: "bad_reference" });
  stranger.discard();
  huge.discard();
  assert.deepEqual(view.pending, []);
  assert.deepEqual(await texts(ana.token, talk.id, position), ["one", "two"]);
  chat.stop();
});

test("what was typed without a network survives a reload and goes in order", async () => {
  const way = await proxy(server.port);
  const store = memory();
  const setup = client(ana, { store });
  await setup.start();
  const { id } = await setup.group({ title: "Offline" });
  setup.stop();
  way.down(true);
  const offline = client(ana, { url: way.url, store });
  await offline.start();
  for (let i = 0; i < 20; i++) offline.conversation(id).send(`message ${i}`);
  await sleep(300);
  offline.stop();
  way.down(false);
  const again = client(ana, { url: way.url, store });
  assert.deepEqual(again.conversation(id).outgoing, []);
  await again.start();
  assert.equal(again.conversation(id).outgoing.length, 20);
  const { position } = await again.conversation(id).outgoing.at(-1).done;
  await until("all are sent", () => again.conversation(id).outgoing.length === 0);
  assert.deepEqual(await texts(ana.token, id, position), Array.from({ length: 20 }, (_, i) => `message ${i}`));
  assert.deepEqual(await store.all("out/"), []);
  again.stop();
  way.end();
});

test("what is discarded without a network is not sent, and what is typed while the client starts keeps its place", async () => {
  const way = await proxy(server.port);
  const store = memory();
  const setup = client(ana, { store });
  await setup.start();
  const { id } = await setup.group({ title: "Regret" });
  setup.stop();
  way.down(true);
  const offline = client(ana, { url: way.url, store });
  offline.on("error", () => {});
  await offline.start();
  const talk = offline.conversation(id);
  const regretted = talk.send("regretted");
  for (const text of ["one", "two"]) talk.send(text);
  await sleep(300);
  regretted.discard();
  await assert.rejects(regretted.done, { code: "discarded" });
  assert.deepEqual(talk.outgoing.map(({ text }) => text), ["one", "two"]);
  way.down(false);
  offline.stop();

  // The store remembers what was discarded, but not for ever.
  const marks = async () => (await store.all("out/")).filter(([, value]) => typeof value === "number").map(([key]) => key);
  assert.deepEqual(await marks(), [`out/${regretted.clientId}`]);
  await store.set("out/long ago", Date.now() - 31 * 86_400_000);
  // An earlier version had other keys.
  await store.set("out/000000000001/older", { n: 1, act: { op: "send", text: "zero", conversation_id: id, client_id: "01930f3d-1f20-7b61-8a4f-5e6f708192a3" } });
  const again = client(ana, { store });
  void again.start();
  const { position } = await again.conversation(id).send("three").done;
  assert.deepEqual(await texts(ana.token, id, position), ["zero", "one", "two", "three"]);
  await until("all are sent", () => again.conversation(id).outgoing.length === 0);
  assert.deepEqual((await store.all("out/")).map(([key]) => key), [`out/${regretted.clientId}`]);
  again.stop();
  way.end();
});

test("a message that is discarded while the connection is awaited is not sent by the same client", async () => {
  const way = await proxy(server.port);
  way.down(true);
  const chat = client(ana, { url: way.url });
  chat.on("error", () => {});
  const talk = chat.conversation((await server.post("/conversations", { kind: "group", title: "Late", members: [] }, ana.token)).id);
  await chat.start();
  const regretted = talk.send("regretted");
  await sleep(300);
  regretted.discard();
  way.down(false);
  const { position } = await talk.send("kept").done;
  assert.deepEqual(await texts(ana.token, talk.id, position), ["kept"]);
  chat.stop();
  way.end();
});

test("what no server can read is refused at once, and blocks nothing", async () => {
  const store = memory();
  const chat = client(ana, { store });
  await chat.start();
  const talk = await chat.group({ title: "Unreadable" });
  const cycle = {};
  cycle.itself = cycle;
  for (const message of [{ text: "x", metadata: { n: 10n } }, { text: "x", metadata: cycle }, { text: "half a 👍".slice(0, -1) }]) {
    assert.throws(() => talk.send(message), { name: "VerbatimError", code: "invalid_frame", retryable: false });
  }
  assert.deepEqual(talk.outgoing, []);
  const metadata = { n: 1, path: "C:\\ud800" };
  const first = talk.send({ text: "one", metadata });
  metadata.n = 2;
  await first.done;
  await talk.send("two").done;
  const view = await talk.live().ready();
  await until("both are shown", () => view.messages.length === 2);
  assert.deepEqual(view.messages.map((message) => message.metadata), [{ n: 1, path: "C:\\ud800" }, undefined]);
  chat.stop();
  // An earlier version has stored one.
  await store.set("out/000000000001/bad", { n: 1, act: { op: "send", text: "x", metadata: { n: 10n }, conversation_id: talk.id, client_id: "bad" } });
  await chat.start();
  const { position } = await talk.send("three").done;
  assert.deepEqual(talk.outgoing.filter(({ state }) => state === "failed").map(({ error }) => error.code), ["invalid_frame"]);
  assert.deepEqual(await texts(ana.token, talk.id, position), ["one", "two", "three"]);
  chat.stop();
});

test("a limit is waited for, and the order stays", async () => {
  const limited = await Server.start({ "limit-send": "600/60:3", "limit-start": "off" });
  const cleo = await limited.user("cleo");
  const chat = new Verbatim({ url: limited.url, token: () => cleo.token });
  const errors = [];
  chat.on("error", (error) => errors.push(error));
  await chat.start();
  const talk = await chat.group({ title: "Slow" });
  const view = await talk.live().ready();
  const all = Array.from({ length: 10 }, (_, i) => talk.send(String(i)));
  await Promise.all(all.map(({ done }) => done));
  await until("all are shown", () => view.messages.length === 10);
  assert.deepEqual(view.messages.map(({ text }) => text), Array.from({ length: 10 }, (_, i) => String(i)));
  assert.deepEqual(errors, []);
  // Many conversations that send at once do not ignore the wait together, so the socket stays open.
  const states = [];
  chat.on("state", (state) => states.push(state));
  const talks = await Promise.all(Array.from({ length: 40 }, (_, i) => chat.group({ title: String(i) })));
  await Promise.all(talks.map((one) => one.send("at once").done));
  assert.ok(!states.includes("offline"), states.join());
  assert.deepEqual(errors, []);
  chat.stop();
  await limited.stop();
});

test("edits, reactions, pins and deletions go the same way", async () => {
  const chat = client(ana);
  await chat.start();
  const talk = await chat.group({ title: "Acts" });
  const view = await talk.live().ready();
  const { id } = await talk.send("typo").done;
  await talk.edit(id, "no typo").done;
  await talk.react(id, "👍").done;
  await talk.pin(id).done;
  await until("all is shown", () => view.messages[0]?.pinned && view.messages[0].reactions.length === 1);
  assert.equal(view.messages[0].text, "no typo");
  await talk.unreact(id, "👍").done;
  await talk.unpin(id).done;
  await talk.delete(id).done;
  await until("it is gone", () => view.messages[0].deleted_at !== undefined);
  assert.equal(view.messages[0].text, "");
  chat.stop();
});

test("a clock that is set back holds nothing up", async (t) => {
  const way = await proxy(server.port);
  const store = memory();
  const chat = client(ana, { url: way.url, store });
  chat.on("error", () => {});
  await chat.start();
  const talk = await chat.group({ title: "Clock" });
  // The connection is lost while a message is under way, and the clock is an hour fast.
  const now = Date.now();
  const { mock } = t.mock.method(Date, "now", () => now + 3_600_000);
  way.lose('"ack"');
  const one = talk.send("one");
  while (!way.swallowed) await sleep(20);
  const isOffline = new Promise((resolve) => chat.on("state", (state) => state === "offline" && resolve()));
  way.cut();
  await isOffline;
  await sleep(50);
  mock.restore();
  await until("it is acked, or its event has come", () => one.state === "sent");
  const next = talk.send("next");
  await until("the next one is acked, too", () => next.state === "sent");
  chat.stop();
  // What was typed by the fast clock goes first, also after a reload.
  const hex = (Date.now() + 3_600_000).toString(16).padStart(12, "0");
  const client_id = `${hex.slice(0, 8)}-${hex.slice(8)}-7000-8000-000000000000`;
  await store.set(`out/${client_id}`, { act: { op: "send", text: "two", conversation_id: talk.id, client_id } });
  way.down(true);
  const again = client(ana, { url: way.url, store });
  again.on("error", () => {});
  await again.start();
  const three = again.conversation(talk.id).send("three");
  assert.deepEqual(again.conversation(talk.id).outgoing.map(({ text }) => text), ["two", "three"]);
  way.down(false);
  const { position } = await three.done;
  assert.deepEqual(await texts(ana.token, talk.id, position), ["one", "next", "two", "three"]);
  again.stop();
  way.end();
});

test("a retry is an attempt of its own, even if the store is slow", async () => {
  const fast = memory();
  const set = async (key, value) => {
    if (value?.error) await sleep(500);
    await fast.set(key, value);
  };
  const chat = client(ana, { store: { ...fast, set } });
  await chat.start();
  const talk = await chat.group({ title: "Retried" });
  const stranger = talk.send({ text: "an answer to nothing", replyTo: "01930f3d-1f20-7b61-8a4f-5e6f708192a3" });
  const refused = assert.rejects(stranger.done, { code: "bad_reference" });
  await until("it is refused", () => stranger.state === "failed");
  stranger.retry();
  await refused;
  await assert.rejects(stranger.done, { code: "bad_reference" });
  chat.stop();
});

test("what is no act in the store keeps no client from its start", async () => {
  const store = memory();
  await store.set("out/0", { n: 1 });
  await store.set("out/1", null);
  const chat = client(ana, { store });
  await chat.start();
  await until("live", () => chat.state === "live");
  chat.stop();
});

test("nothing goes out before the store has it", async () => {
  const fast = memory();
  let isStored = false;
  const set = async (key, value) => {
    const isSecond = value?.act?.text === "two";
    if (isSecond) await sleep(500);
    await fast.set(key, value);
    isStored ||= isSecond;
  };
  const chat = client(ana, { store: { ...fast, set } });
  await chat.start();
  const talk = await chat.group({ title: "Stored" });
  const [one, two] = ["one", "two"].map((text) => talk.send(text));
  await one.done;
  await two.done;
  assert.ok(isStored);
  chat.stop();
});

test("what one tab discards is not sent by another one", async () => {
  const way = await proxy(server.port);
  way.down(true);
  const { id } = await server.post("/conversations", { kind: "group", title: "Tabs", members: [] }, ana.token);
  const store = memory();
  const [first, second] = [0, 1].map(() => client(ana, { url: way.url, store }));
  for (const chat of [first, second]) chat.on("error", () => {});
  await first.start();
  const [one, two] = ["one", "two"].map((text) => first.conversation(id).send(text));
  await second.start();
  one.discard();
  second.conversation(id).outgoing[1].discard();
  const kept = first.conversation(id).send("kept");
  way.down(false);
  const { position } = await kept.done;
  await assert.rejects(two.done, { code: "discarded" });
  await until("the other tab knows it, too", () => second.conversation(id).outgoing.length === 0);
  await second.conversation(id).send("after").done;
  assert.deepEqual(await texts(ana.token, id, position + 1), ["kept", "after"]);
  for (const chat of [first, second]) chat.stop();
  way.end();
});

test("a pause that the server has asked for ends when the client stops", async () => {
  const limited = await Server.start({ "limit-send": "1/60:1", "limit-start": "off" });
  const cleo = await limited.user("cleo");
  const { id } = await limited.post("/conversations", { kind: "group", title: "Pause", members: [] }, cleo.token);
  const code = `
    import { memory, Verbatim } from ${JSON.stringify(new URL("../dist/index.js", import.meta.url))};
    const chat = new Verbatim({ url: ${JSON.stringify(limited.url)}, token: () => ${JSON.stringify(cleo.token)}, store: memory() });
    await chat.start();
    const talk = chat.conversation(${JSON.stringify(id)});
    await talk.send("one").done;
    talk.send("two");
    setTimeout(() => chat.stop(), 1000);`;
  const options = process.execArgv.filter((option) => !option.startsWith("--test"));
  const program = spawn(process.execPath, [...options, "--input-type=module", "--eval", code], { env: { ...process.env, NODE_TEST_CONTEXT: undefined } });
  const ended = new Promise((resolve) => program.once("exit", resolve));
  assert.equal(await Promise.race([ended, sleep(10_000, "it still runs")]), 0);
  program.kill();
  await limited.stop();
});
