// Records the vectors of the fold from a real server: what a member sees before, the events, and what the member sees
// after. Ids, times, positions and hashes are replaced, so that recording the same acts again gives the same file.
import { Verbatim } from "../dist/index.js";
import { Server, sleep, until } from "./server.mjs";

/**
 * The acts of each vector. They happen in a conversation in which Ana has said "one" and Ben "two", and are recorded as
 * Ben sees them.
 */
const CASES = {
  "a message of somebody else is unread": ({ ana }) => ana.send("three"),
  "an own message is not": ({ ben }) => ben.send("three"),
  "a mention counts": async ({ ana, ben }) => {
    await ana.send(`to <@${ben.id}>`);
    await ana.send(`to <@${ana.id}>`);
  },
  "metadata stay as they are": ({ ana }) => ana.send({ text: "three", metadata: { n: 1.5, list: [1, "two", null] } }),
  "an answer quotes, and the quote follows": async ({ ana, ben, one }) => {
    await ben.send({ text: "an answer", replyTo: one });
    await ana.edit(one, "edited");
    const { id } = await ana.send({ text: "another answer", replyTo: one });
    await ana.delete(one);
    await ben.send({ text: "an answer to the answer", replyTo: id });
  },
  "a quote ends after 200 characters of Unicode": async ({ ana, ben }) => {
    const { id } = await ana.send("🙂".repeat(250));
    await ben.send({ text: "an answer", replyTo: id });
  },
  "an edit of the last message changes what a list shows": async ({ ana }) => ana.edit((await ana.send("three")).id, "four"),
  "an edit can mention": async ({ ana, ben }) => ana.edit((await ana.send("three")).id, `to <@${ben.id}>`),
  "a deleted message is empty": async ({ ana, ben, two }) => {
    await ana.react(two, "👍");
    await ana.pin(two);
    await ben.edit(two, "edited");
    await ben.delete(two);
  },
  "a deleted message is not unread": async ({ ana }) => {
    await ana.send("three");
    await ana.delete((await ana.send("four")).id);
  },
  "an erased message is empty, and so are its edits": async ({ ana, ben, one, erase }) => {
    await ana.react(one, "👍");
    await ben.send({ text: "an answer", replyTo: one });
    await ana.edit(one, "edited");
    await erase(one);
  },
  "an erased message is not unread": async ({ ana, erase }) => {
    await ana.send("three");
    await erase((await ana.send("four")).id);
  },
  "reactions count, the earliest first": async ({ ana, ben, one }) => {
    await ana.react(one, "👍");
    await ben.react(one, "❤️");
    await ben.react(one, "👍");
    await ana.unreact(one, "👍");
    await ana.react(one, "😀");
    await ben.unreact(one, "❤️");
  },
  "pins come and go": async ({ ana, ben, one, two }) => {
    await ana.pin(one);
    await ana.pin(two);
    await ana.unpin(one);
  },
  "what is read is not unread": async ({ ana, ben }) => {
    await ana.send("three");
    await ben.read((await ana.send("four")).position);
  },
  "what is read in part is asked for": async ({ ana, ben }) => {
    const { position } = await ana.send("three");
    await ana.send("four");
    await ben.read(position);
  },
  "receipts of others": async ({ ana, ben }) => {
    const { position } = await ben.send("three");
    await ana.delivered(position);
    await ana.read(position);
  },
  "members come, change and go": async ({ ana, cleo }) => {
    await ana.add(cleo.id);
    await ana.role(cleo.id, "admin");
    await ana.remove(cleo.id);
  },
  "the own role": ({ ana, ben }) => ana.role(ben.id, "admin"),
  "the title": ({ ana }) => ana.title("Another"),
  "a retention of the group": ({ ana }) => ana.retention(86_400),
  "a retention that is removed again": async ({ ana }) => {
    await ana.retention(86_400);
    await ana.retention(null);
  },
  "an erased title is gone, and no earlier one comes back": async ({ ana, forget }) => forget((await ana.title("Another")).position),
};

export async function record() {
  const server = await Server.start({ "limit-members": "off", "limit-start": "off" });
  try {
    const people = [];
    const key = await server.key();
    for (const name of ["ana", "ben", "cleo"]) {
      const { id, token } = await server.user(name);
      people.push({ id, rest: new Verbatim({ url: server.url, token: () => token }).rest });
    }
    // Erases a message or a title, and resolves when the log lists it as erased.
    const erases = async (conversation_id, position) => {
      const body = { messages: [{ conversation_id, position }], reason_code: "request" };
      const { id } = await server.post("/admin/erasures", body, key);
      await until("an erased message is hidden", async () => {
        const answer = await fetch(`${server.url}/v1/admin/erasures/${id}`, { headers: { Authorization: `Bearer ${key}` } });
        return (await answer.json()).hidden_at;
      });
    };
    const vectors = [];
    for (const [name, act] of Object.entries(CASES)) vectors.push(normal(await recorded(name, act, people, erases), people));
    return vectors;
  } finally {
    await server.stop();
  }
}

async function recorded(name, act, people, erases) {
  const [ana, ben, cleo] = people;
  const { id } = await ana.rest.start_conversation({ body: { kind: "group", title: "Vectors", members: [ben.id] } });
  let head = 0;
  // Without this pause, two events could have the same millisecond in one recording and not in the next.
  const reach = async (answer) => (await sleep(3), (head = Math.max(head, answer?.position ?? 0)), answer);
  const acts = ({ id: me, rest }) => ({
    id: me,
    send: async (message) => {
      const { text, replyTo: reply_to, metadata } = typeof message === "string" ? { text: message } : message;
      return reach(await rest.send_message({ id, body: { text, reply_to, metadata } }));
    },
    edit: async (message_id, text) => reach(await rest.edit_message({ id, message_id, body: { text } })),
    delete: async (message_id) => reach(await rest.delete_message({ id, message_id })),
    react: async (message_id, emoji) => reach(await rest.add_reaction({ id, message_id, emoji })),
    unreact: async (message_id, emoji) => reach(await rest.remove_reaction({ id, message_id, emoji })),
    pin: async (message_id) => reach(await rest.pin_message({ id, message_id })),
    unpin: async (message_id) => reach(await rest.unpin_message({ id, message_id })),
    read: async (read) => reach(await rest.advance_receipt({ id, body: { read } })),
    delivered: async (delivered) => reach(await rest.advance_receipt({ id, body: { delivered } })),
    add: async (user_id) => reach(await rest.add_member({ id, body: { user_id } })),
    role: async (user_id, role) => reach(await rest.change_role({ id, user_id, body: { role } })),
    remove: async (user_id) => reach(await rest.remove_member({ id, user_id })),
    title: async (title) => reach(await rest.update_conversation({ id, body: { title } })),
    retention: async (retention_s) => reach(await rest.update_conversation({ id, body: { retention_s } })),
  });
  const seen = async () => {
    const from = { id, min_position: head };
    const conversation = await ben.rest.get_conversation(from);
    const { items: messages } = await ben.rest.list_messages(from);
    const { items: members } = await ben.rest.list_members(from);
    const { items: receipts } = await ben.rest.list_receipts(from);
    return { conversation, messages: messages.reverse(), members, receipts };
  };
  const one = (await acts(ana).send("one")).id;
  const two = (await acts(ben).send("two")).id;
  const before = await seen();
  const { next_cursor: after } = await ben.rest.follow_events({});
  let isErased = false;
  const forget = async (position) => {
    await erases(id, position);
    isErased = true;
  };
  const erase = async (message_id) => {
    const { items } = await ana.rest.list_messages({ id, min_position: head });
    await forget(items.find((message) => message.id === message_id).position);
  };
  await act({ ana: acts(ana), ben: acts(ben), cleo: acts(cleo), one, two, erase, forget });
  // The server may tell an event a moment after it has answered the command, and the position of an erasure is known
  // from its event alone.
  const events = await until("the events of the acts are told", async () => {
    const { items } = await ben.rest.follow_events({ after, limit: 200 });
    const told = items.filter((event) => event.conversation_id === id && event.position > before.conversation.position);
    const last = told.at(-1);
    return last?.position >= head && (last.type === "content.erased" || !isErased) && told;
  });
  head = events.at(-1).position;
  return { name, me: ben.id, before, events, after: await seen() };
}

const POSITIONS = new Set(["position", "previous", "head", "read", "delivered", "message_position", "reply_to_position"]);
const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}/g;
const TIME = /^\d{4}-\d\d-\d\dT[\d:.]+Z$/;

/** The same vector with its ids, times and positions replaced by values that keep only their identity and order. */
function normal(vector, people) {
  const ids = new Map(people.map(({ id }, i) => [id, uuid(i + 1)]));
  const times = new Set();
  const positions = new Set([0]);
  const hashes = new Set();
  walk(vector, (value, key) => {
    if (TIME.test(value)) times.add(value);
    if (POSITIONS.has(key)) positions.add(value);
    for (const [id] of String(value).matchAll(UUID)) if (!ids.has(id)) ids.set(id, uuid(0x100 + ids.size));
    if (key === "client_hash") hashes.add(value);
    return value;
  });
  const time = [...times].sort();
  const position = [...positions].sort((a, b) => a - b);
  return walk(vector, (value, key) => {
    if (POSITIONS.has(key)) return position.indexOf(value);
    if (key === "client_hash") return String([...hashes].indexOf(value)).padStart(value.length, "0");
    if (TIME.test(value)) return new Date(Date.UTC(2026, 0, 1) + 1000 * time.indexOf(value)).toISOString();
    return typeof value === "string" ? value.replace(UUID, (id) => ids.get(id)) : value;
  });
}

const uuid = (n) => `00000000-0000-7000-8000-${n.toString(16).padStart(12, "0")}`;

function walk(value, leaf, key) {
  if (Array.isArray(value)) return value.map((one) => walk(one, leaf, key));
  if (value === null || typeof value !== "object") return leaf(value, key);
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, walk(one, leaf, name)]));
}
