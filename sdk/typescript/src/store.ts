import type { Code } from "./errors.js";

/**
 * Where the client keeps what must survive a reload: waiting messages, and the cursor. A store belongs to one user.
 * `set` with `undefined` removes a key. The promise of `set` resolves when the value is stored safely.
 */
export interface Store {
  /** All pairs whose key begins with the prefix. */
  all(prefix: string): Promise<Array<[string, unknown]>>;
  get(key: string): Promise<unknown>;
  set(key: string, value: unknown): Promise<void>;
}

/** A store in memory, which is lost when the page is closed or reloaded. */
export function memory(): Store {
  const values = new Map<string, unknown>();
  return {
    all: async (prefix) => [...values].filter(([key]) => key.startsWith(prefix)),
    get: async (key) => values.get(key),
    set: async (key, value) => void (value === undefined ? values.delete(key) : values.set(key, value)),
  };
}

/** Wraps a store so that its calls never fail. A failure is reported, and the result is `undefined`. */
export function told(store: Store, failed: (thrown: unknown, code: Code) => void) {
  const tell = (error: unknown): undefined => void failed(error, "store_failed");
  return {
    all: (prefix: string) => store.all(prefix).catch(tell),
    get: (key: string) => store.get(key).catch(tell),
    set: (key: string, value?: unknown) => store.set(key, value).catch(tell),
  };
}

export type ToldStore = ReturnType<typeof told>;
