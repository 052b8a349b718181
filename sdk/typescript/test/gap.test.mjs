import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { memory, Verbatim } from "../dist/index.js";
import { Server, proxy, sleep, until } from "./server.mjs";

let server, way, ana, ben, id;
before(async () => {
  server = await Server.start({ heartbeat: 2 });
  way = await proxy(server.port);
  [ana, ben] = await Promise.all([server.user("ana"), server.user("ben")]);
  ({ id } = await server.post("/conversations", { kind: "group", title: "Gaps", members: [ben.id] }, ana.token));
});
after(async () => {
  way.end();
  await server.stop();
});

let key = 0;
const say = (text) => server.post(`/conversations/${id}/messages`, { text, client_id: `gap-test-${key++}` }, ana.token);

async function listener(more = {}) {
  const chat = new Verbatim({ url: way.url, token: () => ben.token, ...more });
  const told = { states: [], errors: [], reasons: [], texts: [] };
  chat.on("state", (state) => told.states.push(state));
  chat.on("error", (error) => {
    told.errors.push(error.code);
    if (error.code === "cursor_gone") told.reasons.push(error.errors[0].code);
  });
  chat.on("event", (event) => void (event.type === "message.sent" && told.texts.push(event.data.text)));
  await chat.start();
  await until("live", () => chat.state === "live");
  return { chat, told };
}

test("an event that the socket swallows is fetched before the next one", async () => {
  const { chat, told } = await listener();
  const view = await chat.conversation(id).live().ready();
  way.lose("the lost one");
  await say("before");
  await say("the lost one");
  await until("the proxy has taken it", () => way.swallowed === 1);
  await say("after");
  await until("all are told", () => told.texts.length === 3, 10);
  assert.deepEqual(told.texts, ["before", "the lost one", "after"]);
  assert.deepEqual(view.messages.map(({ text }) => text), told.texts);
  // The gap was closed silently: no error, no new connection.
  assert.deepEqual(told.errors, []);
  assert.deepEqual(told.states, ["connecting", "live"]);
  chat.stop();
});

test("the last event is missed at the next heartbeat", async () => {
  const { chat, told } = await listener();
  way.lose("lost and last");
  await say("lost and last");
  await until("the proxy has taken it", () => way.swallowed === 2);
  await until("it is told", () => told.texts.includes("lost and last"), 10);
  assert.deepEqual(told.errors, []);
  assert.deepEqual(told.states, ["connecting", "live"]);
  chat.stop();
});

test("the cursor is stored behind what the application has handled, and not before", async () => {
  const store = memory();
  const first = new Verbatim({ url: way.url, token: () => ben.token, store });
  let release;
  const handled = [];
  first.on("event", async (event) => {
    await new Promise((resolve) => (release = resolve));
    handled.push(event);
  });
  await first.start();
  await until("live", () => first.state === "live");
  const begin = await store.get("cursor");
  await say("slow");
  await until("the handler has begun", () => release);
  await sleep(3_000); // At least one heartbeat, with a cursor after the event.
  assert.equal(await store.get("cursor"), begin);
  first.stop(); // A crash in the middle of the handler.
  const { chat, told } = await listener({ store });
  await until("it is told again", () => told.texts.includes("slow"));
  await until("the cursor is stored", async () => (await store.get("cursor")) !== begin, 10);
  chat.stop();

  const manual = await listener({ store, ack: "manual" });
  const kept = await store.get("cursor");
  let last;
  manual.chat.on("event", (event) => (last = event));
  await say("by hand");
  await until("told", () => last?.data.text === "by hand");
  await sleep(3_000);
  assert.equal(await store.get("cursor"), kept);
  manual.chat.ack(last);
  await until("acked", async () => (await store.get("cursor")) !== kept, 10);
  manual.chat.stop();
});

test("a slow reader of a stream misses nothing and holds little", async () => {
  const { chat } = await listener();
  const texts = [];
  const ended = new AbortController();
  const reading = (async () => {
    for await (const event of chat.conversation(id).events({ signal: ended.signal })) {
      if (event.type !== "message.sent") continue;
      texts.push(event.data.text);
      if (texts.length < 5) await sleep(500);
    }
  })();
  const sent = Array.from({ length: 600 }, (_, i) => `stream ${i}`);
  for (let i = 0; i < sent.length; i += 20) {
    for (const text of sent.slice(i, i + 20)) await say(text);
    if (i === 300) way.cut();
  }
  await until("all are read", () => texts.length >= sent.length, 20);
  assert.deepEqual(texts, sent);
  ended.abort();
  await reading;
  chat.stop();
});

test("a cursor of another log begins anew, and the views load again", async () => {
  const store = memory();
  const gone = "AZIIfR8MmkvjYlih0POyxJV-aA";
  await store.set("cursor", gone);
  const { chat, told } = await listener({ store });
  const view = await chat.conversation(id).live().ready();
  assert.ok(view.messages.length > 0);
  await say("anew");
  await until("told", () => told.texts.includes("anew"));
  assert.deepEqual([told.errors, told.reasons], [["cursor_gone"], ["cursor_unreadable"]]);
  await until("the cursor of the session is stored", async () => (await store.get("cursor")) !== gone, 10);
  chat.stop();
  // The next start knows nothing of it any more.
  const next = await listener({ store });
  assert.deepEqual(next.told.errors, []);
  // A stream from a cursor that does not count says so to whoever has it.
  await assert.rejects(next.chat.events({ from: gone }).next(), { code: "cursor_gone" });
  next.chat.stop();
});
