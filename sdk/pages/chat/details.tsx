import type { LiveView, Verbatim, VerbatimError } from "@verbatim/client";
import { useState } from "preact/hooks";
import { Avatar } from "./avatar.js";
import { Dialog } from "./dialog.js";
import { usersNamed } from "./find.js";
import { nameOf, titleOf } from "./words.js";

/** The members of the conversation and, for groups, a way to add more. */
export function Details({ chat, view, close, left }: { chat: Verbatim; view: LiveView; close(): void; left(): void }) {
  const [wrong, say] = useState("");
  const { conversation, members, id } = view;
  const isGroup = conversation?.kind === "group";
  const canAdd = isGroup && (conversation?.role === "owner" || conversation?.role === "admin");
  const failed = (thrown: unknown): void => say((thrown as VerbatimError).detail ?? (thrown as Error).message);
  const add = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const form = event.currentTarget as HTMLFormElement;
    say("");
    try {
      const users = await usersNamed(chat, String(new FormData(form).get("names")));
      for (const { id: user_id } of users) await chat.rest.add_member({ id, body: { user_id } });
      form.reset();
    } catch (thrown) {
      failed(thrown);
    }
  };
  const leave = async (): Promise<void> => {
    await chat.rest.remove_member({ id, user_id: chat.me }).then(left, failed);
  };
  return (
    <Dialog title={conversation ? titleOf(chat, conversation) : "Members"} close={close}>
      <ul class="members">
        {members.slice(0, 100).map(({ user_id, role }) => (
          <li key={user_id}>
            <Avatar id={user_id} name={nameOf(chat, user_id)} chat={members.length <= 30 ? chat : undefined} />
            <span dir="auto">{nameOf(chat, user_id)}</span>
            <small class="quiet">{user_id === chat.me ? "you" : isGroup && role !== "member" ? role : ""}</small>
          </li>
        ))}
      </ul>
      {canAdd && (
        <form onSubmit={add} class="row">
          <input name="names" aria-label="User names" placeholder="User name" autocomplete="off" autocapitalize="none" spellcheck={false} required />
          <button>Add</button>
        </form>
      )}
      {wrong && <p class="wrong" role="alert">{wrong}</p>}
      {isGroup && <button class="link danger" onClick={() => void leave()}>Leave the group</button>}
    </Dialog>
  );
}
