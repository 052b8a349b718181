// One socket for all tabs of a user: the tab that holds a lock has it, and passes frames on.

import type { Tabs } from "../verbatim.js";
import { Guest } from "./guest.js";
import { Tab } from "./tab.js";

/**
 * Lets all tabs with this name share one socket. Use one name for each user: all tabs with the name see what the user of
 * any of them may see. Where tabs cannot speak with each other (no TLS, or no browser), each has a socket of its own.
 */
export function share(name: string): Tabs {
  if (!globalThis.navigator?.locks || !globalThis.BroadcastChannel) return {};
  const tab = new Tab(`verbatim tabs ${name}`);
  return Object.assign(tab.ports, {
    WebSocket: class extends Guest {
      constructor(url: string, protocols: string[]) {
        super(tab, url, protocols);
      }
    },
  });
}
