import type { ServerCode } from "./generated/codes.js";

/** The codes that the client itself creates. All others come from the server. */
export type ClientCode =
  /** The server could not be reached, or the connection broke. */
  | "network"
  /** The response was not from Verbatim, for example a page of a proxy. */
  | "not_verbatim"
  /** A frame from the client was invalid. */
  | "invalid_frame"
  /** Events are missing, and the server did not deliver them again. */
  | "gap"
  /** The token callback failed. */
  | "token_failed"
  /** A listener of `event` failed. */
  | "listener_failed"
  /** The store failed. Waiting messages may be lost at a reload. */
  | "store_failed"
  /** The server closed the socket for good because of invalid frames. */
  | "bad_frames"
  /** The message was discarded before the server acknowledged it. */
  | "discarded"
  /** The client was stopped. */
  | "stopped";

export type Code = ServerCode | ClientCode;

interface Details {
  status?: number;
  requestId?: string;
  retryAfterMs?: number | undefined;
  retryable?: boolean;
  errors?: readonly unknown[];
  cause?: unknown;
}

/** An error: `code` is for programs; `detail` tells people what is wrong and what to do. */
export class VerbatimError extends Error {
  override readonly name = "VerbatimError";
  readonly status: number;
  readonly requestId: string | undefined;
  readonly retryAfterMs: number | undefined;
  /** Whether the same request can succeed later. If it can, the server says after what time. */
  readonly retryable: boolean;
  /** The invalid fields of the request. */
  readonly errors: readonly unknown[];

  constructor(readonly code: Code, readonly detail: string, more: Details = {}) {
    super(`${code}: ${detail}`, more);
    this.status = more.status ?? 0;
    this.requestId = more.requestId;
    this.retryAfterMs = more.retryAfterMs;
    this.retryable = more.retryable ?? more.retryAfterMs !== undefined;
    this.errors = more.errors ?? [];
  }
}

export function lost(detail = "no connection"): VerbatimError {
  return new VerbatimError("network", detail, { retryable: true });
}

/** Any thrown value as a VerbatimError. */
export function asError(thrown: unknown, code: Code = "network"): VerbatimError {
  if (thrown instanceof VerbatimError) return thrown;
  const detail = String((thrown as Error | undefined)?.message ?? thrown);
  return new VerbatimError(code, detail, { retryable: true, cause: thrown });
}
