// The page for operators in Chromium.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Server, until } from "../../typescript/test/server.mjs";
import { Browser, PASSWORD } from "./browser.mjs";

let server, browser;
before(async () => {
  [server, browser] = await Promise.all([Server.start({ "limit-login": "2/60" }), Browser.start()]);
});
after(async () => {
  await Promise.all([browser?.stop(), server?.stop()]);
});

test("a node at a glance: state, rates, streams, nodes, limits that bite", async () => {
  const context = await browser.context({ viewport: { width: 1180, height: 1000 } });
  const page = await context.newPage();
  const address = `http://127.0.0.1:${server.admin}`;
  await page.goto(`${address}/`);
  assert.equal(page.url(), `${address}/ops/`);
  await page.getByRole("status").filter({ hasText: "Ready" }).waitFor();
  const [ana, ben] = [await server.user("ana"), await server.user("ben")];
  const { id } = await server.post("/conversations", { kind: "direct", user_id: ben.id }, ana.token);
  for (let i = 0; i < 30; i++) await server.post(`/conversations/${id}/messages`, { client_id: `message-${i}`, text: `${i}` }, ana.token);
  // Guessing passwords hits the limit.
  const tries = Array.from({ length: 6 }, () => server.post("/logins", { username: ana.username, password: `${PASSWORD}!` }).catch(() => {}));
  await Promise.all(tries);
  await page.getByRole("region", { name: "Refusals" }).getByText("login").first().waitFor();
  const streams = page.getByRole("region", { name: "Streams" });
  await until("the positions are there", async () => /CHAT_\d+3[01]/.test((await streams.textContent()).replace(/\s/g, "")), 15);
  await page.getByRole("region", { name: "Nodes" }).getByRole("row").nth(1).waitFor();
  await page.getByText("None: the views of every conversation go on.").waitFor();
  await page.getByRole("heading", { name: "Readiness" }).waitFor();
  await page.waitForTimeout(4_000);
  await browser.picture(page, "ops");
  await page.emulateMedia({ colorScheme: "dark" });
  await browser.picture(page, "ops-dark");

  // After too many attempts, the chat page shows how long the user has to wait.
  const door = await context.newPage();
  await door.goto(`${server.url}/chat/`);
  await door.getByLabel("User name").fill(ana.username);
  await door.getByLabel("Password").fill(PASSWORD);
  await door.getByRole("button", { name: "Sign in", exact: true }).click();
  await door.getByText(/Too many attempts from here. Try again in \d+ seconds./).waitFor();

  // The page reports that the node does not answer, and keeps its last figures.
  await context.route("**/readyz", (route) => route.abort());
  await page.getByRole("status").filter({ hasText: "No answer" }).waitFor();
  assert.deepEqual(context.faults, []);
});
