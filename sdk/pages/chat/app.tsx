import { useEffect, useState } from "preact/hooks";
import { Shell } from "./shell.js";
import { forget, resume, type Session } from "./session.js";
import { SignIn } from "./sign_in.js";

export function App() {
  const [session, enter] = useState<Session | "looking" | undefined>("looking");
  const [notice, say] = useState("");
  useEffect(() => void resume().then(enter), []);
  if (session === "looking") return <p class="empty">Opening…</p>;
  if (!session) return <SignIn notice={notice} entered={enter} />;
  const leave = (why: string): void => {
    forget();
    say(why);
    enter(undefined);
    location.hash = "/";
  };
  return <Shell key={session.me} session={session} leave={leave} />;
}
