import type { ConversationHandle, Message, Verbatim } from "@verbatim/client";
import type { RefObject } from "preact";
import { useEffect, useLayoutEffect, useState } from "preact/hooks";
import { Cross, Send } from "./icons.js";
import { nameOf } from "./words.js";

interface Props {
  chat: Verbatim;
  me: string;
  talk: ConversationHandle;
  field: RefObject<HTMLTextAreaElement | null>;
  reply: Message | undefined;
  editing: Message | undefined;
  /** The last message of the user, which the up arrow key opens for editing. */
  canEdit: Message | undefined;
  answer(message: Message | undefined): void;
  edit(message: Message | undefined): void;
  sent(): void;
}

/** A text has at most 16 KiB of UTF-8. */
const MOST = 16_384;

export function Composer({ chat, me, talk, field, reply, editing, canEdit, answer, edit, sent }: Props) {
  const draft = `verbatim.draft ${me} ${talk.id}`;
  const [text, write] = useState(() => editing?.text ?? localStorage.getItem(draft) ?? "");
  const bytes = text.length * 3 > MOST ? new TextEncoder().encode(text).length : 0;

  useEffect(() => {
    // On touch screens, a keyboard that appears by itself would hide the messages.
    if (editing || matchMedia("(hover: hover)").matches) field.current?.focus();
  }, [editing]);
  useLayoutEffect(() => {
    const area = field.current!;
    area.style.height = "auto";
    area.style.height = `${Math.min(area.scrollHeight + 2, 200)}px`;
  }, [text]);

  const change = (now: string): void => {
    write(now);
    if (editing) return;
    if (now.trim()) localStorage.setItem(draft, now);
    else localStorage.removeItem(draft);
    if (now) talk.typing();
  };
  const send = (): void => {
    const trimmed = text.trim();
    if (!trimmed || bytes > MOST) return;
    if (editing) {
      if (trimmed !== editing.text) talk.edit(editing.id, trimmed);
      return edit(undefined);
    }
    talk.send(reply ? { text: trimmed, replyTo: reply.id } : trimmed);
    change("");
    answer(undefined);
    sent();
    field.current?.focus();
  };
  const key = (event: KeyboardEvent): void => {
    // A key that only ends the composition of a character (IME) must not send the message. In Safari the composition is
    // over before that key, which then has the code 229.
    if (event.isComposing || event.keyCode === 229) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      send();
    } else if (event.key === "Escape") {
      answer(undefined);
      edit(undefined);
    } else if (event.key === "ArrowUp" && text === "" && canEdit) {
      event.preventDefault();
      edit(canEdit);
    }
  };
  const about = editing ?? reply;
  return (
    <form class="composer" onSubmit={(event) => (event.preventDefault(), send())}>
      {about && (
        <div class="about">
          <span class="lines">
            <b>{editing ? "Edit your message" : <>Reply to <bdi>{nameOf(chat, about.sender)}</bdi></>}</b>
            <span class="preview" dir="auto">{about.text}</span>
          </span>
          <button type="button" class="round small" aria-label={editing ? "Do not edit" : "Do not reply"} onClick={() => (answer(undefined), edit(undefined))}>
            <Cross />
          </button>
        </div>
      )}
      <div class="row">
        <textarea
          ref={field} rows={1} value={text} dir="auto" aria-label="Message" placeholder="Write a message" enterkeyhint="send"
          onInput={(event) => change(event.currentTarget.value)} onKeyDown={key}
        />
        <button class="round filled" disabled={!text.trim() || bytes > MOST} aria-label={editing ? "Save" : "Send"} title="Enter sends, Shift+Enter begins a new line">
          <Send />
        </button>
      </div>
      {bytes > MOST && <p class="wrong" role="alert">The message is too long. Send it in parts.</p>}
    </form>
  );
}
