// The hub of a shared socket without a browser. The tests of the pages have tabs in Chromium.
import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { Hub } from "../dist/tabs/hub.js";

test("an attempt that hangs is given up as soon as with a socket of one's own", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const sockets = [];
  globalThis.WebSocket = class {
    constructor() {
      sockets.push(this);
    }
    send() {}
    close() {
      this.isClosed = true;
    }
  };
  // Nobody gives a lock back, so the guests stay.
  Object.defineProperty(globalThis, "navigator", { value: { locks: { request: () => new Promise(() => {}) } } });
  const hub = new Hub("hanging");
  const guest = new BroadcastChannel("hanging");
  const said = async (op) => {
    for (;;) {
      const [{ data }] = await once(guest, "message");
      if (data.op === op) return data;
    }
  };
  const join = async () => {
    const here = said("here");
    guest.postMessage({ op: "join", from: "ana", url: "ws://x", protocols: [], status: "online" });
    await here;
    return sockets.at(-1);
  };
  const givenUp = async (socket, ms) => {
    t.mock.timers.tick(ms - 1);
    assert.ok(!socket.isClosed);
    const closed = said("close");
    t.mock.timers.tick(1);
    assert.ok(socket.isClosed);
    assert.equal((await closed).code, 1006);
  };
  // The network swallows it, or a proxy does not answer.
  const swallowed = await join();
  await givenUp(swallowed, 20_000);
  // The server lets it wait for its turn.
  const waiting = await join();
  assert.notEqual(waiting, swallowed);
  t.mock.timers.tick(19_000);
  waiting.onopen();
  await givenUp(waiting, 100_000);
  const begun = await join();
  begun.onopen();
  begun.onmessage({ data: '{"op":"ready","heartbeat_ms":15000,"conversations":[],"more":false}' });
  t.mock.timers.tick(100_000);
  assert.ok(!begun.isClosed);
  hub.end();
  guest.close();
});
