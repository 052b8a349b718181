// Something on display that changes. All changes of one moment cause one call of the listeners.

import { Emitter, type Off } from "./emitter.js";

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
