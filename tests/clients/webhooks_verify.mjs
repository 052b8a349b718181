// Verifies webhooks with the library of Standard Webhooks: lines of {secret, headers, body} in, lines of what was found out.

import { createInterface } from "node:readline";
import { Webhook, WebhookVerificationError } from "standardwebhooks";

for await (const line of createInterface({ input: process.stdin })) {
  const { secret, headers, body } = JSON.parse(line);
  try {
    const event = new Webhook(secret).verify(body, headers);
    console.log(JSON.stringify({ id: event.id }));
  } catch (refused) {
    if (!(refused instanceof WebhookVerificationError)) throw refused;
    console.log(JSON.stringify({ refused: refused.message }));
  }
}
