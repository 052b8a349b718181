// The outbox: acts of the user that the server has not acknowledged yet. Each act gets its idempotency key before the
// first attempt, and stays in the store until it is acknowledged. The acts of a conversation are sent in order. A
// refused act is set aside and never blocks the next one.

import { VerbatimError } from "./errors.js";
import type { ChatEvent } from "./feed.js";
import type { Link } from "./link.js";
import { goBehind } from "./ids.js";
import { Outgoing, type Act, type Saved } from "./outgoing.js";
import type { ToldStore } from "./store.js";
import { clock, insist, sleep } from "./wait.js";

/** How long the store remembers that an act was discarded, for tabs that still have it and no network. */
const MONTH = 2_592_000_000;

export class Outbox {
  #all = new Map<string, Outgoing>();
  #pumping = new Set<string>();
  /** The end of a pause that the server has requested. It applies to the whole socket. */
  #notBefore = 0;
  /**
   * The acts of all conversations take turns. When the server refuses one because there are too many, it counts those
   * under way as if they ignored the wait, and it closes the socket after 20 of them.
   */
  #turn = Promise.resolve();

  constructor(readonly link: Link, readonly store: ToldStore, readonly changed: (conversation: string) => void) {}

  get stopped(): VerbatimError | undefined {
    return this.link.feed.stopped;
  }

  /** Nothing is sent until the client starts again. */
  stop(): void {
    for (const one of this.#all.values()) one.settle(this.stopped);
  }

  /** Restores the acts that an earlier run of the client, or another tab, has left. */
  async restore(): Promise<void> {
    for (const [key, value] of (await this.store.all("out/")) ?? []) {
      const saved = value as Saved | undefined;
      if ((value as number) < Date.now() - MONTH) void this.store.set(key);
      // It was discarded, or does not come from this client.
      if (!saved?.act) continue;
      const { client_id, conversation_id } = saved.act;
      goBehind(client_id);
      if (!this.#all.has(client_id)) this.#all.set(client_id, new Outgoing(key, saved, this));
      void this.pump(conversation_id);
      this.changed(conversation_id);
    }
  }

  /** The unfinished acts of a conversation, in order. */
  of(conversation: string): Outgoing[] {
    return [...this.#all.values()]
      .filter(({ act }) => act.conversation_id === conversation)
      .sort((a, b) => (a.key < b.key ? -1 : 1));
  }

  add(act: Act): Outgoing {
    // A copy: what the application changes later was not said. Idempotency keys sort by time, so the act follows those
    // that are still to be restored.
    const outgoing = new Outgoing(`out/${act.client_id}`, { act: JSON.parse(encoded(act)) }, this);
    this.#go(outgoing);
    return outgoing;
  }

  retry(outgoing: Outgoing): void {
    if (outgoing.state !== "failed") return;
    delete outgoing.saved.error;
    this.#go(outgoing);
  }

  #go(outgoing: Outgoing): void {
    const { conversation_id, client_id } = outgoing.act;
    this.#all.set(client_id, outgoing);
    outgoing.kept = this.#save(outgoing, { ...outgoing.saved });
    void this.pump(conversation_id);
  }

  discard(outgoing: Outgoing): void {
    if (outgoing.state === "sent") return;
    outgoing.saved.error = { code: "discarded", detail: "discarded", status: 0 };
    outgoing.settle(outgoing.error);
    // The store keeps the time in its place: other tabs may have the act, too.
    this.#forget(outgoing, Date.now());
  }

  /** Marks an act as done if the event is its result, even if the answer was lost. */
  seen(event: ChatEvent, me: string): void {
    const { client_id, message_id } = event.data as { client_id?: string; message_id?: string };
    const outgoing = event.actor === me && this.#all.get(client_id!);
    if (outgoing && message_id) this.#done(outgoing, event.position, message_id);
    // An acknowledged act stays pending until its event arrives, so there is no moment in which a view shows neither.
    for (const one of this.of(event.conversation_id)) {
      if (one.position! <= event.position) this.#forget(one);
    }
  }

  /** The event that would show what has been acked may never come. */
  reset(): void {
    for (const one of this.#all.values()) if (one.state === "sent") this.#forget(one);
  }

  async pump(conversation: string): Promise<void> {
    if (this.#pumping.has(conversation)) return;
    this.#pumping.add(conversation);
    let next: Outgoing | undefined;
    const first = (): Outgoing | undefined => (next = this.of(conversation).find(({ state }) => state === "sending"));
    while (first() && !this.stopped) {
      const send = (): Promise<void> => (this.#turn = this.#turn.catch(() => {}).then(() => this.#send(first)));
      const refused = ({ retryAfterMs = 0 }): AbortSignal => {
        this.#notBefore = clock() + retryAfterMs;
        return this.link.stopped;
      };
      await insist(send, refused).catch((error) => this.#refuse(next!, error));
    }
    this.#pumping.delete(conversation);
  }

  async #send(first: () => Outgoing | undefined): Promise<void> {
    const socket = await this.link.open();
    await sleep(this.#notBefore - clock(), this.link.stopped);
    const next = first();
    if (!next) return;
    // The key is in the store before the first attempt. Otherwise a retry after a reload would have another key, and the
    // act could take effect twice.
    await next.kept;
    // Another tab with the same store may have discarded the act.
    if (((await this.store.get(next.key)) as number) > 0) this.discard(next);
    // What was discarded meanwhile is not sent, and what was restored goes first.
    if (next !== first()) return;
    const { frame_bytes } = socket.limits!;
    // The server would close the socket because of this frame, at every attempt.
    if (new Blob([encoded(next.act)]).size > frame_bytes - 100) {
      throw new VerbatimError("too_large", `send at most ${frame_bytes} bytes`);
    }
    const { position = 0, message_id = "" } = await socket.ask(next.act);
    this.#done(next, position, message_id);
    if (this.link.feed.head(next.act.conversation_id) >= position) this.#forget(next);
  }

  #done(outgoing: Outgoing, position: number, messageId: string): void {
    if (outgoing.state === "sent") return;
    outgoing.position = position;
    outgoing.messageId = messageId;
    outgoing.settle();
    void this.#save(outgoing);
  }

  #refuse(outgoing: Outgoing, { code, detail, status }: VerbatimError): void {
    if (outgoing.state !== "sending") return;
    outgoing.saved.error = { code, detail, status };
    outgoing.settle(outgoing.error);
    void this.#save(outgoing, { ...outgoing.saved });
  }

  #forget(outgoing: Outgoing, discarded?: number): void {
    this.#all.delete(outgoing.act.client_id);
    void this.#save(outgoing, discarded);
  }

  #save({ key, act }: Outgoing, value?: Saved | number): Promise<void> {
    this.changed(act.conversation_id);
    return this.store.set(key, value);
  }
}

/** An act as it goes out. The server cannot read anything but JSON in Unicode, and could not say which act it was. */
function encoded(act: Act): string {
  try {
    // Half of a surrogate pair is no Unicode, and has no encoding.
    return JSON.stringify(act, (_, value: unknown) => (typeof value === "string" && encodeURIComponent(value), value));
  } catch (cause) {
    throw new VerbatimError("invalid_frame", `not JSON: ${cause}`, { cause });
  }
}
