"""Toy hypervisors of all sites, in one SQLite file that every worker opens: hosts, and what each has of which VM.

A change is one transaction, so a call has either taken effect or not, whoever dies. A transfer is a job with an end: whoever
looks after that end finds it done. It stands for what a real site puts here; nothing in it is part of the protocol.
"""

import dataclasses
import sqlite3
import threading
import time
from typing import Any

from protocol import pb

TRANSFER_MS = 300
"""How long a toy transfer takes."""


class Refused(Exception):
    """The hypervisor says no; nothing has changed."""


@dataclasses.dataclass
class Copy:
    """What one host has of one VM."""

    site: str
    host: str
    vm: str
    definition: Any
    instance: int
    stored: int
    mark: Any = None
    autostart: bool = False
    ends_ms: int = 0
    """When the transfer to `to` ends; 0 without one."""
    to: str = ""
    stood_still_ms: int | None = None

    def is_off(self) -> bool:
        return self.instance >= pb.INSTANCE_STATE_OFF_MIGRATED

    def holds_room(self) -> bool:
        return not self.is_off() or self.stored in (pb.STORED_KIND_PLACEHOLDER, pb.STORED_KIND_ARRIVED)

    def sighting(self) -> Any:
        seen = pb.Sighting(host=self.host, instance=self.instance, stored=self.stored, mark=self.mark, disk_complete=True)
        seen.autostart = self.autostart
        if self.ends_ms:
            seen.job.phase = pb.PHASE_PRE_COPY
        if self.stood_still_ms is not None:
            seen.stood_still_ms = self.stood_still_ms
        return seen


class Hypervisors:
    """One site's, as its worker sees them."""

    def __init__(self, path: str, site: str) -> None:
        self.site = site
        self._lock = threading.RLock()
        self._depth = 0
        self._file = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=20)
        self._file.executescript(
            """
            PRAGMA journal_mode = WAL;
            CREATE TABLE IF NOT EXISTS host (site TEXT, host TEXT, memory_mib INTEGER, PRIMARY KEY (site, host));
            CREATE TABLE IF NOT EXISTS copy (
                site TEXT, host TEXT, vm TEXT, definition BLOB, instance INTEGER, stored INTEGER, mark BLOB, autostart INTEGER,
                ends_ms INTEGER, "to" TEXT, stood_still_ms INTEGER, PRIMARY KEY (site, host, vm));
            """
        )

    def furnish(self, hosts: int, vms: list[str]) -> None:
        """Gives the site its hosts and running VMs, the first time that it is there."""
        with self:
            if self._file.execute("SELECT 1 FROM host WHERE site = ?", (self.site,)).fetchone():
                return
            for number in range(1, hosts + 1):
                self._file.execute("INSERT INTO host VALUES (?, ?, ?)", (self.site, f"{self.site}-{number}", 16_384))
            for number, vm in enumerate(vms, 1):
                definition = pb.Definition(name=f"toy-{number}", memory_mib=512, vcpus=1, autostart=True, document="<toy/>")
                running = (pb.INSTANCE_STATE_RUNNING, pb.STORED_KIND_REAL)
                self._put(Copy(self.site, f"{self.site}-1", vm, definition, *running, autostart=True))

    def hosts(self) -> list[Any]:
        with self:
            copies, hosts = self._all(), self._file.execute("SELECT host, memory_mib FROM host WHERE site = ?", (self.site,))
            listed = []
            for host, memory_mib in hosts.fetchall():
                used_mib = sum(copy.definition.memory_mib for copy in copies if copy.host == host and copy.holds_room())
                listed.append(pb.Host(host=host, answers=True, memory_mib=memory_mib, used_mib=used_mib, cores=4))
            return listed

    def copies(self, vm: str = "") -> list[Copy]:
        """Everything that the site has, or has of one VM."""
        with self:
            return self._all(vm)

    def define_placeholder(self, host: str, vm: str, definition: Any, mark: Any) -> None:
        with self:
            if host not in (known.host for known in self.hosts()):
                raise Refused(f"{host} is no host of {self.site}")
            for copy in self._all(vm):
                is_ours = copy.mark is not None and copy.mark.evacuation == mark.evacuation
                is_inert = copy.stored in (pb.STORED_KIND_PLACEHOLDER, pb.STORED_KIND_ARRIVED, pb.STORED_KIND_RETIRED)
                if not copy.is_off() or copy.ends_ms or not (is_ours or is_inert):
                    raise Refused(f"a VM with this UUID is on {copy.host} already")
                self._drop(copy)
            known = next(known for known in self.hosts() if known.host == host)
            if definition.memory_mib > known.memory_mib - known.used_mib:
                raise Refused(f"no room on {host}")
            inert = (pb.INSTANCE_STATE_OFF_SHUT_DOWN, pb.STORED_KIND_PLACEHOLDER)
            self._put(Copy(self.site, host, vm, definition, *inert, mark=mark))

    def define(self, copy: Copy, stored: int, definition: Any = None) -> None:
        """Stores another kind of definition; a guest that runs, runs on."""
        with self:
            copy = self._again(copy)
            if stored == pb.STORED_KIND_RETIRED and not copy.is_off():
                raise Refused("its guest is still here")
            copy.stored = stored
            copy.definition = definition or copy.definition
            copy.autostart = stored == pb.STORED_KIND_REAL and copy.definition.autostart
            self._put(copy)

    def run(self, copy: Copy) -> None:
        """Starts it, or lets it go on."""
        with self:
            copy = self._again(copy)
            if copy.is_off() and copy.stored != pb.STORED_KIND_REAL:
                raise Refused("what is stored can't be started")
            copy.instance = pb.INSTANCE_STATE_RUNNING
            self._put(copy)

    def shut_down(self, copy: Copy) -> None:
        with self:
            copy = self._again(copy)
            copy.instance = pb.INSTANCE_STATE_OFF_SHUT_DOWN
            self._put(copy)

    def remove(self, copy: Copy) -> None:
        with self:
            copy = self._again(copy)
            if copy.instance == pb.INSTANCE_STATE_RUNNING:
                raise Refused("its guest runs")
            self._drop(copy)

    def begin_transfer(self, copy: Copy, site: str, host: str, mark: Any) -> None:
        """Begins to bring the guest to its placeholder over there, where it will be paused."""
        with self:
            copy, there = self._again(copy), self._placeholder(copy.vm, site, host)
            is_its = there is not None and (there.mark.evacuation, there.mark.attempt) == (mark.evacuation, mark.attempt)
            if not is_its:
                raise Refused("the other side has no placeholder with this mark")
            if copy.instance != pb.INSTANCE_STATE_RUNNING:
                raise Refused("its guest does not run")
            there.instance, there.mark = pb.INSTANCE_STATE_INCOMING, mark
            copy.ends_ms, copy.to = _clock_ms() + TRANSFER_MS, f"{site}/{host}"
            self._put(there)
            self._put(copy)

    def abort_transfer(self, copy: Copy) -> None:
        with self:
            copy = self._again(copy)
            if copy.ends_ms:
                there = self._at(copy.vm, *copy.to.split("/"))
                copy.ends_ms, there.instance = 0, pb.INSTANCE_STATE_OFF_SHUT_DOWN
                self._put(there)
                self._put(copy)

    def __enter__(self) -> None:
        """One transaction; transfers whose end has come are ended in it, first. It may be entered again inside."""
        self._lock.acquire()
        if self._depth == 0:
            try:
                self._file.execute("BEGIN IMMEDIATE")
            except sqlite3.Error:
                self._lock.release()
                raise
        self._depth += 1
        if self._depth == 1:
            self._end_transfers()

    def __exit__(self, kind: object, *_: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._file.execute("ROLLBACK" if kind else "COMMIT")
        self._lock.release()

    def _end_transfers(self) -> None:
        due = self._file.execute("SELECT * FROM copy WHERE ends_ms BETWEEN 1 AND ?", (_clock_ms(),)).fetchall()
        for copy in map(_copy, due):
            there = self._at(copy.vm, *copy.to.split("/"))
            there.instance, there.stored, there.stood_still_ms = pb.INSTANCE_STATE_PAUSED, pb.STORED_KIND_ARRIVED, 1
            copy.instance, copy.ends_ms = pb.INSTANCE_STATE_OFF_MIGRATED, 0
            self._put(there)
            self._put(copy)

    def _all(self, vm: str = "") -> list[Copy]:
        found = self._file.execute(
            "SELECT * FROM copy WHERE site = ? AND (? = '' OR vm = ?) ORDER BY host, vm", (self.site, vm, vm)
        )
        return [_copy(row) for row in found.fetchall()]

    def _at(self, vm: str, site: str, host: str) -> Copy:
        found = self._file.execute("SELECT * FROM copy WHERE site = ? AND host = ? AND vm = ?", (site, host, vm)).fetchone()
        if found is None:
            raise Refused(f"{host} has no such VM")
        return _copy(found)

    def _placeholder(self, vm: str, site: str, host: str) -> Copy | None:
        try:
            there = self._at(vm, site, host)
        except Refused:
            return None
        return there if there.stored == pb.STORED_KIND_PLACEHOLDER else None

    def _again(self, copy: Copy) -> Copy:
        return self._at(copy.vm, copy.site, copy.host)

    def _put(self, copy: Copy) -> None:
        mark = copy.mark.SerializeToString() if copy.mark is not None else None
        self._file.execute(
            "INSERT OR REPLACE INTO copy VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (copy.site, copy.host, copy.vm, copy.definition.SerializeToString(), copy.instance, copy.stored, mark,
             copy.autostart, copy.ends_ms, copy.to, copy.stood_still_ms),
        )

    def _drop(self, copy: Copy) -> None:
        self._file.execute("DELETE FROM copy WHERE site = ? AND host = ? AND vm = ?", (copy.site, copy.host, copy.vm))


def _copy(row: tuple[Any, ...]) -> Copy:
    site, host, vm, definition, instance, stored, mark, autostart, ends_ms, to, stood_still_ms = row
    mark = pb.Mark.FromString(mark) if mark is not None else None
    definition = pb.Definition.FromString(definition)
    return Copy(site, host, vm, definition, instance, stored, mark, bool(autostart), ends_ms, to, stood_still_ms)


def _clock_ms() -> int:
    return time.time_ns() // 1_000_000
