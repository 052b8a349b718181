// Sends delivery receipts: the senders see that their messages have reached this device.

import type { ConversationList, Verbatim } from "@verbatim/client";

const PAUSE = 300;

/** Marks the last messages in the list as delivered, until the returned function is called. */
export function deliver(chat: Verbatim, list: ConversationList): () => void {
  const told = new Map<string, number>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const tell = async (): Promise<void> => {
    timer = undefined;
    for (const { id, unread, last_message: last } of list.items) {
      if (!last || unread === 0 || last.sender === chat.me || last.position <= (told.get(id) ?? 0)) continue;
      told.set(id, last.position);
      // If this fails, the receipt of the next message covers this one, too.
      await chat.rest.advance_receipt({ id, body: { delivered: last.position } }).catch(() => told.delete(id));
    }
  };
  const off = list.on("change", () => void (timer ??= setTimeout(() => void tell(), PAUSE)));
  return () => (clearTimeout(timer), off());
}
