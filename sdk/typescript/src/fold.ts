// The same fold as in the server: how an event changes the messages, members, receipts and counts that a user sees.
// Every part knows the position up to which it is current, so an event that arrives again changes nothing.

import type { ChatEvent } from "./feed.js";
import type { components } from "./generated/api.js";

type Schemas = components["schemas"];
export type Message = Schemas["Message"];
export type Conversation = Schemas["Conversation"];
export type Member = Schemas["Member"];
export type Receipt = Schemas["Receipt"];

/** A message with the state that is needed to fold events into it. */
export interface Shown {
  message: Message;
  /** The position up to which the message is current. */
  at: number;
  /** The same for its reactions, which can be loaded separately. */
  reactedAt: number;
  /** Each reaction, the earliest first; `undefined` if the message was loaded with counts only. */
  reactors: Array<{ user: string; emoji: string }> | undefined;
}

export function shown(message: Message, at: number): Shown {
  return { message, at, reactedAt: at, reactors: message.reactions.length ? undefined : [] };
}

/** The data of an event of this type that has its text. */
export type Told<Type extends ChatEvent["type"]> = Exclude<(ChatEvent & { type: Type })["data"], { erased: true }>;

/** The message from a `message.sent` event, in the form of REST. */
export function sent(event: ChatEvent & { type: "message.sent" }, quoted: Message | undefined): Message {
  const { conversation_id, position, actor: sender, time: sent_at, data } = event;
  // An erased message has no key and no text.
  const { message_id: id, client_id = "", text = "", mentions = [], metadata, reply_to, reply_to_position } = data as
    Partial<Told<"message.sent">> & Pick<Told<"message.sent">, "message_id">;
  return {
    id, conversation_id, position, sender, client_id, text, sent_at, mentions, reactions: [], pinned: false,
    ...(metadata !== undefined && { metadata }),
    ...(reply_to && { reply_to: quoted ? quote_of(quoted) : { id: reply_to, position: reply_to_position ?? 0, deleted: false } }),
  };
}

export function quote_of({ id, position, sender, text, deleted_at }: Message): NonNullable<Message["reply_to"]> {
  return { id, position, sender, text: excerpt(text), deleted: !!deleted_at };
}

/**
 * The part of a text that a quote contains. The server counts Unicode code points, not UTF-16 code units as `slice`
 * does.
 */
export function excerpt(text: string): string {
  return [...text].slice(0, 200).join("");
}

/**
 * The positions of the messages that an event changes. For an erased edit, the position is that of the edit, where
 * there is no message.
 */
export function targets({ data, type }: ChatEvent): number[] {
  if (type === "content.erased") return data.erased.map(({ position }) => position);
  return "message_position" in data ? [data.message_position] : [];
}

/** Folds an event into the message that it changes. */
export function change(one: Shown, event: ChatEvent, me: string): Shown {
  const { message } = one;
  const { position, actor, time } = event;
  const isReaction = "emoji" in event.data;
  if (position <= (isReaction ? one.reactedAt : one.at)) return one;
  if (event.type === "content.erased" ? message.erased : message.deleted_at) return one;
  if (isReaction) {
    if (!one.reactors) return one;
    const reactors = react(one.reactors, event);
    return { ...one, message: { ...message, reactions: counts(reactors, me) }, reactedAt: position, reactors };
  }
  const next = (changed: Partial<Message>): Shown => ({ ...one, message: { ...message, ...changed }, at: position });
  const gone = (rest: Message, how: Partial<Message>): Shown => ({
    message: { ...rest, text: "", mentions: [], reactions: [], pinned: false, deleted_at: time, ...how },
    at: position,
    reactedAt: position,
    reactors: [],
  });
  switch (event.type) {
    case "message.edited": {
      const { text, mentions = [] } = event.data as Told<"message.edited">;
      return next({ text, mentions, edited_at: time });
    }
    case "message.deleted": {
      const { metadata, edited_at, ...rest } = message;
      return gone(rest, { deleted_by: actor });
    }
    case "content.erased": {
      // Like a deleted message, but without `deleted_by`, and with fewer fields left.
      const { metadata, edited_at, reply_to, deleted_by, ...rest } = message;
      return gone(rest, { client_id: "", erased: true });
    }
    case "message.pinned":
    case "message.unpinned":
      return next({ pinned: event.type === "message.pinned" });
    default:
      return one;
  }
}

/** Whether the event changes reactions of which only the counts are known. */
export function needsReactors(one: Shown, event: ChatEvent): boolean {
  return "emoji" in event.data && event.position > one.reactedAt && !one.reactors && !one.message.deleted_at;
}

export function react(reactors: NonNullable<Shown["reactors"]>, event: ChatEvent): NonNullable<Shown["reactors"]> {
  if (!("emoji" in event.data)) return reactors;
  const { emoji } = event.data;
  const isIt = (one: { user: string; emoji: string }): boolean => one.user === event.actor && one.emoji === emoji;
  if (event.type === "reaction.removed") return reactors.filter((one) => !isIt(one));
  return reactors.some(isIt) ? reactors : [...reactors, { user: event.actor, emoji }];
}

export function counts(reactors: NonNullable<Shown["reactors"]>, me: string): Message["reactions"] {
  const all = new Map<string, { emoji: string; count: number; mine: boolean }>();
  for (const { user, emoji } of reactors) {
    const one = all.get(emoji) ?? { emoji, count: 0, mine: false };
    one.count++;
    one.mine ||= user === me;
    all.set(emoji, one);
  }
  return [...all.values()];
}

export function foldMembers(members: Map<string, Member>, event: ChatEvent): void {
  const { data, type, time: joined_at } = event;
  if (type === "member.added") members.set(data.user_id, { user_id: data.user_id, role: data.role, joined_at });
  if (type === "member.removed") members.delete(data.user_id);
  if (type === "member.role_changed") {
    const member = members.get(data.user_id);
    if (member) members.set(data.user_id, { ...member, role: data.role });
  }
}

export function foldReceipts(receipts: Map<string, Receipt>, event: ChatEvent): void {
  if (event.type !== "receipt.advanced") return;
  const { actor: user_id, data } = event;
  const old = receipts.get(user_id) ?? { user_id, delivered: 0, read: 0 };
  receipts.set(user_id, {
    ...old,
    delivered: Math.max(old.delivered, data.delivered),
    read: Math.max(old.read, data.read),
    ...(data.read > old.read && { read_at: event.time }),
  });
}

/** The server counts at most this many unread messages. */
const MOST_UNREAD = 1_000;

/**
 * Folds an event into a conversation as one of its members sees it. If the new counts do not follow from the event, the
 * second value says that they have to be requested.
 */
export function foldConversation(old: Conversation, event: ChatEvent, me: string): [Conversation, stale: boolean] {
  const { position, data, type, time } = event;
  if (position <= old.position) return [old, false];
  const now: Conversation = { ...old, position, head: position };
  let stale = false;
  const last = now.last_message;
  // The state after an erasure has to be requested. The old text must not be shown meanwhile.
  if ("erased" in data) {
    if (last) now.last_message = { ...last, text: "" };
    if (type === "content.erased" && data.erased.some(({ lane }) => lane === "roster")) delete now.title;
    return [now, true];
  }
  switch (type) {
    case "message.sent": {
      const { message_id: id, text } = data;
      now.last_message = { id, position, sender: event.actor, text, sent_at: time };
      now.active_at = time;
      if (event.actor !== me) {
        now.unread = Math.min(MOST_UNREAD, now.unread + 1);
        if (data.mentions?.includes(me)) now.mentions = Math.min(MOST_UNREAD, now.mentions + 1);
      }
      break;
    }
    case "message.edited":
      if (last?.id === data.message_id) now.last_message = { ...last, text: data.text, edited_at: time };
      stale = data.message_position > now.read && (now.mentions > 0 || !!data.mentions?.includes(me));
      break;
    case "message.deleted":
      if (last?.id === data.message_id) {
        const { edited_at, ...rest } = last;
        now.last_message = { ...rest, text: "", deleted_at: time };
      }
      stale = data.message_position > now.read && now.unread > 0;
      break;
    case "receipt.advanced":
      if (event.actor === me && data.read > now.read) {
        now.read = data.read;
        if (last && data.read < last.position) stale = true;
        else now.unread = now.mentions = 0;
      }
      break;
    case "member.role_changed":
      if (data.user_id === me) now.role = data.role;
      break;
    case "member.added":
      stale = data.user_id === me;
      break;
    case "conversation.updated":
      if (data.title !== undefined) now.title = data.title;
      if (data.history !== undefined) now.history = data.history;
      if (data.retention_s !== undefined) now.retention_s = data.retention_s;
      // 0 says that the group has none of its own any more.
      if (!now.retention_s) delete now.retention_s;
      // How far back a member may read decides what is counted.
      stale = data.history !== undefined;
      break;
  }
  return [now, stale];
}
