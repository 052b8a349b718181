// Users in Chromium. Each has a separate browser context, so two of them share nothing.
import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

export const PASSWORD = "correct horse battery";
/** The time limit for every action of a page. */
const PATIENCE = 15_000;
const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];

export class Browser {
  static async start() {
    const browser = new Browser();
    browser.pictures = process.env.PICTURES ?? (browser.folder = await mkdtemp(join(tmpdir(), "verbatim-pages-")));
    await mkdir(browser.pictures, { recursive: true });
    browser.chromium = await chromium.launch({ executablePath: process.env.CHROMIUM, args: FLAGS, headless: true });
    return browser;
  }

  async stop() {
    await this.chromium.close();
    if (this.folder) await rm(this.folder, { recursive: true, force: true });
  }

  /** A new context, which records each error and each violation of the content security policy in its pages. */
  async context(options = {}) {
    const context = await this.chromium.newContext({ viewport: { width: 900, height: 680 }, ...options });
    context.setDefaultTimeout(PATIENCE);
    if (process.env.PAGES) await context.route(/\/(chat|ops)\/[\w-]+\.(js|css)$/, asBuilt);
    context.faults = [];
    context.on("weberror", (error) => context.faults.push(String(error.error())));
    context.on("console", (message) => {
      // Chromium itself logs error responses and lost connections, which the tests cause on purpose.
      const isNetwork = /Failed to load resource|WebSocket connection|ERR_/.test(message.text());
      if (message.type() === "error" && !isNetwork) context.faults.push(message.text());
    });
    return context;
  }

  /** A page of a user who signs in, with a new account unless `isKnown`. */
  async person(url, username, { context, isKnown = false, ...options } = {}) {
    const where = context ?? (await this.context(options));
    const page = await where.newPage();
    await page.goto(`${url}/chat/`);
    await signIn(page, username, isKnown);
    return page;
  }

  /** Two users who both have their direct conversation open. */
  async pair(url, name, options = {}) {
    const [one, other] = [`${name}ana`, `${name}ben`];
    const [ana, ben] = await Promise.all([this.person(url, one, options), this.person(url, other, options)]);
    await talkWith(ana, other);
    await open(ben, one);
    return { ana, ben };
  }

  async picture(page, name) {
    await page.screenshot({ path: join(this.pictures, `${name}.png`) });
  }
}

/**
 * Responds with the script or style from the current build, instead of the one that is embedded in the server as
 * `page-<digest>.js`.
 */
function asBuilt(route) {
  const [, page, name, ending] = /\/(\w+)\/(\w+)-\w+\.(\w+)$/.exec(route.request().url());
  return route.fulfill({ path: join(process.env.PAGES, page, `${name}.${ending}`) });
}

/** Closes the contexts of these pages, and fails if they have recorded an error. */
export async function ends(...pages) {
  for (const page of pages) {
    const context = page.context();
    assert.deepEqual(context.faults, []);
    await context.close();
  }
}

export async function signIn(page, username, isKnown = true) {
  if (!isKnown) await page.getByRole("button", { name: "Create an account" }).click();
  await page.getByLabel("User name").fill(username);
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: isKnown ? "Sign in" : "Create account", exact: true }).click();
  await page.getByRole("navigation", { name: "Conversations" }).waitFor();
}

/** Starts a conversation with these users, and opens it. */
export async function talkWith(page, usernames, title) {
  await page.getByRole("button", { name: "New conversation" }).click();
  await page.getByLabel("User names").fill(usernames);
  if (title) await page.getByLabel("Title").fill(title);
  await page.getByRole("button", { name: "Start", exact: true }).click();
  await field(page).waitFor();
}

/** Opens a conversation of the list. */
export async function open(page, title) {
  await page.getByRole("navigation").getByRole("link").filter({ hasText: title }).click();
  await field(page).waitFor();
}

export const field = (page) => page.getByRole("textbox", { name: "Message", exact: true });

export async function say(page, ...texts) {
  for (const text of texts) {
    await field(page).fill(text);
    await field(page).press("Enter");
  }
}

/**
 * Fires the event with which a browser reports that the network is back. The pages then connect at once, and not after
 * a pause.
 */
export const online = (...pages) => Promise.all(pages.map((page) => page.evaluate(() => dispatchEvent(new Event("online")))));

export const bubble = (page, text) => page.locator("li.message").filter({ has: page.locator(".text", { hasText: new RegExp(`^${text}$`) }) });

/** The texts of all messages, in their order on the page. */
export const texts = (page) => page.locator("li.message .text").allTextContents();

/** Waits until the page shows exactly these messages, all of them acknowledged by the server. */
export async function shows(page, wanted) {
  const end = Date.now() + PATIENCE;
  let seen;
  do {
    seen = { texts: await texts(page), pending: await page.locator("li.pending").count() };
    if (seen.pending === 0 && JSON.stringify(seen.texts) === JSON.stringify(wanted)) return;
    await page.waitForTimeout(50);
  } while (Date.now() < end);
  assert.deepEqual(seen, { texts: wanted, pending: 0 });
}
