// The chat page in Chromium, against a real server.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Server, until } from "../../typescript/test/server.mjs";
import { Browser, PASSWORD, bubble, ends, field, say, shows, signIn, talkWith } from "./browser.mjs";

let server, browser;
before(async () => {
  [server, browser] = await Promise.all([Server.start({ "presence-grace": 1 }), Browser.start()]);
});
after(async () => {
  await Promise.all([browser?.stop(), server?.stop()]);
});

const pair = (name, options) => browser.pair(server.url, name, options);

test("two people chat: typing, receipts, reactions, an edit, an answer, a deletion", async () => {
  const { ana, ben } = await pair("talk");
  await field(ben).pressSequentially("Hi");
  await ana.getByText("talkben is typing…").waitFor();
  await field(ben).press("Enter");
  await shows(ana, ["Hi"]);
  await say(ana, "Hello Ben!", "Pizza <b>tonight</b>?");
  await shows(ben, ["Hi", "Hello Ben!", "Pizza <b>tonight</b>?"]);
  // The key with which a conversion ends in Safari sends nothing.
  await field(ben).fill("にほん");
  await field(ben).dispatchEvent("keydown", { key: "Enter", keyCode: 229 });
  assert.equal(await field(ben).inputValue(), "にほん");
  await field(ben).fill("");
  await bubble(ana, "Hello Ben!").getByRole("img", { name: "Read" }).waitFor();

  const message = bubble(ben, "Hello Ben!");
  await message.hover();
  await message.getByRole("button", { name: "React" }).click();
  await message.getByRole("button", { name: "React with 👍" }).click();
  await bubble(ana, "Hello Ben!").getByRole("button", { name: "👍, 1" }).waitFor();

  await field(ana).press("ArrowUp");
  await field(ana).fill("Soup tonight?");
  await field(ana).press("Enter");
  await bubble(ben, "Soup tonight\\?").getByText("edited").waitFor();

  const question = bubble(ben, "Soup tonight\\?");
  await question.hover();
  await question.getByRole("button", { name: "Reply" }).click();
  await say(ben, "Gladly.");
  await bubble(ana, "Gladly.").locator(".quote").filter({ hasText: "Soup tonight?" }).waitFor();
  await browser.picture(ana, "two-people");

  await bubble(ana, "Hello Ben!").hover();
  await bubble(ana, "Hello Ben!").getByRole("button", { name: "Delete" }).click();
  await ana.getByRole("button", { name: "Delete for everybody" }).click();
  await shows(ben, ["Hi", "Message deleted", "Soup tonight?", "Gladly."]);
  await ends(ana, ben);
});

test("a group shows unread counts, and a message is found and shown where it stands", async () => {
  const [ana, ben] = await Promise.all(["groupana", "groupben"].map((name) => browser.person(server.url, name)));
  await talkWith(ana, "groupben", "Supper");
  await say(ana, "one", "two", "the needle", "four");
  await ben.getByRole("link", { name: /Supper.*4 unread/s }).waitFor();
  await until("the title tells", async () => (await ben.title()) === "(4) Verbatim");
  await ben.keyboard.press("Control+k");
  await ben.keyboard.type("needle");
  await ben.getByRole("list", { name: "Messages found" }).getByRole("link").click();
  await bubble(ben, "the needle").waitFor();
  assert.equal(await ben.locator("li.message.spot .text").textContent(), "the needle");
  await ends(ana, ben);
});

test("pages of history come as one scrolls up, and nothing moves", async () => {
  const { ana, ben } = await pair("page");
  const wanted = Array.from({ length: 60 }, (_, i) => `line ${i}`);
  await say(ana, ...wanted);
  await shows(ana, wanted);
  await ben.reload();
  await bubble(ben, "line 59").waitFor();
  const box = ben.getByRole("region", { name: /^Messages/ });
  await box.evaluate((area) => (area.scrollTop = 0));
  await bubble(ben, "line 0").waitFor({ state: "attached" });
  const at = await box.evaluate((area) => area.scrollTop);
  assert.ok(at > 100, "what was at the top is still to be seen");
  // It does not move either when a message is added below.
  await say(ana, "below");
  await ben.getByRole("button", { name: "New messages" }).waitFor();
  assert.equal(await box.evaluate((area) => area.scrollTop), at);
  wanted.push("below");
  await shows(ben, wanted);
  await ben.getByRole("button", { name: "New messages" }).click();
  await until("it is read", () => bubble(ana, "below").getByRole("img", { name: "Read" }).isVisible());
  await ends(ana, ben);
});

test("what is erased goes at once, and whoever reads far up stays there", async () => {
  const { ana, ben } = await pair("gone");
  const wanted = Array.from({ length: 90 }, (_, i) => `line ${i}`);
  await say(ana, ...wanted);
  await shows(ana, wanted);
  await ben.reload();
  await bubble(ben, "line 89").waitFor();
  const box = ben.getByRole("region", { name: /^Messages/ });
  for (const line of ["line 40", "line 2"]) {
    await box.evaluate((area) => (area.scrollTop = 0));
    await bubble(ben, line).waitFor({ state: "attached" });
  }
  await bubble(ben, "line 10").scrollIntoViewIfNeeded();
  const at = await bubble(ben, "line 10").evaluate((line) => line.getBoundingClientRect().top);
  const [id] = /[\w-]{36}$/.exec(ben.url());
  const position = Number((await bubble(ben, "line 12").getAttribute("id")).slice(1));
  await server.post("/admin/erasures", { messages: [{ conversation_id: id, position }], reason_code: "request" }, await server.key());
  wanted[12] = "Message deleted";
  await shows(ben, wanted);
  assert.equal(await bubble(ben, "line 10").evaluate((line) => line.getBoundingClientRect().top), at, "nothing has moved");
  await shows(ana, wanted);
  await ends(ana, ben);
});

test("an erased title goes at once, from the list and from the conversation", async () => {
  const [ana, ben] = await Promise.all(["namelessana", "namelessben"].map((name) => browser.person(server.url, name)));
  await talkWith(ana, "namelessben", "A secret");
  await ben.getByRole("navigation").getByRole("link", { name: /A secret/ }).waitFor();
  const [id] = /[\w-]{36}$/.exec(ana.url());
  const { access_token } = await server.post("/logins", { username: "namelessana", password: PASSWORD });
  const answer = await fetch(`${server.url}/v1/conversations/${id}`, {
    method: "PATCH",
    headers: { Authorization: `Bearer ${access_token}`, "Content-Type": "application/json" },
    body: JSON.stringify({ title: "Another secret" }),
  });
  const { position } = await answer.json();
  await ben.getByRole("navigation").getByRole("link", { name: /Another secret/ }).waitFor();
  await server.post("/admin/erasures", { messages: [{ conversation_id: id, position }], reason_code: "request" }, await server.key());
  await ben.getByRole("navigation").getByRole("link", { name: /Group/ }).waitFor();
  await ana.getByRole("heading", { name: "Group", exact: true }).waitFor();
  for (const page of [ana, ben]) assert.doesNotMatch(await page.content(), /secret/, "no earlier title comes back");
  await ends(ana, ben);
});

test("a refused message says why and blocks nothing; it can be sent again, or discarded", async () => {
  const { ana, ben } = await pair("fail");
  const { access_token, user_id } = await server.post("/logins", { username: "failben", password: PASSWORD });
  const { user_id: other } = await server.post("/logins", { username: "failana", password: PASSWORD });
  assert.notEqual(user_id, other);
  const block = async (method) => {
    const answer = await fetch(`${server.url}/v1/me/blocks/${other}`, { method, headers: { Authorization: `Bearer ${access_token}` } });
    assert.ok(answer.ok, `${answer.status}`);
  };
  await block("PUT");
  await say(ana, "one", "two");
  await until("both are refused", async () => (await ana.locator("li.failed").count()) === 2);
  await browser.picture(ana, "refused");
  await block("DELETE");
  await ana.locator("li.failed").first().getByRole("button", { name: "Discard" }).click();
  await ana.locator("li.failed").getByRole("button", { name: "Try again" }).click();
  await say(ana, "three");
  await shows(ben, ["two", "three"]);
  await shows(ana, ["two", "three"]);
  // The field itself refuses a text that is too long.
  await field(ana).fill("ü".repeat(9000));
  await ana.getByText("The message is too long.").waitFor();
  assert.ok(await ana.getByRole("button", { name: "Send" }).isDisabled());
  await ends(ana, ben);
});

test("a phone in the dark: one column, and everything with the keyboard", async () => {
  const { ana, ben } = await pair("dark", { colorScheme: "dark", viewport: { width: 390, height: 720 } });
  await say(ana, "שלום לכולם", "Hello, with the keyboard alone.");
  await shows(ben, ["שלום לכולם", "Hello, with the keyboard alone."]);
  assert.equal(await bubble(ben, "שלום לכולם").locator(".text").evaluate((text) => getComputedStyle(text).direction), "rtl");
  assert.ok(!(await ben.getByRole("navigation").isVisible()), "the list is not beside the conversation");
  // Keyboard navigation: from the field back to the messages, to the last message, and to its buttons.
  await field(ben).press("Shift+Tab");
  await ben.keyboard.press("ArrowUp");
  await ben.keyboard.press("Tab");
  await ben.keyboard.press("Enter");
  await ben.keyboard.press("Tab");
  await ben.keyboard.press("Enter");
  await ana.getByRole("button", { name: /, 1$/ }).waitFor();
  await browser.picture(ben, "dark-narrow");
  await ben.getByRole("button", { name: "Back to the list" }).click();
  await ben.getByRole("link", { name: /darkana/ }).waitFor();
  await ends(ana, ben);
});

test("who signs out is out, and a wrong password is told", async () => {
  const page = await browser.person(server.url, "outana");
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByText("You have signed out.").waitFor();
  await page.reload();
  await page.getByLabel("User name").fill("outana");
  await page.getByLabel("Password").fill("not the password");
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.getByRole("alert").waitFor();
  await signIn(page, "outana");
  await ends(page);
});
