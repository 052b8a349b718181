// Something that is shown and changes: its listeners are told once for all changes of a moment.

import type { Off } from "./emitter.js";

export class Changing {
  readonly #listeners = new Set<(self: never) => void>();
  #isTold = false;

  on(_: "change", listener: (self: this) => void): Off {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** Tells the listeners, soon. */
  changed(): void {
    if (this.#isTold) return;
    this.#isTold = true;
    queueMicrotask(() => {
      this.#isTold = false;
      for (const listener of [...this.#listeners]) (listener as (self: this) => void)(this);
    });
  }
}
