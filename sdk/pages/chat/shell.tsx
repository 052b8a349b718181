import { useEffect, useMemo, useState } from "preact/hooks";
import { Banner } from "./banner.js";
import { deliver } from "./deliver.js";
import { useChanging, useClock, useOpen } from "./hooks.js";
import { Mark } from "./icons.js";
import { NewTalk } from "./new_talk.js";
import type { Session } from "./session.js";
import { Sidebar } from "./sidebar.js";
import { Talk } from "./talk.js";
import { ended, nameOf, titleOf } from "./words.js";

/** A place in a conversation: the position of a message that was found by a search. */
export interface Spot {
  id: string;
  position: number;
}

export function Shell({ session, leave }: { session: Session; leave(why: string): void }) {
  const { chat, me } = session;
  const [state, become] = useState(chat.state);
  const [open, go] = useOpen();
  const [spot, look] = useState<Spot>();
  const [isStarting, start] = useState(false);
  const [said, announce] = useState<{ n: number; text: string }>({ n: 0, text: "" });
  const list = useMemo(() => chat.conversations({ limit: 50 }), [chat]);
  useChanging(list);
  useChanging(chat.users);
  useClock();

  useEffect(() => {
    const offs = [chat.on("state", become), deliver(chat, list)];
    void chat.start();
    return () => {
      for (const off of offs) off();
      list.close();
      chat.stop();
    };
  }, [chat]);

  useEffect(
    () =>
      chat.on("notification", ({ conversation_id, actor, data }) => {
        const where = list.items.find(({ id }) => id === conversation_id);
        const title = where?.kind === "group" ? ` in ${titleOf(chat, where)}` : "";
        announce(({ n }) => ({ n: n + 1, text: `${nameOf(chat, actor)}${title}: ${data.text}` }));
      }),
    [chat],
  );

  const { unread } = list;
  useEffect(() => {
    document.title = unread > 0 ? `(${unread}) Verbatim` : "Verbatim";
  }, [unread]);

  const show = (id: string | undefined, position?: number): void => {
    look(id && position ? { id, position } : undefined);
    go(id);
  };
  const signOut = async (): Promise<void> => {
    await session.signOut();
    leave("You have signed out.");
  };
  return (
    <div class={`shell ${open ? "has-open" : ""}`}>
      <Banner chat={chat} state={state} again={() => leave(chat.why ? ended(chat.why) : "Sign in again.")} />
      <Sidebar chat={chat} me={me} list={list} open={open} show={show} start={() => start(true)} signOut={() => void signOut()} />
      {open ? (
        <Talk key={open} chat={chat} me={me} id={open} spot={spot?.id === open ? spot : undefined} close={() => show(undefined)} />
      ) : (
        <main class="empty">
          <Mark />
          <p>{list.isLoaded && list.items.length === 0 ? "Nobody to talk with yet." : "Choose a conversation."}</p>
          <button class="primary" onClick={() => start(true)}>Start a conversation</button>
        </main>
      )}
      {isStarting && <NewTalk chat={chat} close={() => start(false)} opened={(id) => (start(false), show(id))} />}
      <div class="hidden" role="log" aria-live="polite" aria-label="New messages">
        <p key={said.n}>{said.text}</p>
      </div>
    </div>
  );
}
