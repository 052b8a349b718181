// Polls the node every two seconds, and keeps the answers for five minutes.

import { useEffect, useState } from "preact/hooks";
import { parse, sum, type Sample } from "./metrics.js";

const EVERY = 2_000;
const DEADLINE = 5_000;
/** The number of polls that are kept. */
const MOST = 150;

export interface Part {
  status: "ok" | "degraded" | "failed";
  code: string;
  detail?: string;
  [figure: string]: unknown;
}

export interface Ready {
  status: "ready" | "degraded" | "not_ready";
  trouble?: string;
  warning?: string;
  parts: Record<string, Part>;
}

export interface Status {
  version?: string;
  epoch?: string;
  roles?: string[];
  streams?: Array<{ stream: string; last: number | null; views: number | null; followed: number }>;
  nodes?: Array<{ node: string; sessions: number }> | null;
  parked?: Array<{ stream: string; position: number; conversation_id: string | null; reason: string }> | null;
}

export interface Look {
  at: number;
  ready: Ready;
  status: Status;
  samples: Sample[];
}

export interface Watched {
  looks: readonly Look[];
  /** Why the last poll failed. */
  failed: string | undefined;
}

async function ask(path: string): Promise<string> {
  const response = await fetch(path, { signal: AbortSignal.timeout(DEADLINE), cache: "no-store" });
  // /readyz has a body even if the node is not ready.
  if (!response.ok && path !== "/readyz") throw new Error(`${path} answered ${response.status}`);
  return response.text();
}

async function look(): Promise<Look> {
  const [ready, status, metrics] = await Promise.all([ask("/readyz"), ask("/status"), ask("/metrics")]);
  return { at: Date.now(), ready: JSON.parse(ready) as Ready, status: JSON.parse(status) as Status, samples: parse(metrics) };
}

export function useNode(): Watched {
  const [watched, see] = useState<Watched>({ looks: [], failed: undefined });
  useEffect(() => {
    let isOver = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const next = async (): Promise<void> => {
      if (document.visibilityState === "visible") {
        const seen = await look().catch((error: unknown) => String((error as Error).message));
        if (isOver) return;
        if (typeof seen === "string") see(({ looks }) => ({ looks, failed: seen }));
        else see(({ looks }) => ({ looks: [...looks, seen].slice(-MOST), failed: undefined }));
      }
      timer = setTimeout(() => void next(), EVERY);
    };
    void next();
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, []);
  return watched;
}

/** The value of a gauge at each poll. */
export function gauge(looks: readonly Look[], name: string): number[] {
  return looks.map(({ samples }) => sum(samples, name) ?? 0);
}

/** The rate of a counter per second, between each two polls. A restarted node begins at zero. */
export function rate(looks: readonly Look[], name: string): number[] {
  return looks.slice(1).map((now, i) => {
    const before = looks[i]!;
    const grown = (sum(now.samples, name) ?? 0) - (sum(before.samples, name) ?? 0);
    return Math.max(0, grown) / ((now.at - before.at) / 1000);
  });
}
