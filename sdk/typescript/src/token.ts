// The access token: requested when needed, and again before it expires, with only one request at a time.

import { asError, type VerbatimError } from "./errors.js";

/** Why the client requests a token: it starts, the token expires soon, or the server has refused the token. */
export type Why = "start" | "expiring" | "refused";
export type TokenCallback = (why: Why) => string | Promise<string>;

/** How long before its expiry a token is replaced. */
const BEFORE_END = 60_000;

export class Token {
  #token: string | undefined;
  #asking: Promise<string> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Counts stops: a request from before the last one neither stores its token nor plans another request. */
  #life = 0;

  constructor(
    readonly callback: TokenCallback,
    /** Called when a new token has replaced one that expires soon. The socket has to present it. */
    readonly renewed: (token: string) => unknown,
    readonly failed: (error: VerbatimError) => void,
  ) {}

  /** The present token. */
  async get(): Promise<string> {
    return this.#token ?? this.#ask("start");
  }

  /** The server has refused `token`: another one, unless somebody else got one meanwhile. */
  async refused(token: string): Promise<string> {
    return this.#token && this.#token !== token ? this.#token : this.#ask("refused");
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#life++;
    this.#token = this.#asking = undefined;
  }

  #ask(why: Why): Promise<string> {
    const life = this.#life;
    // All callers share one request. The callback runs after the assignment, so one that throws synchronously is also
    // shared. A key from a file often ends with a newline.
    return (this.#asking ??= Promise.resolve(why)
      .then(this.callback)
      .then((given) => {
        const token = given.trim();
        if (life === this.#life) this.#plan((this.#token = token));
        return token;
      })
      .catch((error: unknown) => {
        throw asError(error, "token_failed");
      })
      .finally(() => {
        if (life === this.#life) this.#asking = undefined;
      }));
  }

  #plan(token: string): void {
    clearTimeout(this.#timer);
    const left = timeLeft(token);
    // A token with less than two minutes left is replaced after half of that time. A timer overflows after 24 days.
    if (left) this.#renewIn(Math.min(Math.max(left - BEFORE_END, left / 2), 2 ** 31 - 1), 0);
  }

  #renewIn(ms: number, attempt: number): void {
    this.#timer = setTimeout(() => void this.#renew(attempt), ms);
    // The timer must not keep a Node program running.
    (this.#timer as { unref?: () => void }).unref?.();
  }

  async #renew(attempt: number): Promise<void> {
    const life = this.#life;
    try {
      const token = await this.#ask("expiring");
      if (life === this.#life) this.renewed(token);
    } catch (error) {
      if (life !== this.#life) return;
      // The old token still counts. If no attempt succeeds, the server closes with 4401, and the socket asks again.
      this.#renewIn(Math.min(60_000, 1_000 * 2 ** attempt), attempt + 1);
      this.failed(error as VerbatimError);
    }
  }
}

/** The time until a token expires, in ms; `undefined` for an API key, which does not contain its expiry. */
export function timeLeft(token: string): number | undefined {
  try {
    const part = token.split(".")[1]!.replace(/-/g, "+").replace(/_/g, "/");
    const { exp, iat = -Infinity } = JSON.parse(atob(part)) as { exp: number; iat?: number };
    const left = exp * 1000 - Date.now();
    // The clock of a device may be wrong by hours. The lifetime of a token does not depend on it.
    const life = (exp - iat) * 1000;
    return Math.max(1_000, left > 0 ? Math.min(left, life) : life / 2);
  } catch {
    return undefined;
  }
}
