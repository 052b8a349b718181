import type { Output, Verbatim } from "@verbatim/client";

type User = Output<"find_users">["items"][number];

/** The users with these user names, which are separated by spaces or commas. Fails if a user does not exist. */
export async function usersNamed(chat: Verbatim, names: string): Promise<User[]> {
  const wanted = [...new Set(names.split(/[\s,]+/).map((name) => name.replace(/^@/, "")).filter(Boolean))].slice(0, 100);
  if (wanted.length === 0) throw new Error("Write a user name.");
  const pages = await Promise.all(wanted.map((username) => chat.rest.find_users({ username })));
  const missing = wanted.filter((_, i) => !pages[i]!.items[0]);
  if (missing.length > 0) throw new Error(`There is no user with the name ${missing.join(", ")}. Check the spelling.`);
  const users = pages.map(({ items }) => items[0]!).filter(({ id }) => id !== chat.me);
  if (users.length === 0) throw new Error("That is you. Write the user name of somebody else.");
  return users;
}
