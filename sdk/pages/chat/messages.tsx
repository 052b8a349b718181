import type { ConversationHandle, LiveView, Message, Outgoing, Verbatim } from "@verbatim/client";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { Down } from "./icons.js";
import { FailedAct, MessageRow, PendingRow } from "./message.js";
import type { Spot } from "./shell.js";
import { continues, day } from "./words.js";

interface Props {
  chat: Verbatim;
  talk: ConversationHandle;
  view: LiveView;
  spot: Spot | undefined;
  reply(message: Message): void;
  edit(message: Message): void;
}

/** A scroll position within this distance of an edge, in pixels, counts as being at the edge. */
const NEAR = 80;

export function Messages({ chat, talk, view, spot, reply, edit }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const isAtEnd = useRef(true);
  const before = useRef({ first: 0, height: 0, top: 0 });
  const isLoading = useRef(false);
  const newest = useRef(0);
  const [missed, miss] = useState(false);
  /** Where the unread messages began when the conversation was opened. */
  const began = useRef<number | undefined>(undefined);
  const { messages, pending, conversation } = view;
  if (conversation && began.current === undefined) began.current = conversation.unread > 0 ? conversation.read : Infinity;
  const first = messages[0]?.position ?? 0;
  const last = messages.at(-1)?.position ?? 0;

  const read = (): void => {
    if (!isAtEnd.current || !view.atEnd || document.visibilityState !== "visible" || !conversation) return;
    if (conversation.unread > 0 && last > conversation.read) talk.read(last);
  };
  const toEnd = (): void => {
    box.current!.scrollTop = box.current!.scrollHeight;
    isAtEnd.current = true;
    miss(false);
    read();
  };

  // A user at the end of the list stays at the end. For anybody else, nothing moves when messages are added above or
  // below.
  useLayoutEffect(() => {
    const { current: area } = box;
    if (!area) return;
    const old = before.current;
    if (old.first > first && old.first !== 0) area.scrollTop = old.top + area.scrollHeight - old.height;
    else if (isAtEnd.current && view.atEnd) area.scrollTop = area.scrollHeight;
    before.current = { first, height: area.scrollHeight, top: area.scrollTop };
  });
  useEffect(() => {
    const isNew = newest.current > 0 && last > newest.current;
    newest.current = Math.max(newest.current, last);
    if (isNew && !isAtEnd.current) miss(true);
    read();
  }, [last, conversation?.unread]);
  // After sending a message, the user wants to see it.
  useEffect(() => {
    if (pending.length === 0) return;
    // A user who answers has read the new messages.
    began.current = Infinity;
    toEnd();
  }, [pending.at(-1)?.clientId]);
  useEffect(() => {
    document.addEventListener("visibilitychange", read);
    return () => document.removeEventListener("visibilitychange", read);
  });
  /** Scrolls a message to the middle. Loads it first if necessary. */
  const seek = (at: number): void => {
    isAtEnd.current = false;
    const show = (): void => document.getElementById(`m${at}`)?.scrollIntoView({ block: "center" });
    if (messages.some(({ position }) => position === at)) show();
    else void view.around(at).then(() => setTimeout(show), () => {});
  };
  useEffect(() => {
    if (spot && conversation) seek(spot.position);
  }, [spot, !!conversation]);

  const load = async (which: "older" | "newer"): Promise<void> => {
    if (isLoading.current) return;
    isLoading.current = true;
    await view[which]().catch(() => {});
    isLoading.current = false;
  };
  const scroll = (): void => {
    const area = box.current!;
    const left = area.scrollHeight - area.scrollTop - area.clientHeight;
    before.current.top = area.scrollTop;
    isAtEnd.current = left < NEAR && view.atEnd;
    if (area.scrollTop < 4 * NEAR && view.hasOlder) void load("older");
    if (left < 4 * NEAR && !view.atEnd) void load("newer");
    if (isAtEnd.current) {
      miss(false);
      read();
    }
  };
  const latest = async (): Promise<void> => {
    isAtEnd.current = true;
    if (!view.atEnd) await view.reload();
    toEnd();
  };
  const step = (event: KeyboardEvent): void => {
    if (event.key !== "ArrowUp" && event.key !== "ArrowDown") return;
    const rows = [...box.current!.querySelectorAll<HTMLElement>("li.message")];
    const at = rows.indexOf((event.target as HTMLElement).closest<HTMLElement>("li.message")!);
    const next = at < 0 ? rows.at(-1) : rows[at + (event.key === "ArrowUp" ? -1 : 1)];
    next?.focus();
    event.preventDefault();
  };

  const acts = new Map<string, Outgoing[]>();
  for (const one of talk.outgoing) {
    if (!("message_id" in one.act) || one.state === "failed") continue;
    acts.set(one.act.message_id, [...(acts.get(one.act.message_id) ?? []), one]);
  }
  const failed = talk.outgoing.filter(({ act, state }) => act.op !== "send" && state === "failed");
  const others = view.receipts.filter(({ user_id }) => user_id !== chat.me);
  let isMarked = false;
  return (
    <div class="messages">
      <div class="scrolls" ref={box} onScroll={scroll} onKeyDown={step} tabIndex={0} role="region" aria-label="Messages. The arrow keys go from one to the next.">
        {!conversation && <p class="quiet hint">Loading…</p>}
        {conversation && messages.length + pending.length === 0 && <p class="quiet hint">No messages yet. Say hello.</p>}
        {view.hasOlder && <button class="link" onClick={() => void load("older")}>Show older messages</button>}
        <ol>
          {messages.map((message, i) => {
            const previous = messages[i - 1];
            const isNewDay = !previous || day(previous.sent_at) !== day(message.sent_at);
            const marks = !isMarked && message.position > (began.current ?? Infinity) && message.sender !== chat.me;
            isMarked ||= marks;
            return [
              isNewDay && <li key={`day${message.position}`} class="day"><span>{day(message.sent_at)}</span></li>,
              marks && <li key="new" class="day new"><span>New</span></li>,
              <MessageRow
                key={message.id} chat={chat} talk={talk} message={message} others={others} acts={acts.get(message.id) ?? []}
                isGroup={conversation?.kind === "group"} follows={!marks && continues(previous, message)} isSpot={spot?.position === message.position}
                reply={reply} edit={edit} seek={seek}
              />,
            ];
          })}
          {view.atEnd && pending.map((one) => <PendingRow key={one.clientId} one={one} />)}
        </ol>
        {failed.map((one) => <FailedAct key={one.clientId} one={one} />)}
      </div>
      {(missed || !view.atEnd) && (
        <button class="latest" onClick={() => void latest()}>
          <Down /> {missed ? "New messages" : "Latest messages"}
        </button>
      )}
    </div>
  );
}
