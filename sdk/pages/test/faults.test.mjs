// The chat page in Chromium while things fail: the network, the node, the page itself.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Server, proxy, until } from "../../typescript/test/server.mjs";
import { Browser, bubble, ends, field, online, open, say, shows } from "./browser.mjs";

let server, way, browser;
before(async () => {
  [server, browser] = await Promise.all([Server.start({ "presence-grace": 1 }), Browser.start()]);
  way = await proxy(server.port);
});
after(async () => {
  way?.end();
  await Promise.all([browser?.stop(), server?.stop()]);
});

const pair = (name, options) => browser.pair(way.url, name, options);

test("the network is cut in the middle of typing, and each message arrives once", async () => {
  const { ana, ben } = await pair("cut");
  await say(ana, "before");
  await shows(ben, ["before"]);
  await field(ana).pressSequentially("during ");
  way.down(true);
  way.cut();
  await field(ana).pressSequentially("one");
  await field(ana).press("Enter");
  await say(ana, "during two");
  await say(ben, "from ben");
  await ana.getByRole("status").filter({ hasText: "Reconnecting…" }).waitFor();
  assert.deepEqual(await ana.locator("li.pending .meta").allTextContents(), ["Sending…", "Sending…"]);
  await browser.picture(ana, "reconnecting");
  await ana.waitForTimeout(5_000);
  way.down(false);
  await online(ana, ben);
  await until("both have all", async () => (await ben.locator("li.message").count()) === 4 && (await ana.locator("li.pending").count()) === 0, 40);
  const all = await ben.locator("li.message .text").allTextContents();
  assert.deepEqual(all.filter((text) => text !== "from ben"), ["before", "during one", "during two"]);
  await shows(ana, all);
  await until("the banner is gone", async () => (await ana.locator(".banner").textContent()) === "");
  await ends(ana, ben);
});

test("what was sent before a reload arrives once, and a draft is still there", async () => {
  const { ana, ben } = await pair("load");
  way.down(true);
  way.cut();
  await say(ana, "first", "second");
  await field(ana).fill("a draft");
  // The page itself comes from the server, so the network must be back for the reload.
  await ana.locator("li.pending").nth(1).waitFor();
  way.down(false);
  await ana.reload();
  await shows(ben, ["first", "second"]);
  await shows(ana, ["first", "second"]);
  assert.equal(await field(ana).inputValue(), "a draft");
  await ends(ana, ben);
});

test("a node is killed and started again", async () => {
  const { ana, ben } = await pair("kill");
  await say(ana, "before");
  await shows(ben, ["before"]);
  const back = server.crash();
  await say(ana, "while it is away");
  await back;
  await online(ana, ben);
  await shows(ben, ["before", "while it is away"]);
  await shows(ana, ["before", "while it is away"]);
  await ends(ana, ben);
});

test("two tabs of one person show the same, and each window may be somebody else", async () => {
  const { ana, ben } = await pair("tabs");
  const second = await browser.person(way.url, "tabsana", { context: ana.context(), isKnown: true });
  await open(second, "tabsben");
  await say(ana, "from the first");
  await say(second, "from the second");
  await say(ben, "to both");
  for (const page of [ana, second, ben]) await until("all is there", async () => (await page.locator("li.message").count()) === 3);
  await shows(second, await ana.locator("li.message .text").allTextContents());
  // In a third tab of the same browser, no user is signed in at first.
  const third = await browser.person(way.url, "tabscem", { context: ana.context() });
  await third.getByText("Nobody to talk with yet.").waitFor();
  // After a reload, each tab still has its own user.
  await Promise.all([second.reload(), third.reload()]);
  await bubble(second, "to both").waitFor();
  await third.getByRole("navigation").getByText("tabscem").waitFor();
  await ends(ana, ben);
});

