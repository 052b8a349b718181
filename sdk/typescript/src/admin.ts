import { ADMIN } from "./generated/admin.js";
import { functions, type Functions } from "./rest.js";
import type { Verbatim } from "./verbatim.js";

/** The operations for operators and backends. The token of the client must be the key of a service account. */
export function admin(chat: Verbatim): Functions<keyof typeof ADMIN> {
  return functions(ADMIN, (...request) => chat.request(...request));
}
