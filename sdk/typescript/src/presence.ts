// The presence of users. The first state is requested; after that, the server sends the changes of users who share a
// conversation.

import { Changing } from "./changing.js";
import type { components } from "./generated/api.js";

/** Whether a user who is connected is at the device. */
export type Status = "online" | "away";
export type Presence = Omit<components["schemas"]["Presence"], "user_id">;

export class PresenceView extends Changing {
  readonly #known = new Map<string, Presence>();

  constructor(readonly users: readonly string[], readonly open: Set<PresenceView>) {
    super();
    open.add(this);
  }

  /** The presence of a user; `undefined` before the answer arrives, or if the caller may not see the user. */
  get(user: string): Presence | undefined {
    return this.#known.get(user);
  }

  close(): void {
    this.open.delete(this);
  }

  heard(user: string, presence: Presence): void {
    if (!this.users.includes(user)) return;
    this.#known.set(user, presence);
    this.changed();
  }
}

const HIDDEN = 60_000;

/** Calls `tell` when a page has been hidden for a minute, and when it becomes visible again. */
export function watchVisibility(tell: (status: Status) => void, signal: AbortSignal): void {
  const page = (globalThis as { document?: Document }).document;
  if (!page) return;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const look = (): void => {
    clearTimeout(timer);
    if (page.visibilityState === "hidden") timer = setTimeout(() => tell("away"), HIDDEN);
    else tell("online");
  };
  page.addEventListener("visibilitychange", look, { signal });
  look();
}
