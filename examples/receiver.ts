// A receiver of webhooks. It verifies each event, writes it to a file before it answers, and knows from the file what it has
// when it starts again. So it may be killed at any time: what it had not written comes again, and what comes twice is known.
// Contents that were erased leave the file.
//
//   npm install standardwebhooks tsx
//   WEBHOOK_SECRET=whsec_… PORT=8090 JOURNAL=events.jsonl npx tsx receiver.ts
//
// Add it with `verbatim webhooks add https://…/ --from start`, in the order `conversation` and with all types.

import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, truncateSync, writeSync } from "node:fs";
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

interface Erased {
  erased: { position: number; data: unknown }[];
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
  for (const event of events()) positions.set(event.conversationid, event.position);
}
let journal = openSync(path, "a");

function events(): VerbatimEvent[] {
  const lines = readFileSync(path, "utf8").split("\n").filter(Boolean);
  return lines.map((line) => JSON.parse(line) as VerbatimEvent);
}

function write(file: number, ...some: VerbatimEvent[]): void {
  writeSync(file, some.map((event) => JSON.stringify(event) + "\n").join(""));
  fsyncSync(file);
}

/** Replaces the journal with a copy without these contents. With many events, use a database instead of a file. */
function erase(conversation: string, { erased }: Erased): void {
  const left = new Map(erased.map(({ position, data }) => [position, data]));
  const isErased = (event: VerbatimEvent): boolean => event.conversationid === conversation && left.has(event.position);
  const copy = openSync(`${path}.new`, "w");
  write(copy, ...events().map((event) => (isErased(event) ? { ...event, data: left.get(event.position) } : event)));
  closeSync(copy);
  renameSync(`${path}.new`, path);
  closeSync(journal);
  journal = openSync(path, "a");
}

function take(event: VerbatimEvent): number {
  // A test belongs to no conversation.
  if (event.type === "verbatim.webhook.test.v1") return 204;
  const last = positions.get(event.conversationid) ?? 0;
  if (event.position <= last) return 204; // It came before.
  if (event.previous > last) {
    console.error(`hole in ${event.conversationid}: ${last} is followed by ${event.previous}`);
    return 409;
  }
  // Before the event is written: after a kill it then comes again, and so does this.
  if (event.type === "verbatim.content.erased.v1") erase(event.conversationid, event.data as Erased);
  write(journal, event);
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
