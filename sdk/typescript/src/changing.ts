// Something on display that changes. All changes of one moment cause one call of the listeners.

import { Emitter, type Off } from "./emitter.js";
import type { ChatEvent } from "./feed.js";

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

/** Something that is loaded by REST while events come. */
export class Loading extends Changing {
  /** Events of the time in which something is loaded: the answer may be older than they are. */
  recent!: ChatEvent[];
  #loading = 0;

  /** Keeps the events that come while `load` runs, for what is older than they are. */
  async during<T>(load: () => Promise<T>): Promise<T> {
    if (!this.#loading++) this.recent = [];
    try {
      return await load();
    } finally {
      this.#loading--;
    }
  }

  note(event: ChatEvent): void {
    if (this.#loading) this.recent.push(event);
  }
}
