// The network breaks every two seconds, the page is reloaded, and the node is killed. Each message arrives once, in
// order.
import assert from "node:assert/strict";
import { test } from "node:test";
import { memory, Verbatim } from "../dist/index.js";
import { Server, proxy, sleep, until } from "./server.mjs";

const SECONDS = Number(process.env.STORM_SECONDS ?? 24);
const MESSAGES = 500;
const RELOADS = Math.max(3, Math.round(SECONDS / 30));

test(`${MESSAGES} messages through ${SECONDS} s of storm`, async (t) => {
  const server = await Server.start();
  const way = await proxy(server.port);
  const [ana, ben] = await Promise.all([server.user("ana"), server.user("ben")]);
  const { id } = await server.post("/conversations", { kind: "group", title: "Storm", members: [ben.id] }, ana.token);

  // The messages that Ben's program receives with a single client.
  const heard = [];
  const reader = new Verbatim({ url: way.url, token: () => ben.token });
  const holes = [];
  reader.on("error", (error) => error.code === "gap" && holes.push(error));
  reader.on("event", (event) => void (event.type === "message.sent" && heard.push(event)));
  await reader.start();
  const read = reader.conversation(id).live({ limit: 200 });

  const store = memory();
  let page;
  let view;
  async function load() {
    page?.stop();
    page = new Verbatim({ url: way.url, token: () => ana.token, store });
    await page.start();
    view = page.conversation(id).live({ limit: 200 });
  }
  await load();

  let cuts = 0;
  const storm = setInterval(() => (cuts++, way.cut()), 2_000);
  const end = Date.now() + SECONDS * 1000;
  let crashed;
  for (let i = 0; i < MESSAGES; i++) {
    page.conversation(id).send(String(i));
    if (i % Math.ceil(MESSAGES / (RELOADS + 1)) === Math.ceil(MESSAGES / (RELOADS + 2))) await load();
    if (i === MESSAGES / 2) crashed = server.crash();
    await sleep(Math.max(0, ((end - Date.now()) / (MESSAGES - i)) * 0.9));
  }
  await crashed;
  await until("all are sent", () => page.conversation(id).outgoing.length === 0, 60);
  clearInterval(storm);

  const typed = Array.from({ length: MESSAGES }, (_, i) => String(i));
  await until("Ben has been told all", () => heard.length >= MESSAGES, 30);
  await sleep(500);
  assert.deepEqual(heard.map(({ data }) => data.text), typed, "what Ben was told");
  assert.deepEqual(holes, []);
  await until("Ben's page shows the last", () => read.messages.at(-1)?.text === typed.at(-1));
  const shown = read.messages.map(({ text }) => text);
  assert.deepEqual(shown, typed.slice(-shown.length), "what Ben's page shows");
  await until("Ana's page shows the last", () => view.messages.at(-1)?.text === typed.at(-1));
  assert.deepEqual(view.pending, []);

  const stored = [];
  for (let before; ; before = stored[0].position) {
    const { items } = await page.rest.list_messages({ id, limit: 200, ...(before && { before }) });
    if (items.length === 0) break;
    stored.unshift(...items.reverse());
  }
  assert.deepEqual(stored.map(({ text }) => text), typed, "what the server has");
  assert.deepEqual(await store.all("out/"), []);
  t.diagnostic(`${cuts} cuts, ${RELOADS} reloads, 1 crash`);
  page.stop();
  reader.stop();
  way.end();
  await server.stop();
});
