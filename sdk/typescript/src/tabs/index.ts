// One socket for all tabs of a user. The tab that holds a lock has the socket, and passes the frames on.

import type { Tabs } from "../verbatim.js";
import { Guest } from "./guest.js";
import { Tab } from "./tab.js";

/**
 * Lets all tabs with this name share one socket. Use a separate name for each user, because all tabs with a name see
 * everything that the user of any of them may see. If tabs cannot communicate (without TLS, or outside a browser), each
 * tab has its own socket.
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
