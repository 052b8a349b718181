// A receiver of webhooks. It verifies each event, writes it to a file before it answers, and knows from the file what it has
// when it starts again. So it may be killed at any time: what it had not written comes again, and what comes twice is known.
//
//   npm install standardwebhooks
//   WEBHOOK_SECRET=whsec_… PORT=8090 JOURNAL=events.jsonl node receiver.js
//
// Add it with `verbatim webhooks add https://…/ --from start`, in the order `conversation` and with all types.

import { closeSync, existsSync, fsyncSync, openSync, readFileSync, truncateSync, writeSync } from "node:fs";
import { createServer, type IncomingMessage } from "node:http";
import { Webhook, WebhookVerificationError } from "standardwebhooks";

interface VerbatimEvent {
  id: string;
  type: string;
  conversationid: string;
  position: number;
  previous: number;
  data?: unknown;
}

const LIMIT = 1 << 20;
const webhook = new Webhook(process.env.WEBHOOK_SECRET ?? "");
const path = process.env.JOURNAL ?? "events.jsonl";

/** The last position of each conversation: what the receiver has. */
const positions = new Map<string, number>();

// A kill may have left half a line at the end. Its event was not answered, so it comes again.
if (existsSync(path)) {
  const text = readFileSync(path);
  const end = text.lastIndexOf("\n") + 1;
  if (end < text.length) truncateSync(path, end);
  for (const line of text.subarray(0, end).toString().split("\n").filter(Boolean)) {
    const event = JSON.parse(line) as VerbatimEvent;
    positions.set(event.conversationid, event.position);
  }
}
const journal = openSync(path, "a");

function take(event: VerbatimEvent): number {
  // A test belongs to no conversation.
  if (event.type === "verbatim.webhook.test.v1") return 204;
  const last = positions.get(event.conversationid) ?? 0;
  if (event.position <= last) return 204; // It came before.
  if (event.previous > last) {
    console.error(`hole in ${event.conversationid}: ${last} is followed by ${event.previous}`);
    return 409;
  }
  writeSync(journal, JSON.stringify(event) + "\n");
  fsyncSync(journal);
  positions.set(event.conversationid, event.position);
  return 204;
}

async function body(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of request) {
    length += (part as Buffer).length;
    if (length > LIMIT) throw new RangeError("too large");
    parts.push(part as Buffer);
  }
  return Buffer.concat(parts).toString();
}

const server = createServer(async (request, response) => {
  try {
    const text = await body(request);
    const event = webhook.verify(text, request.headers as Record<string, string>) as VerbatimEvent;
    response.writeHead(take(event)).end();
  } catch (error) {
    const status = error instanceof WebhookVerificationError ? 401 : error instanceof RangeError ? 413 : 500;
    if (status === 500) console.error(error);
    response.writeHead(status).end();
  }
});

process.on("SIGTERM", () => server.close(() => closeSync(journal)));
server.listen(Number(process.env.PORT ?? 8090), "127.0.0.1", () => console.log("receiving"));
