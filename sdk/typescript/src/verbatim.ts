import { ConversationHandle, type ConversationPorts } from "./conversation.js";
import { VerbatimError, asError, type Code } from "./errors.js";
import type { Handler } from "./delivery.js";
import { Emitter, added, type Off } from "./emitter.js";
import { Feed, type ChatEvent } from "./feed.js";
import type { Told } from "./fold.js";
import type { ServerFrame, ServerInvited } from "./generated/frames.js";
import { Link, type State } from "./link.js";
import { ConversationList } from "./list.js";
import { LiveView, type ViewPorts } from "./live.js";
import { Outbox } from "./outbox.js";
import { PresenceView, watchVisibility, type Status } from "./presence.js";
import { Reads } from "./reads.js";
import { OPERATIONS } from "./generated/operations.js";
import { functions, sender, type Answer, type Rest, type Sender } from "./rest.js";
import type { WebSocketClass } from "./socket.js";
import { memory, told, type Store } from "./store.js";
import { stream, type StreamOptions } from "./stream.js";
import { Token, type TokenCallback } from "./token.js";
import { Typing } from "./typing.js";
import { Users } from "./users.js";

export interface Options {
  /** The address of the server, like `https://chat.example`. */
  url: string;
  /** Returns an access token. The client calls this each time that it needs another one. */
  token: TokenCallback;
  /** Keeps what must survive a reload. Without a store, nothing survives. A store belongs to one user. */
  store?: Store;
  /** With `manual`, an event counts as handled when `chat.ack(event)` is called, not when its listener has returned. */
  ack?: "auto" | "manual";
  /**
   * One socket for all tabs of the user: `share(name)` from `@verbatim/client/tabs`. Without it, each tab has its own.
   */
  tabs?: Tabs;
  /** Needed for Node before version 22, which has no WebSocket. */
  WebSocket?: WebSocketClass;
  fetch?: typeof fetch;
}

/** The state that tabs share. */
export interface Tabs {
  WebSocket?: WebSocketClass;
  /** Whether the user is at the device, as far as this tab knows. */
  status?: Status;
  /** Called when another tab may be gone, so that this tab sends the messages that wait in the store. */
  onleft?: () => void;
}

export interface ChatEvents {
  state: State;
  /** Every event of all conversations, at least once. If a listener returns a promise, it is awaited. */
  event: ChatEvent;
  /** A message from another user has arrived. */
  notification: ChatEvent & { type: "message.sent"; data: Told<"message.sent"> };
  /** The user was invited into a conversation. */
  invitation: ServerInvited;
  /**
   * Something failed. The client continues by itself, unless its state is `stopped`. Without a listener, errors go to the
   * console.
   */
  error: VerbatimError;
}

export class Verbatim {
  /** Every operation of the REST interface, by its `operationId`. */
  readonly rest: Rest;
  /** Names and pictures of users. */
  readonly users: Users;
  #state: State = "offline";
  #why: VerbatimError | undefined;
  readonly #tabs: Tabs;
  readonly #emitter = new Emitter<ChatEvents>();
  readonly #failed = (thrown: unknown, code?: Code): void => {
    const error = asError(thrown, code);
    // A stop ends requests with its reason, which is told once.
    if (error !== this.#feed.stopped) this.#report(error);
  };
  /** Sends a request. `rest` and `admin` use this. */
  readonly request: Sender;
  readonly #token: Token;
  readonly #feed: Feed;
  readonly #link: Link;
  readonly #outbox: Outbox;
  readonly #typing: Typing;
  /** What all handles and views share. */
  readonly #shared: ConversationPorts & Omit<ViewPorts, "open">;
  /** The open views and lists. */
  readonly #loaded = new Set<LiveView | ConversationList>();
  readonly #presences = new Set<PresenceView>();
  readonly #streams = new Set<Parameters<ConversationPorts["listen"]>[0]>();
  #isRunning = false;

  constructor(options: Options) {
    const url = options.url.replace(/\/+$/, "");
    const tabs = (this.#tabs = options.tabs ?? {});
    const Class = tabs.WebSocket ?? options.WebSocket ?? (globalThis as { WebSocket?: WebSocketClass }).WebSocket;
    if (!Class) throw new TypeError("set the option `WebSocket`");
    const error = this.#failed;
    const store = told(options.store ?? memory(), error);
    // The socket has to present the new token before the old one expires.
    const renewed = (token: string): unknown => this.#link.socket?.ask({ op: "authenticate", token }).catch(error);
    // Without a new token the server closes the socket, but not one that other tabs keep open with theirs.
    const unrenewed = (why: VerbatimError): void => (why.retryable || !this.#isRunning ? error(why) : this.#link.stop(why));
    this.#token = new Token(options.token, renewed, unrenewed);
    this.request = sender(url, this.#token, options.fetch ?? fetch.bind(globalThis));
    this.rest = functions(OPERATIONS, this.request);
    this.users = new Users(
      async (ids) => (await this.rest.find_users({ ids: ids.join(",") }, this.#feed.running)).items as never,
      error,
    );
    const feed = (this.#feed = new Feed(
      {
        page: (after) => this.rest.follow_events({ after, limit: 200 }, this.#feed.running),
        event: (event) => this.#take(event),
        resync: (isReset) => {
          if (isReset) {
            for (const listener of this.#streams) listener(undefined, 0);
            this.#outbox.reset();
            reads.reset();
          }
          for (const one of this.#loaded) {
            if (isReset) one.recent = [];
            void one.reload();
          }
        },
        caughtUp: (isLive) => this.#opened(isLive),
        cut: () => this.#link.cut(),
        error,
      },
      store,
      options.ack === "manual",
    ));
    this.#link = new Link(`${url.replace(/^http/, "ws")}/v1/ws`, Class, this.#token, feed, {
      state: (state, why) => this.#become(state, why),
      frame: (frame) => this.#frame(frame),
      error,
    });
    const changed = (id: string): void => {
      for (const one of this.#loaded) if ((one as LiveView).id === id) one.changed();
    };
    this.#outbox = new Outbox(this.#link, store, changed);
    tabs.onleft = () => void this.#outbox.restore();
    const reads = new Reads(this.#link, error);
    this.#typing = new Typing(changed);
    this.#shared = {
      feed,
      listen: (listener) => added(this.#streams, listener),
      outbox: this.#outbox,
      typing: this.#typing,
      tell: (frame) => this.#link.socket?.tell(frame),
      live: (id, options) => new LiveView(id, { ...this.#shared, open: this.#loaded }, options),
      read: (id, position) => reads.mark(id, position),
      call: async (name, input) => {
        const { position, body } = (await this.request(OPERATIONS[name], input as object, this.#feed.running)) as Answer<{ users?: object }>;
        const { users, ...rest } = body;
        this.users.learn(users);
        return { position, body: rest as never };
      },
      error,
    };
  }

  get state(): State {
    return this.#state;
  }

  /** Why the client stopped by itself. */
  get why(): VerbatimError | undefined {
    return this.#why;
  }

  /** The id of the user, once the first session has begun. */
  get me(): string {
    return this.#feed.me;
  }

  /** The cursor from which a new stream of events misses nothing from now on. */
  get cursor(): string | undefined {
    return this.#feed.cursor;
  }

  on<Name extends keyof ChatEvents>(name: Name, listener: (value: ChatEvents[Name]) => unknown): Off {
    if (name !== "event") return this.#emitter.on(name, listener);
    return added(this.#feed.delivery.handlers, listener as Handler);
  }

  /** Call this when the application has handled this event and all before it (with `ack: "manual"`). */
  ack(event: ChatEvent): void {
    this.#feed.delivery.ack(event);
  }

  /**
   * Connects, and stays connected. Listeners of `event` that are added before this call also get the events from the
   * time in which the client was away.
   */
  async start(): Promise<void> {
    if (this.#isRunning) return;
    this.#isRunning = true;
    if (this.#feed.stopped) {
      this.#feed.running = new AbortController();
      for (const one of this.#loaded) if (one.isDue) void one.reload();
      // Listeners ask again for the names that the stop has cut short.
      this.users.changed();
    }
    const { signal } = this.#feed.running;
    (globalThis as Partial<EventTarget>).addEventListener?.("online", () => this.#link.hurry(), { signal });
    watchVisibility((status) => this.setPresence(status), signal);
    if (this.#feed.delivery.handlers.size || this.#feed.delivery.isManual) await this.#feed.restore();
    await this.#outbox.restore();
    if (!signal.aborted) this.#link.start();
  }

  /** Disconnects, and ends the streams of events. Waiting messages stay in the store. */
  stop(): void {
    this.#link.stop();
  }

  conversation(id: string): ConversationHandle {
    return new ConversationHandle(id, this.#shared);
  }

  /**
   * The direct conversation with a user, which is created if there is none. `undefined` if the user was only invited.
   */
  direct(user: string): Promise<ConversationHandle | undefined> {
    return this.#begin({ kind: "direct", user_id: user });
  }

  /** Creates a group. */
  group({ title, members = [] }: { title: string; members?: string[] }): Promise<ConversationHandle> {
    return this.#begin({ kind: "group", title, members }) as Promise<ConversationHandle>;
  }

  /** The conversations of the user, the latest first, kept up to date. */
  conversations(options: { limit?: number } = {}): ConversationList {
    return new ConversationList({ ...this.#shared, open: this.#loaded }, options.limit);
  }

  /** The events of all conversations, each once and none missing, at the pace of the reader. */
  events(options: StreamOptions = {}): AsyncGenerator<ChatEvent, void, void> {
    return stream(this.#shared, undefined, options);
  }

  /** The presence of these users, kept up to date. */
  presence(users: readonly string[]): PresenceView {
    const view = new PresenceView(users, this.#presences);
    void this.#askPresence([view]);
    return view;
  }

  /**
   * Sets whether the user is at the device. In a page this happens automatically: a page that is hidden for a minute is
   * away.
   */
  setPresence(status: Status): void {
    if (status === (this.#tabs.status ?? "online")) return;
    this.#tabs.status = status;
    this.#tellPresence();
  }

  #report(error: VerbatimError): void {
    if (!this.#emitter.emit("error", error)) console[error.retryable ? "warn" : "error"](error);
  }

  #tellPresence(): void {
    this.#link.socket?.tell({ op: "presence", status: this.#tabs.status! });
  }

  async #begin(body: Parameters<Rest["start_conversation"]>[0]["body"]): Promise<ConversationHandle | undefined> {
    const made = await this.rest.start_conversation({ body });
    return made && this.conversation(made.id);
  }

  /**
   * The views take an event before the outbox drops the act that it confirms, so a message never disappears in between.
   */
  #take(event: ChatEvent): void {
    const { conversation_id: id, actor, type } = event;
    for (const one of this.#loaded) one.take(event);
    this.#outbox.seen(event, this.me);
    for (const listener of this.#streams) listener(event, this.#feed.delivery.given + 1);
    // An erased message is no reason for a notification.
    if (type !== "message.sent" || "erased" in event.data) return;
    this.#typing.over(id, actor);
    if (actor !== this.me && this.#state === "live") this.#emitter.emit("notification", event as ChatEvents["notification"]);
  }

  #frame(frame: ServerFrame): void {
    switch (frame.op) {
      case "typing":
        if (frame.user_id !== this.me) this.#typing.heard(frame.conversation_id, frame.user_id);
        return;
      case "presence": {
        const { op, user_id, ...presence } = frame;
        for (const view of this.#presences) view.heard(user_id, presence);
        return;
      }
      case "user": {
        const { op, id, ...user } = frame;
        return this.users.learn({ [id]: user });
      }
      case "invited":
        return void this.#emitter.emit("invitation", frame);
      case "error":
        // An error without an id belongs to no pending request.
        if (frame.id == null) this.#failed(new VerbatimError(frame.code as never, frame.detail, { retryAfterMs: frame.retry_after_ms }));
        return;
      default:
        this.#feed.push(frame);
    }
  }

  #opened(isLive: boolean): void {
    if (!this.#link.socket) return;
    this.#link.opened();
    if (this.#tabs.status === "away") this.#tellPresence();
    this.#become(isLive ? "live" : "catching_up");
  }

  #become(state: State, why?: VerbatimError): void {
    if (state === "stopped") {
      this.#isRunning = false;
      this.#feed.running.abort(why ?? new VerbatimError("stopped", "client stopped"));
      this.#token.stop();
      this.#outbox.stop();
      this.#typing.stop();
      for (const one of this.#loaded) one.stop();
    }
    if (state === this.#state) return;
    this.#state = state;
    this.#why = why;
    if (state === "live") void this.#askPresence(this.#presences);
    this.#emitter.emit("state", state);
    if (why) this.#report(why);
  }

  /** Requests one presence after another, because a long list of users must not delay everything else. */
  async #askPresence(views: Iterable<PresenceView>): Promise<void> {
    for (const view of views) {
      for (const id of view.users) {
        if (this.#state === "stopped") return;
        try {
          const before = view.get(id);
          const { user_id, users: _, ...presence } = await this.rest.get_presence({ id }, this.#feed.running);
          // If the socket has sent a change meanwhile, that one is newer.
          if (view.get(id) === before) view.heard(user_id, presence);
        } catch (failed) {
          // A user who is not visible to the caller has no presence here.
          if ((failed as VerbatimError).status !== 404) this.#failed(failed);
        }
      }
    }
  }
}
