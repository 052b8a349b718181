// Compiles only if the published types are right. This file is never run.
import { Verbatim, VerbatimError, memory, type ChatEvent, type Code } from "@verbatim/client";
import { admin } from "@verbatim/client/admin";
import { indexedDb } from "@verbatim/client/store";

const chat = new Verbatim({ url: "http://127.0.0.1:8080", token: async (why) => why, store: indexedDb("me") });
new Verbatim({ url: "", token: () => "", store: memory() });
// @ts-expect-error: a client needs a token.
new Verbatim({ url: "" });

export async function rest(): Promise<string> {
  const { items } = await chat.rest.list_messages({ id: "…", limit: 20 });
  await chat.rest.send_message({ id: "…", body: { client_id: "a-key-of-my-own", text: "Hi" } });
  await chat.rest.get_me();
  await admin(chat).provision_user({ external_id: "7", body: { display_name: "Ana" } });
  await admin(chat).rotate_webhook({ id: "…" });
  await admin(chat).rotate_webhook({ id: "…", body: { overlap_s: 60 } });
  await admin(chat).request_export();
  // @ts-expect-error: an export has no such setting.
  await admin(chat).request_export({ body: { colour: "red" } });
  // @ts-expect-error: the conversation is missing.
  await chat.rest.list_messages({ limit: 20 });
  // @ts-expect-error: there is no such operation.
  await chat.rest.list_nothing();
  return items[0]!.text;
}

export function show(event: ChatEvent): string {
  switch (event.type) {
    case "message.sent":
      return "erased" in event.data ? "" : event.data.text;
    case "message.deleted":
      // @ts-expect-error: the data of a deletion have no text.
      return event.data.text;
    default:
      return event.type;
  }
}

export function tell(error: VerbatimError): string {
  // @ts-expect-error: no code of that name.
  const wrong: Code = "no_such_code";
  return error.code === "rate_limited" || error.code === "gap" ? error.detail : wrong;
}
