// One WebSocket from opening to close: it sends frames with an id, and matches the answers to them.

import { VerbatimError, lost, type Code } from "./errors.js";
import type { ClientFrame, ServerAck, ServerFrame, SessionLimits } from "./generated/frames.js";

/** What the client needs from a WebSocket. The WebSocket of browsers, Node 22, Bun and Deno fits. */
export interface WebSocketLike {
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  send(data: string): void;
  close(code?: number): void;
}
export type WebSocketClass = new (url: string, protocols: string[]) => WebSocketLike;

/** How a socket ended: the close code, the word in the close reason, and whether the session had begun. */
export interface End {
  code: number;
  word: string;
  retryAfterMs: number;
  began: boolean;
}

/** The time limit for opening and for an answer, and for the next frame in addition to two heartbeats. */
export const PATIENCE = 20_000;
/** The time limit for `ready`. The server lets a session wait up to a minute for its turn, and then reads its views. */
export const READY = 100_000;

/** The frames that have an answer. */
type Asked = Exclude<ClientFrame, { op: "typing" | "presence" }>;

export class Socket {
  readonly ended: Promise<End>;
  limits: SessionLimits | undefined;
  /** Whether the session has begun and has not ended. */
  isOpen = false;
  #socket: WebSocketLike;
  #answers = new Map<string, (answer: ServerAck | VerbatimError) => void>();
  #id = 0;
  #watch: ReturnType<typeof setTimeout> | undefined;
  #close!: (end: Partial<End>) => void;

  constructor(Class: WebSocketClass, url: string, token: string, cursor: string | undefined, take: (frame: ServerFrame) => void) {
    const socket = (this.#socket = new Class(url, ["verbatim.v1", `bearer.${token}`]));
    this.ended = new Promise((resolve) => {
      this.#close = (end) => {
        clearTimeout(this.#watch);
        this.isOpen = false;
        resolve({ code: 1006, word: "", retryAfterMs: 0, began: !!this.limits, ...end });
        for (const take of this.#answers.values()) take(lost());
      };
    });
    let patience: number;
    const watch = (ms: number): void => {
      clearTimeout(this.#watch);
      this.#watch = setTimeout(() => this.cut(), (patience = ms));
    };
    watch(PATIENCE);
    socket.onopen = () => {
      watch(READY);
      this.tell({ op: "hello", cursor });
    };
    // Node 20 reports a failed attempt only in this way.
    socket.onerror = () => this.#close({});
    socket.onclose = ({ code, reason }: { code: number; reason: string }) => {
      const word = reason.split(";")[0]!;
      this.#close({ code, word, retryAfterMs: Number(/retry_after_ms=(\d+)/.exec(reason)?.[1] ?? 0) });
    };
    socket.onmessage = ({ data }: { data: string }) => {
      const frame = JSON.parse(data) as ServerFrame;
      if (frame.op === "ready") {
        this.limits = frame.limits;
        this.isOpen = true;
        patience = 2 * frame.heartbeat_ms + PATIENCE;
      }
      watch(patience);
      this.#answer(frame);
      take(frame);
    };
  }

  /** Sends a command and waits for its `ack`. */
  ask(frame: Asked): Promise<ServerAck> {
    return new Promise((resolve, reject) => {
      if (!this.isOpen) return reject(lost());
      const id = String(++this.#id);
      const take = (answer: ServerAck | VerbatimError): void => {
        clearTimeout(timer);
        this.#answers.delete(id);
        if (answer instanceof VerbatimError) reject(answer);
        else resolve(answer);
      };
      // A missing answer counts as lost. The same key makes a retry harmless.
      const timer = setTimeout(() => take(lost()), PATIENCE);
      this.#answers.set(id, take);
      this.tell({ ...frame, id });
    });
  }

  /** Ends this socket at once, without waiting for the close handshake, which can take minutes on a dead network. */
  cut(): void {
    this.#close({});
    this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close(1000);
  }

  /** Sends a frame that needs no answer. */
  tell(frame: ClientFrame): void {
    this.#socket.send(JSON.stringify(frame));
  }

  #answer(frame: ServerFrame): void {
    const take = this.#answers.get((frame as { id?: string }).id!);
    if (frame.op === "ack") take?.(frame);
    if (frame.op === "error") take?.(new VerbatimError(frame.code as Code, frame.detail, { retryAfterMs: frame.retry_after_ms }));
  }
}
