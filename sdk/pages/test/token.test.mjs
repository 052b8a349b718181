// Access tokens that expire after a few seconds. The page gets another one, and the user notices nothing.
import assert from "node:assert/strict";
import { generateKeyPairSync, sign } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Server, until } from "../../typescript/test/server.mjs";
import { Browser, ends, open, say, shows, talkWith } from "./browser.mjs";

// The server gets a key that the tests know, so the tests can sign tokens that expire soon.
const { privateKey } = generateKeyPairSync("ed25519");
const folder = mkdtempSync(join(tmpdir(), "verbatim-pages-key-"));
const file = join(folder, "key.pem");
writeFileSync(file, privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600 });

let server, browser;
before(async () => {
  [server, browser] = await Promise.all([Server.start({ "signing-key-file": file }), Browser.start()]);
});
after(async () => {
  await Promise.all([browser?.stop(), server?.stop()]);
  rmSync(folder, { recursive: true });
});

/** The same token with an expiry in this many seconds. */
function ending(token, seconds) {
  const [head, body] = token.split(".");
  const now = Math.floor(Date.now() / 1000);
  const claims = { ...JSON.parse(Buffer.from(body, "base64url")), iat: now, nbf: now, exp: now + seconds };
  const signed = `${head}.${Buffer.from(JSON.stringify(claims)).toString("base64url")}`;
  return `${signed}.${sign(null, Buffer.from(signed), privateKey).toString("base64url")}`;
}

/** A context whose access tokens end after four seconds, and how many have been given. */
async function hasty() {
  const context = await browser.context();
  const given = { count: 0 };
  await context.route(/\/v1\/logins(\/refresh)?$/, async (route) => {
    const response = await route.fetch();
    const tokens = await response.json();
    given.count++;
    const json = response.ok() ? { ...tokens, access_token: ending(tokens.access_token, 4) } : tokens;
    await route.fulfill({ response, json });
  });
  return { context, given };
}

test("two tabs with a login each share a socket, and each shows its own tokens on it", async () => {
  const { context, given } = await hasty();
  const ben = await browser.person(server.url, "tabben");
  const first = await browser.person(server.url, "tabana", { context });
  const second = await browser.person(server.url, "tabana", { context, isKnown: true });
  await talkWith(first, "tabben");
  await open(second, "tabben");
  await open(ben, "tabana");
  const before = given.count;
  await until("the tokens of both have been renewed twice", () => given.count >= before + 4, 20);
  await say(first, "one");
  await shows(second, ["one"]);
  await say(second, "two");
  await Promise.all([first, second, ben].map((page) => shows(page, ["one", "two"])));
  for (const page of [first, second]) assert.equal(await page.getByText("Disconnected").count(), 0);

  // Each tab ends with its own login, whichever of both has the socket.
  const login = (page) => page.evaluate(() => JSON.parse(sessionStorage.getItem("verbatim.login")).login);
  const { access_token } = await server.post("/logins", { username: "tabana", password: "correct horse battery" });
  const headers = { Authorization: `Bearer ${access_token}` };
  await fetch(`${server.url}/v1/logins/${await login(first)}`, { method: "DELETE", headers });
  await first.getByRole("button", { name: "Sign in again" }).waitFor();
  await say(ben, "three");
  await shows(second, ["one", "two", "three"]);
  await say(second, "four");
  await shows(ben, ["one", "two", "three", "four"]);
  await ends(second, ben);
});

test("tokens end while two people chat", async () => {
  const { context, given } = await hasty();
  const ben = await browser.person(server.url, "ben");
  const ana = await browser.person(server.url, "ana", { context });
  await talkWith(ana, "ben");
  await say(ana, "before");
  await until("the token has been renewed twice", () => given.count >= 3, 15);
  await say(ana, "after");
  await shows(ana, ["before", "after"]);
  // A reload needs the refresh token from the last renewal.
  await ana.reload();
  await shows(ana, ["before", "after"]);
  assert.deepEqual(context.faults, []);

  // If the login is ended elsewhere, the session ends here, too, and the page says so.
  const tokens = await server.post("/logins", { username: "ana", password: "correct horse battery" });
  const headers = { Authorization: `Bearer ${tokens.access_token}` };
  const { items } = await (await fetch(`${server.url}/v1/logins`, { headers })).json();
  for (const { id, current } of items) if (!current) await fetch(`${server.url}/v1/logins/${id}`, { method: "DELETE", headers });
  await ana.getByText("Disconnected. This login was ended from elsewhere.").waitFor();
  await ana.getByRole("button", { name: "Sign in again" }).click();
  await ana.getByLabel("Password").waitFor();
  await ana.getByText("This login was ended from elsewhere.").waitFor();
  await ben.context().close();
});
