import type { Verbatim } from "@verbatim/client";
import { useRef } from "preact/hooks";
import { usePresence, useSeen } from "./hooks.js";
import { hue, initials } from "./words.js";

/** A round picture with initials. With `chat`, it shows the presence of the user. */
export function Avatar({ id, name, chat }: { id: string; name: string; chat?: Verbatim | undefined }) {
  return (
    <span class={`avatar hue-${hue(id)}`} aria-hidden="true">
      {initials(name)}
      {chat && <Dot chat={chat} user={id} />}
    </span>
  );
}

function Dot({ chat, user }: { chat: Verbatim; user: string }) {
  const dot = useRef<HTMLElement>(null);
  const presence = usePresence(chat, useSeen(dot) ? user : undefined);
  return <i ref={dot} class={`dot ${presence?.status ?? "offline"}`} />;
}
