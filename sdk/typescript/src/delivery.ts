// Delivers events to the application at least once: a cursor is stored only when everything before it has been handled.

import type { Code } from "./errors.js";
import type { ChatEvent } from "./feed.js";
import { sleep } from "./wait.js";

/** The maximum number of events that wait in memory. The server keeps any others until there is room. */
const MOST = 10_000;

export type Handler = (event: ChatEvent) => unknown;

export class Delivery {
  readonly handlers = new Set<Handler>();
  /** Readers with their own pace. Each returns the number of the first event that it has not handled. */
  readonly readers = new Set<() => number>();
  /** The number of the last event. */
  given = 0;
  #queue: Array<{ n: number; event: ChatEvent }> = [];
  #unacked: Array<{ n: number; event: ChatEvent }> = [];
  #marks: Array<{ n: number; cursor: string }> = [];
  #isRunning = false;

  constructor(
    readonly isManual: boolean,
    readonly failed: (thrown: unknown, code: Code) => void,
    readonly store: (cursor: string) => void,
  ) {}

  get isFull(): boolean {
    return this.#queue.length > MOST;
  }

  /** Resolves when there is room again. */
  async room(): Promise<void> {
    while (this.#queue.length > MOST / 2) await sleep(100);
  }

  give(event: ChatEvent): void {
    const numbered = { n: ++this.given, event };
    if (this.isManual) this.#unacked.push(numbered);
    if (!this.handlers.size) return;
    this.#queue.push(numbered);
    if (!this.#isRunning) void this.#run();
  }

  /** Takes a cursor that covers all events delivered so far. */
  mark(cursor: string): void {
    const last = this.#marks.at(-1);
    if (last?.n === this.given) last.cursor = cursor;
    else this.#marks.push({ n: this.given, cursor });
    this.commit();
  }

  /** The application has handled this event and all before it. */
  ack({ id }: ChatEvent): void {
    const at = this.#unacked.findIndex(({ event }) => event.id === id);
    this.#unacked.splice(0, at + 1);
    this.commit();
  }

  commit(): void {
    const open = [this.#queue[0]?.n, this.#unacked[0]?.n, ...[...this.readers].map((oldest) => oldest())];
    const oldest = Math.min(...open.map((n = Infinity) => n));
    let cursor: string | undefined;
    while (this.#marks[0]?.n! < oldest) cursor = this.#marks.shift()!.cursor;
    if (cursor) this.store(cursor);
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    for (let next; (next = this.#queue[0]); ) {
      for (const handler of this.handlers) {
        try {
          await handler(next.event);
        } catch (error) {
          this.failed(error, "listener_failed");
        }
      }
      this.#queue.shift();
      this.commit();
    }
    this.#isRunning = false;
  }
}
