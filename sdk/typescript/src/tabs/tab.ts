// One of the tabs that share a socket: its guests, its channel, and its place in the queue for the lead.

import type { Tabs } from "../verbatim.js";
import type { Guest } from "./guest.js";
import { Hub } from "./hub.js";
import type { Said } from "./said.js";

/**
 * A tab without a guest gives up its place after this time. A client that only pauses before a retry is back much
 * sooner.
 */
const IDLE = 90_000;

export class Tab {
  readonly ports: Tabs = {};
  readonly #guests = new Map<string, Guest>();
  #channel: BroadcastChannel | undefined;
  #leaving = new AbortController();
  #idle: ReturnType<typeof setTimeout> | undefined;

  constructor(readonly name: string) {}

  add(guest: Guest): void {
    clearTimeout(this.#idle);
    this.#guests.set(guest.id, guest);
    if (this.#channel) return;
    this.#channel = new BroadcastChannel(this.name);
    this.#channel.onmessage = ({ data }: MessageEvent<Said>) => this.#hear(data);
    this.#leaving = new AbortController();
    void this.#lead({ signal: this.#leaving.signal });
  }

  remove(guest: Guest): void {
    this.#guests.delete(guest.id);
    clearTimeout(this.#idle);
    if (this.#guests.size === 0) this.#idle = setTimeout(() => this.#leave(), IDLE);
  }

  say(said: Said): void {
    this.#channel?.postMessage(said);
  }

  /** Takes over the lead, because the leader does not answer. */
  steal(): void {
    void this.#lead({ steal: true });
  }

  #hear(said: Said): void {
    if ("from" in said) return;
    for (const guest of [...this.#guests.values()]) if (said.to === undefined || said.to === guest.id) guest.hear(said);
  }

  /** Waits for the lead, and leads until this tab leaves or another tab steals the lead. */
  async #lead(options: LockOptions): Promise<void> {
    const left = this.#leaving.signal;
    let hub: Hub | undefined;
    const hold = (): Promise<void> | undefined => {
      if (left.aborted) return undefined;
      hub = new Hub(this.name);
      return new Promise((resolve) => left.addEventListener("abort", () => resolve()));
    };
    await navigator.locks.request(this.name, options, hold).catch(() => {});
    hub?.end();
    if (hub && !left.aborted) void this.#lead({ signal: left });
  }

  #leave(): void {
    this.#leaving.abort();
    this.#channel?.close();
    this.#channel = undefined;
  }
}
