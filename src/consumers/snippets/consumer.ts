// Reads the log of Verbatim as the consumer @NAME@. Needs: npm install @nats-io/transport-node @nats-io/jetstream
import { readFileSync } from "node:fs";
import { connect, credsAuthenticator } from "@nats-io/transport-node";
import { jetstream } from "@nats-io/jetstream";

const NAME: string = "@NAME@";
const SERVERS: string[] = ["@SERVERS@"];
const CREDS: string = "@CREDS@";
const STREAMS: string[] = ["@STREAMS@"];
// Events of other types are acknowledged and passed over; an empty list means all.
const TYPES: string[] = ["@TYPES@"];

const nc = await connect({
  servers: SERVERS,
  name: NAME,
  authenticator: credsAuthenticator(readFileSync(CREDS)),
  inboxPrefix: `_INBOX_${NAME}`,
});
const js = jetstream(nc, { apiPrefix: "log.api" });

async function read(stream: string): Promise<void> {
  const consumer = await js.consumers.get(stream, NAME);
  // An event comes again if it is not acknowledged within a second, so few are fetched at once.
  for await (const event of await consumer.consume({ max_messages: 20@GROUP@ })) {
    const kind = (event.headers?.get("ce-type") ?? "").replace(/^verbatim\./, "").replace(/\.v\d+$/, "");
    // A copy of a parked event says where the event lies.
    const position = Number(event.headers?.get("verbatim-position") || event.seq);
    const subject = event.headers?.get("verbatim-subject") || event.subject;
    if (TYPES.length === 0 || TYPES.includes(kind)) {
      console.log(position, subject, kind, event.string());
    }
    // Only what is done is acknowledged; the rest comes again.
    event.ack();
  }
}

await Promise.all(STREAMS.map(read));
