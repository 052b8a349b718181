# Reads the log of Verbatim as the consumer @NAME@. Needs: pip install 'nats-py[nkeys]'
import asyncio
import json
import os

import nats

NAME = "@NAME@"
SERVERS = ["@SERVERS@"]
CREDS = os.environ.get("CREDS", "@CREDS@")
STREAMS = ["@STREAMS@"]
# Events of other types are acknowledged and passed over; an empty list means all.
TYPES = ["@TYPES@"]


async def handle(position, subject, kind, headers, data):
    """Do your work here. An event may come twice, and behind later ones: its position tells."""
    print(position, subject, kind, data.decode(), flush=True)


async def take(message):
    headers = message.headers or {}
    kind = headers.get("ce-type", "").removeprefix("verbatim.").rsplit(".v", 1)[0]
    # A copy of a parked event says where the event lies.
    position = int(headers.get("verbatim-position", message.metadata.sequence.stream))
    subject = headers.get("verbatim-subject", message.subject)
    if not TYPES or kind in TYPES:
        await handle(position, subject, kind, headers, message.data)
    # Only what is done is acknowledged. The rest comes again: the first time after a second, so
    # few events are fetched at once.
    await message.ack()


@READ@


async def main():
    nc = await nats.connect(
        SERVERS, user_credentials=CREDS, inbox_prefix=f"_INBOX_{NAME}".encode(), name=NAME
    )
    await asyncio.gather(*(read(nc, stream) for stream in STREAMS))


asyncio.run(main())
