# Reads the log of Verbatim as the consumer @NAME@. Needs: pip install 'nats-py[nkeys]'
import asyncio
import os

import nats

NAME = "@NAME@"
SERVERS = ["@SERVERS@"]
CREDS = os.environ.get("CREDS", "@CREDS@")
STREAMS = ["@STREAMS@"]
# Events of other types are acknowledged and passed over; an empty list means all.
TYPES = ["@TYPES@"]


async def handle(position, subject, kind, headers, data):
    """Do your work here. An event may come twice: its position tells."""
    print(position, subject, kind, data.decode(), flush=True)


async def read(js, stream):
    inbox = f"_INBOX_{NAME}.".encode()
    events = await js.pull_subscribe_bind(NAME, stream, inbox_prefix=inbox)
    while True:
        try:
            messages = await events.fetch(100, timeout=5)
        except asyncio.TimeoutError:
            continue
        for message in messages:
            headers = message.headers or {}
            kind = headers.get("ce-type", "").removeprefix("verbatim.").rsplit(".v", 1)[0]
            # A copy of a parked event says where the event lies.
            position = int(headers.get("verbatim-position", message.metadata.sequence.stream))
            subject = headers.get("verbatim-subject", message.subject)
            if not TYPES or kind in TYPES:
                await handle(position, subject, kind, headers, message.data)
            # Only what is done is acknowledged; the rest comes again.
            await message.ack()


async def main():
    nc = await nats.connect(
        SERVERS, user_credentials=CREDS, inbox_prefix=f"_INBOX_{NAME}".encode(), name=NAME
    )
    js = nc.jetstream(prefix="log.api")
    await asyncio.gather(*(read(js, stream) for stream in STREAMS))


asyncio.run(main())
