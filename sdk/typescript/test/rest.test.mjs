// What the operations of REST send: idempotency keys, retries, and the user on whose behalf a program acts.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Verbatim } from "../dist/index.js";
import { Server } from "./server.mjs";

let server, ana, ben, chat, talk;
before(async () => {
  server = await Server.start();
  [ana, ben] = await Promise.all([server.user("ana"), server.user("ben")]);
  chat = new Verbatim({ url: server.url, token: () => ana.token });
  talk = await chat.direct(ben.id);
});
after(() => server.stop());

test("a key in the body is the key of the message", async () => {
  const send = (body, options) => chat.rest.send_message({ id: talk.id, body }, options);
  const once = await send({ client_id: "a-key-of-my-own", text: "Hi" });
  const again = await send({ client_id: "a-key-of-my-own", text: "Hi" });
  assert.deepEqual([once.client_id, again.id], ["a-key-of-my-own", once.id]);
  const other = await send({ text: "Hi" }, { idempotencyKey: "another-key" });
  const third = await send({ text: "Hi" });
  assert.equal(new Set([once.id, other.id, third.id]).size, 3);
  assert.equal(other.client_id, "another-key");
});

test("only what is repeatable is sent again after a lost answer", async () => {
  const asked = [];
  const lostOnce = async (target, init) => {
    asked.push(init.method);
    const answer = await fetch(target, init);
    if (asked.length === 1) throw new TypeError("the answer was lost");
    return answer;
  };
  const { rest } = new Verbatim({ url: server.url, token: () => ben.token, fetch: lostOnce });
  await rest.update_me({ body: { display_name: "Ben" } });
  assert.deepEqual(asked, ["PATCH", "PATCH"]);
  asked.length = 0;
  // The server recognises a repeated change of the password.
  await rest.change_password({ body: { current_password: ben.password, new_password: "another horse battery" } });
  assert.deepEqual(asked, ["PUT", "PUT"]);
  await server.post("/logins", { username: ben.username, password: "another horse battery" });
});

test("a program acts on behalf of a user", async () => {
  const key = await server.key();
  const { rest } = new Verbatim({ url: server.url, token: () => key });
  const onBehalfOf = ana.id;
  assert.equal((await rest.get_me({}, { onBehalfOf })).id, ana.id);
  const sent = await rest.send_message({ id: talk.id, body: { text: "Hi" } }, { onBehalfOf });
  assert.equal(sent.sender, ana.id);
  assert.notEqual((await rest.get_me()).id, ana.id);
});
