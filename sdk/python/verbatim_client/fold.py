"""The same fold as in the server: how an event changes the messages, members, receipts and counts that a user sees.

The state starts from REST responses that include everything up to one position.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .generated.types import Conversation, Event, Member, Message, Receipt

# The server counts at most this many unread messages.
MOST_UNREAD = 1_000
# The maximum number of characters in a quote.
QUOTED = 200


@dataclass
class Folded:
    """A conversation as one of its members sees it."""

    conversation: Conversation
    # By position, the oldest first.
    messages: dict[int, Message]
    members: dict[str, Member]
    receipts: dict[str, Receipt]
    # The user and the emoji of each reaction, the earliest first, for each message for which they are known.
    reactors: dict[int, list[tuple[str, str]]] = field(default_factory=dict)

    @classmethod
    def begin(
        cls, conversation: Conversation, messages: Iterable[Message], members: Iterable[Member], receipts: Iterable[Receipt]
    ) -> Folded:
        """Begins with REST responses, in the order of REST."""
        by_position = {one["position"]: one for one in sorted(messages, key=lambda one: one["position"])}
        return cls(
            conversation,
            by_position,
            {one["user_id"]: one for one in members},
            {one["user_id"]: one for one in receipts},
            {position: [] for position, message in by_position.items() if not message["reactions"]},
        )


def fold(state: Folded, event: Event, me: str) -> set[str]:
    """Folds an event into a state. Returns the parts that do not follow from the event and have to be requested:

    `conversation` (its counts), `receipts`, `reactions <message id>`, or `quote <message id>`. An event that was
    folded before changes nothing.
    """
    if event["position"] <= state.conversation["position"]:
        return set()
    asks = _conversation(state, event, me)
    data: Any = event["data"]
    match event["type"]:
        case "message.sent":
            asks |= _sent(state, event)
        case "content.erased":
            for entry in data["erased"]:
                _changed(state, event, entry["position"])
        # An erased edit changes nothing, because its message is erased, too.
        case "message.edited" if "erased" in data:
            pass
        case "message.edited" | "message.deleted" | "message.pinned" | "message.unpinned":
            _changed(state, event, data["message_position"])
        case "reaction.added" | "reaction.removed":
            asks |= _reacted(state, event, me)
        case "member.added":
            member = {"user_id": data["user_id"], "role": data["role"], "joined_at": event["time"]}
            state.members[data["user_id"]] = member  # type: ignore[assignment]
            # A user who was a member before has receipts from that time.
            if data["user_id"] not in state.receipts:
                asks.add("receipts")
        case "member.removed":
            state.members.pop(data["user_id"], None)
        case "member.role_changed":
            if data["user_id"] in state.members:
                state.members[data["user_id"]]["role"] = data["role"]
        case "receipt.advanced":
            _received(state, event)
    return asks


def _conversation(state: Folded, event: Event, me: str) -> set[str]:
    now: Any = state.conversation
    now["position"] = now["head"] = event["position"]
    data: Any = event["data"]
    last = now.get("last_message")
    # The state after an erasure has to be requested. The old text must not be shown meanwhile.
    if "erased" in data:
        if last is not None:
            last["text"] = ""
        if event["type"] == "content.erased" and any(entry["lane"] == "roster" for entry in data["erased"]):
            now.pop("title", None)
        return {"conversation"}
    is_last = last is not None and last["id"] == data.get("message_id")
    stale = False
    match event["type"]:
        case "message.sent":
            now["last_message"] = {
                "id": data["message_id"],
                "position": event["position"],
                "sender": event["actor"],
                "text": data["text"],
                "sent_at": event["time"],
            }
            now["active_at"] = event["time"]
            if event["actor"] != me:
                now["unread"] = min(MOST_UNREAD, now["unread"] + 1)
                if me in data.get("mentions", ()):
                    now["mentions"] = min(MOST_UNREAD, now["mentions"] + 1)
        case "message.edited":
            if is_last:
                last |= {"text": data["text"], "edited_at": event["time"]}
            mentions = now["mentions"] > 0 or me in data.get("mentions", ())
            stale = data["message_position"] > now["read"] and mentions
        case "message.deleted":
            if is_last:
                last.pop("edited_at", None)
                last |= {"text": "", "deleted_at": event["time"]}
            stale = data["message_position"] > now["read"] and now["unread"] > 0
        case "receipt.advanced" if event["actor"] == me and data["read"] > now["read"]:
            now["read"] = data["read"]
            stale = last is not None and data["read"] < last["position"]
            if not stale:
                now["unread"] = now["mentions"] = 0
        case "member.role_changed" if data["user_id"] == me:
            now["role"] = data["role"]
        case "member.added":
            stale = data["user_id"] == me
        case "conversation.updated":
            now |= {name: data[name] for name in ("title", "history", "retention_s") if name in data}
            # The group has none of its own any more.
            if now.get("retention_s") == 0:
                del now["retention_s"]
            # How far back a member may read decides what is counted.
            stale = "history" in data
    return {"conversation"} if stale else set()


def _sent(state: Folded, event: Event) -> set[str]:
    data: Any = event["data"]
    position = event["position"]
    message: Any = {
        "id": data["message_id"],
        "conversation_id": event["conversation_id"],
        "position": position,
        "sender": event["actor"],
        # An erased message has no key and no text.
        "client_id": data.get("client_id", ""),
        "text": data.get("text", ""),
        "sent_at": event["time"],
        "mentions": data.get("mentions", []),
        "reactions": [],
        "pinned": False,
    }
    if "erased" in data:
        message |= {"deleted_at": event["time"], "erased": True}
    if "metadata" in data:
        message["metadata"] = data["metadata"]
    state.messages[position] = message
    state.reactors[position] = []
    if "reply_to" not in data:
        return set()
    quoted = state.messages.get(data["reply_to_position"])
    if quoted is None:
        message["reply_to"] = {"id": data["reply_to"], "position": data["reply_to_position"], "deleted": False}
        return {f"quote {data['reply_to']}"}
    message["reply_to"] = {
        "id": quoted["id"],
        "position": quoted["position"],
        "sender": quoted["sender"],
        "text": quoted["text"][:QUOTED],
        "deleted": "deleted_at" in quoted,
    }
    return set()


def _changed(state: Folded, event: Event, at: int) -> None:
    data: Any = event["data"]
    message: Any = state.messages.get(at)
    quote: dict[str, Any] = {}
    if event["type"] == "message.edited":
        quote = {"text": data["text"][:QUOTED]}
    elif event["type"] in ("message.deleted", "content.erased"):
        quote = {"text": "", "deleted": True}
    for other in state.messages.values():
        answered: Any = other.get("reply_to")
        # A quote without a sender quotes a message that the user may not read.
        if quote and answered and answered["position"] == at and "sender" in answered and not answered["deleted"]:
            answered |= quote
    if message is None or ("deleted_at" in message and event["type"] != "content.erased"):
        return
    match event["type"]:
        case "content.erased":
            for name in ("metadata", "edited_at", "reply_to", "deleted_by"):
                message.pop(name, None)
            gone = {"text": "", "client_id": "", "mentions": [], "reactions": [], "pinned": False}
            message |= gone | {"deleted_at": event["time"], "erased": True}
            state.reactors[at] = []
        case "message.edited":
            message |= {"text": data["text"], "mentions": data.get("mentions", []), "edited_at": event["time"]}
        case "message.deleted":
            message.pop("metadata", None)
            message.pop("edited_at", None)
            gone = {"text": "", "mentions": [], "reactions": [], "pinned": False}
            message |= gone | {"deleted_at": event["time"], "deleted_by": event["actor"]}
            state.reactors[at] = []
        case "message.pinned":
            message["pinned"] = True
        case "message.unpinned":
            message["pinned"] = False


def _reacted(state: Folded, event: Event, me: str) -> set[str]:
    data: Any = event["data"]
    message = state.messages.get(data["message_position"])
    if message is None or "deleted_at" in message:
        return set()
    reactors = state.reactors.get(data["message_position"])
    if reactors is None:
        # The users who reacted are unknown: the message came with counts only.
        return {f"reactions {message['id']}"}
    reaction = (event["actor"], data["emoji"])
    if event["type"] == "reaction.removed":
        reactors[:] = [one for one in reactors if one != reaction]
    elif reaction not in reactors:
        reactors.append(reaction)
    counts: dict[str, Any] = {}
    for user, emoji in reactors:
        one = counts.setdefault(emoji, {"emoji": emoji, "count": 0, "mine": False})
        one["count"] += 1
        one["mine"] = one["mine"] or user == me
    message["reactions"] = list(counts.values())
    return set()


def _received(state: Folded, event: Event) -> None:
    data: Any = event["data"]
    receipt: Any = state.receipts.setdefault(event["actor"], {"user_id": event["actor"], "delivered": 0, "read": 0})
    if data["read"] > receipt["read"]:
        receipt["read_at"] = event["time"]
    receipt["delivered"] = max(receipt["delivered"], data["delivered"])
    receipt["read"] = max(receipt["read"], data["read"])
