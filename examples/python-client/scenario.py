"""What CI has this client do against real daemons: a large and a small evacuation, through a bad network.

It asserts all that it sees. The site has to have VMs numbered as `muster world --vms 10100` numbers them: the small
evacuation takes the 50 from 10050 to 10099, the large one all others, more than 10,000. The large one is watched, cut
off, resumed and listed while it is under way, then paused, recovered, audited and left; the small one goes to its end.
"""

import argparse
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable

import grpc

from muster.v1 import muster_pb2 as pb

from cutting_proxy import CuttingProxy
from muster_client import Muster, MusterError, Picture, add_arguments, connect, counts_of, is_fully_migrated

LARGE_MIN = 10_000
SMALL = 50
SMALL_NAMES = '["*-1005*", "*-1006*", "*-1007*", "*-1008*", "*-1009*"]'
# Few at once: what is under test is the client, and the machine may be small.
LIMITS = "[limits]\ntotal = 4\nper_source_host = 4\nper_destination_host = 4\n"
# Not a divisor of the moves, so that pages end in odd places.
ODD_PAGE_SIZE = 777
SITES = 'source.site = "paris"\ndestination.site = "berlin"\n'
LARGE_RUNBOOK = f'name = "large"\n{SITES}[[select]]\nall = true\nexcept = {{ names = {SMALL_NAMES} }}\n{LIMITS}'
SMALL_RUNBOOK = f'name = "small"\n{SITES}[[select]]\nnames = {SMALL_NAMES}\n{LIMITS}'
# Who orders, as the audit trail has to have it.
BY = "scenario"

OVER = (pb.MOVE_STATE_MIGRATED, pb.MOVE_STATE_STAYED_AT_SOURCE)


def refusals(muster: Muster) -> None:
    """What is wrong is refused once, with its reason and its place, and not repeated."""
    begun = time.monotonic()
    error = refused(lambda: muster.create_evacuation('name = "wrong"\n[sourc]\n', uuid.uuid4(), BY))
    expect(
        error.code == grpc.StatusCode.INVALID_ARGUMENT and error.reason == "INVALID_MESSAGE",
        f"a wrong runbook: {error}",
    )
    places = [violation.field for violation in error.violations]
    expect(any(place.startswith("runbook:2:") for place in places), f"its mistakes are at {places}")
    error = refused(lambda: muster.evacuation(str(uuid.uuid4())))
    expect(error.code == grpc.StatusCode.NOT_FOUND and error.reason == "NO_EVACUATION", f"no such evacuation: {error}")
    error = refused(lambda: next(muster.moves("", page_size=1_001)))
    expect(error.code == grpc.StatusCode.INVALID_ARGUMENT, f"too large a page: {error}")
    expect([violation.field for violation in error.violations] == ["page_size"], f"too large a page: {error}")
    expect(time.monotonic() - begun < muster.backoff.patience_s, "what was refused was repeated")


def start(muster: Muster, runbook: str) -> str:
    """Starts an evacuation. The same request finds it again; with another payload it is refused."""
    request_id = uuid.uuid4()
    first = muster.create_evacuation(runbook, request_id, BY)
    again = muster.create_evacuation(runbook, request_id, BY)
    expect(first.evacuation == again.evacuation, f"one request has started {first.evacuation} and {again.evacuation}")
    error = refused(lambda: muster.create_evacuation(runbook + "\n", request_id, BY))
    expect(
        error.code == grpc.StatusCode.INVALID_ARGUMENT and error.reason == "REQUEST_ID_REUSED",
        f"another payload: {error}",
    )
    return first.evacuation


def watch_through_cuts(arguments: argparse.Namespace, evacuation: str, picture: Picture, migrated_min: int) -> None:
    """Watches until so many VMs have migrated; this client closes its connection once, and the network cuts it twice.

    Nothing that was known before a cut is lost or taken back after it.
    """
    with connect(arguments) as muster:
        for _ in muster.follow(evacuation, picture):
            if picture.is_whole and picture.evacuation.counts.migrated > 0:
                break
    migrated, known_moves = picture.evacuation.counts.migrated, len(picture.moves)
    say(f"watched until {migrated} of {known_moves} had migrated; closed the connection")

    with CuttingProxy(arguments.orchestrator) as proxy, connect_through(proxy, arguments) as muster:
        for cut in (1, 2):
            told_before, token, known = picture.moves_told, picture.resume_token, states(picture)
            resumed = False
            for _ in muster.follow(evacuation, picture):
                if not resumed and picture.is_whole:
                    resumed = True
                    expect_forward_only(known, picture)
                    told = picture.moves_told - told_before
                    expect(not token or told < len(picture.moves), f"a resumed watch told all {told} moves again")
                    say(f"resumed {'after' if token else 'without'} a token: {told} of {len(picture.moves)} moves told")
                    proxy.cut()
                    known = states(picture)
                elif resumed and picture.is_whole and picture.evacuation.counts.migrated >= migrated_min * cut:
                    expect_forward_only(known, picture)
                    break
            expect(proxy.cuts == cut, f"{proxy.cuts} cuts")
        expect(proxy.connections > proxy.cuts, f"{proxy.connections} connections over {proxy.cuts} cuts")


def page_through(muster: Muster, evacuation: str, known: set[str]) -> None:
    """Reads all moves while they go on: each VM once, in one order, none missing, whatever the pages' size."""
    orders: list[list[str]] = []
    for page_size in (1_000, ODD_PAGE_SIZE):
        pages = [list(page.moves) for page in muster.moves(evacuation, page_size)]
        moves = [one for page in pages for one in page]
        orders.append(vms := [one.vm for one in moves])
        expect(all(len(page) <= page_size for page in pages), f"a page of more than {page_size}")
        expect(len(pages) >= len(vms) // page_size, f"{len(vms)} moves on {len(pages)} pages")
        expect(len(set(vms)) == len(vms), "pages overlap")
        expect(set(vms) == known, f"{len(known - set(vms))} VMs are on no page, {len(set(vms) - known)} are not known")
        expect(all(one.evacuation == evacuation for one in moves), "a move of another evacuation")
        say(f"{len(vms)} moves on {len(pages)} pages of at most {page_size}")
    expect(orders[0] == orders[1], "the order hangs on the page size")


def pause_and_settle(muster: Muster, evacuation: str, picture: Picture) -> None:
    """Pauses, and watches until nothing is under way any more. What the watch shows then is what the list says."""
    expect(muster.pause(evacuation, uuid.uuid4(), BY).state == pb.EVACUATION_STATE_PAUSED, "it is not paused")
    for _ in muster.follow(evacuation, picture):
        paused = picture.evacuation.state == pb.EVACUATION_STATE_PAUSED
        if paused and picture.is_whole and picture.evacuation.counts.moving == 0:
            break


def expect_same(muster: Muster, picture: Picture) -> None:
    """The watch's picture, the list and the orchestrator's own counts agree."""
    evacuation = picture.evacuation.evacuation
    listed = {one.vm: one.state for page in muster.moves(evacuation) for one in page.moves}
    differ = listed.items() ^ states(picture).items()
    expect(not differ, f"the list and the watch differ: {differ}")
    counts = counts_of(muster.evacuation(evacuation))
    expect(counts == picture.counts, f"counted {counts}, watched {picture.counts}")


def call_roll(muster: Muster, picture: Picture) -> None:
    """The roll has every VM once. What has migrated is proven to have; what never began is not started."""
    evacuation = picture.evacuation.evacuation
    for name, roll in (
        ("report", muster.report(evacuation)),
        ("recovery", muster.recover(evacuation, uuid.uuid4(), BY)),
    ):
        vms = [line.vm for line in roll]
        expect(len(set(vms)) == len(vms) and set(vms) == set(picture.moves), f"the {name} has {len(vms)} lines")
        for line in roll:
            migrated = picture.moves[line.vm].state == pb.MOVE_STATE_MIGRATED
            verdict = "FullyMigrated" if migrated else "NotStarted"
            expect(line.verdict == verdict, f"the {name} says of {line.name}: {line.verdict}, not {verdict}")
        say(f"{name}: {dict(Counter(line.verdict for line in roll))}")


def audit(muster: Muster, picture: Picture) -> None:
    """The trail is read to its end: in order, nothing twice, who ordered it, an end of each move that is over."""
    evacuation = picture.evacuation.evacuation
    lines = [line for page in muster.audit(evacuation) for line in page.lines]
    sequences = [line.sequence for line in lines]
    expect(sequences == sorted(set(sequences)), "the trail is out of order, or has lines twice")
    expect(all(line.evacuation == evacuation for line in lines), "a line of another evacuation")
    expect(lines[0].by == BY, f"ordered by {lines[0].by}")
    about = {line.vm for line in lines if line.vm}
    expect(about == set(picture.moves), f"it tells of {len(about)} VMs")
    ended = {line.vm for line in lines if line.record == "settled"}
    over = {vm for vm, state in states(picture).items() if state in OVER}
    expect(ended == over, f"it tells of {len(ended)} ends, and {len(over)} moves are over")
    say(f"{len(lines)} lines of audit: {dict(Counter(line.record for line in lines))}")


def large(arguments: argparse.Namespace) -> None:
    with connect(arguments) as muster:
        refusals(muster)
        evacuation = start(muster, LARGE_RUNBOOK)
    picture = Picture()
    watch_through_cuts(arguments, evacuation, picture, migrated_min=4)
    expect(len(picture.moves) >= LARGE_MIN, f"only {len(picture.moves)} moves")
    with connect(arguments) as muster:
        page_through(muster, evacuation, set(picture.moves))
        expect(muster.evacuation(evacuation).counts.waiting > 0, "all was over before the pages were read")
        pause_and_settle(muster, evacuation, picture)
        expect_same(muster, picture)
        call_roll(muster, picture)
        audit(muster, picture)


def small(arguments: argparse.Namespace) -> None:
    with connect(arguments) as muster:
        evacuation = start(muster, SMALL_RUNBOOK)
    picture = Picture()
    watch_through_cuts(arguments, evacuation, picture, migrated_min=5)
    with connect(arguments) as muster:
        for _ in muster.follow(evacuation, picture):
            pass
        expect(picture.is_over, f"the watch has ended, the evacuation hasn't: {picture.evacuation}")
        expect(picture.counts == {pb.MOVE_STATE_MIGRATED: SMALL}, f"it has ended with {picture.counts}")
        page_through(muster, evacuation, set(picture.moves))
        expect_same(muster, picture)
        call_roll(muster, picture)
        expect(is_fully_migrated(muster.report(evacuation)), "not every VM is settled")
        audit(muster, picture)


def states(picture: Picture) -> dict[str, int]:
    return {vm: one.state for vm, one in picture.moves.items()}


def expect_forward_only(known: dict[str, int], picture: Picture) -> None:
    now = states(picture)
    expect(set(known) <= set(now), f"{len(set(known) - set(now))} VMs were forgotten")
    back = [vm for vm, state in known.items() if state in OVER and now[vm] != state]
    expect(not back, f"moves that were over are not any more: {back}")


def connect_through(proxy: CuttingProxy, arguments: argparse.Namespace) -> Muster:
    return connect(argparse.Namespace(**{**vars(arguments), "orchestrator": proxy.address}))


def refused(call: Callable[[], object]) -> MusterError:
    try:
        call()
    except MusterError as error:
        return error
    raise SystemExit("scenario: a call was answered that had to be refused")


def expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise SystemExit(f"scenario: {otherwise}")


def say(line: str) -> None:
    print(f"{time.strftime('%T')} {line}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    arguments = parser.parse_args()
    for name, part in (("large", large), ("small", small)):
        say(f"== {name}")
        part(arguments)
    say("all is as it should be")
    return 0


if __name__ == "__main__":
    sys.exit(main())
