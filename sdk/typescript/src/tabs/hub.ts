// The shared socket in the leading tab, and the state that a later guest needs.

import type { ClientFrame, ServerFrame, ServerReady } from "../generated/frames.js";
import type { Status } from "../presence.js";
import { PATIENCE, READY } from "../socket.js";
import { clock } from "../wait.js";
import type { Said } from "./said.js";

/** After a change of the leader, all tabs join within this time. Their combined presence is not sent earlier. */
const SOON = 300;

export class Hub {
  readonly #channel: BroadcastChannel;
  readonly #guests = new Map<string, Status>();
  #socket: WebSocket | undefined;
  /** The guest whose token the socket uses. Only its client gets the close code of the server. */
  #owner = "";
  /** A guest's token that the server has not judged yet, and the owner before it. */
  #proof: { id: string; before: string } | undefined;
  #ready: ServerReady | undefined;
  #isBegun = false;
  #heads = new Map<string, number>();
  #cursor = "";
  /** When the last frame arrived on the socket. */
  #heard = 0;
  /** Ends a socket whose session does not begin. A guest cannot tell how far the attempt is. */
  #attempt: ReturnType<typeof setTimeout> | undefined;
  #told: Status = "online";
  /** Whether the presence was sent only once. It is sent again, because a busy server may drop it silently. */
  #isToldOnce = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(readonly name: string) {
    this.#channel = new BroadcastChannel(name);
    this.#channel.onmessage = ({ data }: MessageEvent<Said>) => {
      if (data.op === "join") this.#join(data);
      if (data.op === "send") this.#send(data);
    };
    this.#say({ op: "lead" });
  }

  end(): void {
    this.#drop(1006, "");
    this.#channel.close();
  }

  #say(said: Said): void {
    this.#channel.postMessage(said);
  }

  #join({ from, url, protocols, status = "online" }: Said & { op: "join" }): void {
    this.#say({ op: "here", to: from });
    if (this.#guests.has(from)) return;
    // A guest that rejoins because the socket was silent must not get the same dead socket again.
    if (this.#ready && clock() - this.#heard > 2 * this.#ready.heartbeat_ms) this.#drop(1006, "");
    this.#guests.set(from, status);
    void navigator.locks.request(`${this.name} ${from}`, () => this.#leave(from));
    if (this.#isBegun) this.#welcome(from);
    // A new session starts as online. If the guest is away, the hub waits a moment for a tab that is in use.
    else if (status === "online") this.#open(url, protocols, from);
    else setTimeout(() => this.#open(url, protocols, from), SOON);
    this.#tellSoon();
  }

  #leave(guest: string): void {
    this.#guests.delete(guest);
    if (this.#guests.size === 0) return this.#drop(1006, "");
    this.#tellSoon();
    this.#left();
  }

  /** Makes one of the remaining guests look for messages that a tab may have left in the store. */
  #left(): void {
    const [to] = this.#guests.keys();
    if (to !== undefined) this.#say({ op: "left", to });
  }

  #open(url: string, protocols: string[], owner: string): void {
    if (this.#socket || !this.#guests.has(owner)) return;
    this.#owner = owner;
    const within = (ms: number): void => {
      clearTimeout(this.#attempt);
      this.#attempt = setTimeout(() => this.#drop(1006, ""), ms);
    };
    let socket: WebSocket;
    try {
      socket = this.#socket = new WebSocket(url, protocols);
    } catch {
      return this.#drop(4500, "invalid_token");
    }
    within(PATIENCE);
    socket.onopen = () => {
      within(READY);
      socket.send('{"op":"hello"}');
      this.#told = "online";
      this.#tell();
    };
    socket.onmessage = ({ data }: MessageEvent<string>) => this.#take(data);
    socket.onclose = ({ code, reason }) => this.#drop(code, reason);
  }

  #drop(code: number, reason: string): void {
    const socket = this.#socket;
    if (socket) {
      socket.onmessage = socket.onclose = null;
      socket.close();
    }
    clearTimeout(this.#timer);
    clearTimeout(this.#attempt);
    // Whether the login that has ended is that of this token or of the one before nobody can tell: each shows its own.
    if (code === 4503 && this.#proof) this.#owner = "";
    this.#socket = this.#ready = this.#proof = undefined;
    this.#isBegun = false;
    this.#heads.clear();
    // The other guests have their own tokens, which may still be valid, so they get a code after which they reconnect.
    for (const to of this.#guests.keys()) this.#say({ op: "close", to, code: to === this.#owner ? code : 1006, reason });
    this.#guests.clear();
  }

  #take(data: string): void {
    this.#heard = clock();
    const frame = JSON.parse(data) as ServerFrame;
    switch (frame.op) {
      case "ready":
        clearTimeout(this.#attempt);
        this.#ready = frame;
        this.#cursor = frame.cursor;
        return this.#hear(frame.conversations, frame.more);
      case "conversations":
        return this.#hear(frame.conversations, frame.more);
      case "ack":
      case "error":
      case "pong": {
        if (this.#proof && frame.id === this.#proof.id) {
          if (frame.op === "error") this.#owner = this.#proof.before;
          this.#proof = undefined;
        }
        const [to, id] = frame.id?.split(" ") ?? [];
        if (to === undefined || id === undefined) break;
        return this.#say({ op: "frame", to, data: JSON.stringify({ ...frame, id }) });
      }
      case "event":
        this.#head(frame.conversation_id, frame.position);
        if (frame.type === "member.removed" && frame.data.user_id === this.#ready?.user_id) this.#heads.delete(frame.conversation_id);
        break;
      case "heartbeat":
        for (const [id, head] of Object.entries(frame.heads)) this.#head(id, head);
        this.#cursor = frame.cursor;
        this.#tell(this.#isToldOnce);
    }
    this.#say({ op: "frame", data });
  }

  #head(id: string, head: number): void {
    this.#heads.set(id, Math.max(head, this.#heads.get(id) ?? 0));
  }

  #hear(conversations: ServerReady["conversations"], isMore: boolean): void {
    for (const { id, head } of conversations) this.#head(id, head);
    if (isMore) return;
    this.#isBegun = true;
    for (const guest of this.#guests.keys()) this.#welcome(guest);
    this.#left();
    this.#tellSoon();
  }

  #welcome(to: string): void {
    const conversations = [...this.#heads].map(([id, head]) => ({ id, head }));
    this.#say({ op: "frame", to, data: JSON.stringify({ ...this.#ready, cursor: this.#cursor, conversations, more: false }) });
  }

  #send({ from, data }: Said & { op: "send" }): void {
    if (!this.#guests.has(from)) return;
    const frame = JSON.parse(data) as ClientFrame;
    if (frame.op === "presence") {
      this.#guests.set(from, frame.status);
      return this.#tellSoon();
    }
    if (frame.id != null) frame.id = `${from} ${frame.id}`;
    if (frame.op === "authenticate") {
      this.#proof = { id: frame.id ?? "", before: this.#owner };
      this.#owner = from;
    }
    this.#socket?.send(JSON.stringify(frame));
  }

  #tellSoon(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#isBegun && this.#tell(), SOON);
  }

  /** Sends the presence. The user is away when no tab is in use. */
  #tell(isAgain = false): void {
    const status = [...this.#guests.values()].includes("online") ? "online" : "away";
    const isNew = status !== this.#told;
    if (!isNew && !isAgain) return;
    this.#told = status;
    this.#isToldOnce = isNew;
    this.#socket?.send(JSON.stringify({ op: "presence", status }));
  }
}
