// Something on display that changes. All changes of one moment cause one call of the listeners.

import { Emitter, type Off } from "./emitter.js";
import { asError, type VerbatimError } from "./errors.js";
import type { ChatEvent, Feed } from "./feed.js";
import { insist } from "./wait.js";

export class Changing {
  readonly #emitter = new Emitter<{ change: Changing }>();
  #isTold = false;

  on(name: "change", listener: (self: this) => void): Off {
    return this.#emitter.on(name, listener as (self: Changing) => void);
  }

  /** Schedules one call of the listeners. */
  changed(): void {
    if (this.#isTold) return;
    this.#isTold = true;
    queueMicrotask(() => {
      this.#isTold = false;
      this.#emitter.emit("change", this);
    });
  }
}

interface LoadingPorts {
  feed: Feed;
  error(thrown: unknown): void;
  /** All that is open, including this one. */
  open: Set<object>;
}

/** Something that is loaded by REST while events come. */
export class Loading<Ports extends LoadingPorts> extends Changing {
  /** Events of the time in which something is loaded: the answer may be older than they are. */
  recent!: ChatEvent[];
  #loading = 0;
  /** Counts the loads of everything; an answer for an earlier one comes too late. */
  protected life = 0;
  /** Whether the next start has to load everything, because the client was stopped during a load. */
  isDue = false;

  constructor(readonly ports: Ports) {
    super();
    ports.open.add(this);
  }

  close(): void {
    this.life++;
    this.ports.open.delete(this);
  }

  /** Loads everything, unless a later load has made this one pointless, and returns the error that a retry does not help. */
  protected async again(load: () => Promise<void>): Promise<VerbatimError | void> {
    const { feed, error } = this.ports;
    const life = ++this.life;
    await feed.begun;
    const { signal } = feed.running;
    this.isDue = signal.aborted;
    const act = async (): Promise<void> => (life === this.life ? load() : undefined);
    const failed = await this.during(() => insist(act, error, signal)).catch(asError);
    if (life === this.life && !signal.aborted) return failed as VerbatimError | undefined;
  }

  /** The client has stopped, and what is being loaded comes to nothing. */
  stop(): void {
    if (this.#loading) this.isDue = true;
    this.changed();
  }

  /** Keeps the events that come while `load` runs, for what is older than they are. */
  async during<T>(load: () => Promise<T>): Promise<T> {
    if (!this.#loading++) this.recent = [];
    try {
      return await load();
    } finally {
      this.#loading--;
      this.changed();
    }
  }

  note(event: ChatEvent): void {
    if (this.#loading) this.recent.push(event);
  }
}
