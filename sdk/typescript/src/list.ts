// The conversations of the user, the latest first, kept up to date by events.

import type { VerbatimError } from "./errors.js";
import { Loading } from "./changing.js";
import type { ChatEvent } from "./feed.js";
import { foldConversation, type Conversation } from "./fold.js";
import type { ViewPorts } from "./live.js";
import { insist, sleep } from "./wait.js";

export type ListPorts = Pick<ViewPorts, "call" | "feed" | "error"> & {
  /** The open lists, including this one. */
  open: Set<ConversationList>;
};

export class ConversationList extends Loading {
  /** Whether the first page is here. */
  isLoaded = false;
  /** Whether there are more conversations than the loaded ones. */
  hasMore = false;
  #all = new Map<string, Conversation>();
  #cursor: string | undefined;
  /** Until when no other question about a conversation is asked. */
  #asked = new Map<string, number>();

  constructor(readonly ports: ListPorts, readonly limit = 50) {
    super();
    ports.open.add(this);
    void this.reload();
  }

  get items(): readonly Conversation[] {
    const place = ({ active_at, id }: Conversation): string => active_at + id;
    return [...this.#all.values()].sort((a, b) => (place(a) < place(b) ? 1 : -1));
  }

  /** The number of unread messages in all loaded conversations that are not muted. */
  get unread(): number {
    return this.items.reduce((sum, { unread, muted }) => sum + (muted ? 0 : unread), 0);
  }

  close(): void {
    this.ports.open.delete(this);
  }

  async reload(): Promise<void> {
    await this.ports.feed.begun;
    this.#cursor = undefined;
    await insist(() => this.#page(true), this.ports.error).catch(this.ports.error);
  }

  /** Loads the next page. */
  async more(): Promise<void> {
    if (this.hasMore) await this.#page(false);
  }

  take(event: ChatEvent): void {
    this.note(event);
    const { conversation_id: id, type, data } = event;
    const me = this.ports.feed.me;
    const old = this.#all.get(id);
    if (type === "member.removed" && data.user_id === me) this.#all.delete(id);
    else if (!old) void this.#ask(id);
    else {
      const [now, isStale] = foldConversation(old, event, me);
      this.#all.set(id, now);
      if (isStale) void this.#ask(id);
    }
    this.changed();
  }

  async #page(isFirst: boolean): Promise<void> {
    await this.during(async () => {
      const { body } = await this.ports.call("list_conversations", { limit: this.limit, include: "users", cursor: this.#cursor });
      if (isFirst) this.#all.clear();
      this.#cursor = body.next_cursor;
      this.hasMore = body.next_cursor !== undefined;
      this.isLoaded = true;
      for (const item of body.items) this.#put(item);
      // A conversation that has come to the user meanwhile is on no page.
      for (const { conversation_id } of this.recent) if (!this.#all.has(conversation_id)) void this.#ask(conversation_id);
    });
    this.changed();
  }

  /** Requests one conversation that is new here, or whose counts do not follow from an event. */
  async #ask(id: string): Promise<void> {
    if (this.#asked.get(id)! > Date.now()) return;
    this.#asked.set(id, Infinity);
    await this.during(async () => {
      // All events of this moment belong to one question.
      await sleep(0);
      this.#asked.delete(id);
      const { body } = await this.ports.call("get_conversation", { id, min_position: this.ports.feed.head(id), include: "users" });
      // Archived conversations are in a separate list. Whether this one still is need not be asked at each event.
      if (body.archived) this.#asked.set(id, Date.now() + 60_000);
      else this.#put(body);
    }).catch((error: unknown) => {
      // The user has already left the conversation.
      if ((error as VerbatimError).status === 404) this.#all.delete(id);
      else this.ports.error(error);
    });
    this.changed();
  }

  #put(item: Conversation): void {
    let now = item;
    for (const event of this.recent) {
      if (event.conversation_id !== item.id) continue;
      const [next, isStale] = foldConversation(now, event, this.ports.feed.me);
      now = next;
      if (isStale) void this.#ask(item.id);
    }
    const old = this.#all.get(item.id);
    if (!old || old.position <= now.position) this.#all.set(item.id, now);
  }
}
