"""A site's durable evidence, in SQLite: floors, records, claims and the history of both.

Whatever changes a row writes its line of history in the same transaction, and is durable before it is answered.
"""

import dataclasses
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from protocol import pb

Token = tuple[int, int]
"""(epoch, sequence): ordered, and per VM it only grows."""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def token_of(message: Any) -> Token:
    return (message.epoch, message.sequence)


def message_of(token: Token) -> Any:
    return pb.Token(epoch=token[0], sequence=token[1])


@dataclasses.dataclass
class Row:
    """What the ledger holds of one VM."""

    vm: str
    floor: Token = (0, 0)
    entry: Any = None
    """Its entry of the roll; None if no evacuation ever had it."""
    standing: Any = dataclasses.field(default_factory=pb.SiteReading)
    """How far it has come: a reading of which only `destination` or `source` is set."""
    intent: str = ""
    """The change to the hypervisor that was begun and isn't known to have ended."""

    def side(self, evacuation: str) -> str:
        """What this site is to it in this evacuation: destination, source, or "" if it is not on that roll."""
        if self.entry is None or self.entry.evacuation != evacuation:
            return ""
        return self.standing.WhichOneof("standing")

    def is_open(self) -> bool:
        side = self.standing.WhichOneof("standing")
        if side == "destination":
            return self.standing.destination.WhichOneof("record") != "closed"
        return side == "source" and not self.standing.source.closed


class Ledger:
    """One file. Every method is a transaction of its own."""

    def __init__(self, path: str) -> None:
        self._lock = threading.RLock()
        self._file = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._file.executescript(
            """
            PRAGMA journal_mode = WAL;
            PRAGMA synchronous = FULL;
            CREATE TABLE IF NOT EXISTS vm (vm TEXT PRIMARY KEY, epoch TEXT, sequence TEXT, entry BLOB, standing BLOB, intent TEXT);
            CREATE TABLE IF NOT EXISTS evacuation (evacuation TEXT PRIMARY KEY, claims BLOB);
            CREATE TABLE IF NOT EXISTS answered (request TEXT PRIMARY KEY, asked BLOB, claims BLOB);
            CREATE TABLE IF NOT EXISTS event (
                sequence INTEGER PRIMARY KEY, at_ms INTEGER, evacuation TEXT, vm TEXT, token BLOB, event TEXT, detail TEXT);
            """
        )

    def row(self, vm: str) -> Row:
        with self._lock:
            found = self._file.execute("SELECT * FROM vm WHERE vm = ?", (vm,)).fetchone()
        return _row(found) if found else Row(vm)

    def rows(self) -> Iterator[Row]:
        with self._lock:
            found = self._file.execute("SELECT * FROM vm ORDER BY vm").fetchall()
        return map(_row, found)

    def change(self, vm: str, change: Callable[[Row], None], event: str = "", token: Token | None = None, **detail: Any) -> Row:
        """Changes a row as it is now, and writes the line that says so. If `change` raises, nothing has changed."""
        with self._lock, self._transaction():
            row = self.row(vm)
            change(row)
            entry = row.entry.SerializeToString() if row.entry else None
            kept = (row.vm, str(row.floor[0]), str(row.floor[1]), entry, row.standing.SerializeToString(), row.intent)
            self._file.execute("INSERT OR REPLACE INTO vm VALUES (?, ?, ?, ?, ?, ?)", kept)
            if event:
                self._write(row.entry.evacuation if row.entry else "", vm, token, event, detail)
            return row

    def claims(self, evacuation: str) -> Any:
        with self._lock:
            found = self._file.execute("SELECT claims FROM evacuation WHERE evacuation = ?", (evacuation,)).fetchone()
        return pb.Claims.FromString(found[0]) if found else pb.Claims(evacuation=evacuation)

    def evacuations(self) -> list[Any]:
        with self._lock:
            found = self._file.execute("SELECT claims FROM evacuation ORDER BY evacuation").fetchall()
        return [pb.Claims.FromString(claims) for (claims,) in found]

    def order(self, request: Any, event: str, change: Callable[[Any], None], reused: Exception) -> Any:
        """Changes an evacuation's claims, or answers a request that was answered before."""
        with self._lock, self._transaction():
            asked = request.SerializeToString(deterministic=True)
            found = self._file.execute("SELECT asked, claims FROM answered WHERE request = ?", (request.request_id,)).fetchone()
            if found and found[0] != asked:
                raise reused
            if found:
                return pb.Claims.FromString(found[1])
            claims = self.claims(request.evacuation)
            change(claims)
            kept = claims.SerializeToString()
            self._file.execute("INSERT OR REPLACE INTO evacuation VALUES (?, ?)", (request.evacuation, kept))
            self._file.execute("INSERT INTO answered VALUES (?, ?, ?)", (request.request_id, asked, kept))
            self._write(request.evacuation, "", None, event, {"epoch": claims.epoch})
            return claims

    def newest(self) -> tuple[int, int | None]:
        """The newest number of the history, and when it was written."""
        with self._lock:
            found = self._file.execute("SELECT sequence, at_ms FROM event ORDER BY sequence DESC LIMIT 1").fetchone()
        return found or (0, None)

    def events(self, after: int, limit: int, name: str = "") -> list[Any]:
        with self._lock:
            found = self._file.execute(
                "SELECT * FROM event WHERE sequence > ? AND (? = '' OR event = ?) ORDER BY sequence LIMIT ?",
                (min(after, 2**63 - 1), name, name, limit),
            ).fetchall()
        lines = []
        for sequence, at_ms, evacuation, vm, token, event, detail in found:
            line = pb.LedgerLine(sequence=sequence, at_ms=at_ms, evacuation=evacuation, vm=vm, event=event, detail_json=detail)
            if token is not None:
                line.token.MergeFromString(token)
            lines.append(line)
        return lines

    def _write(self, evacuation: str, vm: str, token: Token | None, event: str, detail: dict[str, Any]) -> None:
        kept = message_of(token).SerializeToString() if token else None
        self._file.execute(
            "INSERT INTO event (at_ms, evacuation, vm, token, event, detail) VALUES (?, ?, ?, ?, ?, ?)",
            (now_ms(), evacuation, vm, kept, event, json.dumps(detail)),
        )

    def _transaction(self) -> "_Transaction":
        return _Transaction(self._file)


class _Transaction:
    def __init__(self, file: sqlite3.Connection) -> None:
        self._file = file

    def __enter__(self) -> None:
        self._file.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, *_: object) -> None:
        self._file.execute("ROLLBACK" if kind else "COMMIT")


def _row(found: tuple[Any, ...]) -> Row:
    vm, epoch, sequence, entry, standing, intent = found
    entry = pb.RollEntry.FromString(entry) if entry is not None else None
    return Row(vm, (int(epoch), int(sequence)), entry, pb.SiteReading.FromString(standing), intent)
