import type { ChatEvent } from "./feed.js";
import type { ClientFrame } from "./generated/frames.js";
import { uuidv7 } from "./ids.js";
import type { LiveView } from "./live.js";
import type { Outbox } from "./outbox.js";
import type { Act, Outgoing } from "./outgoing.js";
import { stream, type Source, type StreamOptions } from "./stream.js";
import type { Typing } from "./typing.js";

export interface ConversationPorts extends Source {
  outbox: Outbox;
  typing: Typing;
  tell(frame: ClientFrame): void;
  live(id: string, options?: { limit?: number }): LiveView;
  /** Marks the conversation as read up to a position, once there is a connection. */
  read(id: string, position: number): void;
}

type Unkeyed<A> = A extends Act ? Omit<A, "conversation_id" | "client_id"> : never;

export interface NewMessage {
  text: string;
  /** The id of the message to which this one replies. */
  replyTo?: string;
  metadata?: Record<string, unknown>;
}

/** A handle for a conversation. Creating one sends no request, and it can be used before the client is connected. */
export class ConversationHandle {
  constructor(readonly id: string, readonly ports: ConversationPorts) {}

  /**
   * Sends a message. The store keeps it before the first attempt, and it is delivered exactly once, even after
   * failures.
   */
  send(message: NewMessage | string): Outgoing {
    const { text, replyTo, metadata } = typeof message === "string" ? ({ text: message } as NewMessage) : message;
    return this.#act({ op: "send", text, reply_to: replyTo, metadata });
  }

  edit(message: string, text: string): Outgoing {
    return this.#act({ op: "edit", message_id: message, text });
  }

  delete(message: string): Outgoing {
    return this.#act({ op: "delete", message_id: message });
  }

  react(message: string, emoji: string): Outgoing {
    return this.#act({ op: "react", message_id: message, emoji });
  }

  unreact(message: string, emoji: string): Outgoing {
    return this.#act({ op: "unreact", message_id: message, emoji });
  }

  pin(message: string): Outgoing {
    return this.#act({ op: "pin", message_id: message });
  }

  unpin(message: string): Outgoing {
    return this.#act({ op: "unpin", message_id: message });
  }

  /** Marks everything up to a position as read; without a position, everything that the client has received. */
  read(position = this.ports.feed.head(this.id)): void {
    if (position > 0) this.ports.read(this.id, position);
  }

  /** Call this at every keystroke. Few of the calls send anything. */
  typing(): void {
    if (this.ports.typing.mayTell(this.id)) this.ports.tell({ op: "typing", conversation_id: this.id });
  }

  /** The acts of the user that are waiting or were refused. */
  get outgoing(): readonly Outgoing[] {
    return this.ports.outbox.of(this.id);
  }

  /** The events of this conversation, each once and none missing, at the pace of the reader. */
  events(options: StreamOptions = {}): AsyncGenerator<ChatEvent, void, void> {
    return stream(this.ports, this.id, options);
  }

  /** A view of the conversation for display, kept up to date. */
  live(options?: { limit?: number }): LiveView {
    return this.ports.live(this.id, options);
  }

  #act(act: Unkeyed<Act>): Outgoing {
    return this.ports.outbox.add({ ...act, conversation_id: this.id, client_id: uuidv7() } as Act);
  }
}
