// Read marks that wait to be sent. Only the greatest one of a conversation counts, so a later mark replaces a waiting
// one.

import type { Link } from "./link.js";
import { insist } from "./wait.js";

export class Reads {
  #wanted = new Map<string, number>();
  #told = new Map<string, number>();
  #isRunning = false;

  constructor(readonly link: Link, readonly failed: (thrown: unknown) => void) {}

  mark(conversation: string, position: number): void {
    if (this.#told.get(conversation)! >= position) return;
    this.#wanted.set(conversation, Math.max(position, this.#wanted.get(conversation) ?? 0));
    if (!this.#isRunning) void this.#run();
  }

  /** The positions that are known here mean nothing any more. */
  reset(): void {
    this.#wanted.clear();
    this.#told.clear();
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    for (const [conversation_id, position] of this.#wanted) {
      this.#wanted.delete(conversation_id);
      this.#told.set(conversation_id, position);
      const read = async () => (await this.link.open()).ask({ op: "read", conversation_id, position });
      // A lost connection is not reported, because it comes back soon. Until then the mark waits.
      await insist(read, () => this.link.stopped).catch(this.failed);
    }
    this.#isRunning = false;
  }
}
