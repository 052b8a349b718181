import type { VerbatimError } from "@verbatim/client";
import { useEffect, useState } from "preact/hooks";
import { Mark } from "./icons.js";
import { register, registration, signIn, type Session } from "./session.js";

export function SignIn({ notice, entered }: { notice: string; entered(session: Session): void }) {
  const [isNew, turn] = useState(false);
  const [how, know] = useState("open");
  const [wrong, say] = useState("");
  const [isBusy, wait] = useState(false);
  useEffect(() => void registration().then(know).catch(() => {}), []);

  const submit = async (event: SubmitEvent): Promise<void> => {
    event.preventDefault();
    const form = new FormData(event.currentTarget as HTMLFormElement);
    const [username, password, invite] = ["username", "password", "invite"].map((name) => String(form.get(name) ?? ""));
    const person = { username: username!.trim(), password: password!, ...(invite ? { invite } : {}) };
    wait(true);
    say("");
    try {
      entered(await (isNew ? register(person) : signIn(person)));
    } catch (failed) {
      const { code, detail } = failed as VerbatimError;
      say(code === "network" ? "The server cannot be reached. Try again in a moment." : detail || String(failed));
      wait(false);
    }
  };

  return (
    <main class="door">
      <form onSubmit={submit} aria-labelledby="door-title">
        <h1 id="door-title">
          <Mark /> Verbatim
        </h1>
        <p class="quiet">Chat, word for word.</p>
        {notice && !wrong && <p class="notice" role="status">{notice}</p>}
        <label>
          User name
          <input name="username" autocomplete="username" autocapitalize="none" spellcheck={false} maxLength={64} required autofocus />
        </label>
        <label>
          Password
          <input name="password" type="password" autocomplete={isNew ? "new-password" : "current-password"} minLength={isNew ? 8 : 1} maxLength={128} required />
          {isNew && <small>At least 8 characters; a few words are best.</small>}
        </label>
        {isNew && how === "invite" && (
          <label>
            Invitation code
            <input name="invite" autocomplete="off" maxLength={128} required />
          </label>
        )}
        {wrong && <p class="wrong" role="alert">{wrong}</p>}
        <button class="primary" disabled={isBusy}>{isBusy ? "One moment…" : isNew ? "Create account" : "Sign in"}</button>
        {how !== "closed" && (
          <button type="button" class="link" onClick={() => (turn(!isNew), say(""))}>
            {isNew ? "I have an account" : "Create an account"}
          </button>
        )}
      </form>
    </main>
  );
}
