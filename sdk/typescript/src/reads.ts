// Read marks on their way. Only the greatest of a conversation counts, so a mark that waits is replaced by a later one.

import { asError, type VerbatimError } from "./errors.js";
import type { Link } from "./link.js";
import { pause, sleep } from "./wait.js";

export class Reads {
  #wanted = new Map<string, number>();
  #told = new Map<string, number>();
  #isRunning = false;

  constructor(readonly link: Link, readonly failed: (error: VerbatimError) => void) {}

  mark(conversation: string, position: number): void {
    if (position <= (this.#told.get(conversation) ?? 0)) return;
    this.#wanted.set(conversation, Math.max(position, this.#wanted.get(conversation) ?? 0));
    if (!this.#isRunning) void this.#run();
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    for (let attempt = 0, next; (next = [...this.#wanted][0]); ) {
      const [conversation_id, position] = next;
      try {
        const socket = await this.link.open();
        await socket.ask({ op: "read", conversation_id, position });
        attempt = 0;
        this.#told.set(conversation_id, position);
        this.#over(conversation_id, position);
      } catch (thrown) {
        const error = asError(thrown);
        if (!error.retryable) {
          this.failed(error);
          this.#over(conversation_id, position);
        } else await sleep(pause(attempt++, error.retryAfterMs));
      }
    }
    this.#isRunning = false;
  }

  #over(conversation: string, position: number): void {
    if (this.#wanted.get(conversation) === position) this.#wanted.delete(conversation);
  }
}
