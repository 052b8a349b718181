// The order of events: every event of a conversation once, and none missing. Each event names the one before it, so a
// gap in the events of the socket is noticed, and the missing events are fetched. The cursor is stored only when the
// application has handled everything before it.

import { Delivery } from "./delivery.js";
import { VerbatimError, type Code } from "./errors.js";
import type { components } from "./generated/api.js";
import type { ServerFrame } from "./generated/frames.js";
import type { ToldStore } from "./store.js";

export type ChatEvent = components["schemas"]["Event"];

export interface FeedPorts {
  page(after: string): Promise<components["schemas"]["EventPage"]>;
  /** Passes an event to the parts of the client that fold it at once. */
  event(event: ChatEvent): void;
  /** What was loaded by REST may lack something: load it again. After a reset, no position of before means anything. */
  resync(isReset: boolean): void;
  caughtUp(isLive: boolean): void;
  /** Closes the connection, because only a new one helps. */
  cut(): void;
  error(thrown: unknown, code?: Code): void;
}

export class Feed {
  me = "";
  /** The latest cursor. A new connection continues from it. */
  cursor: string | undefined;
  readonly delivery: Delivery;
  /** Aborted when the client stops, with the error that says why. The next start has another one. */
  running = new AbortController();
  /**
   * Resolves when the first session has begun. State that is loaded earlier could miss events from before the session.
   */
  readonly begun: Promise<void>;
  #isBegun!: () => void;
  /** The last position of each conversation that has been given on. */
  #heads = new Map<string, number>();
  /** The heads that `ready` named. */
  #here = new Map<string, number>();
  #readyCursor = "";
  #isResumed = false;
  #tail: Promise<void> = Promise.resolve();
  /** Counts connections, so that queued frames of an old connection can be recognised. */
  #life = 0;

  constructor(readonly ports: FeedPorts, readonly store: ToldStore, isManual: boolean) {
    this.begun = new Promise((resolve) => (this.#isBegun = resolve));
    this.delivery = new Delivery(isManual, ports.error, (cursor) => {
      void store.set("cursor", cursor);
    });
  }

  get stopped(): VerbatimError | undefined {
    return this.running.signal.reason;
  }

  /** Continues after the last event that the application handled, according to the store. */
  async restore(): Promise<void> {
    const saved = await this.store.get("cursor");
    if (typeof saved === "string") this.cursor ??= saved;
  }

  /** The position of the last delivered event of a conversation. */
  head(id: string): number {
    return this.#heads.get(id) ?? 0;
  }

  /** Queues a frame. Frames are processed one after another, even if one has to wait for a fetch. */
  push(frame: ServerFrame): void {
    if (frame.op === "ready") this.#life++;
    const life = this.#life;
    this.#tail = this.#tail.then(() => (life === this.#life ? this.#take(frame) : undefined)).catch((error: unknown) => {
      this.ports.error(error);
      // Everything after the cursor is delivered again, and positions show which events are already known.
      this.#life++;
      this.ports.cut();
    });
    if (this.delivery.isFull) this.ports.cut();
  }

  async #take(frame: ServerFrame): Promise<void> {
    switch (frame.op) {
      case "ready":
        this.me = frame.user_id;
        this.#here = new Map();
        this.#readyCursor = frame.cursor;
        this.#isResumed = !!this.cursor;
        return this.#hear(frame);
      case "conversations":
        return this.#hear(frame);
      case "reset":
        // The cursor means nothing here, nor do the positions before it.
        this.ports.resync(true);
        this.#begin();
        // A cursor that a request refuses has the same code, and its reason in the same place.
        return this.ports.error(new VerbatimError("cursor_gone", `events may be missing: ${frame.reason}`, { errors: [{ code: frame.reason }] }));
      case "event":
        return this.#event(frame);
      case "heartbeat":
        // If a conversation is unknown here, the event that added the user to it is missing.
        await this.#compare(Object.entries(frame.heads));
        return this.#mark(frame.cursor);
      case "caught_up":
        // After a reload no head is known before the first event; then `ready` names the beginning of the chain.
        this.#heads = new Map([...this.#here, ...this.#heads]);
        await this.#compare([...this.#here]);
        this.#mark(frame.cursor);
        return this.ports.caughtUp(true);
    }
  }

  #hear({ conversations, more }: { conversations: Array<{ id: string; head: number }>; more: boolean }): void {
    for (const { id, head } of conversations) this.#here.set(id, head);
    if (more) return;
    // After a resume the earlier heads are still valid, and so is the old cursor until `caught_up`.
    if (this.#isResumed) this.ports.caughtUp(false);
    else this.#begin();
    this.#isBegun();
  }

  #begin(): void {
    this.#heads = new Map(this.#here);
    this.#mark(this.#readyCursor);
    this.ports.caughtUp(true);
  }

  async #event(event: ChatEvent): Promise<void> {
    const { conversation_id: id, position, previous } = event;
    const head = this.#heads.get(id);
    if (position > head! && previous !== head) {
      await this.#fetch();
      // The fetch has also delivered the event itself, unless something is still missing.
      if (this.head(id) < previous) this.#hole(id, position - 1);
    }
    this.#give(event);
  }

  async #compare(heads: Array<[string, number]>): Promise<void> {
    const behind = (): Array<[string, number]> => heads.filter(([id, head]) => this.head(id) < head);
    if (behind().length) await this.#fetch();
    // The fetch may also have delivered the event with which the user left a conversation, which then has no head here.
    for (const [id, head] of behind()) if (this.#heads.has(id)) this.#hole(id, head);
  }

  /** Fetches by REST the events that the socket did not deliver. */
  async #fetch(): Promise<void> {
    let after = this.cursor;
    while (after) {
      const { items, next_cursor } = await this.ports.page(after);
      for (const event of items) this.#give(event);
      this.#mark((after = next_cursor));
      if (!items.length) return;
    }
  }

  #hole(id: string, to: number): void {
    this.ports.error(new VerbatimError("gap", `events may be missing: ${id} to ${to}`));
    this.#heads.set(id, to);
    this.ports.resync(false);
  }

  #give(event: ChatEvent): void {
    const { conversation_id: id, position } = event;
    if (position <= this.head(id)) return;
    this.#heads.set(id, position);
    this.ports.event(event);
    this.delivery.give(event);
    // If the user is added again, the chain starts with the event that adds them.
    if (event.type === "member.removed" && event.data.user_id === this.me) this.#heads.delete(id);
  }

  #mark(cursor: string): void {
    this.cursor = cursor;
    this.delivery.mark(cursor);
  }
}
