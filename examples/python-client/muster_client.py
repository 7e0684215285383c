"""A client of muster.v1, made from the published protos alone.

It orders evacuations, follows them over broken connections, reads their moves and their audit trail page by page, and
calls the roll. It decides nothing about a VM: every verdict is the orchestrator's.

Two rules make it safe to be killed at any moment. A call that changes something carries a request id that the caller
chose and keeps: repeated, it gets the first answer and starts nothing twice. And a call is repeated only where its
status says that this helps.
"""

import argparse
import random
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import grpc
from google.rpc import error_details_pb2 as details
from grpc_status import rpc_status

from muster.v1 import muster_pb2 as pb
from muster.v1 import muster_pb2_grpc as pb_grpc

# The domain of muster's own google.rpc.ErrorInfo: any other status was made by the transport, and means "unknown".
DOMAIN = "muster"
# The namespace in which a job of a runbook engine becomes a request id: the UUIDv5 of "muster:jobs" among the URLs.
JOBS = uuid.UUID("34acf533-e0c1-514f-b70d-abc42a8a359e")

PAGE_SIZE = 1_000
MESSAGE_MAX_BYTES = 16 * 1024 * 1024
# Deadlines. Ordering an evacuation reads both sites' inventories; calling the roll asks both sites about every VM.
CALL_TIMEOUT_S = 30.0
PLANNING_TIMEOUT_S = 120.0
ROLL_CALL_TIMEOUT_S = 300.0
# How long a recovery may wait for moves that have begun, before it calls the roll.
RECOVER_WAIT_S = 60.0
# A connection that answers no ping is given up, so that a silent cut is noticed.
KEEPALIVE_INTERVAL_MS = 10_000
KEEPALIVE_TIMEOUT_MS = 5_000
# Longest wait of the transport itself before it dials again.
RECONNECT_BACKOFF_MAX_MS = 2_000

Answer = TypeVar("Answer")


def request_id_of_job(job: str) -> uuid.UUID:
    """The request id for a job of a runbook engine: of its id alone, so a job run again finds what it has started."""
    return uuid.uuid5(JOBS, job)


@dataclass(frozen=True)
class Tls:
    """The files of a mutual TLS connection: the authority's certificate, and the client's own certificate and key."""

    # Empty: the system's own authorities.
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def credentials(self) -> grpc.ChannelCredentials:
        files = (self.ca, self.key, self.certificate)
        return grpc.ssl_channel_credentials(*(None if path is None else path.read_bytes() for path in files))


@dataclass(frozen=True)
class Violation:
    """A field of a request that is wrong; of a runbook, the field says line and column."""

    field: str
    description: str


@dataclass(eq=False)
class MusterError(Exception):
    """A failed call, read from its status."""

    code: grpc.StatusCode
    message: str
    # Stable, for programs, like NO_EVACUATION; empty where the transport made the status.
    reason: str = ""
    # What may be done now: "retry", "refused", "unknown" or "bug". What the transport says is always "unknown".
    error_class: str = "unknown"
    violations: list[Violation] = field(default_factory=list)
    # How long muster suggests to wait before the call is repeated.
    retry_after_s: float | None = None

    @classmethod
    def of(cls, error: grpc.RpcError) -> "MusterError":
        told = cls(error.code(), error.details() or "")
        status = rpc_status.from_call(error)
        for detail in [] if status is None else status.details:
            info, bad, retry = details.ErrorInfo(), details.BadRequest(), details.RetryInfo()
            if detail.Unpack(info) and info.domain == DOMAIN:
                told.reason, told.error_class = info.reason, info.metadata.get("class", "unknown")
            elif detail.Unpack(bad):
                told.violations = [Violation(one.field, one.description) for one in bad.field_violations]
            elif detail.Unpack(retry):
                told.retry_after_s = retry.retry_delay.ToTimedelta().total_seconds()
        return told

    @property
    def may_be_repeated(self) -> bool:
        """Whether the same call may succeed later: by muster's own word, or since the connection is gone."""
        if self.reason:
            return self.error_class == "retry"
        return self.code == grpc.StatusCode.UNAVAILABLE

    def __str__(self) -> str:
        violations = "".join(f"\n  {one.field}: {one.description}" for one in self.violations)
        return f"{self.message} ({self.reason or self.code.name}){violations}"


@dataclass(frozen=True)
class Backoff:
    """How a call is repeated: each wait is twice the one before, up to the longest, until the patience is used up."""

    first_s: float = 0.2
    longest_s: float = 5.0
    patience_s: float = 60.0

    def waits(self) -> Iterator[float]:
        """The waits, each shortened by up to half at random, so that not all clients come back at once."""
        wait, until = self.first_s, time.monotonic() + self.patience_s
        while time.monotonic() < until:
            yield wait * random.uniform(0.5, 1.0)
            wait = min(2 * wait, self.longest_s)

    def until_answered(self, call: Callable[[], Answer]) -> Answer:
        """Makes a call, and repeats it while its status says that this may help."""
        waits = self.waits()
        while True:
            try:
                return call()
            except grpc.RpcError as error:
                wait_or_raise(MusterError.of(error), waits)


def wait_or_raise(error: MusterError, waits: Iterator[float]) -> None:
    """Waits until the call may be repeated; raises its error where that wouldn't help, or the patience is used up."""
    wait = next(waits, None)
    if not error.may_be_repeated or wait is None:
        raise error
    time.sleep(max(wait, error.retry_after_s or 0.0))


@dataclass
class Picture:
    """What is known of an evacuation that is followed. It outlives every connection: following goes on from it."""

    evacuation: pb.Evacuation = field(default_factory=pb.Evacuation)
    # By VM.
    moves: dict[str, pb.Move] = field(default_factory=dict)
    # Resumes a watch after what is known here. Empty: from the beginning.
    resume_token: str = ""
    # How many moves the messages so far have told of.
    moves_told: int = 0

    def take(self, news: pb.WatchEvacuationResponse) -> None:
        self.evacuation = news.evacuation
        self.moves.update((one.vm, one) for one in news.moves)
        self.moves_told += len(news.moves)
        self.resume_token = news.resume_token

    @property
    def counts(self) -> dict[int, int]:
        """How many moves are in which state, counted here."""
        return dict(Counter(one.state for one in self.moves.values()))

    @property
    def is_whole(self) -> bool:
        """Whether the moves are known as the orchestrator counts them: much that changes at once is told in parts."""
        return self.counts == counts_of(self.evacuation)

    @property
    def is_over(self) -> bool:
        return self.evacuation.state == pb.EVACUATION_STATE_FINISHED

    @property
    def only_held_left(self) -> bool:
        """Whether nothing goes on until somebody has looked at the moves that are held."""
        counts = self.evacuation.counts
        return counts.held > 0 and counts.moving == 0 and counts.waiting == 0


def counts_of(evacuation: pb.Evacuation) -> dict[int, int]:
    """How many moves are in which state, as the orchestrator says."""
    counts = {
        pb.MOVE_STATE_WAITING: evacuation.counts.waiting,
        pb.MOVE_STATE_MOVING: evacuation.counts.moving,
        pb.MOVE_STATE_HELD: evacuation.counts.held,
        pb.MOVE_STATE_MIGRATED: evacuation.counts.migrated,
        pb.MOVE_STATE_STAYED_AT_SOURCE: evacuation.counts.stayed_at_source,
    }
    return {state: count for state, count in counts.items() if count > 0}


class _Paged(Protocol):
    page_token: str


class Muster:
    """An orchestrator, at HOST:PORT."""

    def __init__(self, address: str, tls: Tls | None = None, backoff: Backoff = Backoff()) -> None:
        options = [
            ("grpc.max_receive_message_length", MESSAGE_MAX_BYTES),
            ("grpc.keepalive_time_ms", KEEPALIVE_INTERVAL_MS),
            ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
            ("grpc.max_reconnect_backoff_ms", RECONNECT_BACKOFF_MAX_MS),
        ]
        self.channel = (
            grpc.insecure_channel(address, options)
            if tls is None
            else grpc.secure_channel(address, tls.credentials(), options)
        )
        self.backoff = backoff
        self._stub = pb_grpc.EvacuationsStub(self.channel)

    def __enter__(self) -> "Muster":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Cuts the connection, and every call on it."""
        self.channel.close()

    def create_evacuation(self, runbook: str, request_id: uuid.UUID, ordered_by: str) -> pb.Evacuation:
        """Plans a runbook (its text) and starts it, or finds what this very request has started before."""
        request = pb.CreateEvacuationRequest(request_id=str(request_id), runbook=runbook, ordered_by=ordered_by)
        return self._call(self._stub.CreateEvacuation, request, PLANNING_TIMEOUT_S)

    def evacuation(self, evacuation: str) -> pb.Evacuation:
        return self._call(self._stub.GetEvacuation, pb.GetEvacuationRequest(evacuation=evacuation))

    def pause(self, evacuation: str, request_id: uuid.UUID, ordered_by: str) -> pb.Evacuation:
        """Nothing new is started; what is under way goes on."""
        request = pb.ChangeEvacuationRequest(request_id=str(request_id), evacuation=evacuation, ordered_by=ordered_by)
        return self._call(self._stub.PauseEvacuation, request)

    def follow(self, evacuation: str, known: Picture | None = None) -> Iterator[Picture]:
        """Follows an evacuation until the orchestrator says that it is over, and gives the picture after each message.

        A connection that breaks is made again, and the watch resumed after what is known. It is given up with the error
        where nothing was heard for as long as the backoff's patience. `known` is what an earlier following has learned:
        it is gone on from, and brought up to date itself.
        """
        picture = Picture() if known is None else known
        waits = self.backoff.waits()
        while True:
            try:
                for news in self._watch(evacuation, picture.resume_token):
                    picture.take(news)
                    waits = self.backoff.waits()
                    yield picture
                if picture.is_over:
                    return
                broken = MusterError(grpc.StatusCode.UNAVAILABLE, message="the orchestrator has ended the watch")
            except grpc.RpcError as error:
                broken = MusterError.of(error)
            if picture.resume_token and any(one.field == "resume_token" for one in broken.violations):
                # It is known there no more: everything is told anew.
                picture.resume_token = ""
            else:
                wait_or_raise(broken, waits)

    def moves(self, evacuation: str, page_size: int = PAGE_SIZE, **filtered: str) -> Iterator[pb.ListMovesResponse]:
        """The moves of an evacuation, page by page; with filter="…" only those that it fits."""
        return self._pages(
            self._stub.ListMoves, pb.ListMovesRequest(evacuation=evacuation, page_size=page_size, **filtered)
        )

    def audit(self, evacuation: str, page_size: int = PAGE_SIZE) -> Iterator[pb.ListAuditResponse]:
        """Who did what in an evacuation, page by page until there is nothing newer."""
        return self._pages(self._stub.ListAudit, pb.ListAuditRequest(evacuation=evacuation, page_size=page_size))

    def report(self, evacuation: str) -> list[pb.RollCallLine]:
        """Calls the roll: what is proven of every VM now. Changes nothing."""
        return self._recover(pb.RecoverEvacuationRequest(evacuation=evacuation))

    def recover(self, evacuation: str, request_id: uuid.UUID, ordered_by: str) -> list[pb.RollCallLine]:
        """Finishes, undoes or holds each move that has begun, waits for that, and calls the roll."""
        request = pb.RecoverEvacuationRequest(
            request_id=str(request_id),
            evacuation=evacuation,
            apply=True,
            ordered_by=ordered_by,
            wait_ms=int(RECOVER_WAIT_S * 1_000),
        )
        return self._recover(request)

    def _call(self, method: Callable[..., Answer], request: object, timeout_s: float = CALL_TIMEOUT_S) -> Answer:
        return self.backoff.until_answered(lambda: method(request, timeout=timeout_s))

    def _watch(self, evacuation: str, resume_token: str) -> Iterator[pb.WatchEvacuationResponse]:
        resume = {"resume_token": resume_token} if resume_token else {}
        call = self._stub.WatchEvacuation(pb.WatchEvacuationRequest(evacuation=evacuation, **resume))
        try:
            yield from call
        finally:
            call.cancel()

    def _pages(self, method: Callable[..., Any], request: _Paged) -> Iterator[Any]:
        while True:
            page = self._call(method, request)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def _recover(self, request: pb.RecoverEvacuationRequest) -> list[pb.RollCallLine]:
        # A roll that breaks off in the middle proves nothing of the rest: it is called again from its beginning.
        return self.backoff.until_answered(
            lambda: list(self._stub.RecoverEvacuation(request, timeout=RECOVER_WAIT_S + ROLL_CALL_TIMEOUT_S))
        )


def is_fully_migrated(roll: list[pb.RollCallLine]) -> bool:
    """Whether every VM is at the destination for good, and nothing is left to be done for any."""
    return bool(roll) and all(line.verdict == "FullyMigrated" and line.settled for line in roll)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that say where the orchestrator is and who calls it."""
    parser.add_argument("--orchestrator", default="127.0.0.1:7700", metavar="HOST:PORT")
    parser.add_argument("--patience-s", type=float, default=60.0, help="how long a silent orchestrator is waited for")
    parser.add_argument("--by", default="python-client", metavar="NAME", help="who orders it, for the audit trail")
    parser.add_argument("--tls-ca", type=Path, metavar="FILE", help="who signed the orchestrator's certificate")
    parser.add_argument("--tls-certificate", type=Path, metavar="FILE", help="this client's certificate")
    parser.add_argument("--tls-key", type=Path, metavar="FILE", help="its private key")


def connect(arguments: argparse.Namespace) -> Muster:
    """A client as these arguments say."""
    tls = Tls(arguments.tls_ca, arguments.tls_certificate, arguments.tls_key)
    backoff = Backoff(patience_s=arguments.patience_s)
    return Muster(arguments.orchestrator, None if tls == Tls() else tls, backoff)
