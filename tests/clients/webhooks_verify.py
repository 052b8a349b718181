"""Verifies webhooks with the library of Standard Webhooks: lines of {secret, headers, body} in, lines of what was found
out."""

import json
import sys

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

for line in sys.stdin:
    request = json.loads(line)
    try:
        event = Webhook(request["secret"]).verify(request["body"], request["headers"])
        print(json.dumps({"id": event["id"]}))
    except WebhookVerificationError as refused:
        print(json.dumps({"refused": str(refused)}))
