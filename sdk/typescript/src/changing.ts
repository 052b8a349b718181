// Something that is shown and changes: its listeners are told once for all changes of a moment.

import { Emitter, type Off } from "./emitter.js";

export class Changing {
  readonly #emitter = new Emitter<{ change: Changing }>();
  #isTold = false;

  on(name: "change", listener: (self: this) => void): Off {
    return this.#emitter.on(name, listener as (self: Changing) => void);
  }

  /** Tells the listeners, soon. */
  changed(): void {
    if (this.#isTold) return;
    this.#isTold = true;
    queueMicrotask(() => {
      this.#isTold = false;
      this.#emitter.emit("change", this);
    });
  }
}
