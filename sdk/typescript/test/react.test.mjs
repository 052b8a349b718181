import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { createElement as h, StrictMode } from "react";
import renderer from "react-test-renderer";
import { Verbatim } from "../dist/index.js";
import { useChatState, useConversation, useConversations, usePresence, useUsers } from "../dist/react/index.js";
import { Server, until } from "./server.mjs";

let server, ana, ben, a, b;
before(async () => {
  server = await Server.start({ "presence-grace": 1 });
  [ana, ben] = await Promise.all([server.user("ana"), server.user("ben")]);
  [a, b] = [ana, ben].map((user) => new Verbatim({ url: server.url, token: () => user.token }));
});
after(async () => {
  a.stop();
  b.stop();
  await server.stop();
});

function App({ chat, id, others }) {
  const state = useChatState(chat);
  const view = useConversation(chat, id, { limit: 20 });
  const list = useConversations(chat);
  const presence = usePresence(chat, others);
  const users = useUsers(chat);
  const lines = (view?.messages ?? []).map(({ sender, text }) => `${users.name(sender)}: ${text}`);
  return h("p", null, JSON.stringify({ state, lines, unread: list?.unread, online: others.map((id) => presence?.get(id)?.status) }));
}

test("a component shows what happens, also in strict mode, and lets go of it at its end", async () => {
  await b.start();
  const talk = await b.direct(ana.id);
  const app = (id) => h(StrictMode, null, h(App, { chat: a, id, others: [ben.id] }));
  const root = renderer.create(app(talk.id));
  const shows = (what, condition) => until(what, () => root.toJSON() && condition(JSON.parse(root.toJSON().children.join(""))));
  await shows("offline", ({ state }) => state === "offline");
  await a.start();
  await shows("live", ({ state }) => state === "live");
  await talk.send("Hi").done;
  await shows("the message, with a name", ({ lines }) => lines.at(-1) === `${ben.username}: Hi`);
  await shows("what is unread", ({ unread }) => unread === 1);
  await shows("who is there", ({ online }) => online[0] === "online");
  const group = await b.group({ title: "Other", members: [ana.id] });
  await group.send("elsewhere").done;
  root.update(app(group.id));
  await shows("the other conversation", ({ lines }) => lines.length === 1 && lines[0].endsWith(": elsewhere"));
  root.unmount();
  assert.equal(root.toJSON(), null);
});
