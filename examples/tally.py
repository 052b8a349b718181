"""Counts the messages of each user, from the first event of the log on: each that counts, once.

    verbatim consumers add tally --from start > /dev/null    # and tally.creds
    pip install 'nats-py[nkeys]==2.16.0'
    python examples/tally.py tally tally.creds nats://127.0.0.1:4222 tally.db

Kill it, or nats-server, whenever you like. An event is acknowledged after it is in the database, under its position, so
that an event which comes twice changes nothing. Events may also come out of order, since one that was not acknowledged
comes again behind those after it. So the program keeps when members came and went, and the database decides which
messages count: those whose sender was a member at their position. A message that was erased counts too, whether the
program came in time to read it or reads only that it was there.
"""

import asyncio
import json
import sqlite3
import sys

import nats
from nats.errors import Error, TimeoutError

TABLES = """
create table if not exists taken (stream text, position integer, primary key (stream, position));
create table if not exists erased (stream text, position integer, primary key (stream, position));
create table if not exists total (stream text primary key, events integer not null, bytes integer not null);
create table if not exists roster (
    conversation text, user text, position integer, is_member integer not null,
    primary key (conversation, user, position)
);
create table if not exists sent (
    conversation text, position integer, sender text not null, primary key (conversation, position)
);
create view if not exists counted as select * from sent where (
    select is_member from roster
    where roster.conversation = sent.conversation and user = sender and roster.position < sent.position
    order by roster.position desc limit 1
);
create view if not exists tally as select sender, count(*) as messages from counted group by sender;
create view if not exists holes as
    select stream, max(position) - count(*) as missing
    from (select * from taken union select * from erased) group by stream;
"""


def place(message):
    """The stream and the position of an event: a copy of a parked event has them as headers."""
    stream, position = message.metadata.stream, message.metadata.sequence.stream
    if stream == "REPLAY":
        stream, position = message.headers["verbatim-stream"], int(message.headers["verbatim-position"])
    return stream, position


def members_of(kind, data):
    """The users who came with an event of the lane roster, and those who went."""
    match kind:
        case "conversation.created":
            return [member["user_id"] for member in data["members"]], []
        case "member.added":
            return [data["user_id"]], []
        case "member.removed":
            return [], [data["user_id"]]
    return [], []


def enrol(db, conversation, position, came, went):
    """Notes who came and went at a position. An event whose title was erased may tell it twice."""
    for users, is_member in (came, True), (went, False):
        rows = [(conversation, user, position, is_member) for user in users]
        db.executemany("insert or ignore into roster values (?, ?, ?, ?)", rows)


def take(db, message):
    """Takes an event once: all of its effect is one transaction, whose key is its position."""
    stream, position = place(message)
    with db:
        new = db.execute("insert or ignore into taken values (?, ?)", (stream, position)).rowcount
        if not new:
            return
        db.execute(
            "insert into total values (?, 1, ?) on conflict (stream) do update"
            " set events = events + 1, bytes = bytes + excluded.bytes",
            (stream, len(message.data)),
        )
        kind, version = message.headers["ce-type"].removeprefix("verbatim.").rsplit(".v", 1)
        if version != "1":
            return
        data, actor = json.loads(message.data), message.headers["ce-actor"]
        conversation = message.headers["ce-source"].removeprefix("/conversations/")
        enrol(db, conversation, position, *members_of(kind, data))
        match kind:
            case "message.sent":
                db.execute("insert or ignore into sent values (?, ?, ?)", (conversation, position, actor))
            case "content.erased":
                for gone in data["erased"]:
                    db.execute("insert or ignore into erased values (?, ?)", (stream, gone["position"]))
                    if gone["type"] == "message.sent":
                        row = conversation, gone["position"], gone["actor"]
                        db.execute("insert or ignore into sent values (?, ?, ?)", row)
                    # Of an event of the lane roster only the title is gone: who came late reads the rest of it here.
                    if "data" in gone:
                        enrol(db, conversation, gone["position"], *members_of(gone["type"], gone["data"]))


async def follow(log, stream, durable, db):
    """Follows one stream for ever: where nats-server is away, asks again."""
    events = await log.pull_subscribe_bind(durable, stream)
    while True:
        try:
            for message in await events.fetch(50, timeout=5):
                take(db, message)
                await message.ack()
        except TimeoutError:
            pass  # nothing new
        except Error as why:
            print(f"{stream}: {why!r}; asks again", file=sys.stderr)
            await asyncio.sleep(0.5)


async def main(durable, creds, url, file):
    db = sqlite3.connect(file)
    db.executescript("pragma journal_mode = wal;" + TABLES)
    refused = asyncio.Event()

    async def told(error):
        print(f"nats-server: {error!r}", file=sys.stderr)
        if "authorization" in str(error).lower():
            refused.set()

    client = await nats.connect(
        url,
        user_credentials=creds,
        inbox_prefix=f"_INBOX_{durable}",
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.5,
        error_cb=told,
    )
    answer = await client.request("log.api.STREAM.NAMES", b"", timeout=5)
    names = json.loads(answer.data)["streams"]
    log = client.jetstream(prefix="log.api")
    streams = [name for name in names if name.startswith("CHAT_") or name == "REPLAY"]
    followed = [asyncio.create_task(follow(log, stream, durable, db)) for stream in streams]
    await refused.wait()
    sys.exit("nats-server refuses the credentials")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
