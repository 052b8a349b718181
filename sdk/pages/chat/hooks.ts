import type { Verbatim } from "@verbatim/client";
import type { RefObject } from "preact";
import { useEffect, useReducer, useState } from "preact/hooks";

interface Changing {
  on(name: "change", listener: () => void): () => void;
}

/** Re-renders at each change of `thing`. */
export function useChanging<T extends Changing | undefined>(thing: T): T {
  const [, again] = useReducer((n: number) => n + 1, 0);
  useEffect(() => {
    // The data may have changed between rendering and this effect.
    again(undefined as never);
    return thing?.on("change", () => again(undefined as never));
  }, [thing]);
  return thing;
}

/** The presence of a user. */
export function usePresence(chat: Verbatim, user: string | undefined) {
  const [presence, become] = useState<{ status: string; last_seen_at?: string }>();
  useEffect(() => {
    become(undefined);
    if (!user) return undefined;
    const view = chat.presence([user]);
    const off = view.on("change", () => become(view.get(user)));
    return () => (off(), view.close());
  }, [chat, user]);
  return presence;
}

/** Whether an element has been on the screen. What nobody has seen yet need not be requested. */
export function useSeen(element: RefObject<Element | null>): boolean {
  const [isSeen, see] = useState(false);
  useEffect(() => {
    const observer = new IntersectionObserver((entries) => {
      if (!entries.some(({ isIntersecting }) => isIntersecting)) return;
      observer.disconnect();
      see(true);
    });
    observer.observe(element.current!);
    return () => observer.disconnect();
  }, []);
  return isSeen;
}

/** Re-renders every 30 s, for texts that say how long ago something was. */
export function useClock(): void {
  const [, again] = useReducer((n: number) => n + 1, 0);
  useEffect(() => {
    const timer = setInterval(() => again(undefined as never), 30_000);
    return () => clearInterval(timer);
  }, []);
}

/** The open conversation, from the part of the URL after `#`. So the browser's Back button closes it. */
export function useOpen(): [string | undefined, (id: string | undefined) => void] {
  const read = (): string | undefined => /^#\/c\/([\w-]+)/.exec(location.hash)?.[1];
  const [open, become] = useState(read);
  useEffect(() => {
    const look = (): void => become(read());
    addEventListener("hashchange", look);
    return () => removeEventListener("hashchange", look);
  }, []);
  return [open, (id) => (location.hash = id ? `/c/${id}` : "/")];
}
