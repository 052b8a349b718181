// Listeners by name. A listener that throws must stop neither the others nor the client.

export type Off = () => void;

export class Emitter<Events> {
  readonly #listeners = new Map<keyof Events, Set<(value: never) => unknown>>();

  on<Name extends keyof Events>(name: Name, listener: (value: Events[Name]) => unknown): Off {
    let all = this.#listeners.get(name);
    if (!all) this.#listeners.set(name, (all = new Set()));
    all.add(listener as (value: never) => unknown);
    return () => void all.delete(listener as (value: never) => unknown);
  }

  emit<Name extends keyof Events>(name: Name, value: Events[Name]): void {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      try {
        (listener as (value: Events[Name]) => unknown)(value);
      } catch (error) {
        // Where nothing of the client is under way: so the runtime reports it as an error of the application.
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
