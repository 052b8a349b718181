// What tabs say to each other, over a channel that all of them hear in the same order.

import type { Status } from "../presence.js";

/** `to` is the guest who is meant; without it all are. */
export type Said =
  /** Another tab leads from now on: the socket of the earlier one is gone. */
  | { op: "lead"; to?: undefined }
  /** A guest wants to take part, and would open the socket like this if there is none. */
  | { op: "join"; from: string; url: string; protocols: string[]; status: Status | undefined }
  /** The leader has heard that. */
  | { op: "here"; to: string }
  /** A frame for the server. */
  | { op: "send"; from: string; data: string }
  /** A frame of the server. */
  | { op: "frame"; to?: string; data: string }
  /** The socket is closed. */
  | { op: "close"; to: string; code: number; reason: string }
  /** A tab may have gone and left messages in the store. */
  | { op: "left"; to: string };
