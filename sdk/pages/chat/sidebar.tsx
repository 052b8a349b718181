import type { Conversation, ConversationList, Verbatim } from "@verbatim/client";
import { useEffect, useRef, useState } from "preact/hooks";
import { Avatar } from "./avatar.js";
import { Cross, Door, Glass, Plus } from "./icons.js";
import { Invitations } from "./invitations.js";
import { Found } from "./search.js";
import { moment, nameOf, preview, titleOf } from "./words.js";

interface Props {
  chat: Verbatim;
  me: string;
  list: ConversationList;
  open: string | undefined;
  show(id: string, position?: number): void;
  start(): void;
  signOut(): void;
}

export function Sidebar({ chat, me, list, open, show, start, signOut }: Props) {
  const [query, ask] = useState("");
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => {
    const key = (event: KeyboardEvent): void => {
      if (!(event.ctrlKey || event.metaKey) || event.key !== "k") return;
      event.preventDefault();
      field.current?.focus();
    };
    addEventListener("keydown", key);
    return () => removeEventListener("keydown", key);
  }, []);
  const name = nameOf(chat, me);
  return (
    <nav class="sidebar" aria-label="Conversations">
      <header>
        <Avatar id={me} name={name} />
        <strong dir="auto">{name}</strong>
        <button class="round" onClick={signOut} aria-label="Sign out" title="Sign out"><Door /></button>
        <button class="round filled" onClick={start} aria-label="New conversation" title="New conversation"><Plus /></button>
      </header>
      <div class="search" role="search">
        <Glass />
        <input
          ref={field} type="search" value={query} placeholder="Search messages" aria-label="Search messages" maxLength={200} dir="auto"
          aria-keyshortcuts="Control+K" onInput={(event) => ask(event.currentTarget.value)} onKeyDown={(event) => event.key === "Escape" && ask("")}
        />
        {query && <button class="round small" onClick={() => ask("")} aria-label="End the search"><Cross /></button>}
      </div>
      {query.trim().length > 1 ? (
        <Found chat={chat} query={query.trim()} show={show} />
      ) : (
        <div class="scrolls">
          <Invitations chat={chat} show={show} />
          {list.isLoaded && list.items.length === 0 && <p class="quiet hint">Start a conversation with the user name of somebody.</p>}
          {!list.isLoaded && <p class="quiet hint">Loading…</p>}
          <ul>
            {list.items.map((item) => (
              <Item key={item.id} chat={chat} item={item} isOpen={item.id === open} show={show} />
            ))}
          </ul>
          {list.hasMore && <button class="link" onClick={() => void list.more()}>Show more</button>}
        </div>
      )}
    </nav>
  );
}

function Item({ chat, item, isOpen, show }: { chat: Verbatim; item: Conversation; isOpen: boolean; show: Props["show"] }) {
  const title = titleOf(chat, item);
  const { id, unread, mentions, muted, user_id, kind } = item;
  return (
    <li>
      <a href={`#/c/${id}`} class="item" aria-current={isOpen ? "page" : undefined} onClick={(event) => (event.preventDefault(), show(id))}>
        <Avatar id={user_id ?? id} name={title} chat={kind === "direct" ? chat : undefined} />
        <span class="lines">
          <span class="line">
            <b dir="auto">{title}</b>
            <time>{moment(item.active_at)}</time>
          </span>
          <span class="line">
            <span class="preview" dir="auto">{preview(chat, item)}</span>
            {unread > 0 && (
              <span class={`badge ${muted ? "muted" : ""}`}>
                {mentions > 0 && "@"}
                {unread > 999 ? "999+" : unread}
                <span class="hidden"> unread</span>
              </span>
            )}
          </span>
        </span>
      </a>
    </li>
  );
}
