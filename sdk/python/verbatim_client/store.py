"""Where a client keeps what must survive a restart: waiting messages, and the cursor."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any, Protocol


class Store(Protocol):
    """A store for one user on one server. Values are JSON. `set` returns when the value is stored safely; `None`
    removes the key. The event loop waits for these methods, so they must be quick."""

    def all(self, prefix: str) -> list[tuple[str, Any]]:
        """All pairs whose key begins with the prefix, sorted by key."""
        ...

    def get(self, key: str) -> Any:
        """The value, or `None`."""
        ...

    def set(self, key: str, value: Any) -> None: ...


class Memory:
    """A store in memory, which is lost when the program ends."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}

    def all(self, prefix: str) -> list[tuple[str, Any]]:
        return sorted((key, value) for key, value in self._values.items() if key.startswith(prefix))

    def get(self, key: str) -> Any:
        return self._values.get(key)

    def set(self, key: str, value: Any) -> None:
        if value is None:
            self._values.pop(key, None)
        else:
            self._values[key] = value


class File:
    """A store in a file, for one user on one server. Only one program at a time may use the file."""

    def __init__(self, path: str | Path) -> None:
        self._file = sqlite3.connect(path, isolation_level=None)
        self._file.execute("PRAGMA journal_mode = WAL")
        self._file.execute("PRAGMA synchronous = FULL")
        self._file.execute("CREATE TABLE IF NOT EXISTS kept (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID")

    def all(self, prefix: str) -> list[tuple[str, Any]]:
        rows = self._file.execute(
            "SELECT key, value FROM kept WHERE substr(key, 1, ?) = ? ORDER BY key", (len(prefix), prefix)
        )
        return [(key, json.loads(value)) for key, value in rows]

    def get(self, key: str) -> Any:
        row = self._file.execute("SELECT value FROM kept WHERE key = ?", (key,)).fetchone()
        return json.loads(row[0]) if row else None

    def set(self, key: str, value: Any) -> None:
        if value is None:
            self._file.execute("DELETE FROM kept WHERE key = ?", (key,))
        else:
            self._file.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", (key, json.dumps(value)))

    def close(self) -> None:
        self._file.close()
