// The users who are typing. A typing signal is valid for a few seconds, and the user's own signal is sent at most every
// few seconds.

import { clock } from "./wait.js";

const HOLDS = 6_000;
const SELDOM = 3_000;

export class Typing {
  #until = new Map<string, Map<string, ReturnType<typeof setTimeout>>>();
  /** Until when no other signal of the user is sent. */
  #told = new Map<string, number>();

  constructor(readonly changed: (conversation: string) => void) {}

  /** Whether the user's own typing signal may be sent now. */
  mayTell(conversation: string): boolean {
    if (this.#told.get(conversation)! > clock()) return false;
    this.#told.set(conversation, clock() + SELDOM);
    return true;
  }

  of(conversation: string): string[] {
    return [...(this.#until.get(conversation)?.keys() ?? [])];
  }

  heard(conversation: string, user: string): void {
    const users = this.#until.get(conversation) ?? new Map<string, ReturnType<typeof setTimeout>>();
    this.#until.set(conversation, users);
    clearTimeout(users.get(user));
    users.set(user, setTimeout(() => this.over(conversation, user), HOLDS));
    this.changed(conversation);
  }

  /** Ends a typing signal: the message has arrived, or the time is over. */
  over(conversation: string, user: string): void {
    const users = this.#until.get(conversation);
    if (!users?.has(user)) return;
    clearTimeout(users.get(user));
    users.delete(user);
    this.changed(conversation);
  }

  stop(): void {
    for (const users of this.#until.values()) for (const timer of users.values()) clearTimeout(timer);
    this.#until.clear();
  }
}
