import type { Message, Verbatim } from "@verbatim/client";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { Avatar } from "./avatar.js";
import { Composer } from "./composer.js";
import { Details } from "./details.js";
import { useChanging, usePresence } from "./hooks.js";
import { Back, People } from "./icons.js";
import { Messages } from "./messages.js";
import type { Spot } from "./shell.js";
import { lastSeen, nameOf, titleOf, typing } from "./words.js";

export function Talk({ chat, me, id, spot, close }: { chat: Verbatim; me: string; id: string; spot: Spot | undefined; close(): void }) {
  const talk = useMemo(() => chat.conversation(id), [chat, id]);
  const view = useMemo(() => talk.live({ limit: 40 }), [talk]);
  useChanging(view);
  useEffect(() => () => view.close(), [view]);
  const [reply, answer] = useState<Message>();
  const [editing, edit] = useState<Message>();
  const [isShown, showDetails] = useState(false);
  const field = useRef<HTMLTextAreaElement>(null);
  const { conversation, error } = view;
  const other = conversation?.kind === "direct" ? conversation.user_id : undefined;
  const presence = usePresence(chat, other);

  // A deleted message can be neither answered nor edited.
  const gone = (one: Message | undefined): boolean => !!one && !!view.messages.find(({ id }) => id === one.id)?.deleted_at;
  useEffect(() => {
    if (gone(reply)) answer(undefined);
    if (gone(editing)) edit(undefined);
  });

  if (error) {
    return (
      <main class="empty">
        <p role="alert">{error.status === 404 || error.code === "not_found" ? "This conversation is not yours to see." : error.detail}</p>
        <button class="primary" onClick={close}>Back</button>
      </main>
    );
  }
  const title = conversation ? titleOf(chat, conversation) : "";
  const online = { online: "Online", away: "Away" }[presence?.status ?? ""];
  const others = view.members.filter(({ user_id }) => user_id !== chat.me);
  const below = other
    ? presence && (online ?? lastSeen(presence.last_seen_at))
    : [...others.slice(0, 4).map(({ user_id }) => nameOf(chat, user_id)), ...(others.length > 4 ? [`${others.length - 4} more`] : []), "you"].join(", ");
  const nowTyping = typing(chat, view.typing);
  const lastOwn = view.messages.findLast(({ sender, deleted_at }) => sender === chat.me && !deleted_at);

  return (
    <main class="talk" aria-label={title}>
      <header>
        <button class="round back" onClick={close} aria-label="Back to the list"><Back /></button>
        <Avatar id={other ?? id} name={title} chat={other ? chat : undefined} />
        <div class="lines">
          <h1 dir="auto">{title || " "}</h1>
          <span class={`quiet below ${online ? presence?.status : ""}`} dir="auto">{below || " "}</span>
        </div>
        <button class="round" onClick={() => showDetails(true)} aria-label="Members" title="Members"><People /></button>
      </header>
      <Messages
        chat={chat} talk={talk} view={view} spot={spot}
        reply={(message) => (edit(undefined), answer(message), field.current?.focus())}
        edit={(message) => (answer(undefined), edit(message), field.current?.focus())}
      />
      <p class="typing quiet" role="status" dir="auto">
        {nowTyping && <span class="dots" aria-hidden="true"><i /><i /><i /></span>}
        {nowTyping}
      </p>
      <Composer
        key={editing?.id ?? id} chat={chat} me={me} talk={talk} field={field} reply={reply} editing={editing} canEdit={lastOwn}
        answer={answer} edit={edit} sent={() => void (view.atEnd || view.reload())}
      />
      {isShown && <Details chat={chat} view={view} close={() => showDetails(false)} left={close} />}
    </main>
  );
}
