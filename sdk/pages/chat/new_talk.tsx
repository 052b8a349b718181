import type { Verbatim, VerbatimError } from "@verbatim/client";
import { useState } from "preact/hooks";
import { Dialog } from "./dialog.js";
import { usersNamed } from "./find.js";

/** Starts a conversation with one user, or a group. */
export function NewTalk({ chat, close, opened }: { chat: Verbatim; close(): void; opened(id: string): void }) {
  const [names, write] = useState("");
  const [wrong, say] = useState("");
  const [isBusy, wait] = useState(false);
  const many = names.split(/[\s,]+/).filter(Boolean).length > 1;
  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const title = String(new FormData(event.currentTarget as HTMLFormElement).get("title") ?? "").trim();
    wait(true);
    say("");
    try {
      const users = await usersNamed(chat, names);
      const isGroup = users.length > 1 || title !== "";
      const talk = isGroup
        ? await chat.group({ title: title || users.map(({ display_name }) => display_name).join(", "), members: users.map(({ id }) => id) })
        : await chat.direct(users[0]!.id);
      if (talk) return opened(talk.id);
      say(`${users[0]!.display_name} has been invited. You can talk when the invitation is accepted.`);
    } catch (failed) {
      say((failed as VerbatimError).detail ?? (failed as Error).message);
    }
    wait(false);
  };
  return (
    <Dialog title="New conversation" close={close}>
      <form onSubmit={submit}>
        <label>
          User names
          <input
            name="names" value={names} onInput={(event) => write(event.currentTarget.value)} placeholder="ben" autocomplete="off"
            autocapitalize="none" spellcheck={false} maxLength={1000} required autofocus
          />
          <small>One user name, or several with a space between them for a group.</small>
        </label>
        <label>
          <b>Title {!many && <span class="quiet">(makes it a group)</span>}</b>
          <input name="title" autocomplete="off" maxLength={120} dir="auto" />
        </label>
        {wrong && <p class="wrong" role="alert">{wrong}</p>}
        <button class="primary" disabled={isBusy}>{isBusy ? "One moment…" : "Start"}</button>
      </form>
    </Dialog>
  );
}
