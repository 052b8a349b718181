"""A search index that other people's programs can ask: reads the log with a consumer of its own, keeps texts in SQLite.

    verbatim consumers add index --from start            # writes index.creds
    pip install 'nats-py[nkeys]' cloudevents
    python index.py index index.creds nats://127.0.0.1:4222 CHAT_0 REPLAY
    python index.py --find 'lunch'

An event is one transaction under its position, so a kill loses nothing, and an event that comes twice changes nothing. An
event that was not acknowledged comes again behind those after it, so nothing here depends on the order in which events come:
the index keeps what happened to each message and when members came and went, with positions, and works out the text anew.
An event counts only if its actor is a member at its position. What was erased leaves the index, and does not come back.
"""

import asyncio
import json
import sqlite3
import sys

import nats
from cloudevents.core.bindings.http import HTTPMessage, from_binary_event

TABLES = """
create table if not exists taken (stream text, position integer, primary key (stream, position));
create table if not exists roster (
    conversation text, user text, position integer, is_member integer, primary key (conversation, user, position)
);
create table if not exists act (
    message text, position integer, kind text, conversation text, actor text, text text, primary key (message, position)
);
create index if not exists act_by_actor on act (conversation, actor);
create virtual table if not exists message using fts5 (text, id unindexed, conversation unindexed, sender unindexed);
"""

COUNTING = """
select kind, conversation, actor, text from act where message = ? and (
    select is_member from roster
    where roster.conversation = act.conversation and user = actor and roster.position < act.position
    order by roster.position desc limit 1
) order by position
"""


def refresh(db, message):
    """Works out what is found of a message: the last text, if it was sent and not deleted."""
    acts = db.execute(COUNTING, (message,)).fetchall()
    kinds = [kind for kind, *_ in acts]
    db.execute("delete from message where id = ?", (message,))
    if "message.deleted" in kinds:
        db.execute("update act set text = '' where message = ?", (message,))
    elif "message.sent" in kinds:
        _, conversation, sender, _ = acts[kinds.index("message.sent")]
        row = (acts[-1][3], message, conversation, sender)
        db.execute("insert into message (text, id, conversation, sender) values (?, ?, ?, ?)", row)


def erase(db, stream, conversation, erased):
    """Deletes the copies of these events. One that has not come yet must not be stored when it comes."""
    for event in erased:
        # Of an event of the lane `roster` only the title is gone, and no titles are kept here. If the index begins late,
        # only this entry still says who came with the event.
        if event["lane"] == "roster":
            apply(db, event["type"], event["position"], conversation, event["actor"], event["data"])
            continue
        db.execute("insert or ignore into taken values (?, ?)", (stream, event["position"]))
        where = "where conversation = ? and position = ?"
        messages = db.execute(f"select message from act {where}", (conversation, event["position"])).fetchall()
        db.execute(f"delete from act {where}", (conversation, event["position"]))
        for (message,) in messages:
            refresh(db, message)


def apply(db, kind, position, conversation, actor, data):
    """One event. Types that are not named here change no text and no roster."""
    came, went = [], []
    if kind == "conversation.created":
        came = [member["user_id"] for member in data["members"]]
    elif kind == "member.added":
        came = [data["user_id"]]
    elif kind == "member.removed":
        went = [data["user_id"]]
    elif kind in ("message.sent", "message.edited", "message.deleted"):
        act = (data["message_id"], position, kind, conversation, actor, data.get("text", ""))
        db.execute("insert into act values (?, ?, ?, ?, ?, ?)", act)
        refresh(db, data["message_id"])
    for user in came + went:
        row = (conversation, user, position, user in came)
        db.execute("insert or ignore into roster values (?, ?, ?, ?)", row)
        # What the user did behind this position may have come before it.
        late = "select distinct message from act where conversation = ? and actor = ? and position > ?"
        for (message,) in db.execute(late, (conversation, user, position)).fetchall():
            refresh(db, message)


def take(db, stream, message):
    headers = message.headers or {}
    # A copy of a parked event says where the event lies.
    stream = headers.get("verbatim-stream", stream)
    position = int(headers.get("verbatim-position", message.metadata.sequence.stream))
    event = from_binary_event(HTTPMessage(headers=dict(headers), body=message.data))
    kind, version = event.get_type().removeprefix("verbatim.").rsplit(".v", 1)
    conversation, actor = event.get_source().rsplit("/", 1)[1], event.get_extension("actor")
    with db:
        is_new = db.execute("insert or ignore into taken values (?, ?)", (stream, position)).rowcount
        if not is_new or version != "1":
            return
        if kind == "content.erased":
            erase(db, stream, conversation, json.loads(message.data)["erased"])
        else:
            apply(db, kind, position, conversation, actor, json.loads(message.data))


async def read(db, log, name, stream):
    events = await log.pull_subscribe_bind(name, stream, inbox_prefix=f"_INBOX_{name}.".encode())
    while True:
        try:
            messages = await events.fetch(20, timeout=5)
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
