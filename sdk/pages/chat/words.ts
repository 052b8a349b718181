// The texts of the page.

import type { Code, Conversation, Message, Verbatim, VerbatimError } from "@verbatim/client";

const clock = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: "short" });
const date = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const whole = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long", year: "numeric" });

export function time(at: string): string {
  return clock.format(new Date(at));
}

const midnight = (at: Date): number => new Date(at.getFullYear(), at.getMonth(), at.getDate()).getTime();
const daysAgo = (at: string): number => Math.round((midnight(new Date()) - midnight(new Date(at))) / 86_400_000);

/** A short form of a time: the time for today, the weekday for this week, otherwise the date. */
export function moment(at: string): string {
  const days = daysAgo(at);
  if (days <= 0) return time(at);
  return (days < 7 ? weekday : date).format(new Date(at));
}

export function day(at: string): string {
  const days = daysAgo(at);
  return days <= 0 ? "Today" : days === 1 ? "Yesterday" : whole.format(new Date(at));
}

export function lastSeen(at: string | undefined): string {
  if (!at) return "Offline";
  const days = daysAgo(at);
  return `Last seen ${days <= 0 ? "at" : days < 7 ? "on" : ""} ${moment(at)}`.replace("  ", " ");
}

const ENDS: Partial<Record<Code, string>> = {
  bad_frames: "This page is out of date. Reload it.",
  invalid_grant: "This login has ended. Sign in again.",
  invalid_token: "This login has ended. Sign in again.",
  login_revoked: "This login was ended from elsewhere. Sign in again.",
  suspended: "This account is deactivated. Ask the operator of this server.",
  token_expired: "This login has ended. Sign in again.",
};

/** Why the client has stopped by itself. */
export function ended({ code, detail }: VerbatimError): string {
  return ENDS[code] ?? detail;
}

/** The name of a conversation: its title, or the name of the other user. */
export function titleOf(chat: Verbatim, { kind, title, user_id }: Conversation): string {
  if (kind === "group") return title ?? "Group";
  return user_id ? nameOf(chat, user_id) : "Direct";
}

/** The name for display. While it is unknown, an ellipsis, because an id means nothing to users. */
export function nameOf(chat: Verbatim, user: string): string {
  return chat.users.get(user)?.display_name ?? "…";
}

export function preview(chat: Verbatim, { kind, last_message: last }: Conversation): string {
  if (!last) return "No messages yet";
  const text = last.deleted_at ? "Message deleted" : last.text.replace(/\s+/g, " ").slice(0, 120);
  if (last.sender === chat.me) return `You: ${text}`;
  // The name is isolated, so the line follows the direction of the text and not of the name.
  return kind === "group" ? `\u2068${nameOf(chat, last.sender)}\u2069: ${text}` : text;
}

export function typing(chat: Verbatim, users: readonly string[]): string {
  const names = users.slice(0, 2).map((user) => nameOf(chat, user));
  if (users.length === 0) return "";
  if (users.length === 1) return `${names[0]} is typing…`;
  return users.length === 2 ? `${names[0]} and ${names[1]} are typing…` : "Several people are typing…";
}

/** Whether a message follows shortly after one from the same user. */
export function continues(before: Message | undefined, message: Message): boolean {
  if (!before || before.sender !== message.sender || before.deleted_at || message.reply_to) return false;
  if (day(before.sent_at) !== day(message.sent_at)) return false;
  return Date.parse(message.sent_at) - Date.parse(before.sent_at) < 5 * 60_000;
}

/** Splits a text into parts. Each link is a separate part. */
export function parts(text: string): Array<{ text: string; href?: string }> {
  return text.split(/(https?:\/\/[^\s<>"]+[^\s<>".,;:!?)\]'])/).map((text, i) => (i % 2 ? { text, href: text } : { text }));
}

/** One of eight colours, always the same for the same id. */
export function hue(id: string): number {
  let sum = 0;
  for (const letter of id) sum = (sum * 31 + letter.codePointAt(0)!) >>> 0;
  return sum % 8;
}

export function initials(name: string): string {
  const words = name.trim().split(/\s+/).slice(0, 2);
  return words.map((word) => Array.from(word)[0] ?? "").join("").toUpperCase();
}
