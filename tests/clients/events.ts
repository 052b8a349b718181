// Compiles only if the published types of events are a union that `type` tells apart.
import type { components } from "./api";

type Event = components["schemas"]["Event"];

export function show(event: Event): string {
  switch (event.type) {
    case "message.sent":
      return "erased" in event.data ? "" : event.data.text;
    case "member.role_changed":
      return event.data.role;
    case "message.deleted":
      // @ts-expect-error: the data of a deletion have no text.
      return event.data.text;
    default:
      return event.type;
  }
}
