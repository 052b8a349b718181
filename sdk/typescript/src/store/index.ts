import type { Store } from "../store.js";

/** A store in the IndexedDB of the browser. `name` names the database: use one for each user. */
export function indexedDb(name: string): Store {
  const table = "verbatim";
  let opening: Promise<IDBDatabase> | undefined;

  function open(): Promise<IDBDatabase> {
    return (opening ??= new Promise<IDBDatabase>((resolve, reject) => {
      const request = indexedDB.open(name, 1);
      request.onupgradeneeded = () => void request.result.createObjectStore(table);
      request.onerror = () => {
        // The next call tries again.
        opening = undefined;
        reject(request.error);
      };
      request.onsuccess = () => {
        const database = request.result;
        // The browser closes the database when the user clears the data of the site.
        database.onclose = () => void (opening = undefined);
        database.onversionchange = () => database.close();
        resolve(database);
      };
    }));
  }

  async function run<T>(mode: IDBTransactionMode, act: (all: IDBObjectStore) => T): Promise<T> {
    const transaction = (await open()).transaction(table, mode, { durability: "strict" });
    return new Promise((resolve, reject) => {
      const requests = act(transaction.objectStore(table));
      // Without this, the change is lost if the page is reloaded right away.
      transaction.commit();
      transaction.oncomplete = () => resolve(requests);
      transaction.onabort = () => reject(transaction.error);
    });
  }

  return {
    async all(prefix) {
      const range = IDBKeyRange.bound(prefix, `${prefix}\uffff`);
      // One transaction, because another tab may remove something in between.
      const [keys, values] = await run("readonly", (all) => [all.getAllKeys(range), all.getAll(range)] as const);
      return keys.result.map((key, i) => [String(key), values.result[i]]);
    },
    get: async (key) => (await run("readonly", (all) => all.get(key))).result,
    set: async (key, value) => {
      await run("readwrite", (all) => (value === undefined ? all.delete(key) : all.put(value, key)));
    },
  };
}
