"""A minimal worker for muster: a site of toy hosts behind muster.worker.v1. See README.md."""

import argparse
import signal
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import checks
import grpc
from google.protobuf import any_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status
from hypervisors import Hypervisors
from ledger import Ledger, now_ms, token_of
from protocol import pb, rpc
from site_worker import Failure, Site, refuse

STREAMS_MAX = 64
"""Most calls at once; a watch takes one for as long as it lasts."""
ALIVE_EVERY_S = 2.0
LISTEN_EVERY_S = 0.05
PAGE_MAX = 1_000
MESSAGE_MAX_BYTES = 16 * 1024 * 1024
_CLASSES = {pb.FAILURE_CLASS_RETRY: "retry", pb.FAILURE_CLASS_REFUSED: "refused"}


class Service(rpc.SiteServicer):
    """The site over gRPC: checks what comes in, and puts what comes out into messages."""

    def __init__(self, site: Site) -> None:
        self._site, self._ledger = site, site.ledger

    def GetSite(self, request: Any, context: grpc.ServicerContext) -> Any:
        newest, at_ms = self._ledger.newest()
        return pb.GetSiteResponse(
            site=self._site.name, working=True, now_ms=now_ms(), version="python-worker", newest_sequence=newest, newest_entry_at_ms=at_ms
        )

    def ListInventory(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        yield from (pb.InventoryItem(host=host) for host in self._site.hypervisors.hosts())
        for copy in self._site.hypervisors.copies():
            yield pb.InventoryItem(
                vm=pb.InventoryVm(vm=copy.vm, host=copy.host, definition=copy.definition, instance=copy.instance, stored=copy.stored)
            )

    def Survey(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        _check(context, checks.survey, request)
        yield pb.SurveyItem(site=pb.SiteOffer(peers=[pb.PeerSurvey(site=peer) for peer in self._site.peers]))
        copies = {copy.vm: copy for copy in self._site.hypervisors.copies()}
        for host in self._site.hypervisors.hosts():
            residents = [pb.Resident(vm=c.vm, name=c.definition.name, vcpus=c.definition.vcpus) for c in copies.values() if c.host == host.host]
            yield pb.SurveyItem(host=pb.HostSurvey(host=host.host, residents=residents))
            for processor in request.processors:
                verdict = pb.ProcessorVerdict(processor=processor, host=host.host, unknown="toy hosts have no processors")
                yield pb.SurveyItem(processor=verdict)
        for vm in request.vms:
            if vm in copies:
                yield pb.SurveyItem(needs=pb.VmNeeds(vm=vm))

    def ListEvacuations(self, request: Any, context: grpc.ServicerContext) -> Any:
        return pb.ListEvacuationsResponse(evacuations=self._ledger.evacuations())

    def ListRoll(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        _check(context, checks.list_roll, request)
        yield from (row.entry for row in self._ledger.rows() if row.side(request.evacuation))

    def GetGreatestEpoch(self, request: Any, context: grpc.ServicerContext) -> Any:
        _check(context, checks.greatest_epoch, request)
        epochs = [self._ledger.row(vm).floor[0] for vm in request.vms]
        return pb.GetGreatestEpochResponse(epoch=max([self._ledger.claims(request.evacuation).epoch, *epochs]))

    def ClaimEvacuation(self, request: Any, context: grpc.ServicerContext) -> Any:
        def claim(claims: Any) -> None:
            if claims.epoch != request.expected_epoch:
                raise refuse("CLAIMED_IN_BETWEEN", f"the epoch is {claims.epoch}")
            is_anothers = claims.HasField("holder") and claims.holder != request.holder
            if is_anothers and claims.holder.kind == pb.HOLDER_KIND_RECOVERY and not request.HasField("take_over_reason"):
                raise refuse("HELD_BY_RECOVERY", f"the recovery {claims.holder.name} holds it")
            claims.epoch = max(claims.epoch, request.at_least_epoch) + 1
            claims.holder.CopyFrom(request.holder)

        return self._order(context, checks.claim, request, "claimed", claim)

    def ReleaseClaim(self, request: Any, context: grpc.ServicerContext) -> Any:
        def release(claims: Any) -> None:
            if claims.epoch != request.epoch:
                raise refuse("CLAIMED_IN_BETWEEN", f"the epoch is {claims.epoch}")
            claims.ClearField("holder")

        return self._order(context, checks.release, request, "claim_released", release)

    def AssertFenced(self, request: Any, context: grpc.ServicerContext) -> Any:
        def swear(claims: Any) -> None:
            claims.assertions.add(fenced=request.fenced, reason=request.reason, by=request.by, at_ms=now_ms())

        return self._order(context, checks.assertion, request, "asserted", swear)

    def _order(self, context: grpc.ServicerContext, check: Callable[[Any], None], request: Any, event: str, change: Callable[[Any], None]) -> Any:
        _check(context, check, request)
        reused = refuse("REQUEST_REUSED", "this request id was used for something else")
        try:
            return self._ledger.order(request, event, change, reused)
        except Failure as failure:
            _abort(context, code_pb2.FAILED_PRECONDITION, failure)

    def WriteRoll(self, request: Any, context: grpc.ServicerContext) -> Any:
        _check(context, checks.write_roll, request)
        answer = pb.WriteRollResponse()
        for entry in request.entries:
            try:
                self._site.write_roll(request.side, request.epoch, entry)
            except Failure as failure:
                answer.refused.add(vm=entry.vm, failure=_failure(failure))
        return answer

    def Observe(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        _check(context, checks.observe, request)
        for item in request.vms:
            try:
                token = token_of(item.token) if item.HasField("token") else None
                yield pb.Observation(vm=item.vm, reading=self._site.observe(item.vm, token))
            except Failure as failure:
                yield pb.Observation(vm=item.vm, failure=_failure(failure))

    def Execute(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        _check(context, checks.execute, request)
        for command in request.commands:
            try:
                yield pb.CommandOutcome(vm=command.vm, reading=self._site.execute(request.evacuation, command))
            except Failure as failure:
                yield pb.CommandOutcome(vm=command.vm, failure=_failure(failure))

    def CommitArrival(self, request: Any, context: grpc.ServicerContext) -> Any:
        _check(context, checks.commit, request)
        try:
            return pb.CommandOutcome(vm=request.vm, reading=self._site.commit_arrival(request))
        except Failure as failure:
            return pb.CommandOutcome(vm=request.vm, failure=_failure(failure))

    def ProvePath(self, request: Any, context: grpc.ServicerContext) -> Any:
        _check(context, checks.prove_path, request)
        return pb.ProvePathResponse(nonce=request.nonce, site=self._site.name, working=True)

    def ListEvents(self, request: Any, context: grpc.ServicerContext) -> Any:
        _check(context, checks.list_events, request)
        limit, (newest, _) = request.page_size or PAGE_MAX, self._ledger.newest()
        lines = [line for line in self._ledger.events(request.after_sequence, limit, request.event) if line.sequence <= newest]
        # A full page may not be the last; one that isn't has gone through all that there was.
        read_to = lines[-1].sequence if len(lines) == limit else max(request.after_sequence, newest)
        return pb.ListEventsResponse(lines=lines, read_to_sequence=read_to)

    def Watch(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        """Readings carry the old number: only once all of them are told is the new one where to resume from."""
        mark, told_s, is_first = request.after_sequence, 0.0, True
        while context.is_active():
            newest, _ = self._ledger.newest()
            if is_first or newest > mark:
                lines = self._ledger.events(mark, PAGE_MAX) if mark or not is_first else []
                upto = lines[-1].sequence if len(lines) == PAGE_MAX else max(mark, newest)
                vms = {line.vm for line in lines if line.vm}
                evacuations = {line.evacuation for line in lines if not line.vm}
                if is_first:
                    vms |= {row.vm for row in self._ledger.rows() if row.is_open()}
                    evacuations |= {claims.evacuation for claims in self._ledger.evacuations()}
                yield from (pb.SiteEvent(sequence=mark, reading=self._site.reading(vm)) for vm in sorted(vms))
                yield from (pb.SiteEvent(sequence=mark, claims=self._ledger.claims(one)) for one in sorted(evacuations))
                mark, is_first, told_s = upto, False, 0.0
            if time.monotonic() - told_s >= ALIVE_EVERY_S:
                yield pb.SiteEvent(sequence=mark, alive=True)
                told_s = time.monotonic()
            time.sleep(LISTEN_EVERY_S)


def _failure(failure: Failure) -> Any:
    return pb.Failure(**{"class": failure.kind}, reason=failure.reason, message=failure.message)


def _check(context: grpc.ServicerContext, check: Callable[[Any], None], request: Any) -> None:
    try:
        check(request)
    except checks.Invalid as invalid:
        violations = error_details_pb2.BadRequest()
        violations.field_violations.add(field=invalid.field, description=invalid.why)
        _abort(context, code_pb2.INVALID_ARGUMENT, refuse("INVALID_MESSAGE", str(invalid)), violations)


def _abort(context: grpc.ServicerContext, code: int, failure: Failure, *more: Any) -> None:
    """A status of the site's own: without ErrorInfo of this domain it would mean "unknown"."""
    info = error_details_pb2.ErrorInfo(domain="muster", reason=failure.reason, metadata={"class": _CLASSES[failure.kind]})
    status = status_pb2.Status(code=code, message=failure.message)
    for detail in (info, *more):
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    context.abort_with_status(rpc_status.to_status(status))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--site", required=True, metavar="NAME")
    arguments.add_argument("--listen", required=True, metavar="ADDR", help="loopback only; port 0 takes any free one")
    arguments.add_argument("--ledger", required=True, metavar="FILE", help="made new where there is none")
    arguments.add_argument("--world", required=True, metavar="FILE", help="the toy hypervisors of all sites")
    arguments.add_argument("--peer", action="append", default=[], metavar="SITE=ADDR", help="another site's worker")
    arguments.add_argument("--hosts", type=int, default=2, metavar="N")
    arguments.add_argument("--vms", type=int, default=0, metavar="N", help="VMs that the site has in the beginning")
    arguments.add_argument("--stop-with-stdin", action="store_true", help="stop when standard input ends")
    given = arguments.parse_args()
    if given.listen.rpartition(":")[0] not in ("127.0.0.1", "[::1]", "localhost"):
        raise SystemExit("--listen: without TLS only loopback may be used")

    hypervisors = Hypervisors(given.world, given.site)
    hypervisors.furnish(given.hosts, [str(uuid.uuid4()) for _ in range(given.vms)])
    peers = dict(peer.split("=", 1) for peer in given.peer)
    site = Site(given.site, Ledger(given.ledger), hypervisors, peers)
    sizes = [("grpc.max_receive_message_length", MESSAGE_MAX_BYTES), ("grpc.so_reuseport", 0)]
    server = grpc.server(futures.ThreadPoolExecutor(STREAMS_MAX), options=sizes)
    rpc.add_SiteServicer_to_server(Service(site), server)
    host, _, _ = given.listen.rpartition(":")
    port = server.add_insecure_port(given.listen)
    server.start()
    print(f"listening on {host}:{port}", flush=True)
    threading.Thread(target=site.follow, daemon=True).start()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    if given.stop_with_stdin:
        threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    stop.wait()
    server.stop(grace=1).wait()


if __name__ == "__main__":
    main()
