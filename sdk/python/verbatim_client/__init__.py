"""A client for Verbatim: one socket, an outbox that survives a restart, and events without gaps or duplicates."""

from .client import Conversation, Verbatim
from .errors import Code, VerbatimError
from .fold import Folded, fold
from .generated.types import Event
from .link import State
from .outbox import Done, Outgoing
from .password import PasswordLogin
from .store import File, Memory, Store
from .token import TokenCallback, Why

__all__ = [
    "Code",
    "Conversation",
    "Done",
    "Event",
    "File",
    "Folded",
    "Memory",
    "Outgoing",
    "PasswordLogin",
    "State",
    "Store",
    "TokenCallback",
    "Verbatim",
    "VerbatimError",
    "Why",
    "fold",
]
