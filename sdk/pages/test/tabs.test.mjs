// The tabs of one user share one socket, no matter which of them closes, crashes or is reloaded.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Server, until } from "../../typescript/test/server.mjs";
import { Browser, ends, open, say, shows, talkWith, texts } from "./browser.mjs";

let server, browser;
before(async () => {
  [server, browser] = await Promise.all([Server.start({ "presence-grace": 1 }), Browser.start()]);
});
after(async () => {
  await Promise.all([browser?.stop(), server?.stop()]);
});

/** The value of a metric of the server. */
async function metric(name) {
  const text = await (await fetch(`http://127.0.0.1:${server.admin}/metrics`)).text();
  return Number(new RegExp(`^${name} (\\d+)`, "m").exec(text)?.[1] ?? 0);
}

const sockets = (wanted) => until(`${wanted} sockets`, async () => (await metric("verbatim_sockets")) === wanted);

/** Three tabs of one user, and Ben in a separate browser context, all in one conversation. */
async function people(name) {
  const [one, other] = [`${name}ana`, `${name}ben`];
  const ben = await browser.person(server.url, other);
  const first = await browser.person(server.url, one);
  const context = first.context();
  const second = await browser.person(server.url, one, { context, isKnown: true });
  const third = await browser.person(server.url, one, { context, isKnown: true });
  await talkWith(first, other);
  await Promise.all([open(second, other), open(third, other), open(ben, one)]);
  return { ben, tabs: [first, second, third], one, other };
}

const all = (pages, wanted) => Promise.all(pages.map((page) => shows(page, wanted)));

test("three tabs have one socket, and all of them send and hear", async () => {
  const { ben, tabs } = await people("three");
  await sockets(2);
  assert.equal(await metric("verbatim_sessions"), 2);
  await say(tabs[0], "from the first");
  await shows(ben, ["from the first"]);
  await say(tabs[1], "from the second");
  await shows(ben, ["from the first", "from the second"]);
  await say(tabs[2], "from the third");
  await shows(ben, ["from the first", "from the second", "from the third"]);
  await say(ben, "to all");
  await all([...tabs, ben], ["from the first", "from the second", "from the third", "to all"]);
  await ends(tabs[0], ben);
  await sockets(0);
});

test("another tab takes over when the one with the socket closes", async () => {
  const { ben, tabs } = await people("lead");
  const [first, second, third] = tabs;
  await say(first, "before");
  await all([...tabs, ben], ["before"]);
  const begin = Date.now();
  await first.close();
  // The test does not wait for the new socket. Messages that are sent meanwhile are caught up with.
  await say(ben, "meanwhile");
  await say(third, "and sent");
  await shows(second, await until("Ben has all", async () => ((await texts(ben)).length === 3 ? texts(ben) : undefined)));
  const seconds = (Date.now() - begin) / 1000;
  assert.ok(seconds < 5, `${seconds} s`);
  await shows(third, await texts(ben));
  await sockets(2);
  await second.close();
  await say(third, "the last one");
  await until("Ben has it", async () => (await texts(ben)).at(-1) === "the last one");
  await ends(third, ben);
});

test("another tab takes over when the one with the socket crashes, or hangs", async () => {
  const { ben, tabs } = await people("hang");
  const [first, second, third] = tabs;
  const devtools = await first.context().newCDPSession(first);
  // This call never returns.
  void devtools.send("Page.crash").catch(() => {});
  await first.waitForEvent("crash");
  await say(third, "after the crash");
  await all([second, third, ben], ["after the crash"]);
  await sockets(2);
  // A page in a busy loop sends nothing, and does not release its lock either.
  const begin = Date.now();
  await second.evaluate(() => setTimeout(() => { for (const end = Date.now() + 15_000; Date.now() < end; ); }));
  await say(ben, "during the hang");
  await third.reload();
  await shows(third, ["after the crash", "during the hang"]);
  await say(third, "and sent");
  await shows(ben, ["after the crash", "during the hang", "and sent"]);
  assert.ok(Date.now() - begin < 15_000, "nobody waits for the end of the hang");
  await shows(second, ["after the crash", "during the hang", "and sent"]);
  await sockets(2);
  await ends(third, ben);
});

test("what a tab was about to send is sent by another one, and once", async () => {
  const { ben, tabs } = await people("rest");
  const [first, second, third] = tabs;
  await first.context().setOffline(true);
  await say(first, "one", "two", "three");
  await first.locator("li.pending").nth(2).waitFor();
  await first.close();
  await third.context().setOffline(false);
  await all([second, third, ben], ["one", "two", "three"]);
  await ends(third, ben);
});

test("tabs that are loaded again while they send lose and double nothing", async () => {
  const { ben, tabs } = await people("load");
  const wanted = [];
  for (let i = 0; i < 6; i++) {
    const page = tabs[i % 3];
    const said = [`${i} a`, `${i} b`, `${i} c`];
    wanted.push(...said);
    await say(page, ...said);
    await page.reload();
  }
  await until("Ben has all", async () => (await texts(ben)).length >= wanted.length, 30);
  const heard = await texts(ben);
  assert.deepEqual([...heard].sort(), wanted);
  // The messages of one tab stay in order.
  for (let i = 0; i < 6; i++) assert.deepEqual(heard.filter((text) => text.startsWith(`${i} `)), wanted.slice(3 * i, 3 * i + 3));
  await all(tabs, heard);
  await sockets(2);
  await ends(tabs[0], ben);
});
