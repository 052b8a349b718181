import { VerbatimError, type Code } from "./errors.js";
import type { ClientDelete, ClientEdit, ClientPin, ClientReact, ClientSend, ClientUnpin, ClientUnreact } from "./generated/frames.js";

type Keyed<Frame> = Omit<Frame, "id" | "client_id"> & { client_id: string };

/** An action of a user on a message, with the idempotency key that makes it happen only once. */
export type Act =
  | Keyed<ClientSend>
  | Keyed<ClientEdit>
  | Keyed<ClientDelete>
  | Keyed<ClientReact>
  | Keyed<ClientUnreact>
  | Keyed<ClientPin>
  | Keyed<ClientUnpin>;

/** What the store keeps of an act. */
export interface Saved {
  act: Act;
  error?: { code: Code; detail: string; status: number };
}

/** The result of an act on the server. */
export interface Done {
  id: string;
  position: number;
  conversation_id: string;
  client_id: string;
}

interface Owner {
  /** Why nothing is sent any more. */
  readonly stopped: VerbatimError | undefined;
  retry(outgoing: Outgoing): void;
  discard(outgoing: Outgoing): void;
}

/** A pending act. */
export class Outgoing {
  /** The position of its event, once the server has stored it. */
  position: number | undefined;
  messageId: string | undefined;
  /** For the outbox only: resolves when the store has it. */
  kept: Promise<void> | undefined;
  #done: Promise<Done> | undefined;
  #settle: { resolve: (done: Done) => void; reject: (error: VerbatimError) => void } | undefined;

  /** Keys in the store sort in the order of the acts. */
  constructor(readonly key: string, readonly saved: Saved, readonly owner: Owner) {}

  get act(): Act {
    return this.saved.act;
  }

  get clientId(): string {
    return this.act.client_id;
  }

  /** The text of a message or an edit. */
  get text(): string {
    return "text" in this.act ? this.act.text : "";
  }

  get state(): "sending" | "sent" | "failed" {
    if (this.position !== undefined) return "sent";
    return this.saved.error ? "failed" : "sending";
  }

  /** Why the server refused it. */
  get error(): VerbatimError | undefined {
    const error = this.saved.error;
    return error && new VerbatimError(error.code, error.detail, error);
  }

  /**
   * Resolves when the event is in the log; rejects when the server refuses the act, or the client stops before. This may
   * take days.
   */
  get done(): Promise<Done> {
    const failed = this.state === "sending" ? this.owner.stopped : this.error;
    if (failed) return Promise.reject(failed);
    this.#done ??= new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
      if (this.state === "sent") this.settle();
    });
    return this.#done;
  }

  /** Sends a failed act again. */
  retry(): void {
    this.owner.retry(this);
  }

  /** Gives the act up. If it is in flight, it may still arrive. */
  discard(): void {
    this.owner.discard(this);
  }

  /** For the outbox only. */
  settle(error?: VerbatimError): void {
    const { conversation_id, client_id } = this.act;
    if (!error) return this.#settle?.resolve({ id: this.messageId!, position: this.position!, conversation_id, client_id });
    this.#settle?.reject(error);
    // Another attempt has another end.
    this.#done = undefined;
  }
}
