import type { ComponentChildren } from "preact";
import { by, type Sample } from "./metrics.js";
import { short } from "./tiles.js";
import type { Look, Ready, Status } from "./watch.js";

/** The maximum number of rows in a table. The most important rows come first. */
const MOST = 30;

function Table({ head, rows, none }: { head: string[]; rows: ComponentChildren[][]; none: string }) {
  if (rows.length === 0) return <p class="quiet">{none}</p>;
  return (
    <div class="scrolls" tabIndex={0} role="group">
      <table>
        <thead>
          <tr>{head.map((title) => <th scope="col">{title}</th>)}</tr>
        </thead>
        <tbody>
          {rows.slice(0, MOST).map((row) => <tr>{row.map((cell) => <td class={typeof cell === "number" ? "number" : ""}>{typeof cell === "number" ? cell.toLocaleString("en") : cell}</td>)}</tr>)}
        </tbody>
      </table>
      {rows.length > MOST && <p class="quiet">and {rows.length - MOST} more</p>}
    </div>
  );
}

export function Parts({ ready }: { ready: Ready }) {
  const rows = Object.entries(ready.parts).map(([name, { status, code, detail, ...figures }]) => [
    name,
    <span class={`state ${status}`}>{status === "ok" ? "ok" : `${status}: ${code}`}</span>,
    <>
      {detail && <span class="detail">{detail}. </span>}
      <span class="quiet">{Object.entries(figures).map(([figure, value]) => `${figure.replace(/_/g, " ")} ${show(value)}`).join(" · ")}</span>
    </>,
  ]);
  return <Table head={["Part", "State", "Details"]} rows={rows} none="The parts have not been looked at yet." />;
}

function show(value: unknown): string {
  if (Array.isArray(value)) return value.length > 8 ? `at most ${Math.max(...(value as number[]))} in ${value.length}` : value.join(", ");
  return typeof value === "number" ? value.toLocaleString("en") : String(value);
}

const lag = (last: number | null, at: number | null): number | string => (last === null || at === null ? "not known" : Math.max(0, last - at));

/** The streams, sorted by lag in descending order. */
export function Streams({ status }: { status: Status }) {
  const streams = [...(status.streams ?? [])].sort((a, b) => (b.last ?? 0) - (b.views ?? 0) - ((a.last ?? 0) - (a.views ?? 0)));
  const rows = streams.map(({ stream, last, views, followed }) => [stream, last ?? "not known", lag(last, views), lag(last, followed)]);
  return <Table head={["Stream", "Last position", "Views behind", "This node behind"]} rows={rows} none="The log has not answered yet." />;
}

export function Nodes({ status }: { status: Status }) {
  const rows = [...(status.nodes ?? [])].sort((a, b) => b.sessions - a.sessions).map(({ node, sessions }) => [<code>{node}</code>, sessions]);
  return <Table head={["Node with the role gateway", "Sessions"]} rows={rows} none={status.nodes ? "No node has told of itself yet." : "The log does not answer."} />;
}

/** The refusals since the node started, and in the last minute. */
export function Limits({ looks }: { looks: readonly Look[] }) {
  const now = looks.at(-1)!;
  const before = looks.find(({ at }) => at >= now.at - 60_000) ?? now;
  const rows = [["rate_limited_total", "Rate limit"], ["shed_total", "Overload"]].flatMap(([name, kind]) => {
    const old = new Map(by(before.samples, name!));
    return by(now.samples, name!).filter(([, value]) => value > 0).map(([label, value]) => ({ kind, label, value, lately: value - (old.get(label) ?? 0) }));
  });
  const sorted = rows.sort((a, b) => b.lately - a.lately || b.value - a.value).map(({ kind, label, value, lately }) => [kind, <code>{label}</code>, lately, value]);
  return <Table head={["Refused by", "Limit or kind of work", "Last minute", "Since the start"]} rows={sorted} none="Nothing has been refused since this node started." />;
}

export function Webhooks({ look: { samples, ready } }: { look: Look }) {
  const seconds = new Map(by(samples, "webhook_lag_seconds"));
  const rows = by(samples, "webhook_lag_events").sort(([, a], [, b]) => b - a).map(([id, events]) => [<code>{id}</code>, events, `${short(seconds.get(id) ?? 0)} s`]);
  const counts = [...by(samples, "webhook_deliveries_total"), ...by(samples, "webhook_disabled").map(([why, n]): [string, number] => [`disabled (${why})`, n])];
  const part = ready.parts["webhooks"];
  return (
    <>
      <p class="quiet">
        {[`${show(part?.["webhooks"] ?? 0)} in all`, `${show(part?.["parked"] ?? 0)} parked events`, ...counts.filter(([, n]) => n > 0).map(([label, n]) => `${label} ${short(n)}`)].join(" · ")}
      </p>
      <Table head={["Webhook of this node", "Events behind", "Oldest waits"]} rows={rows} none="This node serves no webhook." />
    </>
  );
}

/** All metrics of consumers: one row for each consumer, one column for each metric. */
export function Consumers({ look: { samples } }: { look: Look }) {
  const told = samples.filter(({ name, labels }) => name.startsWith("consumer_") && !name.endsWith("_bucket") && nameOf(labels) !== undefined);
  const figures = [...new Set(told.map(({ name }) => name))].slice(0, 6);
  const rows = [...new Set(told.map(({ labels }) => nameOf(labels)!))].map((consumer) => [
    <code>{consumer}</code>,
    ...figures.map((figure) => told.filter((one) => one.name === figure && nameOf(one.labels) === consumer).reduce((all, { value }) => all + value, 0)),
  ]);
  const heads = figures.map((figure) => figure.replace(/^consumer_|_total$/g, "").replace(/_/g, " "));
  return <Table head={["Consumer", ...heads]} rows={rows} none="This node has no figures of consumers. `verbatim consumers list` shows them." />;
}

const nameOf = (labels: Sample["labels"]): string | undefined => labels["consumer"] ?? labels["name"] ?? Object.values(labels)[0];

export function Parked({ status }: { status: Status }) {
  const rows = (status.parked ?? []).map(({ stream, position, conversation_id, reason }) => [<code>{conversation_id ?? "none"}</code>, `${stream} ${position}`, reason]);
  return <Table head={["Conversation", "Since", "Why"]} rows={rows} none={status.parked ? "None: the views of every conversation go on." : "Postgres does not answer."} />;
}

export function All({ look: { samples } }: { look: Look }) {
  const rows = samples.filter(({ name }) => !name.endsWith("_bucket"));
  return (
    <table>
      <tbody>
        {rows.map(({ name, labels, value }) => (
          <tr>
            <td><code>{name}</code></td>
            <td class="quiet">{Object.entries(labels).map(([key, text]) => `${key}=${text}`).join(" ")}</td>
            <td class="number">{value.toLocaleString("en")}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
