// The session of this tab. The access token is only in memory. The refresh token is in the session storage of the tab,
// so it survives a reload, and two tabs can belong to two users.

import { Verbatim, VerbatimError, type Output } from "@verbatim/client";
import { indexedDb } from "@verbatim/client/store";
import { share } from "@verbatim/client/tabs";

type Tokens = Output<"log_in">;

export interface Session {
  chat: Verbatim;
  me: string;
  signOut(): Promise<void>;
}

/** The data in the session storage. */
interface Kept {
  user: string;
  login: string;
  refresh: string;
}

const KEY = "verbatim.login";
/** How long the page from before a reload may still hold the lock of its login. */
const HANDOVER = 2_000;

const nobody = {
  url: location.origin,
  token: () => {
    throw new VerbatimError("invalid_token", "Nobody is signed in.", { retryable: false });
  },
};
/** Sends requests that need no token. */
const stranger = new Verbatim(nobody);
/**
 * The same for users who wait at a form. A client that silently retries for minutes would leave them without feedback.
 */
const newcomer = new Verbatim({ ...nobody, fetch: impatient });

async function impatient(target: RequestInfo | URL, init?: RequestInit): Promise<Response> {
  const answer = await fetch(target, init);
  const seconds = Number(answer.headers.get("Retry-After"));
  if (answer.status !== 429 || seconds < 3) return answer;
  const wait = seconds < 90 ? `${seconds} seconds` : `${Math.ceil(seconds / 60)} minutes`;
  throw new VerbatimError("rate_limited", `Too many attempts from here. Try again in ${wait}.`, { status: 429, retryable: false });
}

export interface Credentials {
  username: string;
  password: string;
}

export async function register(body: Credentials & { invite?: string }): Promise<Session> {
  await newcomer.rest.register({ body });
  return signIn(body);
}

export async function signIn({ username, password }: Credentials): Promise<Session> {
  const tokens = await newcomer.rest.log_in({ body: { username, password, device: "Chat page" } });
  keep(tokens);
  await claim(tokens.login_id);
  return begin(tokens.user_id, tokens.access_token);
}

/** The registration mode of the installation. */
export async function registration(): Promise<string> {
  const info: { registration?: string } = await stranger.rest.get_info();
  return info.registration ?? "open";
}

/** Restores the session of this tab after a reload. */
export async function resume(): Promise<Session | undefined> {
  const kept = read();
  if (!kept) return undefined;
  // A duplicated tab has the same refresh token. Its second use would end the login for both tabs.
  if (!(await claim(kept.login))) {
    forget();
    return undefined;
  }
  return begin(kept.user);
}

function begin(me: string, first?: string): Session {
  const chat = new Verbatim({
    url: location.origin,
    token: async () => {
      const token = first ?? (await refresh());
      first = undefined;
      return token;
    },
    store: indexedDb(`verbatim ${me}`),
    tabs: share(me),
  });
  // The banner shows what users have to know.
  chat.on("error", (error) => console.warn(error));
  const signOut = async (): Promise<void> => {
    await chat.rest.log_out().catch(() => {});
    chat.stop();
    forget();
  };
  return { chat, me, signOut };
}

async function refresh(): Promise<string> {
  const tokens = await stranger.rest.refresh_login({ body: { refresh_token: read()?.refresh ?? "" } });
  keep(tokens);
  return tokens.access_token;
}

function keep({ user_id: user, login_id: login, refresh_token: refresh }: Tokens): void {
  sessionStorage.setItem(KEY, JSON.stringify({ user, login, refresh } satisfies Kept));
}

function read(): Kept | undefined {
  return JSON.parse(sessionStorage.getItem(KEY) ?? "null") ?? undefined;
}

export function forget(): void {
  sessionStorage.removeItem(KEY);
}

/**
 * Locks a login for this tab until the tab is gone. Pages without TLS have no locks, and assume that they are the only
 * tab.
 */
async function claim(login: string): Promise<boolean> {
  if (!navigator.locks) return true;
  return new Promise((resolve) => {
    const hold = (): Promise<void> => {
      resolve(true);
      return new Promise(() => {});
    };
    navigator.locks.request(`verbatim ${login}`, { signal: AbortSignal.timeout(HANDOVER) }, hold).catch(() => resolve(false));
  });
}
