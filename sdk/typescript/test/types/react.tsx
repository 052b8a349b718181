// Compiles only if the hooks have the right types. This file is never run.
import type { Verbatim } from "@verbatim/client";
import { useChanges, useChatState, useConversation, useConversations, usePresence, useUsers } from "@verbatim/client/react";

export function Talk({ chat, id }: { chat: Verbatim; id: string }) {
  const view = useConversation(chat, id, { limit: 20 });
  const users = useUsers(chat);
  const there = usePresence(chat, [chat.me]);
  const list = useChanges(useConversations(chat));
  // @ts-expect-error: there is no such state.
  const isWrong = useChatState(chat) === "gone";
  return (
    <ol aria-busy={isWrong} title={there?.get(chat.me)?.status ?? String(list?.unread)}>
      {view?.messages.map((message) => <li key={message.id}>{`${users.name(message.sender)}: ${message.text}`}</li>)}
    </ol>
  );
}
