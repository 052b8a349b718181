// The outbox: acts of the user that the server has not acknowledged yet. Each act gets its idempotency key before the
// first attempt, and stays in the store until it is acknowledged. The acts of a conversation are sent in order. A
// refused act is set aside and never blocks the next one.

import { VerbatimError, asError } from "./errors.js";
import type { ChatEvent } from "./feed.js";
import type { ServerAck } from "./generated/frames.js";
import type { Link } from "./link.js";
import { Outgoing, type Act, type Saved } from "./outgoing.js";
import type { ToldStore } from "./store.js";
import { pause, sleep } from "./wait.js";

export class Outbox {
  #all = new Map<string, Outgoing>();
  #pumping = new Set<string>();
  #n = 0;
  /** The end of a pause that the server has requested. It applies to the whole socket. */
  #notBefore = 0;
  isStopped = false;

  constructor(readonly link: Link, readonly store: ToldStore, readonly changed: (conversation: string) => void) {}

  /** Restores the acts that an earlier run of the client, or another tab, has left. */
  async restore(): Promise<void> {
    for (const [, value] of (await this.store.all("out/")) ?? []) {
      const saved = value as Saved;
      const { client_id, conversation_id } = saved.act;
      this.#n = Math.max(this.#n, saved.n);
      if (!this.#all.has(client_id)) this.#all.set(client_id, new Outgoing(saved, this));
      this.pump(conversation_id);
      this.changed(conversation_id);
    }
  }

  /** The unfinished acts of a conversation, in order. */
  of(conversation: string): Outgoing[] {
    return [...this.#all.values()]
      .filter(({ act }) => act.conversation_id === conversation)
      .sort((a, b) => a.saved.n - b.saved.n);
  }

  add(act: Act): Outgoing {
    const outgoing = new Outgoing({ n: ++this.#n, act }, this);
    this.#all.set(act.client_id, outgoing);
    this.#go(outgoing);
    return outgoing;
  }

  retry(outgoing: Outgoing): void {
    if (outgoing.state !== "failed") return;
    delete outgoing.saved.error;
    this.#go(outgoing);
  }

  /**
   * The key is in the store before the first attempt. Otherwise a retry after a reload would have another key, and the
   * act could take effect twice.
   */
  #go(outgoing: Outgoing): void {
    const { conversation_id } = outgoing.act;
    void this.keep(outgoing).then(() => this.pump(conversation_id));
    this.changed(conversation_id);
  }

  discard(outgoing: Outgoing): void {
    if (outgoing.state === "sent") return;
    this.#forget(outgoing);
    outgoing.settle(new VerbatimError("discarded", "the application discarded it"));
  }

  /** Marks an act as done if the event is its result, even if the answer was lost. */
  seen(event: ChatEvent, me: string): void {
    const outgoing = event.actor === me && "client_id" in event.data && this.#all.get(event.data.client_id ?? "");
    if (outgoing && "message_id" in event.data) this.#done(outgoing, event.position, event.data.message_id);
    // An acknowledged act stays pending until its event arrives, so there is no moment in which a view shows neither.
    for (const one of this.of(event.conversation_id)) {
      if (one.state === "sent" && one.position! <= event.position) this.#forget(one);
    }
  }

  /** The event that would show what has been acked may never come. */
  reset(): void {
    for (const one of this.#all.values()) if (one.state === "sent") this.#forget(one);
  }

  keep({ saved }: Outgoing): Promise<void> {
    return this.store.set(key(saved), { ...saved });
  }

  pump(conversation: string): void {
    if (this.#pumping.has(conversation) || this.isStopped) return;
    this.#pumping.add(conversation);
    void this.#run(conversation).finally(() => this.#pumping.delete(conversation));
  }

  async #run(conversation: string): Promise<void> {
    let attempt = 0;
    for (let next; (next = this.of(conversation).find(({ state }) => state === "sending")); ) {
      const socket = await this.link.open();
      await sleep(this.#notBefore - Date.now());
      if (this.isStopped) return;
      try {
        const limit = socket.limits?.frame_bytes ?? Infinity;
        // The server would close the socket because of this frame, at every attempt.
        if (new TextEncoder().encode(JSON.stringify(next.act)).length > limit - 100) {
          throw new VerbatimError("too_large", `send at most ${limit} bytes`);
        }
        const ack = await socket.ask(next.act);
        this.#acked(next, ack);
        attempt = 0;
      } catch (thrown) {
        const error = asError(thrown);
        if (error.retryable) {
          if (error.retryAfterMs) this.#notBefore = Math.max(this.#notBefore, Date.now() + error.retryAfterMs);
          await sleep(pause(attempt++));
        } else if (this.#all.has(next.act.client_id) && next.state === "sending") {
          await this.#refuse(next, error);
          attempt = 0;
        }
      }
    }
  }

  #acked(outgoing: Outgoing, { position = 0, message_id = "" }: ServerAck): void {
    if (!this.#all.has(outgoing.act.client_id)) return;
    this.#done(outgoing, position, message_id);
    if (this.link.feed.head(outgoing.act.conversation_id) >= position) this.#forget(outgoing);
  }

  #done(outgoing: Outgoing, position: number, messageId: string): void {
    if (outgoing.state === "sent") return;
    outgoing.position = position;
    outgoing.messageId = messageId;
    void this.store.set(key(outgoing.saved));
    outgoing.settle();
    this.changed(outgoing.act.conversation_id);
  }

  async #refuse(outgoing: Outgoing, { code, detail, status }: VerbatimError): Promise<void> {
    outgoing.saved.error = { code, detail, status };
    await this.keep(outgoing);
    outgoing.settle(outgoing.error);
    this.changed(outgoing.act.conversation_id);
  }

  #forget(outgoing: Outgoing): void {
    this.#all.delete(outgoing.act.client_id);
    void this.store.set(key(outgoing.saved));
    this.changed(outgoing.act.conversation_id);
  }
}

/** The key of an act in the store. Keys sort in the order of the acts, and differ between tabs. */
function key({ n, act }: Saved): string {
  return `out/${String(n).padStart(12, "0")}/${act.client_id}`;
}
