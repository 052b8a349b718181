// Waiting: the pause before a retry, and what a response says about it.

import { asError, type VerbatimError } from "./errors.js";

const SHORTEST = 250;
export const LONGEST = 30_000;

/** The pause before attempt `n` (from 0): doubled each time, with jitter, so that clients do not retry in step. */
export function pause(n: number, atLeast = 0): number {
  const most = Math.min(LONGEST, SHORTEST * 2 ** Math.min(n, 10));
  return atLeast + most / 2 + (Math.random() * most) / 2;
}

/** The time in milliseconds on a clock that goes only forward. The clock of the device is set back at times. */
export const clock = (): number => performance.now();

/** Resolves after the time, or as soon as the signal is aborted. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, signal?.aborted ? 0 : ms);
    signal?.addEventListener("abort", end);
  });
}

/**
 * Retries until the call succeeds, fails with an error that is not retryable, or the signal is aborted. `failed` may
 * return a signal that ends only the pause.
 */
export async function insist<T>(
  act: () => Promise<T>,
  failed: (error: VerbatimError) => AbortSignal | void,
  signal?: AbortSignal,
): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    signal?.throwIfAborted();
    try {
      return await act();
    } catch (thrown) {
      const error = asError(thrown);
      if (!error.retryable) throw error;
      await sleep(pause(attempt, error.retryAfterMs), failed(error) ?? signal);
    }
  }
}

/** `Retry-After` in milliseconds. The server sends seconds; a proxy may send a date. */
export function retryAfter(value: string | null): number | undefined {
  if (!value) return undefined;
  const seconds = Number(value);
  const ms = isNaN(seconds) ? Date.parse(value) - Date.now() : seconds * 1000;
  return isNaN(ms) ? undefined : Math.max(0, ms);
}
