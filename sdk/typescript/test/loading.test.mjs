// What is being loaded when the client stops, when a list is closed, and while there is no network.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Verbatim } from "../dist/index.js";
import { Server, proxy, sleep, until } from "./server.mjs";

let server, way, ana, ids;
before(async () => {
  server = await Server.start();
  way = await proxy(server.port);
  ana = await server.user("ana");
  const { rest } = new Verbatim({ url: server.url, token: () => ana.token });
  ids = [];
  for (const title of ["First", "Second", "Third"]) {
    const { id } = await rest.start_conversation({ body: { kind: "group", title, members: [] } });
    ids.push(id);
  }
});
after(async () => {
  way.end();
  await server.stop();
});

async function live(more = {}) {
  const told = { asked: 0, errors: [] };
  const chat = new Verbatim({ url: way.url, token: () => (told.asked++, ana.token), ...more });
  chat.on("error", (error) => told.errors.push(error));
  await chat.start();
  await until("live", () => chat.state === "live");
  return { chat, told };
}

test("a client that stops while something is loaded is silent, and goes on with the next start", async () => {
  const [{ chat, told }, eve] = [await live(), await server.user("eve")];
  way.down(true);
  way.cut();
  const [list, view] = [chat.conversations(), chat.conversation(ids[0]).live()];
  let shown;
  const show = () => (shown = chat.users.get(eve.id));
  chat.users.on("change", show);
  show();
  await until("it fails", () => told.errors.length > 0);
  chat.stop();
  const before = { ...told, errors: told.errors.length };
  await sleep(4_000);
  assert.deepEqual({ ...told, errors: told.errors.length }, before);
  way.down(false);
  await chat.start();
  await view.ready();
  await until("the list is loaded", () => list.items.length === 3);
  await until("the name is shown", () => shown);
  chat.stop();
  // What is loaded stays, and is not loaded again.
  const loads = chat.conversations();
  assert.equal(loads.isLoaded, false);
  await chat.start();
  await until("the new list is loaded", () => loads.items.length === 3);
  chat.stop();
});

test("a list that is closed is not loaded any more", async () => {
  let asked = 0;
  const failing = (target, init) => (/conversations\?/.test(target) ? (asked++, Promise.reject(new TypeError("away"))) : fetch(target, init));
  const { chat, told } = await live({ fetch: failing });
  const list = chat.conversations();
  // The requests of one attempt go on until they have failed six times.
  await until("an attempt has failed", () => told.errors.length > 0, 30);
  list.close();
  const before = asked;
  await sleep(2_000);
  assert.equal(asked, before);
  chat.stop();
});

test("a page that is loaded between two attempts to reload a list does not replace its beginning", async () => {
  let failures = 0;
  let list;
  const failing = (target, init) => {
    if (!list || failures === 6 || !/conversations\?(?!.*cursor)/.test(target)) return fetch(target, init);
    // After the sixth failure the list waits before its next attempt.
    if (++failures === 6) setTimeout(() => list.more(), 20);
    return Promise.reject(new TypeError("away"));
  };
  const { chat } = await live({ fetch: failing });
  const first = chat.conversations({ limit: 1 });
  await until("the first page is loaded", () => first.isLoaded);
  const [{ id }] = first.items;
  list = first;
  await list.reload();
  assert.equal(failures, 6);
  assert.ok(list.items.some((item) => item.id === id), "the latest conversation is in the list");
  for (let i = 0; i < 3; i++) await list.more();
  assert.equal(list.items.length, 3);
  chat.stop();
});
