// `for await (const event of …)`: each event once, and none missing, at the pace of the reader. A slow reader does not
// use more memory: events that do not fit into the buffer are fetched later.

import type { ChatEvent, Feed } from "./feed.js";
import { insist } from "./wait.js";

const BUFFER = 256;

export interface Source {
  feed: Feed;
  /** Hears every event with its number, and nothing where events may have been skipped and positions begin anew. */
  listen(listener: (event: ChatEvent | undefined, n: number) => void): () => unknown;
}

export interface StreamOptions {
  /** The cursor after which the stream begins; without it, the stream begins now. */
  from?: string;
  /** Ends the stream. It also ends when the client stops: with an error, unless the application has stopped the client. */
  signal?: AbortSignal;
}

export async function* stream(
  { feed, listen }: Source,
  conversation: string | undefined,
  { from, signal }: StreamOptions,
): AsyncGenerator<ChatEvent, void, void> {
  /** The last position of each conversation; another map after a reset, and events that wait for the reader keep theirs. */
  let seen = new Map<string, number>();
  const buffer: Array<{ event: ChatEvent; n: number; seen: typeof seen }> = [];
  /** From where to fetch what the buffer does not have, and the number of the first such event. */
  let behind = from === undefined ? undefined : { cursor: from, n: 0 };
  /** The number of the event that the reader is handling. */
  let held = Infinity;
  let wake = (): void => {};
  const isMine = ({ conversation_id }: ChatEvent): boolean => conversation === undefined || conversation_id === conversation;
  const isNew = ({ conversation_id, position }: ChatEvent, before: typeof seen): boolean => {
    if (position <= (before.get(conversation_id) ?? 0)) return false;
    before.set(conversation_id, position);
    return true;
  };
  const off = listen((event, n) => {
    if (!event) {
      // What did not fit cannot be fetched any more.
      behind = undefined;
      seen = new Map();
      return;
    }
    if (!isMine(event)) return;
    // Behind an event that did not fit nothing may fit either, or the order would be lost.
    if (!behind && buffer.length < BUFFER) buffer.push({ event, n, seen });
    else behind ??= { cursor: feed.cursor ?? "", n };
    wake();
  });
  const oldest = (): number => Math.min(held, buffer[0]?.n ?? Infinity, behind?.n ?? Infinity);
  feed.delivery.readers.add(oldest);
  const stopped = feed.running.signal;
  const over = new AbortController();
  const end = (): void => {
    over.abort();
    wake();
  };
  for (const one of [signal, stopped]) {
    one?.addEventListener("abort", end, { signal: over.signal });
    if (one?.aborted) end();
  }
  try {
    while (!over.signal.aborted) {
      const next = buffer.shift();
      if (next) {
        held = next.n;
        if (isNew(next.event, next.seen)) yield next.event;
        held = Infinity;
        feed.delivery.commit();
        continue;
      }
      if (!behind) {
        await new Promise<void>((resolve) => (wake = resolve));
        continue;
      }
      // From here on the buffer accepts events again, so each later event is in the buffer, on one of the pages, or
      // both.
      let cursor: string | undefined = behind.cursor;
      const before = seen;
      held = behind.n;
      behind = undefined;
      while (cursor !== undefined && !over.signal.aborted) {
        const after: string = cursor;
        const page = await insist(() => feed.ports.page(after), feed.ports.error, over.signal).catch((error: unknown) => {
          if (!over.signal.aborted) throw error;
        });
        // A page that was asked for before a reset may have what comes behind it, too.
        if (!page || before !== seen) break;
        for (const event of page.items) {
          if (isMine(event) && isNew(event, before)) yield event;
        }
        cursor = page.items.length ? page.next_cursor : undefined;
      }
      held = Infinity;
      feed.delivery.commit();
    }
    if (stopped.aborted && stopped.reason.code !== "stopped") throw stopped.reason;
  } finally {
    off();
    over.abort();
    feed.delivery.readers.delete(oldest);
    feed.delivery.commit();
  }
}
