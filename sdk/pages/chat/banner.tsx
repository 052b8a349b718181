import type { Verbatim } from "@verbatim/client";
import { useEffect, useRef, useState } from "preact/hooks";
import { ended } from "./words.js";

/** An interruption is not shown if the connection is back within this time. */
const PATIENCE = 400;

/** Shows the state of the connection while there is a problem. */
export function Banner({ chat, state, again }: { chat: Verbatim; state: Verbatim["state"]; again(): void }) {
  const wasLive = useRef(false);
  const [text, say] = useState("");
  if (state === "live") wasLive.current = true;
  const words = {
    live: "",
    connecting: wasLive.current ? "Reconnecting…" : "Connecting…",
    offline: navigator.onLine ? "Reconnecting…" : "You are offline. What you write is sent when you are back.",
    catching_up: "Catching up…",
    stopped: chat.why ? `Disconnected. ${ended(chat.why)}` : "",
  }[state];
  useEffect(() => {
    const timer = setTimeout(() => say(words), words && !text ? PATIENCE : 0);
    return () => clearTimeout(timer);
  }, [words]);
  return (
    <div class={`banner ${text ? "" : "is-empty"}`} role="status" data-state={state}>
      {text && state !== "stopped" && <i class="spinner" aria-hidden="true" />}
      <span>{text}</span>
      {state === "stopped" && text && <button onClick={again}>Sign in again</button>}
    </div>
  );
}
