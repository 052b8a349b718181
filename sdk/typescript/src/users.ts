// Names and pictures of users. They come from responses that contain them anyway, and are requested when one is
// missing.

import { Changing } from "./changing.js";
import { sleep } from "./wait.js";

export interface User {
  id: string;
  display_name: string;
  avatar_url: string | null;
  kind: "user" | "service";
}

/** The maximum number of users in one request. */
const AT_ONCE = 100;

export class Users extends Changing {
  #known = new Map<string, User>();
  #wanted = new Set<string>();
  #isAsking = false;

  constructor(readonly find: (ids: string[]) => Promise<User[]>, readonly failed: (error: unknown) => void) {
    super();
  }

  /** The user, if known. Otherwise the user is requested, and `change` is emitted when the answer has arrived. */
  get(id: string): User | undefined {
    const known = this.#known.get(id);
    if (!known) {
      this.#wanted.add(id);
      if (!this.#isAsking) void this.#ask();
    }
    return known;
  }

  /** The name for display, or the id until the name is known. */
  name(id: string): string {
    return this.get(id)?.display_name ?? id;
  }

  learn(users: object | undefined): void {
    if (!users) return;
    for (const [id, user] of Object.entries(users)) this.#known.set(id, { ...(user as Omit<User, "id">), id });
    this.changed();
  }

  async #ask(): Promise<void> {
    this.#isAsking = true;
    // One request covers all users that a page needs in one moment.
    await sleep(0);
    while (this.#wanted.size) {
      const ids = [...this.#wanted].slice(0, AT_ONCE);
      for (const id of ids) this.#wanted.delete(id);
      try {
        for (const user of await this.find(ids)) this.#known.set(user.id, user);
        this.changed();
      } catch (error) {
        this.failed(error);
      }
    }
    this.#isAsking = false;
  }
}
