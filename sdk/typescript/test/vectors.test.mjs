// The vectors that the clients for all languages must pass. Those of the fold are recorded from a real server.
import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { test } from "node:test";
import { Feed } from "../dist/feed.js";
import { fatal } from "../dist/link.js";
import { LiveView } from "../dist/live.js";
import { Reads } from "../dist/reads.js";
import { Socket } from "../dist/socket.js";
import { stream } from "../dist/stream.js";
import { memory } from "../dist/index.js";
import { Token } from "../dist/token.js";
import { pause, retryAfter } from "../dist/wait.js";
import { record } from "./record.mjs";
import { sleep } from "./server.mjs";

const file = (name) => new URL(`../../vectors/${name}.json`, import.meta.url);
const vectors = async (name) => JSON.parse(await readFile(file(name), "utf8"));

test("the vectors of the fold are what the server says", async () => {
  const recorded = await record();
  for (const vector of recorded) vector.asks = await folded(vector);
  if (process.env.UPDATE) await writeFile(file("fold"), `${JSON.stringify(recorded, undefined, 1)}\n`);
  assert.deepEqual(recorded, await vectors("fold"), "run with UPDATE=1, and see what has changed");
});

for (const vector of await vectors("fold")) {
  test(`fold: ${vector.name}`, async () => assert.deepEqual(await folded(vector), vector.asks));
}

/** Folds the events, each of them twice, compares the result, and returns what had to be requested. */
async function folded({ me, before, events, after }) {
  const asks = new Set();
  const isLoaded = new Set();
  let head = before.conversation.position;
  const answers = {
    get_conversation: ["conversation", ({ conversation }) => conversation],
    list_messages: ["messages", ({ messages }) => ({ items: messages })],
    list_members: ["members", ({ members }) => ({ items: members })],
    list_receipts: ["receipts", ({ receipts }) => ({ items: receipts })],
  };
  const view = new LiveView(before.conversation.id, {
    async call(operation) {
      const [name, answer] = answers[operation];
      const isFirst = !isLoaded.has(name);
      isLoaded.add(name);
      if (!isFirst) asks.add(name);
      const state = structuredClone(isFirst ? before : after);
      return { body: answer(state), position: state.conversation.position };
    },
    feed: { begun: Promise.resolve(), running: new AbortController(), me, head: () => head },
    outbox: { of: () => [] },
    typing: { of: () => [] },
    error: assert.fail,
    open: new Set(),
  });
  await view.ready();
  for (const event of events) {
    head = event.position;
    view.take(event);
    view.take(event);
  }
  // Erased content must not be shown, even before the answer arrives.
  assert.ok([undefined, after.conversation.title].includes(view.conversation.title));
  await sleep(5);
  assert.deepEqual(view.messages, after.messages);
  assert.deepEqual(view.members, after.members);
  assert.deepEqual(view.receipts, after.receipts);
  assert.deepEqual(view.conversation, after.conversation);
  return [...asks].sort();
}

for (const { name, start, frames, pages = {}, fetched = [], told, errors = [], resyncs = 0, cursor } of await vectors("gap")) {
  test(`gap: ${name}`, async () => {
    const seen = { told: [], fetched: [], errors: [], resyncs: 0 };
    const ports = {
      page: async (after) => (seen.fetched.push(after), pages[after]),
      event: ({ conversation_id, position }) => seen.told.push(`${conversation_id} ${position}`),
      resync: () => seen.resyncs++,
      caughtUp() {},
      cut: assert.fail,
      error: ({ code }) => seen.errors.push(code),
    };
    const feed = new Feed(ports, memory(), false);
    feed.cursor = start;
    for (const frame of frames) feed.push(frame);
    await sleep(5);
    assert.deepEqual({ ...seen, cursor: feed.cursor }, { told, fetched, errors, resyncs, cursor });
  });
}

test("after a reset a stream gives what waits, and then events at lower positions", async () => {
  let hear;
  const feed = { cursor: "c1", running: new AbortController(), delivery: { readers: new Set(), commit() {} }, ports: { page: assert.fail, error: assert.fail } };
  const reading = stream({ feed, listen: (listener) => ((hear = listener), () => {}) }, undefined, {});
  const next = async () => (await reading.next()).value.position;
  const tell = (position) => hear({ conversation_id: "a", position }, position);
  const first = next();
  tell(8);
  assert.equal(await first, 8);
  tell(9);
  hear(undefined, 0);
  for (const position of [5, 5, 6]) tell(position);
  assert.deepEqual([await next(), await next(), await next()], [9, 5, 6]);
  // What the buffer has no room for is gone with the log, and is not asked for.
  for (let i = 0; i < 300; i++) tell(10 + i);
  hear(undefined, 0);
  const all = [];
  for (let i = 0; i < 256; i++) all.push(await next());
  assert.deepEqual([all[0], all.at(-1)], [10, 265]);
  const last = next();
  tell(2);
  assert.equal(await last, 2);
});

test("after a reset a lower position is marked as read", async () => {
  const asked = [];
  const reads = new Reads({ open: async () => ({ ask: async ({ position }) => asked.push(position) }) }, assert.fail);
  for (const position of [9, 5]) reads.mark("a", position);
  await sleep(5);
  reads.reset();
  reads.mark("a", 5);
  await sleep(5);
  assert.deepEqual(asked, [9, 5]);
});

test("pauses, closes and tokens", async () => {
  const { pauses, retry_after, closes, tokens } = await vectors("retry");
  for (const { attempt, at_least_ms, shortest_ms, longest_ms } of pauses) {
    const all = Array.from({ length: 200 }, () => pause(attempt, at_least_ms));
    assert.ok(all.every((ms) => ms >= shortest_ms && ms <= longest_ms), `attempt ${attempt}: ${Math.min(...all)} to ${Math.max(...all)}`);
    // The pauses need jitter, so that clients do not retry in step.
    assert.ok(new Set(all).size > 100);
  }
  for (const { value, ms } of retry_after) assert.equal(retryAfter(value) ?? null, ms, value);
  for (const { code, reason, refused, then, wait_ms, error } of closes) {
    class Closed {
      constructor() {
        setTimeout(() => this.onclose({ code, reason }));
      }
    }
    const end = await new Socket(Closed, "", "", undefined, () => {}).ended;
    const why = fatal(end, refused);
    assert.deepEqual([why ? "stop" : code === 4401 ? "token" : "again", end.retryAfterMs, why?.code], [then, wait_ms, error], `${code} ${reason}`);
  }
  for (const { lived_s, life_s, renewed_after_s } of tokens) {
    const iat = Date.now() / 1000 - lived_s;
    const claims = Buffer.from(JSON.stringify({ iat, exp: iat + life_s })).toString("base64url");
    const { setTimeout } = globalThis;
    let waits;
    globalThis.setTimeout = (_, ms) => (waits = ms);
    await new Token(() => `head.${claims}.signature`, assert.fail, assert.fail).get().finally(() => (globalThis.setTimeout = setTimeout));
    assert.ok(Math.abs(waits / 1000 - renewed_after_s) < 1, `${life_s - lived_s} s left: ${waits} ms`);
  }
});
