import type { Output, Verbatim } from "@verbatim/client";
import { useEffect, useState } from "preact/hooks";
import { nameOf } from "./words.js";

type Invitation = Output<"list_invitations">["items"][number];

/** The invitations of the user, for installations in which strangers cannot add users to conversations. */
export function Invitations({ chat, show }: { chat: Verbatim; show(id: string): void }) {
  const [all, know] = useState<Invitation[]>([]);
  const load = async (): Promise<void> => {
    const { items, users } = await chat.rest.list_invitations({ include: "users" });
    chat.users.learn(users);
    know(items);
  };
  useEffect(() => {
    void load().catch(() => {});
    return chat.on("invitation", () => void load().catch(() => {}));
  }, [chat]);
  const answer = async (id: string, isYes: boolean): Promise<void> => {
    know(all.filter((one) => one.conversation_id !== id));
    await (isYes ? chat.rest.accept_invitation({ id }) : chat.rest.decline_invitation({ id })).catch(() => load());
    if (isYes) show(id);
  };
  return (
    <ul aria-label="Invitations">
      {all.map(({ conversation_id: id, invited_by, title }) => (
        <li key={id} class="invitation">
          <span dir="auto">
            <b>{invited_by ? nameOf(chat, invited_by) : "Somebody"}</b> invites you{title ? ` to ${title}` : ""}.
          </span>
          <button class="primary" onClick={() => void answer(id, true)}>Accept</button>
          <button onClick={() => void answer(id, false)}>Decline</button>
        </li>
      ))}
    </ul>
  );
}
