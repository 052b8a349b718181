// Presence of a user, combined over all tabs of that user.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Server, sleep, until } from "../../typescript/test/server.mjs";
import { Browser, ends, open, talkWith } from "./browser.mjs";

let server, browser;
before(async () => {
  [server, browser] = await Promise.all([Server.start({ "presence-grace": 5 }), Browser.start()]);
});
after(async () => {
  await Promise.all([browser?.stop(), server?.stop()]);
});

// Shortens the minute after which a hidden page is away to half a second.
function hurry() {
  const { setTimeout } = globalThis;
  globalThis.setTimeout = (act, ms, ...more) => setTimeout(act, ms === 60_000 ? 500 : ms, ...more);
}

/** Simulates a page that is hidden or shown. */
const turn = (page, visibility) =>
  page.evaluate((visibilityState) => {
    Object.defineProperty(document, "visibilityState", { value: visibilityState, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  }, visibility);
const hide = (...pages) => Promise.all(pages.map((page) => turn(page, "hidden")));

/** This many tabs of Ana, and Ben, whose list `told` records every presence of hers that the server sends to him. */
async function people(name, tabs, where = server) {
  const [one, other] = [`${name}ana`, `${name}ben`];
  const { id } = await where.post("/accounts", { username: one, password: "correct horse battery" });
  const told = [];
  const far = await browser.context();
  far.on("page", (page) => page.on("websocket", (socket) => socket.on("framereceived", ({ payload }) => {
    const frame = JSON.parse(payload);
    if (frame.op === "presence" && frame.user_id === id) told.push(frame.status);
  })));
  const ben = await browser.person(where.url, other, { context: far });
  const context = await browser.context();
  await context.addInitScript(hurry);
  const pages = [];
  for (let i = 0; i < tabs; i++) pages.push(await browser.person(where.url, one, { context, isKnown: true }));
  await talkWith(pages[0], other);
  await Promise.all([...pages.slice(1).map((page) => open(page, other)), open(ben, one)]);
  await ben.locator(".below.online").waitFor();
  told.length = 0;
  const becomes = (...wanted) =>
    until(`${name}: ${wanted.join(", ")}`, () => told.length >= wanted.length, 8)
      .then(() => sleep(1_200))
      .then(() => assert.deepEqual(told, wanted))
      .finally(() => (told.length = 0));
  return { ben, tabs: pages, told, becomes };
}

test("a person is away when all tabs have been hidden for a minute, and back with the first that is seen", async () => {
  const { ben, tabs, told, becomes } = await people("all", 3);
  await hide(tabs[0], tabs[1]);
  await sleep(2_000);
  assert.deepEqual(told, [], "one tab is still seen");
  await hide(tabs[2]);
  await becomes("away");
  await turn(tabs[1], "visible");
  await becomes("online");
  await ends(tabs[0], ben);
});

test("tabs that close and take over leave a person as present as the others are", async () => {
  const { ben, tabs, told, becomes } = await people("end", 4);
  const [first, second, third, fourth] = tabs;
  await hide(first, second, third);
  await sleep(1_000);
  await fourth.close();
  await becomes("away");
  await first.close();
  await sleep(3_000);
  assert.deepEqual(told, [], "nobody has come back");
  await turn(second, "visible");
  await becomes("online");
  await hide(second);
  await turn(third, "visible");
  await second.close();
  await sleep(3_000);
  assert.deepEqual(told, [], "the other tab is seen");
  await ends(third, ben);
});

test("a tab that closes takes no other's view of who is here away", async () => {
  const { ben, tabs } = await people("view", 2);
  const [first, second] = tabs;
  await second.locator(".below.online").waitFor();
  await first.close();
  await ben.context().close();
  await second.getByText(/^Last seen/).waitFor();
  await ends(second);
});

test("what a server has dropped without a word is told again", async () => {
  const strict = await Server.start({ heartbeat: 5, "limit-presence": "1/3:1" });
  try {
    const { ben, tabs, becomes } = await people("drop", 1, strict);
    const [tab] = tabs;
    await tab.reload();
    const socket = await tab.waitForEvent("websocket");
    await socket.waitForEvent("framereceived", ({ payload }) => payload.includes('"heartbeat"'));
    await hide(tab);
    await socket.waitForEvent("framesent", ({ payload }) => payload.includes('"away"'));
    await turn(tab, "visible");
    await becomes("away", "online");
    await ends(tab, ben);
  } finally {
    await strict.stop();
  }
});
