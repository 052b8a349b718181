import type { ConversationHandle, Message, Outgoing, Receipt, Verbatim } from "@verbatim/client";
import { useState } from "preact/hooks";
import { Avatar } from "./avatar.js";
import { Bin, Pen, Reply, Smile, Ticks } from "./icons.js";
import { nameOf, parts, time } from "./words.js";

const EMOJI = ["👍", "❤️", "😂", "🎉", "😮", "🙏"];

interface Props {
  chat: Verbatim;
  talk: ConversationHandle;
  message: Message;
  /** How far each of the other members has received and read. */
  others: readonly Receipt[];
  /** The acts of the user on this message that the server has not acknowledged yet. */
  acts: readonly Outgoing[];
  isGroup: boolean;
  /** Whether the message continues the one above. */
  follows: boolean;
  isSpot: boolean;
  reply(message: Message): void;
  edit(message: Message): void;
  /** Shows the message at a position. */
  seek(position: number): void;
}

export function MessageRow({ chat, talk, message, others, acts, isGroup, follows, isSpot, reply, edit, seek }: Props) {
  const [isChoosing, choose] = useState(false);
  const [isSure, ask] = useState(false);
  const { id, position, sender, text, sent_at, reply_to: quote, deleted_at, edited_at } = message;
  const isOwn = sender === chat.me;
  const name = nameOf(chat, sender);
  const change = acts.findLast(({ act }) => act.op === "edit" || act.op === "delete");
  const reactions = withActs(message.reactions, acts);
  const toggle = (emoji: string, mine: boolean): void => {
    choose(false);
    if (mine) talk.unreact(id, emoji);
    else talk.react(id, emoji);
  };
  const kinds = ["message", isOwn && "own", follows && "follows", isSpot && "spot", deleted_at && "deleted"];
  return (
    <li
      id={`m${position}`} class={kinds.filter(Boolean).join(" ")} tabIndex={-1} aria-label={`${isOwn ? "You" : name}, ${time(sent_at)}`}
      onMouseLeave={() => (choose(false), ask(false))}
    >
      {!isOwn && isGroup && (follows ? <span class="avatar-gap" /> : <Avatar id={sender} name={name} />)}
      <div class="body">
        {!isOwn && isGroup && !follows && <b class="sender" dir="auto">{name}</b>}
        <div class="bubble">
          {quote && (
            <a class="quote" href={`#m${quote.position}`} onClick={(event) => (event.preventDefault(), seek(quote.position))}>
              <b dir="auto">{quote.sender ? nameOf(chat, quote.sender) : "Message"}</b>
              <span dir="auto">{quote.deleted ? "Message deleted" : quote.text ?? "…"}</span>
            </a>
          )}
          <Text text={deleted_at ? "Message deleted" : change && change.act.op === "edit" ? change.text : text} />
          <span class="meta">
            {change ? <i>{change.act.op === "edit" ? "Saving…" : "Deleting…"}</i> : edited_at && !deleted_at ? <i>edited</i> : null}
            <time dateTime={sent_at}>{time(sent_at)}</time>
            {isOwn && !deleted_at && <Ticks state={way(position, others)} />}
          </span>
        </div>
        {reactions.length > 0 && (
          <div class="reactions">
            {reactions.map(({ emoji, count, mine }) => (
              <button key={emoji} class={mine ? "mine" : ""} aria-pressed={mine} aria-label={`${emoji}, ${count}`} onClick={() => toggle(emoji, mine)}>
                {emoji} {count}
              </button>
            ))}
          </div>
        )}
        {!deleted_at && (
          <div class={`tools ${isChoosing || isSure ? "is-open" : ""}`} role="toolbar" aria-label="What you can do with the message">
            {isChoosing ? (
              EMOJI.map((emoji) => <button key={emoji} aria-label={`React with ${emoji}`} onClick={() => toggle(emoji, reactions.some((one) => one.emoji === emoji && one.mine))}>{emoji}</button>)
            ) : isSure ? (
              <>
                <button class="danger" onClick={() => (ask(false), talk.delete(id))}>Delete for everybody</button>
                <button onClick={() => ask(false)}>Keep</button>
              </>
            ) : (
              <>
                <button aria-label="React" title="React" onClick={() => choose(true)}><Smile /></button>
                <button aria-label="Reply" title="Reply" onClick={() => reply(message)}><Reply /></button>
                {isOwn && <button aria-label="Edit" title="Edit" onClick={() => edit(message)}><Pen /></button>}
                {isOwn && <button aria-label="Delete" title="Delete" onClick={() => ask(true)}><Bin /></button>}
              </>
            )}
          </div>
        )}
      </div>
    </li>
  );
}

/** A message that the server has not acknowledged yet, or has refused. */
export function PendingRow({ one }: { one: Outgoing }) {
  return (
    <li class={`message own pending ${one.state}`} data-state={one.state}>
      <div class="body">
        <div class="bubble">
          <Text text={one.text} />
          <span class="meta">{one.state === "failed" ? "Not sent" : one.state === "sent" ? "Sent" : "Sending…"}</span>
        </div>
        {one.state === "failed" && <Refusal one={one} />}
      </div>
    </li>
  );
}

/** An edit, a deletion or a reaction that the server has refused. */
export function FailedAct({ one }: { one: Outgoing }) {
  const what = { edit: "The edit was not saved", delete: "The message was not deleted" }[one.act.op as string] ?? "That was not saved";
  return <div class="notice failed-act"><b>{what}.</b> <Refusal one={one} /></div>;
}

function Refusal({ one }: { one: Outgoing }) {
  return (
    <p class="wrong" role="alert">
      {one.error?.detail} <button class="link" onClick={() => one.retry()}>Try again</button>{" "}
      <button class="link" onClick={() => one.discard()}>Discard</button>
    </p>
  );
}

/** Each line has its own text direction, and does not affect the direction of its surroundings. */
function Text({ text }: { text: string }) {
  return (
    <div class="text" dir="auto">
      {parts(text).map(({ text, href }) => (href ? <a href={href} target="_blank" rel="noopener noreferrer" dir="ltr">{text}</a> : text))}
    </div>
  );
}

function way(position: number, others: readonly Receipt[]): "sent" | "delivered" | "read" {
  if (others.length === 0) return "sent";
  if (others.every(({ read }) => read >= position)) return "read";
  return others.every(({ read, delivered }) => Math.max(read, delivered) >= position) ? "delivered" : "sent";
}

/** The reactions as they will be after the pending acts of the user. */
function withActs(reactions: Message["reactions"], acts: readonly Outgoing[]): Message["reactions"] {
  let all = [...reactions];
  for (const { act } of acts) {
    if (act.op !== "react" && act.op !== "unreact") continue;
    const mine = act.op === "react";
    const old = all.find(({ emoji }) => emoji === act.emoji) ?? { emoji: act.emoji, count: 0, mine: false };
    if (old.mine === mine) continue;
    const now = { ...old, mine, count: old.count + (mine ? 1 : -1) };
    all = all.includes(old) ? all.map((one) => (one === old ? now : one)) : [...all, now];
  }
  return all.filter(({ count }) => count > 0);
}
