import type { Output, Verbatim, VerbatimError } from "@verbatim/client";
import { useEffect, useState } from "preact/hooks";
import { moment, nameOf } from "./words.js";

const PAUSE = 250;

/** The messages that match, the newest first. */
export function Found({ chat, query, show }: { chat: Verbatim; query: string; show(id: string, position: number): void }) {
  const [page, know] = useState<Output<"search_messages">>();
  const [wrong, say] = useState("");
  useEffect(() => {
    const stop = new AbortController();
    const timer = setTimeout(async () => {
      try {
        const found = await chat.rest.search_messages({ query, limit: 30, include: "users" }, { signal: stop.signal });
        chat.users.learn(found.users);
        know(found);
        say("");
      } catch (failed) {
        if (!stop.signal.aborted) say((failed as VerbatimError).detail ?? "The search failed. Try again.");
      }
    }, PAUSE);
    return () => (clearTimeout(timer), stop.abort());
  }, [chat, query]);
  const items = page?.items ?? [];
  return (
    <div class="scrolls">
      <p class="quiet hint" role="status">
        {wrong || (!page ? "Searching…" : items.length === 0 ? "Nothing found." : `${items.length}${page.next_cursor ? " or more" : ""} found`)}
      </p>
      <ul aria-label="Messages found">
        {items.map(({ conversation_id: id, message, highlight }) => (
          <li key={message.id}>
            <a href={`#/c/${id}`} class="item" onClick={(event) => (event.preventDefault(), show(id, message.position))}>
              <span class="lines">
                <span class="line">
                  <b dir="auto">{nameOf(chat, message.sender)}</b>
                  <time>{moment(message.sent_at)}</time>
                </span>
                <span class="preview whole" dir="auto">
                  {highlight.map(({ text, hit }) => (hit ? <mark>{text}</mark> : text))}
                </span>
              </span>
            </a>
          </li>
        ))}
      </ul>
    </div>
  );
}
