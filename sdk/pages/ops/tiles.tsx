import { useNode, gauge, rate, type Look } from "./watch.js";
import { sum } from "./metrics.js";

export { useNode };

const WIDTH = 160;
const HEIGHT = 36;

function Line({ values }: { values: readonly number[] }) {
  if (values.length < 2) return <svg class="line" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} aria-hidden="true" />;
  const most = Math.max(...values, 1e-9);
  const x = (i: number): number => (i / (values.length - 1)) * WIDTH;
  const y = (value: number): number => HEIGHT - 2 - (value / most) * (HEIGHT - 5);
  const points = values.map((value, i) => `${x(i).toFixed(1)},${y(value).toFixed(1)}`).join(" ");
  return (
    <svg class="line" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" role="img" aria-label={`The last minutes: up to ${short(most)}`}>
      <polygon points={`0,${HEIGHT} ${points} ${WIDTH},${HEIGHT}`} />
      <polyline points={points} />
    </svg>
  );
}

export function short(value: number): string {
  if (value >= 10_000) return new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 }).format(value);
  return new Intl.NumberFormat("en", { maximumFractionDigits: value < 10 ? 1 : 0 }).format(value);
}

const TILES: Array<[title: string, kind: "rate" | "gauge", name: string]> = [
  ["Sessions", "gauge", "sessions"],
  ["Events into the views", "rate", "projected_events_total"],
  ["Deliveries to sockets", "rate", "deliveries_total"],
  ["Resumed sessions", "rate", "resumes_total"],
  ["Refused by rate limits", "rate", "rate_limited_total"],
  ["Refused by overload", "rate", "shed_total"],
  ["Attempts to webhooks", "rate", "webhook_deliveries_total"],
  ["Replays of the log", "gauge", "replays"],
];

/** Rates and levels of this node, with a small chart of the last five minutes. */
export function Tiles({ looks }: { looks: readonly Look[] }) {
  const now = looks.at(-1)!;
  return (
    <ul class="tiles">
      {TILES.map(([title, kind, name]) => {
        const values = kind === "rate" ? rate(looks, name) : gauge(looks, name);
        // A counter that was never incremented is not in the response.
        const value = kind === "rate" ? mean(values.slice(-5)) : sum(now.samples, name) ?? 0;
        return (
          <li key={name}>
            <span class="quiet">{title}</span>
            <b>
              {short(value)}
              {kind === "rate" && <small> /s</small>}
            </b>
            <Line values={values} />
          </li>
        );
      })}
    </ul>
  );
}

function mean(values: readonly number[]): number {
  return values.length === 0 ? 0 : values.reduce((sum, value) => sum + value, 0) / values.length;
}
