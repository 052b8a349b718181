import { render, type ComponentChildren } from "preact";
import { All, Consumers, Limits, Nodes, Parked, Parts, Streams, Webhooks } from "./tables.js";
import { Tiles, useNode } from "./tiles.js";

const WORDS = { ready: "Ready", degraded: "Degraded", not_ready: "Not ready" };

function Page() {
  const { looks, failed } = useNode();
  const now = looks.at(-1);
  if (!now) return <p class="first">{failed ? `This node does not answer: ${failed}.` : "Looking…"}</p>;
  const { ready, status } = now;
  return (
    <>
      <header>
        <h1>Verbatim</h1>
        <span class="quiet">
          {status.version} · {status.roles?.join(", ") || "starting"}
          {status.epoch && <> · epoch <code>{status.epoch}</code></>}
        </span>
        <strong class={`pill ${failed ? "failed" : ready.status}`} role="status">{failed ? "No answer" : WORDS[ready.status]}</strong>
      </header>
      {failed && <p class="trouble failed" role="alert">The node does not answer ({failed}). The figures below are of {new Date(now.at).toLocaleTimeString()}.</p>}
      {ready.trouble && <p class={`trouble ${ready.status}`} role="alert">{ready.trouble}</p>}
      {ready.warning && <p class="trouble degraded" role="alert">{ready.warning}</p>}
      <Tiles looks={looks} />
      <div class="columns">
        <Section title="Readiness" wide><Parts ready={ready} /></Section>
        <Section title="Streams"><Streams status={status} /></Section>
        <Section title="Nodes"><Nodes status={status} /></Section>
        <Section title="Refusals"><Limits looks={looks} /></Section>
        <Section title="Webhooks"><Webhooks look={now} /></Section>
        <Section title="Consumers"><Consumers look={now} /></Section>
        <Section title="Parked conversations"><Parked status={status} /></Section>
      </div>
      <details>
        <summary>All figures of this node</summary>
        <All look={now} />
      </details>
    </>
  );
}

function Section({ title, wide, children }: { title: string; wide?: boolean; children: ComponentChildren }) {
  return (
    <section class={wide ? "wide" : ""} aria-label={title}>
      <h2>{title}</h2>
      {children}
    </section>
  );
}

render(<Page />, document.getElementById("page")!);
