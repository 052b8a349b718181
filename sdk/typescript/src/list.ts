// The conversations of the user, the latest first, kept up to date by events.

import type { VerbatimError } from "./errors.js";
import { Loading } from "./changing.js";
import type { ChatEvent } from "./feed.js";
import { foldConversation, type Conversation } from "./fold.js";
import type { ViewPorts } from "./live.js";
import { clock, sleep } from "./wait.js";

export type ListPorts = Pick<ViewPorts, "call" | "feed" | "error" | "open">;

export class ConversationList extends Loading<ListPorts> {
  /** Whether the first page is here. */
  isLoaded = false;
  #all = new Map<string, Conversation>();
  #cursor: string | undefined;
  /** Until when no other question about a conversation is asked. */
  #asked = new Map<string, number>();

  constructor(ports: ListPorts, readonly limit = 50) {
    super(ports);
    void this.reload();
  }

  get items(): readonly Conversation[] {
    return [...this.#all.values()].sort((a, b) => (a.active_at + a.id > b.active_at + b.id ? -1 : 1));
  }

  /** Whether there are more conversations than the loaded ones. */
  get hasMore(): boolean {
    return this.#cursor !== undefined;
  }

  /** The number of unread messages in all loaded conversations that are not muted. */
  get unread(): number {
    return this.items.reduce((sum, { unread, muted }) => sum + (muted ? 0 : unread), 0);
  }

  async reload(): Promise<void> {
    const failed = await this.again(() => this.#page(true));
    if (failed) this.ports.error(failed);
  }

  /** Loads the next page. */
  async more(): Promise<void> {
    if (this.hasMore) await this.during(() => this.#page(false));
  }

  take(event: ChatEvent): void {
    this.note(event);
    const { conversation_id: id, type, data } = event;
    const me = this.ports.feed.me;
    const old = this.#all.get(id);
    if (type === "member.removed" && data.user_id === me) this.#all.delete(id);
    else if (!old) void this.#ask(id);
    else this.#all.set(id, this.#fold(old, event));
    this.changed();
  }

  async #page(isFirst: boolean): Promise<void> {
    const cursor = isFirst ? undefined : this.#cursor;
    const { body } = await this.ports.call("list_conversations", { limit: this.limit, include: "users", cursor });
    if (isFirst) this.#all.clear();
    // The list was loaded again meanwhile, and does not continue here any more.
    else if (cursor !== this.#cursor) return;
    this.#cursor = body.next_cursor;
    this.isLoaded = true;
    for (const item of body.items) this.#put(item);
    // A conversation that has come to the user meanwhile is on no page.
    for (const { conversation_id } of this.recent) if (!this.#all.has(conversation_id)) void this.#ask(conversation_id);
  }

  /** Requests one conversation that is new here, or whose counts do not follow from an event. */
  async #ask(id: string): Promise<void> {
    if (this.#asked.get(id)! > clock()) return;
    this.#asked.set(id, Infinity);
    await this.during(async () => {
      // All events of this moment belong to one question.
      await sleep(0);
      this.#asked.delete(id);
      const { body } = await this.ports.call("get_conversation", { id, min_position: this.ports.feed.head(id), include: "users" });
      // Archived conversations are in a separate list. Whether this one still is need not be asked at each event.
      if (body.archived) this.#asked.set(id, clock() + 60_000);
      else this.#put(body);
    }).catch((error: unknown) => {
      // The user has already left the conversation.
      if ((error as VerbatimError).status === 404) {
        this.#all.delete(id);
        this.changed();
      } else this.ports.error(error);
    });
  }

  #fold(item: Conversation, event: ChatEvent): Conversation {
    const [now, isStale] = foldConversation(item, event, this.ports.feed.me);
    if (isStale) void this.#ask(item.id);
    return now;
  }

  #put(item: Conversation): void {
    let now = item;
    for (const event of this.recent) if (event.conversation_id === item.id) now = this.#fold(now, event);
    const old = this.#all.get(item.id);
    if (!old || old.position <= now.position) this.#all.set(item.id, now);
  }
}
