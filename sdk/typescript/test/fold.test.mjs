// After random acts of several users, the state that the views have folded from events must equal the responses of
// REST.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Verbatim } from "../dist/index.js";
import { Server, proxy, until } from "./server.mjs";

const STATES = Number(process.env.FOLD_STATES ?? 40);
const seed = Number(process.env.FOLD_SEED ?? Date.now() % 1_000_000);

/** Mulberry32, so that a failure can be reproduced from the seed. */
function random(state) {
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

test(`the fold is that of the server in ${STATES} states (FOLD_SEED=${seed})`, async (t) => {
  const server = await Server.start({ heartbeat: 1, "limit-members": "off", "limit-start": "off" });
  const way = await proxy(server.port);
  const next = random(seed);
  const pick = (list) => list[Math.floor(next() * list.length)];

  const users = [];
  for (const name of ["ana", "ben", "cleo", "dan"]) {
    const user = await server.user(name);
    const chat = new Verbatim({ url: way.url, token: () => user.token });
    chat.on("error", (error) => error.retryable || assert.fail(error));
    await chat.start();
    users.push({ ...user, chat });
  }
  const [ana, ben, cleo, dan] = users;
  const { id } = await ana.chat.group({ title: "Fold", members: [ben.id, cleo.id] });
  const here = new Set([ana, ben, cleo]);
  for (const user of [ana, ben, cleo]) {
    // One view has all messages. Another one is loaded in the middle of the run, and has few.
    user.view = await user.chat.conversation(id).live({ limit: 200 }).ready();
    user.list = user.chat.conversations();
  }
  let narrow = await ben.chat.conversation(id).live({ limit: 5 }).ready();

  const sent = [];
  let head = 0;
  const reach = ({ position }) => (head = Math.max(head, position ?? 0));
  const acts = {
    async send(user) {
      const mention = next() < 0.2 ? ` <@${pick(users).id}>` : "";
      const replyTo = next() < 0.3 && sent.length > 0 ? pick(sent).id : undefined;
      const text = (next() < 0.1 ? "🙂".repeat(250) : `message ${Math.floor(next() * 1e6)}`) + mention;
      const done = await user.chat.conversation(id).send({ text, ...(replyTo && { replyTo }), ...(next() < 0.1 && { metadata: { n: 1.5 } }) }).done;
      reach(done);
      sent.push({ id: done.id, sender: user });
    },
    async edit(user) {
      const own = sent.filter(({ sender }) => sender === user);
      if (own.length > 0) reach(await user.chat.conversation(id).edit(pick(own.slice(-15)).id, `edited ${Math.floor(next() * 1e6)} ${next() < 0.3 ? `<@${pick(users).id}>` : ""}`).done);
    },
    async delete(user) {
      const own = sent.filter(({ sender }) => sender === user);
      if (own.length > 0) reach(await user.chat.conversation(id).delete(pick(own.slice(-15)).id).done);
    },
    async react(user) {
      if (sent.length > 0) reach(await user.chat.conversation(id).react(pick(sent.slice(-8)).id, pick(["👍", "❤️", "😀"])).done);
    },
    async unreact(user) {
      if (sent.length > 0) reach(await user.chat.conversation(id).unreact(pick(sent.slice(-8)).id, pick(["👍", "❤️", "😀"])).done);
    },
    async pin(user) {
      if (sent.length > 0) reach(await user.chat.conversation(id)[pick(["pin", "unpin"])](pick(sent.slice(-8)).id).done);
    },
    async read(user) {
      const position = pick(user.view.messages)?.position;
      if (position) user.chat.conversation(id).read(next() < 0.5 ? position : undefined);
    },
    async title() {
      reach(await ana.chat.rest.update_conversation({ id, body: { title: `Fold ${Math.floor(next() * 1e6)}` } }));
    },
    async role() {
      const user_id = pick([...here].filter((user) => user !== ana)).id;
      reach(await ana.chat.rest.change_role({ id, user_id, body: { role: pick(["member", "admin"]) } }));
    },
    async members() {
      if (here.delete(dan)) await ana.chat.rest.remove_member({ id, user_id: dan.id });
      else {
        reach(await ana.chat.rest.add_member({ id, body: { user_id: dan.id } }));
        here.add(dan);
      }
    },
  };
  const often = ["send", "send", "send", "react", "react", "unreact", "edit", "read", "pin", "delete", "title", "role", "members"];

  for (let state = 0; state < STATES; state++) {
    const some = Array.from({ length: 1 + Math.floor(next() * 6) }, () => acts[pick(often)](pick([...here].filter((user) => user.view))));
    for (const one of await Promise.allSettled(some)) {
      // An act may be too late for a deleted message. Then a refusal is correct.
      if (one.status === "rejected" && ![404, 409, 0].includes(one.reason.status)) throw one.reason;
    }
    if (next() < 0.15) way.cut();
    if (next() < 0.2) {
      narrow.close();
      narrow = await ben.chat.conversation(id).live({ limit: 5 }).ready();
      if (next() < 0.5) await narrow.older();
    }
    for (const user of [ana, ben, cleo]) await same(user, user.view, 200);
    await same(ben, narrow, narrow.messages.length);
  }
  t.diagnostic(`${STATES} states, ${sent.length} messages, head ${head}, seed ${seed}`);
  for (const { chat } of users) chat.stop();
  way.end();
  await server.stop();

  async function same(user, view, limit) {
    const { rest } = user.chat;
    let difference;
    // A view may need some time. It only has to reach exactly the same state.
    await until("the same", async () => {
      const from = { id, min_position: head };
      const [conversation, messages, members, receipts] = await Promise.all([
        rest.get_conversation(from), rest.list_messages({ ...from, limit: Math.max(1, limit) }), rest.list_members(from), rest.list_receipts(from),
      ]);
      const listed = user.list.items.find((one) => one.id === id);
      try {
        assert.deepEqual(view.messages.slice(-limit), messages.items.reverse());
        assert.deepEqual(view.members, members.items);
        assert.deepEqual(view.receipts, receipts.items);
        assert.deepEqual(view.conversation, conversation);
        assert.deepEqual(listed, conversation);
        assert.deepEqual(view.pending.filter((one) => one.state !== "failed").map((one) => one.text), []);
        return true;
      } catch (error) {
        difference = error;
        return false;
      }
    }, 15).catch((error) => {
      throw new Error(`${user.username}: ${error.message}`, { cause: difference });
    });
  }
});
