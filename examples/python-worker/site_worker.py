"""A site: what may be done with its VMs, and in which order. The rules of the protocol are here.

Every change of a VM has one form: enter the VM's section (or be BUSY), test the floor and the conditions, write the token, the
record and the intent in one transaction, call the hypervisor, write down what came of it.
"""

import contextlib
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import grpc
from hypervisors import Copy, Hypervisors, Refused
from ledger import Ledger, Row, Token, message_of, now_ms, token_of
from protocol import pb, rpc

PEER_DEADLINE_S = 5
FOLLOW_EVERY_S = 0.1
RETRY, REFUSED = pb.FAILURE_CLASS_RETRY, pb.FAILURE_CLASS_REFUSED
Work = Callable[[], None]


class Failure(Exception):
    """Why something was not done: what the caller may do now, a stable reason, and words."""

    def __init__(self, kind: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.kind, self.reason, self.message = kind, reason, message


def refuse(reason: str, message: str) -> Failure:
    return Failure(REFUSED, reason, message)


def not_in_order(message: str) -> Failure:
    return refuse("NOT_IN_ORDER", message)


def not_arrived(message: str) -> Failure:
    return Failure(RETRY, "NOT_ARRIVED", message)


class Site:
    def __init__(self, name: str, ledger: Ledger, hypervisors: Hypervisors, peers: dict[str, str]) -> None:
        self.name, self.ledger, self.hypervisors = name, ledger, hypervisors
        self.peers = {peer: rpc.SiteStub(grpc.insecure_channel(address)) for peer, address in peers.items()}
        self._taken: set[str] = set()
        self._guard = threading.Lock()
        self._answered: set[tuple[str, Token]] = set()
        # A toy call is over with the process that made it; only a look tells what came of it.
        for row in ledger.rows():
            if row.intent:
                ledger.change(row.vm, _clear_intent, "mutation_ended", mutation=row.intent, unseen=True)

    # Reading

    def reading(self, vm: str) -> Any:
        # The time first: a reading that took long must not pass for a newer one.
        at_ms, row = now_ms(), self.ledger.row(vm)
        reading = pb.SiteReading(vm=vm, floor=message_of(row.floor), at_ms=at_ms)
        reading.MergeFrom(row.standing)
        reading.sightings.extend(copy.sighting() for copy in self.hypervisors.copies(vm))
        reading.mutation_under_way = bool(row.intent) or vm in self._taken
        return reading

    def observe(self, vm: str, token: Token | None) -> Any:
        """With a token, the floor is raised to it first. Never BUSY: it has to shut out what is older while a call hangs."""
        if token is not None and token != self.ledger.row(vm).floor:
            self.ledger.change(vm, lambda row: _raise_floor(row, token), "floor_raised", token)
        return self.reading(vm)

    # Writing

    def write_roll(self, side: int, epoch: int, entry: Any) -> None:
        with self._section(entry.vm):
            self._enrol(side, (epoch, 0), entry)

    def _enrol(self, side: int, token: Token, entry: Any) -> None:
        row = self.ledger.row(entry.vm)
        if row.side(entry.evacuation) and row.floor[0] == token[0]:
            return
        if row.side(entry.evacuation):
            self.ledger.change(entry.vm, lambda row: _raise_floor(row, token))
            return

        def enrol(row: Row) -> None:
            _raise_floor(row, token)
            if row.is_open():
                raise refuse("IN_ANOTHER_EVACUATION", f"it is in the open evacuation {row.entry.evacuation}")
            row.entry, row.standing = entry, pb.SiteReading()
            if side == pb.SIDE_DESTINATION:
                at = row.standing.destination
                at.enrolled = True
            else:
                at = row.standing.source
                at.unsealed = True
            at.evacuation, at.mode = entry.evacuation, entry.mode

        self.ledger.change(entry.vm, enrol, "enrolled", token)

    def commit_arrival(self, request: Any) -> Any:
        row = self.ledger.row(request.vm)
        if row.side(request.evacuation) != "destination":
            raise refuse("NOT_ON_ROLL", "it is not on this roll as one that comes here")
        if row.entry.source_site != request.source_site:
            raise refuse("NOT_ITS_SOURCE", f"it does not come from {request.source_site}")
        return self.execute(request.evacuation, pb.Command(vm=request.vm, token=request.token, commit=request.attempt))

    def execute(self, evacuation: str, command: Any) -> Any:
        vm, token, action = command.vm, token_of(command.token), command.WhichOneof("action")
        with self._section(vm):
            row = self.ledger.row(vm)
            if token == row.floor:
                return self.reading(vm)
            if token < row.floor:
                raise _below(row, token)
            side = "destination" if action in _ARRIVALS else "source"
            if row.side(evacuation) != side:
                raise refuse("NOT_ON_ROLL", f"it is not on this evacuation's roll with this site as its {side}")
            if side == "source" and row.standing.source.closed and action != "release":
                raise not_in_order("the source's part of this move is over")
            # The plan tests what must hold, changes the row's standing, and says what is to be called.
            work: Work | None = getattr(self, f"_{action}")(row, command)

            def write(now: Row) -> None:
                # Tested again in the transaction: a fenced observe may have come in between.
                _raise_floor(now, token)
                now.entry, now.standing, now.intent = row.entry, row.standing, action if work else ""

            self.ledger.change(vm, write, _EVENTS.get(action, action), token, **_detail(row))
            if work is not None:
                self._carry_out(vm, action, work)
            return self.reading(vm)

    def _carry_out(self, vm: str, action: str, work: Work) -> None:
        try:
            work()
        except Refused as refused:
            self.ledger.change(vm, _clear_intent, "mutation_ended", mutation=action, error=str(refused))
            raise refuse("HYPERVISOR_REFUSED", str(refused)) from None

        def ended(row: Row) -> None:
            row.intent = ""
            if action in ("unseal", "start_source", "release"):
                row.standing.source.unsealed = True
            elif action in ("commit", "run"):
                event = row.standing.destination.completed
                event.ran_at_ms = event.ran_at_ms or now_ms()
                for copy in self.hypervisors.copies(vm):
                    if copy.stood_still_ms is not None:
                        event.downtime_ms = copy.stood_still_ms
            elif action == "discard":
                del row.standing.destination.leftovers[:]

        self.ledger.change(vm, ended, "mutation_ended", mutation=action)

    @contextlib.contextmanager
    def _section(self, vm: str) -> Iterator[None]:
        """At most one change per VM at a time; who comes meanwhile is told so, and nothing comes of it."""
        with self._guard:
            if vm in self._taken or self.ledger.row(vm).intent:
                raise Failure(RETRY, "BUSY", "a change of it is under way; observe and try again")
            self._taken.add(vm)
        try:
            yield
        finally:
            with self._guard:
                self._taken.discard(vm)

    # Destination: plans

    def _open_attempt(self, row: Row, command: Any) -> None:
        at = row.standing.destination
        record = at.WhichOneof("record")
        if record not in ("enrolled", "abandoned"):
            raise not_in_order("an attempt is open, has arrived, or the move is over")
        attempt = at.abandoned.attempt + 1 if record == "abandoned" else 1
        order = command.open_attempt
        at.started.CopyFrom(pb.Started(attempt=attempt, host=order.host, kind=order.kind, token=command.token, at_ms=now_ms()))

    def _make_placeholder(self, row: Row, command: Any) -> Work:
        started = _record_of(row, command.make_placeholder)
        mark = pb.Mark(evacuation=row.entry.evacuation, attempt=started.attempt, token=command.token)
        return lambda: self.hypervisors.define_placeholder(started.host, row.vm, row.entry.definition, mark)

    def _commit(self, row: Row, command: Any) -> Work:
        """The point of no return: with the token, in one transaction, before the VM is let run."""
        started = _record_of(row, command.commit)
        copy = self._arrived(row, started)
        from_disk = row.entry.mode != pb.MODE_LIVE or started.kind == pb.ARRIVAL_KIND_COLD_START
        if copy.instance == pb.INSTANCE_STATE_INCOMING or copy.is_off() and not from_disk:
            raise not_arrived("its memory is not here")
        late = copy.instance == pb.INSTANCE_STATE_RUNNING
        event = pb.Completed(started=started, token=command.token, at_ms=now_ms(), late=late)
        row.standing.destination.completed.CopyFrom(event)
        return lambda: self._let_run(row, started, copy)

    def _run(self, row: Row, _: Any) -> Work:
        if row.standing.destination.WhichOneof("record") != "completed":
            raise not_in_order("no completion event stands")
        started = row.standing.destination.completed.started
        copy = self._arrived(row, started)
        return lambda: self._let_run(row, started, copy)

    def _arrived(self, row: Row, started: Any) -> Copy:
        for copy in self.hypervisors.copies(row.vm):
            mark = copy.mark
            if mark is not None and (mark.evacuation, mark.attempt) == (row.entry.evacuation, started.attempt):
                return copy
        raise not_arrived("no copy of this attempt is here")

    def _let_run(self, row: Row, started: Any, copy: Copy) -> None:
        if not copy.is_off():
            self.hypervisors.run(copy)
        self.hypervisors.define(copy, pb.STORED_KIND_REAL, row.entry.definition)
        if copy.is_off() and (row.entry.mode != pb.MODE_OFF or started.kind == pb.ARRIVAL_KIND_COLD_START):
            self.hypervisors.run(copy)

    def _abandon(self, row: Row, command: Any) -> None:
        started = _record_of(row, command.abandon)
        row.standing.destination.leftovers.append(started)
        row.standing.destination.abandoned.CopyFrom(started)

    def _reopen(self, row: Row, command: Any) -> None:
        at = row.standing.destination
        left = [leftover for leftover in at.leftovers if leftover.attempt == command.reopen]
        if at.WhichOneof("record") != "abandoned" or at.abandoned.attempt != command.reopen or not left:
            raise not_in_order("it is not the one given up last, or what it left was discarded")
        at.leftovers.remove(left[0])
        at.started.CopyFrom(left[0])

    def _discard(self, row: Row, _: Any) -> Work:
        """Copies of given-up attempts, and placeholders of evacuations that are over. Never one whose record stands."""
        at = row.standing.destination
        standing = {"started": at.started.attempt, "completed": at.completed.started.attempt, "closed": at.closed.attempts}
        stands = standing.get(at.WhichOneof("record"), 0)
        rubbish = []
        for copy in self.hypervisors.copies(row.vm):
            if copy.mark is None or copy.instance == pb.INSTANCE_STATE_RUNNING:
                continue
            if copy.mark.evacuation == row.entry.evacuation and copy.mark.attempt != stands:
                rubbish.append(copy)
            elif copy.mark.evacuation != row.entry.evacuation and copy.is_off() and copy.holds_room():
                rubbish.append(copy)
        return lambda: [self.hypervisors.remove(copy) for copy in rubbish] and None

    def _close_destination(self, row: Row, command: Any) -> None:
        at, outcome = row.standing.destination, command.close_destination
        record = at.WhichOneof("record")
        if (outcome, record) == (pb.OUTCOME_MIGRATED, "completed"):
            closed = pb.Closed(outcome=outcome, attempts=at.completed.started.attempt)
            if at.completed.HasField("downtime_ms"):
                closed.downtime_ms = at.completed.downtime_ms
        elif outcome == pb.OUTCOME_STAYED_AT_SOURCE and record in ("enrolled", "abandoned"):
            closed = pb.Closed(outcome=outcome, attempts=at.abandoned.attempt)
        else:
            raise not_in_order("migrated needs the event, staying needs that no attempt is open")
        closed.at_ms = now_ms()
        at.closed.CopyFrom(closed)

    # Source: plans

    def _seal(self, row: Row, _: Any) -> Work:
        at, copy = row.standing.source, self._here(row)
        if at.WhichOneof("state") not in ("unsealed", "sealed"):
            raise not_in_order("the source has let the VM go")
        if copy.stored not in (pb.STORED_KIND_REAL, pb.STORED_KIND_SEALED):
            raise refuse("NOT_AS_NEEDED", "here is only its placeholder or its retired copy")
        row.entry.definition.CopyFrom(copy.definition)
        at.sealed.SetInParent()
        return lambda: self.hypervisors.define(copy, pb.STORED_KIND_SEALED)

    def _transfer(self, row: Row, command: Any) -> Work:
        order, at = command.transfer, row.standing.source
        self._prove_path(order.destination_site)
        copy = self._here(row)
        if at.WhichOneof("state") != "sealed" or copy.stored != pb.STORED_KIND_SEALED:
            raise not_in_order("it must be sealed first")
        if at.sealed.HasField("transfer") and at.sealed.transfer.attempt >= order.attempt:
            raise not_in_order("a transfer of this attempt, or of a later one, was begun before")
        transfer = pb.Transfer(attempt=order.attempt, token=command.token, host=order.destination_host)
        at.sealed.transfer.CopyFrom(transfer)
        if row.entry.mode != pb.MODE_LIVE:
            # All disks are shared here: what is off has arrived.
            return lambda: self.hypervisors.shut_down(copy)
        mark = pb.Mark(evacuation=row.entry.evacuation, attempt=order.attempt, token=command.token)
        return lambda: self.hypervisors.begin_transfer(copy, order.destination_site, order.destination_host, mark)

    def _abort_transfer(self, row: Row, _: Any) -> Work:
        copy = self._here(row)
        return lambda: self.hypervisors.abort_transfer(copy)

    def _adjust_transfer(self, row: Row, _: Any) -> None:
        if not row.standing.source.sealed.HasField("transfer"):
            raise not_in_order("no transfer is under way")

    def _resume_source(self, row: Row, _: Any) -> Work:
        self._may_run_here(row)
        copy = self._here(row)
        return lambda: self.hypervisors.run(copy) if copy.instance == pb.INSTANCE_STATE_PAUSED else None

    def _start_source(self, row: Row, command: Any) -> Work:
        return self._give_back(row, starts_what_was_shut_down=True)

    def _unseal(self, row: Row, command: Any) -> Work:
        return self._give_back(row, starts_what_was_shut_down=row.entry.mode != pb.MODE_LIVE)

    def _give_back(self, row: Row, starts_what_was_shut_down: bool) -> Work:
        self._may_run_here(row)
        copy = self._here(row)

        def work() -> None:
            self.hypervisors.define(copy, pb.STORED_KIND_REAL, row.entry.definition)
            was_shut_down = copy.instance == pb.INSTANCE_STATE_OFF_SHUT_DOWN
            if copy.is_off() and row.entry.mode != pb.MODE_OFF and (starts_what_was_shut_down or not was_shut_down):
                self.hypervisors.run(copy)

        return work

    def _retire(self, row: Row, command: Any) -> Work:
        at, copies = row.standing.source, self.hypervisors.copies(row.vm)
        if any(not copy.is_off() for copy in copies):
            raise refuse("NOT_AS_NEEDED", "it has to be off for this, and it isn't")
        if command.HasField("retired_copy_kept_ms") and not at.retired:
            keep_ms = command.retired_copy_kept_ms
            at.kept_until.CopyFrom(pb.KeptUntil(at_ms=now_ms() + keep_ms, keep_ms=keep_ms))
        at.retired = True
        return lambda: [self.hypervisors.define(copy, pb.STORED_KIND_RETIRED) for copy in copies] and None

    def _release(self, row: Row, _: Any) -> Work:
        if not row.standing.source.retired or row.standing.source.HasField("deleted_at_ms"):
            raise not_in_order("the copy is not retired, or was deleted")
        copy, definition = self._here(row), pb.Definition()
        definition.CopyFrom(row.entry.definition)
        definition.autostart = False
        return lambda: self.hypervisors.define(copy, pb.STORED_KIND_REAL, definition)

    def _close_source(self, row: Row, _: Any) -> None:
        if row.standing.source.WhichOneof("state") not in ("unsealed", "retired"):
            raise not_in_order("the VM is sealed: unseal it or retire it first")
        row.standing.source.closed = True

    def _here(self, row: Row) -> Copy:
        copies = self.hypervisors.copies(row.vm)
        if not copies:
            raise refuse("NOT_AS_NEEDED", "no host of this site has it")
        return copies[0]

    # Other sites

    def _may_run_here(self, row: Row) -> None:
        """Not before the destination was asked, and only if it says that the VM is not, and won't be, there."""
        if row.standing.source.retired:
            raise not_in_order("it is retired: the VM is at the destination")
        site, evacuation = row.entry.destination_site, row.entry.evacuation
        asked = pb.ObserveRequest(evacuation=evacuation, vms=[pb.VmToken(vm=row.vm)])
        try:
            answer = next(iter(self._peer(site).Observe(asked, timeout=PEER_DEADLINE_S)))
        except (grpc.RpcError, KeyError, StopIteration) as silence:
            raise Failure(RETRY, "DESTINATION_UNREAD", f"{site} was not read: {silence}") from None
        if answer.WhichOneof("result") != "reading":
            raise Failure(RETRY, "DESTINATION_UNREAD", f"{site} has no reading of it: {answer.failure.message}")
        reading = answer.reading
        instances = {seen.instance for seen in reading.sightings}
        if reading.WhichOneof("standing") == "destination" and reading.destination.evacuation == evacuation:
            at, record = reading.destination, reading.destination.WhichOneof("record")
            migrated = record == "closed" and at.closed.outcome == pb.OUTCOME_MIGRATED
            may_be_there = migrated or record in ("started", "completed")
        else:
            may_be_there = bool(instances & {pb.INSTANCE_STATE_PAUSED, pb.INSTANCE_STATE_INCOMING})
        if may_be_there or pb.INSTANCE_STATE_RUNNING in instances:
            raise refuse("ARRIVED_ELSEWHERE", f"at {site} its attempt is open or has arrived")

    def _prove_path(self, site: str) -> None:
        asked = pb.ProvePathRequest(nonce=str(time.time_ns()), source_site=self.name)
        try:
            proof = self._peer(site).ProvePath(asked, timeout=PEER_DEADLINE_S)
        except (grpc.RpcError, KeyError) as silence:
            raise Failure(RETRY, "PATH_UNPROVEN", f"{site} does not answer: {silence}") from None
        if (proof.nonce, proof.site, proof.working) != (asked.nonce, site, True):
            raise Failure(RETRY, "PATH_UNPROVEN", f"another answers for {site}, or it takes no work")

    def _peer(self, site: str) -> Any:
        return self.peers[site]

    # By itself

    def follow(self) -> None:
        """Follows departures for as long as the process lives. What fails is tried again with the next look."""
        while True:
            for row in self.ledger.rows():
                if row.standing.WhichOneof("standing") == "source":
                    with contextlib.suppress(Failure, grpc.RpcError, KeyError, StopIteration, Refused):
                        self._follow(row)
            time.sleep(FOLLOW_EVERY_S)

    def _follow(self, row: Row) -> None:
        at = row.standing.source
        if at.WhichOneof("state") == "gone" and not at.closed:
            self._commit_there(row)
        elif at.sealed.HasField("transfer") and not at.sealed.transfer.HasField("failed"):
            with self._section(row.vm):
                self._transfer_ended(self.ledger.row(row.vm))
        elif at.retired and at.closed and at.HasField("kept_until") and at.kept_until.at_ms <= now_ms():
            with self._section(row.vm):
                self._delete_retired(self.ledger.row(row.vm))

    def _transfer_ended(self, row: Row) -> None:
        """Off because handed over, sealed and without a job: that alone proves that it is gone. Paused proves nothing."""
        copies = self.hypervisors.copies(row.vm)
        if len(copies) != 1 or copies[0].ends_ms or not row.standing.source.sealed.HasField("transfer"):
            return
        copy, transfer = copies[0], row.standing.source.sealed.transfer
        gone = pb.INSTANCE_STATE_OFF_MIGRATED if row.entry.mode == pb.MODE_LIVE else pb.INSTANCE_STATE_OFF_SHUT_DOWN
        if copy.instance == gone and copy.stored == pb.STORED_KIND_SEALED:
            self.ledger.change(row.vm, lambda now: now.standing.source.gone.CopyFrom(transfer), "gone", attempt=transfer.attempt)
        elif copy.instance == pb.INSTANCE_STATE_RUNNING:
            def failed(now: Row) -> None:
                now.standing.source.sealed.transfer.failed = "the transfer was interrupted"

            self.ledger.change(row.vm, failed, "transfer_failed", attempt=transfer.attempt)

    def _commit_there(self, row: Row) -> None:
        """With the transfer's own token, again and again until it is answered. A refusal is an answer, silence is none."""
        transfer = row.standing.source.gone
        if (row.vm, token_of(transfer.token)) in self._answered:
            return
        request = pb.CommitArrivalRequest(
            request_id=str(uuid.uuid4()), evacuation=row.entry.evacuation, vm=row.vm, attempt=transfer.attempt,
            token=transfer.token, source_site=self.name,
        )
        outcome = self._peer(row.entry.destination_site).CommitArrival(request, timeout=PEER_DEADLINE_S)
        if outcome.WhichOneof("result") == "reading" or getattr(outcome.failure, "class") == REFUSED:
            self._answered.add((row.vm, token_of(transfer.token)))

    def _delete_retired(self, row: Row) -> None:
        """Its time has come: deleted only if the destination shows, now, that the VM has arrived there."""
        asked = pb.ObserveRequest(evacuation=row.entry.evacuation, vms=[pb.VmToken(vm=row.vm)])
        there = next(iter(self._peer(row.entry.destination_site).Observe(asked, timeout=PEER_DEADLINE_S))).reading.destination
        record = there.WhichOneof("record")
        if record != "completed" and not (record == "closed" and there.closed.outcome == pb.OUTCOME_MIGRATED):
            return
        for copy in self.hypervisors.copies(row.vm):
            if copy.stored != pb.STORED_KIND_RETIRED:
                return
            self.hypervisors.remove(copy)

        def deleted(now: Row) -> None:
            now.standing.source.deleted_at_ms = now_ms()

        self.ledger.change(row.vm, deleted, "retired_copy_deleted")


_ARRIVALS = {"open_attempt", "make_placeholder", "commit", "run", "abandon", "reopen", "discard", "close_destination"}
_EVENTS = {"open_attempt": "attempt_opened", "commit": "completed", "abandon": "abandoned", "reopen": "reopened",
           "transfer": "transfer_begun", "retire": "retired", "close_source": "source_closed",
           "close_destination": "destination_closed", "release": "released"}


def _detail(row: Row) -> dict[str, Any]:
    side = row.standing.WhichOneof("standing")
    return {"side": side} if side else {}


def _below(row: Row, token: Token) -> Failure:
    return refuse("BELOW_FLOOR", f"token {token[0]}.{token[1]} is below the floor {row.floor[0]}.{row.floor[1]}")


def _raise_floor(row: Row, token: Token) -> None:
    if token < row.floor:
        raise _below(row, token)
    row.floor = token


def _clear_intent(row: Row) -> None:
    row.intent = ""


def _record_of(row: Row, attempt: int) -> Any:
    """The started record of this attempt, as long as it is neither given up nor completed."""
    at = row.standing.destination
    if at.WhichOneof("record") != "started" or at.started.attempt != attempt:
        raise not_in_order("no started record of this attempt stands without an event")
    started = pb.Started()
    started.CopyFrom(at.started)
    return started
