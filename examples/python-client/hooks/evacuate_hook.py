"""What a runbook engine calls: evacuates a site, waits, and succeeds only if every VM has fully migrated.

Called again with the same job it starts nothing twice: the order's request id is a UUIDv5 of the job's id, and muster
answers a repeated request with what it has started before. So the engine may kill this at any time and run it again.

Standard output: one JSON object with request_id, evacuation, fully_migrated and verdicts. Exit codes are those of the
muster command: 0 every VM has fully migrated, 1 failed or VMs stayed at the source, 2 usage, 3 VMs are held or not
settled, 4 refused.
"""

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from muster_client import MusterError, add_arguments, connect, is_fully_migrated, request_id_of_job  # noqa: E402

DONE, FAILED, HELD, REFUSED = 0, 1, 3, 4


def run(arguments: argparse.Namespace, runbook: str) -> int:
    request_id = request_id_of_job(arguments.job)
    with connect(arguments) as muster:
        evacuation = muster.create_evacuation(runbook, request_id, arguments.by).evacuation
        print(f"job {arguments.job}: evacuation {evacuation}", file=sys.stderr, flush=True)
        for picture in muster.follow(evacuation):
            if picture.only_held_left:
                break
        # Whatever the watch has shown, the verdicts are proven: the sites themselves are asked about every VM.
        roll = muster.report(evacuation)
    result = {
        "request_id": str(request_id),
        "evacuation": evacuation,
        "fully_migrated": is_fully_migrated(roll),
        "verdicts": dict(Counter(line.verdict for line in roll)),
    }
    print(json.dumps(result))
    if result["fully_migrated"]:
        return DONE
    return FAILED if all(line.settled for line in roll) else HELD


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", help="the engine's id of this job; the same in each run of it")
    parser.add_argument("runbook", type=Path, help="TOML; see examples/evacuate.toml")
    add_arguments(parser)
    arguments = parser.parse_args()
    try:
        return run(arguments, arguments.runbook.read_text(encoding="utf-8"))
    except MusterError as error:
        print(f"{arguments.orchestrator}: {error}", file=sys.stderr)
        return REFUSED if error.error_class == "refused" else FAILED
    except OSError as error:
        parser.error(str(error))


if __name__ == "__main__":
    sys.exit(main())
