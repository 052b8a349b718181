// `for await (const event of …)`: each event once, and none missing, at the pace of the reader. A slow reader does not
// use more memory: events that do not fit into the buffer are fetched later.

import type { ChatEvent, Feed } from "./feed.js";
import { insist } from "./wait.js";

const BUFFER = 256;

export interface Source {
  feed: Feed;
  /** Calls the listener with every event and its number. */
  listen(listener: (event: ChatEvent, n: number) => void): () => unknown;
}

export interface StreamOptions {
  /** The cursor after which the stream begins; without it, the stream begins now. */
  from?: string;
  /** Ends the stream. */
  signal?: AbortSignal;
}

export async function* stream(
  { feed, listen }: Source,
  conversation: string | undefined,
  { from, signal }: StreamOptions,
): AsyncGenerator<ChatEvent, void, void> {
  const buffer: Array<{ event: ChatEvent; n: number }> = [];
  /** The cursor from which to fetch the events that are not in the buffer, and the number of the first of them. */
  let behind = from === undefined ? undefined : { cursor: from, n: 0 };
  /** The number of the event that the reader is handling. */
  let held = Infinity;
  let wake = (): void => {};
  const seen = new Map<string, number>();
  const isNew = ({ conversation_id, position }: ChatEvent): boolean => {
    if (position <= (seen.get(conversation_id) ?? 0)) return false;
    seen.set(conversation_id, position);
    return true;
  };
  const off = listen((event, n) => {
    if (conversation !== undefined && event.conversation_id !== conversation) return;
    // After an event that did not fit, no later event may be added, or the order would be lost.
    if (behind === undefined && buffer.length < BUFFER) buffer.push({ event, n });
    else behind ??= { cursor: feed.cursor ?? "", n };
    wake();
  });
  const oldest = (): number => Math.min(held, buffer[0]?.n ?? Infinity, behind?.n ?? Infinity);
  feed.delivery.readers.add(oldest);
  const end = (): void => wake();
  signal?.addEventListener("abort", end);
  try {
    while (!signal?.aborted) {
      for (let next; (next = buffer.shift()); ) {
        held = next.n;
        if (isNew(next.event)) yield next.event;
        held = Infinity;
        feed.delivery.commit();
        if (signal?.aborted) return;
      }
      if (behind === undefined) {
        await new Promise<void>((resolve) => (wake = resolve));
        continue;
      }
      // From here on the buffer accepts events again, so each later event is in the buffer, on one of the pages, or
      // both.
      let cursor: string | undefined = behind.cursor;
      held = behind.n;
      behind = undefined;
      while (cursor !== undefined && !signal?.aborted) {
        const after: string = cursor;
        const { items, next_cursor } = await insist(() => feed.ports.page(after), feed.ports.error, signal);
        for (const event of items) {
          if ((conversation === undefined || event.conversation_id === conversation) && isNew(event)) yield event;
        }
        cursor = items.length === 0 ? undefined : next_cursor;
      }
      held = Infinity;
      feed.delivery.commit();
    }
  } finally {
    off();
    signal?.removeEventListener("abort", end);
    feed.delivery.readers.delete(oldest);
    feed.delivery.commit();
  }
}
