"""Evacuates a site as a runbook says, and accounts for every VM.

It starts, watches, lists the moves, calls the roll and reads the audit trail. It can be killed at any moment, and so
can its connection and the orchestrator: called again for the same job it goes on. Exit codes are those of the muster
command: 0 every VM has fully migrated, 1 failed or VMs stayed at the source, 2 usage, 3 VMs are held or not settled,
4 refused.
"""

import argparse
import json
import sys
import uuid
from collections import Counter
from pathlib import Path

from muster.v1 import muster_pb2 as pb

from muster_client import (
    Muster,
    MusterError,
    Picture,
    add_arguments,
    connect,
    is_fully_migrated,
    request_id_of_job,
)

DONE, FAILED, HELD, REFUSED = 0, 1, 3, 4


def evacuate(muster: Muster, runbook: str, job: str, by: str) -> int:
    evacuation = muster.create_evacuation(runbook, request_id_of_job(job), by).evacuation
    say(f"evacuation {evacuation}")
    picture = watch(muster, evacuation)

    pages = [page.moves for page in muster.moves(evacuation)]
    states = Counter(pb.MoveState.Name(one.state) for moves in pages for one in moves)
    say(f"{states.total()} moves on {len(pages)} pages: {dict(states)}")

    roll = muster.report(evacuation)
    if not all(line.settled for line in roll):
        # What has begun and stands still is finished, undone or held; held again is what needs a person.
        roll = muster.recover(evacuation, uuid.uuid4(), by)
    verdicts = Counter(line.verdict for line in roll)
    for line in roll:
        if line.held_because:
            say(f"{line.name} is held: {line.held_because}; {line.remedy}")

    lines = [line for page in muster.audit(evacuation) for line in page.lines]
    say(f"{len(lines)} lines of audit, by {', '.join(sorted({line.by for line in lines}))}")

    print(json.dumps({"evacuation": evacuation, "verdicts": verdicts, "audit_lines": len(lines)}))
    if is_fully_migrated(roll):
        return DONE
    return HELD if picture.only_held_left or not all(line.settled for line in roll) else FAILED


def watch(muster: Muster, evacuation: str) -> Picture:
    """Shows how it goes, until it is over or waits for a person."""
    picture, shown = Picture(), ""
    for picture in muster.follow(evacuation):
        counts = picture.evacuation.counts
        line = f"{counts.migrated} of {len(picture.moves)} migrated, {counts.moving} moving, {counts.held} held"
        if line != shown and picture.is_whole:
            say(shown := line)
        if picture.only_held_left and picture.is_whole:
            break
    return picture


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runbook", type=Path, help="TOML; see examples/evacuate.toml")
    parser.add_argument("--job", help="its name: the same job is never started twice (default: a new one)")
    add_arguments(parser)
    arguments = parser.parse_args()
    try:
        with connect(arguments) as muster:
            job = arguments.job or str(uuid.uuid4())
            return evacuate(muster, arguments.runbook.read_text(encoding="utf-8"), job, arguments.by)
    except MusterError as error:
        say(f"{arguments.orchestrator}: {error}")
        return REFUSED if error.error_class == "refused" else FAILED
    except OSError as error:
        parser.error(str(error))


if __name__ == "__main__":
    sys.exit(main())
