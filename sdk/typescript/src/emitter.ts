// Listeners by name. A listener that throws must stop neither the others nor the client.

export type Off = () => void;

/** Adds something to a set, and returns the function that takes it out again. */
export function added<T>(all: Set<T>, one: T): Off {
  all.add(one);
  return () => void all.delete(one);
}

export class Emitter<Events> {
  readonly #listeners = new Map<keyof Events, Set<(value: never) => unknown>>();

  on<Name extends keyof Events>(name: Name, listener: (value: Events[Name]) => unknown): Off {
    const all = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, all);
    return added(all, listener as (value: never) => unknown);
  }

  /** Calls the listeners, and returns how many there are. */
  emit<Name extends keyof Events>(name: Name, value: Events[Name]): number {
    const all = [...(this.#listeners.get(name) ?? [])];
    for (const listener of all) {
      try {
        (listener as (value: Events[Name]) => unknown)(value);
      } catch (error) {
        // Where nothing of the client is under way: so the runtime reports it as an error of the application.
        void Promise.reject(error);
      }
    }
    return all.length;
  }
}
