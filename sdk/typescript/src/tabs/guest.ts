// A stand-in for the WebSocket of a tab. It begins like the server: `ready`, the events since the cursor, `caught_up`.
// After that it gets the frames of the shared socket.

import type { components } from "../generated/api.js";
import type { ServerFrame } from "../generated/frames.js";
import type { WebSocketLike } from "../socket.js";
import { retryAfter } from "../wait.js";
import type { Said } from "./said.js";
import type { Tab } from "./tab.js";

/** A leader that is alive answers a guest within this time. */
const PATIENCE = 5_000;
/** The maximum number of frames that wait while a guest catches up. */
const MOST = 10_000;

type Heard = Exclude<Said, { from: string }>;

export class Guest implements WebSocketLike {
  onopen: WebSocketLike["onopen"] = null;
  onmessage: WebSocketLike["onmessage"] = null;
  onclose: WebSocketLike["onclose"] = null;
  onerror: WebSocketLike["onerror"] = null;
  readonly id = Math.random().toString(36).slice(2);
  #stage: "new" | "joining" | "catching up" | "open" | "closed" = "new";
  #cursor: string | undefined;
  /** The frames that arrived while the guest was catching up. */
  #later: string[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;
  #free = (): void => {};

  constructor(readonly tab: Tab, readonly url: string, readonly protocols: string[]) {
    tab.add(this);
    // The guest exists as long as this lock is held. So the leader notices even a crash, for which there is no message.
    const hold = (): Promise<void> | undefined => {
      if (this.#isClosed) return undefined;
      this.onopen?.(undefined as never);
      return new Promise((resolve) => (this.#free = resolve));
    };
    // A page that is being unloaded gets no locks.
    navigator.locks.request(`${tab.name} ${this.id}`, hold).catch(() => this.#end(1006));
  }

  send(data: string): void {
    if (this.#stage !== "new") return this.tab.say({ op: "send", from: this.id, data });
    // The first frame is `hello`.
    this.#cursor = (JSON.parse(data) as { cursor?: string }).cursor;
    this.#stage = "joining";
    this.#join();
    this.#timer = setTimeout(() => this.tab.steal(), PATIENCE);
  }

  close(): void {
    this.#end(1006);
  }

  hear(said: Said): void {
    switch (said.op) {
      case "lead":
        if (this.#stage === "joining") this.#join();
        else if (this.#stage !== "new") this.#end(1006);
        return;
      case "here":
        return clearTimeout(this.#timer);
      case "frame":
        return this.#take(said);
      case "close":
        return this.#end(said.code, said.reason);
      case "left":
        return this.tab.ports.onleft?.();
    }
  }

  #join(): void {
    const { id: from, url, protocols, tab } = this;
    tab.say({ op: "join", from, url, protocols, status: tab.ports.status });
  }

  #take({ to, data }: Heard & { op: "frame" }): void {
    switch (this.#stage) {
      case "new":
        return;
      case "joining":
        // The first frame for this guest only is `ready`. Frames for all guests that arrive earlier precede it.
        if (to === undefined) return;
        this.#emit(data);
        if (this.#cursor === undefined) this.#stage = "open";
        else void this.#catchUp(this.#cursor).catch(() => this.#end(1006));
        return;
      case "catching up":
        if (to === undefined && this.#later.push(data) > MOST) this.#end(1006);
        if (to === undefined) return;
    }
    this.#emit(data);
  }

  /** Fetches by REST the events that the server would send on a socket with this cursor. */
  async #catchUp(cursor: string): Promise<void> {
    this.#stage = "catching up";
    const events = `${this.url.replace(/^ws/, "http").replace(/ws$/, "events")}?limit=200&after=`;
    const headers = { Authorization: `Bearer ${this.protocols[1]!.slice("bearer.".length)}` };
    for (let isMore = true; isMore; ) {
      const response = await fetch(events + encodeURIComponent(cursor), { headers });
      if (this.#isClosed) return;
      const { status } = response;
      if (status === 410) {
        const { errors } = (await response.json()) as { errors?: Array<{ code: string }> };
        return this.#goOn({ op: "reset", reason: errors?.[0]?.code ?? "cursor_gone" });
      }
      if (status === 401) return this.#end(4401);
      if (!response.ok) return this.#end(1006, `;retry_after_ms=${retryAfter(response.headers.get("Retry-After")) ?? 0}`);
      const { items, next_cursor } = (await response.json()) as components["schemas"]["EventPage"];
      for (const event of items) this.#emit(JSON.stringify({ op: "event", ...event }));
      cursor = next_cursor;
      isMore = items.length > 0;
    }
    this.#goOn({ op: "caught_up", cursor });
  }

  #goOn(frame: ServerFrame): void {
    if (this.#isClosed) return;
    this.#emit(JSON.stringify(frame));
    for (const data of this.#later.splice(0)) this.#emit(data);
    this.#stage = "open";
  }

  get #isClosed(): boolean {
    return this.#stage === "closed";
  }

  #emit(data: string): void {
    if (!this.#isClosed) this.onmessage?.({ data } as never);
  }

  #end(code: number, reason = ""): void {
    if (this.#isClosed) return;
    this.#stage = "closed";
    clearTimeout(this.#timer);
    this.#free();
    this.tab.remove(this);
    this.onclose?.({ code, reason } as never);
  }
}
