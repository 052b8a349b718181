// Listeners by name. A listener that throws must not stop the others, so its error goes to `failed`.

export type Off = () => void;

export class Emitter<Events> {
  readonly #listeners = new Map<keyof Events, Set<(value: never) => unknown>>();

  constructor(readonly failed: (error: unknown) => void = (error) => queueMicrotask(() => { throw error; })) {}

  on<Name extends keyof Events>(name: Name, listener: (value: Events[Name]) => unknown): Off {
    let all = this.#listeners.get(name);
    if (!all) this.#listeners.set(name, (all = new Set()));
    all.add(listener as (value: never) => unknown);
    return () => void all.delete(listener as (value: never) => unknown);
  }

  /** Calls the listeners and gives what they returned, for the caller who waits for their promises. */
  emit<Name extends keyof Events>(name: Name, value: Events[Name]): unknown[] {
    return [...(this.#listeners.get(name) ?? [])].map((listener) => {
      try {
        return (listener as (value: Events[Name]) => unknown)(value);
      } catch (error) {
        this.failed(error);
        return undefined;
      }
    });
  }
}
