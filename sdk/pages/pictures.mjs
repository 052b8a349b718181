// Takes the pictures in docs/pictures/: `VERBATIM_BIN=… CHROMIUM=… PICTURES=docs/pictures node sdk/pages/pictures.mjs`.
import { Server } from "../typescript/test/server.mjs";
import { Browser, PASSWORD, bubble, field, open, say, signIn, talkWith } from "./test/browser.mjs";

const server = await Server.start();
const browser = await Browser.start();

async function person(username, display_name, options) {
  await server.post("/accounts", { username, display_name, password: PASSWORD });
  const page = await (await browser.context(options)).newPage();
  await page.goto(`${server.url}/chat/`);
  await signIn(page, username);
  return page;
}

async function react(page, text, emoji) {
  const message = bubble(page, text);
  await message.hover();
  await message.getByRole("button", { name: "React" }).click();
  await message.getByRole("button", { name: `React with ${emoji}` }).click();
}

const ana = await person("ana", "Ana María", { viewport: { width: 1000, height: 640 } });
const ben = await person("ben", "Ben Okafor", { viewport: { width: 390, height: 700 }, colorScheme: "dark" });
const cem = await person("cem", "Cem Yıldız");
const dana = await person("dana", "דנה לוי");
await talkWith(dana, "ana");
await say(dana, "נתראה מחר?");
await talkWith(ana, "ben cem dana", "Supper on Friday");
await say(ana, "The place by the river is booked for eight.");
await open(cem, "Supper");
await say(cem, "Count me in. I bring the dessert.");
await talkWith(ben, "ana");
await say(ben, "Hi Ana! Did you see the new chat page?", "It even works on my phone.");
await open(ana, "Ben");
await say(ana, "I did. Two commands, and here we are.");
await react(ana, "It even works on my phone.", "🎉");
const question = bubble(ben, "I did. Two commands, and here we are.");
await question.hover();
await question.getByRole("button", { name: "Reply" }).click();
await say(ben, "And I was in a tunnel just now: nothing lost, nothing twice.");
await react(ben, "I did. Two commands, and here we are.", "👍");
await say(cem, "Shall we say half past seven?");
await ben.mouse.move(0, 300);
await ana.mouse.move(600, 600);
// A typing signal is sent at most once in three seconds.
await ben.waitForTimeout(3_100);
await field(ben).pressSequentially("See you on Fri", { delay: 20 });
await ana.getByText("Ben Okafor is typing…").waitFor();
await field(ana).focus();
await browser.picture(ana, "chat");
await browser.picture(ben, "chat-dark-narrow");
await browser.stop();
await server.stop();
