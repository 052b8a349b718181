// The access token: asked for when it is needed, and again before it expires, never twice at once.

import { asError, type VerbatimError } from "./errors.js";

/** Why the client asks: it begins, the token ends soon, or the server has refused it. */
export type Why = "start" | "expiring" | "refused";
export type TokenCallback = (why: Why) => string | Promise<string>;

/** How long before its end a token is replaced. */
const BEFORE_END = 60_000;

export class Token {
  #token: string | undefined;
  #asking: Promise<string> | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    readonly callback: TokenCallback,
    /** A new token has replaced one that ends soon: the socket has to show it. */
    readonly renewed: (token: string) => unknown,
    readonly failed: (error: VerbatimError) => void,
  ) {}

  /** The present token. */
  async get(): Promise<string> {
    return this.#token ?? this.#ask("start");
  }

  /** The server has refused `token`: another one, unless somebody else got one meanwhile. */
  async refused(token: string): Promise<string> {
    return this.#token === undefined || this.#token === token ? this.#ask("refused") : this.#token;
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#token = undefined;
  }

  #ask(why: Why): Promise<string> {
    // Joined by all who ask meanwhile. A callback that throws at once must not end before it is noted here.
    return (this.#asking ??= Promise.resolve(why).then(this.callback).then(
      (token) => {
        this.#asking = undefined;
        this.#token = token;
        this.#plan(token);
        return token;
      },
      (error: unknown) => {
        this.#asking = undefined;
        throw asError(error, "token_failed");
      },
    ));
  }

  #plan(token: string): void {
    clearTimeout(this.#timer);
    const left = timeLeft(token);
    // A token of less than two minutes is replaced in the middle of its life. Longer waits than 24 days overflow.
    if (left) this.#renewIn(Math.min(left > 2 * BEFORE_END ? left - BEFORE_END : left / 2, 2 ** 31 - 1), 0);
  }

  #renewIn(ms: number, attempt: number): void {
    this.#timer = setTimeout(() => void this.#renew(attempt), ms);
    // A timer for a renewal is no reason for a program in Node to go on.
    (this.#timer as { unref?: () => void }).unref?.();
  }

  async #renew(attempt: number): Promise<void> {
    try {
      this.renewed(await this.#ask("expiring"));
    } catch (error) {
      // The old token still counts. If no attempt succeeds, the server closes with 4401, and the socket asks again.
      this.#renewIn(Math.min(60_000, 1_000 * 2 ** attempt), attempt + 1);
      this.failed(error as VerbatimError);
    }
  }
}

/** The time until a token ends, in ms; none for an API key, which does not say. */
export function timeLeft(token: string): number | undefined {
  try {
    const part = token.split(".")[1]!.replace(/-/g, "+").replace(/_/g, "/");
    const { exp, iat } = JSON.parse(atob(part)) as { exp?: number; iat?: number };
    if (typeof exp !== "number") return undefined;
    const left = exp * 1000 - Date.now();
    // The clock of a device may be wrong by hours; the length of a token's life does not depend on it.
    const life = typeof iat === "number" ? (exp - iat) * 1000 : Infinity;
    return Math.max(1_000, left > 0 ? Math.min(left, life) : life / 2);
  } catch {
    return undefined;
  }
}
