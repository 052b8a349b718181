// The connection of the client: it connects, reconnects with the cursor, and stops when reconnecting is pointless.

import { VerbatimError, asError, lost, type Code } from "./errors.js";
import type { Feed } from "./feed.js";
import type { ServerFrame } from "./generated/frames.js";
import { Socket, type End, type WebSocketClass } from "./socket.js";
import type { Token } from "./token.js";
import { pause, sleep } from "./wait.js";

export type State = "offline" | "connecting" | "catching_up" | "live" | "stopped";

export interface LinkEvents {
  state(state: State, why?: VerbatimError): void;
  frame(frame: ServerFrame): void;
  error(error: VerbatimError): void;
}

export class Link {
  #socket: Socket | undefined;
  #hurry = new AbortController();
  #waiting: Array<() => void> = [];

  constructor(
    readonly url: string,
    readonly Class: WebSocketClass,
    readonly token: Token,
    readonly feed: Feed,
    readonly events: LinkEvents,
  ) {}

  get socket(): Socket | undefined {
    return this.#socket?.isOpen ? this.#socket : undefined;
  }

  /** Aborted when the client stops. The next start has another one. */
  get stopped(): AbortSignal {
    return this.feed.running.signal;
  }

  /** Resolves to the socket as soon as its session has begun. */
  async open(): Promise<Socket> {
    while (!this.socket) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return this.socket;
  }

  /** Stays connected until the client stops. */
  start(): void {
    void this.#run(this.stopped);
  }

  stop(why?: VerbatimError): void {
    this.events.state("stopped", why);
    this.hurry();
    this.cut();
  }

  /** Closes the connection. The next one continues from the cursor. */
  cut(): void {
    this.#socket?.cut();
  }

  /** Connects now instead of after the pause, because the network is back. */
  hurry(): void {
    this.#hurry.abort();
  }

  /** Records that the session has begun: commands can be sent. */
  opened(): void {
    for (const resume of this.#waiting.splice(0)) resume();
  }

  async #run(stopped: AbortSignal): Promise<void> {
    let attempt = 0;
    let refused = 0;
    while (!stopped.aborted) {
      this.events.state("connecting");
      let wait: number | undefined;
      let error: VerbatimError | undefined;
      try {
        const token = await this.token.get();
        // If too many events wait for the application, connects only after it has handled some of them.
        await this.feed.delivery.room();
        if (stopped.aborted) return;
        const end = await this.#live(token);
        if (stopped.aborted) return;
        if (end.began) attempt = refused = 0;
        error = fatal(end, refused);
        if (end.code === 4401 && !error) {
          // The clock of the device was wrong, or the page slept until the token had expired. Retries once, without a
          // pause.
          this.events.state("offline");
          await this.token.refused(token);
          refused++;
          continue;
        }
        wait = end.retryAfterMs;
        if (!end.began) error ??= lost(`no connection: ${end.word || end.code}`);
      } catch (thrown) {
        error = asError(thrown);
        wait = error.retryAfterMs;
      }
      if (stopped.aborted) return;
      if (error && !error.retryable) return this.stop(error);
      if (error) this.events.error(error);
      this.events.state("offline");
      this.#hurry = new AbortController();
      await sleep(pause(attempt++, wait), this.#hurry.signal);
    }
  }

  async #live(token: string): Promise<End> {
    let socket: Socket;
    try {
      socket = new Socket(this.Class, this.url, token, this.feed.cursor, (frame) => {
        if (this.#socket === socket) this.events.frame(frame);
      });
    } catch (cause) {
      // Only an address or a token with invalid characters causes this, so a retry does not help.
      throw new VerbatimError("invalid_token", String(cause), { cause });
    }
    this.#socket = socket;
    return socket.ended;
  }
}

/** The error for a close after which the client does not reconnect. */
export function fatal({ code, word }: End, refused: number): VerbatimError | undefined {
  if (code < 4500 && !(code === 4401 && refused)) return undefined;
  const why = (word || (code === 4401 ? "token_expired" : "invalid_token")) as Code;
  return new VerbatimError(why, `the session ended: ${why}`, { status: code });
}
