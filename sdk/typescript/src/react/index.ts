// Hooks for React 18 and later. Each one re-renders its component when its data changes.

import { useCallback, useEffect, useRef, useState, useSyncExternalStore } from "react";
import type { ConversationList } from "../list.js";
import type { LiveView } from "../live.js";
import type { State } from "../link.js";
import type { PresenceView } from "../presence.js";
import type { Users } from "../users.js";
import type { Verbatim } from "../verbatim.js";

interface Changing {
  on(name: "change", listener: () => void): () => void;
}

/** Re-renders at each change of a view, a list, presence or users. */
export function useChanges<T extends Changing | undefined>(thing: T): T {
  const version = useRef(0);
  const subscribe = useCallback(
    (tell: () => void) => {
      // The data may have changed between rendering and subscribing.
      version.current++;
      const off = thing?.on("change", () => {
        version.current++;
        tell();
      });
      return () => off?.();
    },
    [thing],
  );
  const read = () => version.current;
  useSyncExternalStore(subscribe, read, read);
  return thing;
}

/** The state of the connection. */
export function useChatState(chat: Verbatim): State {
  const subscribe = useCallback((tell: () => void) => chat.on("state", tell), [chat]);
  const read = () => chat.state;
  return useSyncExternalStore(subscribe, read, read);
}

/** A view of a conversation; `undefined` in the first render, or without an id. */
export function useConversation(chat: Verbatim, id: string | undefined, { limit }: { limit?: number } = {}): LiveView | undefined {
  return useOpened(() => (id === undefined ? undefined : chat.conversation(id).live(limit === undefined ? {} : { limit })), [chat, id, limit]);
}

/** The conversations of the user, the latest first; `undefined` in the first render. */
export function useConversations(chat: Verbatim, { limit }: { limit?: number } = {}): ConversationList | undefined {
  return useOpened(() => chat.conversations(limit === undefined ? {} : { limit }), [chat, limit]);
}

/** The presence of these users. */
export function usePresence(chat: Verbatim, users: readonly string[]): PresenceView | undefined {
  return useOpened(() => chat.presence(users), [chat, users.join()]);
}

/** Names and pictures: `useUsers(chat).name(id)`. */
export function useUsers(chat: Verbatim): Users {
  return useChanges(chat.users);
}

/** Opens something while the component shows it, and closes it afterwards. */
function useOpened<T extends Changing & { close(): void }>(open: () => T | undefined, inputs: readonly unknown[]): T | undefined {
  const [thing, show] = useState<T>();
  useEffect(() => {
    const opened = open();
    show(opened);
    return () => opened?.close();
  }, inputs);
  return useChanges(thing);
}
