"""A search index that other people's programs can ask: reads the log with a consumer of its own, keeps texts in SQLite.

    verbatim consumers add index --from start            # writes index.creds
    pip install 'nats-py[nkeys]' cloudevents
    python index.py index index.creds nats://127.0.0.1:4222 CHAT_0
    python index.py --find 'lunch'

An event and the position up to which its stream is indexed are one transaction, so a kill loses nothing and an event that
comes twice changes nothing. The index keeps rosters too, because an event counts only if its actor is a member at that
position.
"""

import asyncio
import json
import sqlite3
import sys

import nats
from cloudevents.core.bindings.http import HTTPMessage, from_binary_event

TABLES = """
create table if not exists indexed (stream text primary key, position integer not null);
create table if not exists member (conversation text, user text, primary key (conversation, user));
create virtual table if not exists message using fts5 (text, id unindexed, conversation unindexed, sender unindexed);
"""


def is_roster(kind):
    return kind.startswith(("conversation.", "member."))


def apply(db, kind, conversation, actor, data):
    """One event. Types that are not named here change no text and no roster."""
    members = lambda users: [(conversation, user) for user in users]
    if kind == "conversation.created":
        users = [member["user_id"] for member in data["members"]]
        db.executemany("insert or ignore into member values (?, ?)", members(users))
    elif kind == "member.added":
        db.executemany("insert or ignore into member values (?, ?)", members([data["user_id"]]))
    elif kind == "member.removed":
        db.executemany("delete from member where conversation = ? and user = ?", members([data["user_id"]]))
    elif kind == "message.sent":
        row = (data["text"], data["message_id"], conversation, actor)
        db.execute("insert into message (text, id, conversation, sender) values (?, ?, ?, ?)", row)
    elif kind == "message.edited":
        # Behind a deletion there is no such row, and the edit is void.
        db.execute("update message set text = ? where id = ?", (data["text"], data["message_id"]))
    elif kind == "message.deleted":
        db.execute("delete from message where id = ?", (data["message_id"],))


def take(db, stream, message):
    headers = message.headers or {}
    # A copy of a parked event says where the event lies.
    position = int(headers.get("verbatim-position", message.metadata.sequence.stream))
    event = from_binary_event(HTTPMessage(headers=dict(headers), body=message.data))
    kind, version = event.get_type().removeprefix("verbatim.").rsplit(".v", 1)
    conversation, actor = event.get_source().rsplit("/", 1)[1], event.get_extension("actor")
    with db:
        done = db.execute("select position from indexed where stream = ?", (stream,)).fetchone()
        if done and position <= done[0]:
            return
        is_member = db.execute("select 1 from member where conversation = ? and user = ?", (conversation, actor))
        if version == "1" and (is_roster(kind) or is_member.fetchone()):
            apply(db, kind, conversation, actor, json.loads(message.data))
        db.execute("insert or replace into indexed values (?, ?)", (stream, position))


async def read(db, log, name, stream):
    events = await log.pull_subscribe_bind(name, stream, inbox_prefix=f"_INBOX_{name}.".encode())
    while True:
        try:
            messages = await events.fetch(100, timeout=5)
        except asyncio.TimeoutError:
            continue
        for message in messages:
            take(db, stream, message)
            # Only what is in the index is acknowledged; the rest comes again.
            await message.ack()


async def follow(db, name, creds, server, streams):
    connection = await nats.connect(server, user_credentials=creds, inbox_prefix=f"_INBOX_{name}".encode(), name=name)
    log = connection.jetstream(prefix="log.api")
    await asyncio.gather(*(read(db, log, name, stream) for stream in streams))


def main():
    db = sqlite3.connect("index.sqlite")
    db.executescript(TABLES)
    match sys.argv[1:]:
        case ["--find", words]:
            for row in db.execute("select id, conversation, text from message where message match ?", (words,)):
                print(*row, sep="\t")
        case [name, creds, server, *streams] if streams:
            asyncio.run(follow(db, name, creds, server, streams))
        case _:
            sys.exit(__doc__)


main()
