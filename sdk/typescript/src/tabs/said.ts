// The messages between tabs. All tabs receive them over one channel, in the same order.

import type { Status } from "../presence.js";

/** `to` is the guest that a message is for. Without it, the message is for all guests. */
export type Said =
  /** Another tab leads from now on. The socket of the earlier leader is closed. */
  | { op: "lead"; to?: undefined }
  /** A guest joins. If there is no socket yet, it is opened with these parameters. */
  | { op: "join"; from: string; url: string; protocols: string[]; status: Status | undefined }
  /** The leader confirms that. */
  | { op: "here"; to: string }
  /** A frame for the server. */
  | { op: "send"; from: string; data: string }
  /** A frame from the server. */
  | { op: "frame"; to?: string; data: string }
  /** The socket was closed. */
  | { op: "close"; to: string; code: number; reason: string }
  /** A tab may be gone and have left messages in the store. */
  | { op: "left"; to: string };
