// A live view of one conversation. It is loaded by REST at a known position, and kept up to date by the events after
// it.

import { VerbatimError } from "./errors.js";
import { Loading } from "./changing.js";
import type { Off } from "./emitter.js";
import type { ChatEvent, Feed } from "./feed.js";
import {
  change, excerpt, foldConversation, foldMembers, foldReceipts, needsReactors, quote_of, react, counts, sent, shown, targets,
  type Conversation, type Member, type Message, type Receipt, type Shown, type Told,
} from "./fold.js";
import type { Outbox } from "./outbox.js";
import type { Outgoing } from "./outgoing.js";
import type { Input, Output, Answer, Operation } from "./rest.js";
import type { Typing } from "./typing.js";

export interface ViewPorts {
  /** Sends a request. The users in the answer are learnt, and taken out of it. */
  call<Name extends Operation>(name: Name, input: Input<Name>): Promise<Answer<Output<Name>>>;
  feed: Feed;
  outbox: Outbox;
  typing: Typing;
  error(thrown: unknown): void;
  /** All that is open, including this view. */
  open: Set<object>;
}

/** The maximum number of members whose roles and receipts a view loads. */
const MOST_MEMBERS = 1_000;

type Paged = "list_members" | "list_receipts" | "list_reactions";
type Item<Name extends Operation> = Output<Name> extends { items: Array<infer One> } ? One : never;

export class LiveView extends Loading<ViewPorts> {
  /** The conversation with its title and counts; none before it is loaded. */
  conversation: Conversation | undefined;
  /** Why there is nothing to show: the user is not a member, or no longer one. */
  error: VerbatimError | undefined;
  /** Whether there are older messages than the loaded ones. */
  hasOlder = false;
  /** Whether the newest message is loaded. This may be `false` after `around`, until `newer` has reached the end. */
  atEnd = true;
  #shown: Shown[] = [];
  #members = new Map<string, Member>();
  #receipts = new Map<string, Receipt>();
  /** The positions up to which the members and receipts are current. */
  #membersAt = 0;
  #receiptsAt = 0;
  /** Counts the places that the view has shown; a page for an earlier one comes too late, too. */
  #place = 0;
  #isStale = false;
  #isCounting = false;
  readonly #limit: number;

  constructor(readonly id: string, ports: ViewPorts, { limit = 50 }: { limit?: number } = {}) {
    super(ports);
    this.#limit = limit;
    void this.reload();
  }

  /** The loaded messages, the oldest first. */
  get messages(): readonly Message[] {
    return this.#shown.map(({ message }) => message);
  }

  /** Messages of the user that are not in the log yet, or were refused, in the order in which they were sent. */
  get pending(): readonly Outgoing[] {
    const here = new Set(this.#shown.map(({ message }) => message.sender === this.ports.feed.me && message.client_id));
    return this.ports.outbox.of(this.id).filter(({ act, clientId }) => act.op === "send" && !here.has(clientId));
  }

  get unread(): number {
    return this.conversation?.unread ?? 0;
  }

  /** The other users who are typing. */
  get typing(): readonly string[] {
    return this.ports.typing.of(this.id);
  }

  get members(): readonly Member[] {
    return [...this.#members.values()].sort((a, b) => (a.user_id < b.user_id ? -1 : 1));
  }

  /** How far each member has received and read, by user id. */
  get receipts(): readonly Receipt[] {
    return this.members.map(({ user_id }) => this.#receipts.get(user_id) ?? { user_id, delivered: 0, read: 0 });
  }

  /** Resolves when the view is loaded; rejects if the user may not see the conversation, or the client stops before. */
  async ready(): Promise<this> {
    while (!this.conversation && !this.error) {
      if (this.ports.feed.stopped) throw this.ports.feed.stopped;
      await new Promise<void>((resolve) => {
        const off: Off = this.on("change", () => resolve(off()));
      });
    }
    if (this.error) throw this.error;
    return this;
  }

  /** Loads older messages, and returns whether there were any. */
  async older(): Promise<boolean> {
    const oldest = this.#shown[0]?.message.position;
    if (!oldest || !this.hasOlder) return false;
    return !!(await this.#page({ before: oldest }, (length) => (this.hasOlder = length === this.#limit)));
  }

  /** After `around`: loads newer messages, and returns whether there were any. */
  async newer(): Promise<boolean> {
    const newest = this.#shown.at(-1)?.message.position;
    if (!newest || this.atEnd) return false;
    // If this is the last page, new messages are appended to the view from now on, including those that arrived while
    // the page was loading.
    return !!(await this.#page({ after: newest }, (length) => (this.atEnd = length < this.#limit)));
  }

  /** Shows the messages around a position instead. */
  async around(position: number): Promise<void> {
    this.#place++;
    // A message that comes meanwhile belongs behind those that lie between it and the page.
    const length = await this.#page({ around: position }, () => {
      this.#shown = [];
      this.atEnd = false;
    });
    if (length === undefined) return;
    this.hasOlder = true;
    this.atEnd = (this.#shown.at(-1)?.message.position ?? 0) >= (this.conversation?.last_message?.position ?? 0);
    this.changed();
  }

  /** Reloads everything. */
  async reload(): Promise<void> {
    this.error = (await this.again(() => this.#load())) ?? this.error;
    this.changed();
  }

  /** Takes an event, if it is of this conversation. */
  take(event: ChatEvent): void {
    if (event.conversation_id !== this.id) return;
    this.note(event);
    const me = this.ports.feed.me;
    const { type, data } = event;
    if (type === "member.removed" && data.user_id === me) {
      this.error = new VerbatimError("not_found", "not a member");
      return this.changed();
    }
    if (type === "member.added" && data.user_id === me) {
      this.error = undefined;
      return void this.reload();
    }
    // The lists of members and receipts are loaded separately. They may already be loaded, and need this event, while
    // the conversation is still missing.
    if (event.position > this.#membersAt) foldMembers(this.#members, event);
    if (event.position > this.#receiptsAt) foldReceipts(this.#receipts, event);
    // The running load applies the events from this time when it is done.
    if (!this.conversation || this.error) return;
    this.#fold(event);
    // Messages from before the user joined may have become visible or hidden.
    if (type === "conversation.updated" && data.history !== undefined) void this.reload();
    // A user who was a member before has receipts from that time.
    if (type === "member.added" && !this.#receipts.has(data.user_id)) void this.#loadReceipts().catch(() => {});
    if (this.atEnd) this.#append(event);
    this.#touch(event);
    this.changed();
  }

  get #from(): { id: string; min_position: number } {
    return { id: this.id, min_position: this.ports.feed.head(this.id) };
  }

  async #load(): Promise<void> {
    const { life } = this;
    const limit = this.#limit;
    const [conversation, page] = await Promise.all([
      this.ports.call("get_conversation", { ...this.#from, include: "users" }),
      this.ports.call("list_messages", { ...this.#from, limit, include: "users" }),
      this.#all("list_members", this.#members, foldMembers).then((at) => (this.#membersAt = at)),
      this.#loadReceipts(),
    ]);
    if (life !== this.life) return;
    this.error = undefined;
    this.conversation = conversation.body;
    this.#shown = [];
    this.atEnd = true;
    this.hasOlder = page.body.items.length === limit;
    this.#merge(page);
    for (const event of this.recent) this.#fold(event);
  }

  #fold(event: ChatEvent): void {
    const [now, isStale] = foldConversation(this.conversation!, event, this.ports.feed.me);
    this.conversation = now;
    if (isStale) void this.#recount();
  }

  /** Loads a page, and returns its length, or nothing if it comes too late. */
  async #page(which: object, before: (length: number) => void): Promise<number | undefined> {
    const [life, place] = [this.life, this.#place];
    return this.during(async () => {
      const page = await this.ports.call("list_messages", { ...this.#from, ...which, limit: this.#limit, include: "users" });
      if (life !== this.life || place !== this.#place) return undefined;
      const { length } = page.body.items;
      before(length);
      this.#merge(page);
      return length;
    });
  }

  /** Merges a page into the messages, and applies later events to it. */
  #merge({ body, position }: Answer<Output<"list_messages">>): void {
    const here = new Set(this.#shown.map(({ message }) => message.position));
    const added = body.items.filter((message) => !here.has(message.position)).map((message) => shown(message, position));
    this.#shown = [...this.#shown, ...added].sort((a, b) => a.message.position - b.message.position);
    for (const event of this.recent) {
      if (event.position <= position) continue;
      if (this.atEnd) this.#append(event);
      this.#touch(event);
    }
  }

  #append(event: ChatEvent): void {
    if (event.type !== "message.sent") return;
    if (event.position <= (this.#shown.at(-1)?.message.position ?? 0)) return;
    const quoted = this.#at((event.data as Told<"message.sent">).reply_to_position)?.message;
    const message = sent(event, quoted);
    this.#shown = [...this.#shown, shown(message, event.position)];
    if (message.reply_to && !quoted) void this.#loadQuote(message.reply_to.position).catch(() => {});
  }

  /** Folds an event into the messages that it changes, and into those that quote them. */
  #touch(event: ChatEvent): void {
    for (const at of targets(event)) {
      const one = this.#at(at);
      if (one && needsReactors(one, event)) void this.#loadReactors(at).catch(() => void this.reload());
      else if (one) this.#replace(one, change(one, event, this.ports.feed.me));
      if (event.type === "message.edited") this.#quote(at, { text: excerpt((event.data as Told<"message.edited">).text) });
      else if (event.type === "message.deleted" || event.type === "content.erased") this.#quote(at, { text: "", deleted: true });
    }
  }

  #quote(position: number, changed: Partial<NonNullable<Message["reply_to"]>>): void {
    for (const one of this.#shown) {
      const quote = one.message.reply_to;
      // A quote without a sender quotes a message that the user may not read.
      if (quote?.position !== position || (!quote.sender && !changed.sender) || quote.deleted) continue;
      this.#replace(one, { ...one, message: { ...one.message, reply_to: { ...quote, ...changed } } });
    }
  }

  #at(position: number | undefined): Shown | undefined {
    return this.#shown.find(({ message }) => message.position === position);
  }

  #replace(one: Shown, by: Shown): void {
    if (one === by) return;
    this.#shown = this.#shown.map((other) => (other === one ? by : other));
  }

  /** Loads a quote, because an event names the message to which it replies, but not its text. */
  async #loadQuote(position: number): Promise<void> {
    await this.during(async () => {
      const page = await this.ports.call("list_messages", { ...this.#from, after: position - 1, limit: 1 });
      const message = page.body.items[0];
      if (message?.position !== position) return;
      this.#quote(position, quote_of(message));
      for (const event of this.recent) if (event.position > page.position && targets(event).includes(position)) this.#touch(event);
    });
  }

  /** Loads the users who reacted. Counts do not contain them, but folding the next reaction needs them. */
  async #loadReactors(position: number): Promise<void> {
    await this.during(async () => {
      const message_id = this.#at(position)?.message.id;
      if (!message_id) return;
      const [items, moment] = await this.#pages("list_reactions", { message_id });
      const reactors = items.map(({ user_id: user, emoji }) => ({ user, emoji }));
      const one = this.#at(position);
      if (!one || one.reactors || one.message.deleted_at) return;
      const later = this.recent.filter((event) => event.position > moment && targets(event).includes(position));
      const now = later.reduce(react, reactors);
      const reactions = counts(now, this.ports.feed.me);
      const reactedAt = Math.max(moment, ...later.map((event) => event.position));
      this.#replace(one, { ...one, reactors: now, reactedAt, message: { ...one.message, reactions } });
    });
  }

  /** Requests the counts. Events that arrive during a request cause only one more request. */
  async #recount(): Promise<void> {
    this.#isStale = true;
    if (this.#isCounting) return;
    this.#isCounting = true;
    while (this.#isStale && this.ports.open.has(this) && !this.error) {
      this.#isStale = false;
      const count = async (): Promise<void> => {
        const { body } = await this.ports.call("get_conversation", this.#from);
        if (!this.conversation) return;
        this.conversation = body;
        for (const event of this.recent) this.#fold(event);
      };
      await this.during(count).catch(this.ports.error);
    }
    this.#isCounting = false;
  }

  async #loadReceipts(): Promise<void> {
    this.#receiptsAt = await this.#all("list_receipts", this.#receipts, foldReceipts);
  }

  /**
   * Loads a list page by page, and returns it with the position of its first page. Later events are folded into all
   * pages: they contain the new state, so folding one twice is harmless.
   */
  async #pages<Name extends Paged>(
    name: Name,
    input: Omit<Input<Name>, "id">,
    most = Infinity,
  ): Promise<[Array<Item<Name>>, number]> {
    const all: Array<Item<Name>> = [];
    let at = Infinity;
    let cursor: string | undefined;
    do {
      const page = await this.ports.call(name, { ...this.#from, ...input, limit: 200, cursor } as Input<Name>);
      const { body, position } = page as Answer<{ items: Array<Item<Name>>; next_cursor?: string }>;
      at = Math.min(at, position);
      all.push(...body.items);
      cursor = body.next_cursor;
    } while (cursor && all.length < most);
    return [all, at];
  }

  /** Loads a list into a map, and returns the position up to which it is current. */
  #all<One extends Member | Receipt>(
    name: "list_members" | "list_receipts",
    into: Map<string, One>,
    fold: (into: Map<string, One>, event: ChatEvent) => void,
  ): Promise<number> {
    return this.during(async () => {
      const [items, at] = await this.#pages(name, {}, MOST_MEMBERS);
      into.clear();
      for (const item of items) into.set(item.user_id, item as One);
      for (const event of this.recent) if (event.position > at) fold(into, event);
      return at;
    });
  }
}
