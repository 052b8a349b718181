/**
 * Where the client keeps what must survive a reload: messages that wait, and the cursor. A store belongs to one user.
 * `set` with `undefined` removes. A promise of `set` ends when the value is safe.
 */
export interface Store {
  /** All pairs whose key begins with the prefix, sorted by key. */
  all(prefix: string): Promise<Array<[string, unknown]>>;
  get(key: string): Promise<unknown>;
  set(key: string, value: unknown): Promise<void>;
}

/** A store that lives as long as the page. */
export function memory(): Store {
  const values = new Map<string, unknown>();
  return {
    all: async (prefix) => [...values].filter(([key]) => key.startsWith(prefix)).sort(([a], [b]) => (a < b ? -1 : 1)),
    get: async (key) => values.get(key),
    set: async (key, value) => void (value === undefined ? values.delete(key) : values.set(key, value)),
  };
}
