import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Verbatim } from "../dist/index.js";
import { Server, sleep, until } from "./server.mjs";

let server, ana, ben, a, b, talk, other;
before(async () => {
  server = await Server.start({ "presence-grace": 1 });
  [ana, ben] = await Promise.all([server.user("ana"), server.user("ben")]);
  [a, b] = [ana, ben].map((user) => new Verbatim({ url: server.url, token: () => user.token }));
  await Promise.all([a.start(), b.start()]);
  talk = await a.direct(ben.id);
  other = b.conversation(talk.id);
});
after(async () => {
  a.stop();
  b.stop();
  await server.stop();
});

test("typing goes out once in three seconds, and is over with the message or after six seconds", async () => {
  const view = await other.live().ready();
  for (let i = 0; i < 50; i++) talk.typing();
  await until("seen", () => view.typing.length === 1, 3);
  assert.deepEqual(view.typing, [ana.id]);
  await talk.send("typed").done;
  await until("over", () => view.typing.length === 0, 2);
  await sleep(3_000);
  const begin = Date.now();
  talk.typing();
  await until("seen again", () => view.typing.length === 1, 3);
  await until("over by itself", () => view.typing.length === 0, 8);
  const seconds = (Date.now() - begin) / 1000;
  assert.ok(seconds > 5.5 && seconds < 8, `${seconds} s`);
  view.close();
});

test("a message goes from pending to messages without a moment in neither or both", async () => {
  const view = await talk.live().ready();
  const lacks = [];
  const texts = [];
  view.on("change", () => {
    for (const text of texts) {
      const times = [...view.messages, ...view.pending].filter((one) => one.text === text).length;
      if (times !== 1) lacks.push([text, times]);
    }
  });
  for (let i = 0; i < 50; i++) {
    texts.push(`flicker ${i}`);
    talk.send(texts.at(-1));
    if (i % 5 === 0) await sleep(5);
  }
  await until("all are there", () => view.pending.length === 0 && view.messages.at(-1)?.text === "flicker 49");
  assert.deepEqual(lacks, []);
  view.close();
});

test("a view pages to older messages, around a position, and back to the newest", async () => {
  const view = await other.live({ limit: 20 }).ready();
  const newest = view.messages.at(-1).text;
  assert.equal(view.messages.length, 20);
  while (await view.older());
  assert.deepEqual([view.messages[0].text, view.hasOlder], ["typed", false]);
  const all = view.messages.map(({ text }) => text);
  await view.around(view.messages[10].position);
  assert.equal(view.atEnd, false);
  await talk.send("while Ben looks back").done;
  await sleep(200);
  assert.ok(view.messages.every(({ text }) => text !== "while Ben looks back"));
  while (await view.newer());
  while (await view.older());
  assert.deepEqual(view.messages.map(({ text }) => text), [...all, "while Ben looks back"]);
  assert.equal(all.at(-1), newest);
  await talk.send("after that").done;
  await until("new messages come again", () => view.messages.at(-1).text === "after that");
  view.close();
});

test("no message is missing behind a page around a position that was on its way when it came", async () => {
  const texts = Array.from({ length: 8 }, (_, i) => `hole ${i}`);
  for (const text of texts) await talk.send(text).done;
  let arrive;
  const c = new Verbatim({
    url: server.url,
    token: () => ben.token,
    fetch: async (url, init) => {
      const answer = await fetch(url, init);
      // One page around a position, and one of older messages that was asked for before it.
      if (/around=/.test(url)) await new Promise((resolve) => (arrive = resolve));
      else if (/before=/.test(url)) await sleep(300);
      return answer;
    },
  });
  await c.start();
  const view = await c.conversation(talk.id).live({ limit: 4 }).ready();
  assert.deepEqual(view.messages.map(({ text }) => text), texts.slice(4));
  const { items } = await c.rest.list_messages({ id: talk.id, limit: 8 });
  const older = view.older();
  const around = view.around(items.find(({ text }) => text === "hole 1").position);
  await until("the page is on its way", () => arrive);
  await talk.send("meanwhile").done;
  await until("the event is there", () => view.conversation.last_message.text === "meanwhile");
  arrive();
  await around;
  assert.equal(await older, false);
  assert.equal(view.atEnd, false);
  while (await view.newer());
  const all = [...texts, "meanwhile"];
  assert.deepEqual(view.messages.map(({ text }) => text), all.slice(all.indexOf(view.messages[0].text)));
  assert.equal(view.atEnd, true);
  c.stop();
});

test("an archived conversation is asked for once, however many events it has", async () => {
  const asked = [];
  const watched = (target, init) => (asked.push(String(target)), fetch(target, init));
  const c = new Verbatim({ url: server.url, token: () => ben.token, fetch: watched });
  await c.start();
  const group = await a.group({ title: "Archived", members: [ben.id] });
  await b.rest.update_settings({ id: group.id, body: { archived: true } });
  const list = c.conversations();
  await until("loaded", () => list.isLoaded);
  await until("nothing is on its way", () => list.items.every(({ id }) => id !== group.id));
  asked.length = 0;
  for (const text of ["one", "two", "three"]) {
    await group.send(text).done;
    await sleep(200);
  }
  assert.equal(asked.filter((target) => target.includes(`/conversations/${group.id}`)).length, 1);
  assert.ok(list.items.every(({ id }) => id !== group.id));
  c.stop();
});

test("the list has a new conversation, its order and its unread count; and others are notified", async () => {
  const list = b.conversations();
  await until("loaded", () => list.isLoaded);
  const told = [];
  b.on("notification", (event) => told.push(event.data.text));
  const group = await a.group({ title: "New", members: [ben.id] });
  await until("there", () => list.items[0]?.id === group.id);
  await talk.send("one").done;
  await group.send("two").done;
  await until("counted", () => list.items[0]?.id === group.id && list.items[0].unread === 1);
  assert.equal(list.items[1].id, talk.id);
  assert.deepEqual(told, ["one", "two"]);
  b.conversation(group.id).read();
  await until("read", () => list.items[0].unread === 0);
  await a.rest.remove_member({ id: group.id, user_id: ben.id });
  await until("gone", () => list.items.every(({ id }) => id !== group.id));
  list.close();
});

test("presence is told: online, away, offline", async () => {
  const view = b.presence([ana.id]);
  await until("online", () => view.get(ana.id)?.status === "online");
  a.setPresence("away");
  await until("away", () => view.get(ana.id)?.status === "away");
  a.setPresence("online");
  await until("online again", () => view.get(ana.id)?.status === "online");
  view.close();
});

test("what is told of presence counts more than an answer that has been on its way meanwhile", async () => {
  let arrive;
  const late = async (url, init) => {
    const answer = await fetch(url, init);
    if (url.endsWith("/presence")) await new Promise((resolve) => (arrive = resolve));
    return answer;
  };
  const c = new Verbatim({ url: server.url, token: () => ben.token, fetch: late });
  await c.start();
  await until("live", () => c.state === "live");
  const view = c.presence([ana.id]);
  await until("the answer is on its way", () => arrive);
  a.setPresence("away");
  await until("away", () => view.get(ana.id)?.status === "away");
  arrive();
  await sleep(100);
  a.setPresence("online");
  c.stop();
  assert.equal(view.get(ana.id).status, "away");
});

test("names come by themselves", async () => {
  assert.equal(b.users.name(ana.id) === ana.id || b.users.name(ana.id) === ana.username, true);
  await until("known", () => b.users.name(ana.id) === ana.username);
});

test("what happens between two answers while a view is loaded is in its receipts", async () => {
  const { position } = await talk.send("to be read").done;
  let release;
  const held = new Promise((resolve) => (release = resolve));
  let hasReceipts = false;
  const events = [];
  const slow = new Verbatim({
    url: server.url,
    token: () => ana.token,
    fetch: async (target, init) => {
      const answer = await fetch(target, init);
      // The response with the conversation itself arrives last.
      if (target.includes(`/conversations/${talk.id}?`)) await held;
      if (target.includes("/receipts?")) hasReceipts = true;
      return answer;
    },
  });
  slow.on("event", (event) => void events.push(event));
  await slow.start();
  try {
    const view = slow.conversation(talk.id).live();
    await until("the receipts are there", () => hasReceipts);
    await sleep(100);
    other.read(position);
    await until("the event is there", () => events.some(({ type, actor }) => type === "receipt.advanced" && actor === ben.id));
    release();
    await view.ready();
    assert.equal(view.receipts.find(({ user_id }) => user_id === ben.id).read, position);
  } finally {
    slow.stop();
  }
});
