#!/bin/sh
# What a runbook engine calls: evacuates a site with the muster command, waits, and succeeds only if every VM has fully
# migrated.
#
#   evacuate-hook.sh JOB RUNBOOK [ORCHESTRATOR]
#
# Called again with the same job it starts nothing twice: the order's request id is a UUIDv5 of the job's id, and muster
# answers a repeated request with what it has started before. So the engine may kill this at any time and run it again.
#
# Standard output: one JSON object with request_id, evacuation, fully_migrated and verdicts. Exit codes are those of the
# muster command: 0 every VM has fully migrated, 1 failed or VMs stayed at the source, 2 usage, 3 VMs are held or not
# settled, 4 refused.
#
# Environment: MUSTER, the command (default: muster); MUSTER_BY, who orders it (default: runbook-engine).
set -eu

TRIES_MAX=30    # how often a call is made that fails without being refused
AGAIN_AFTER_S=2
JOBS=34acf533-e0c1-514f-b70d-abc42a8a359e    # the namespace of jobs, as in muster_client.py

if [ $# -lt 2 ] || [ $# -gt 3 ]; then
    echo "usage: $0 JOB RUNBOOK [ORCHESTRATOR]" >&2
    exit 2
fi
job=$1
runbook=$2
if ! [ -r "$runbook" ]; then
    echo "$runbook can't be read" >&2
    exit 2
fi
MUSTER_ORCHESTRATOR=${3:-${MUSTER_ORCHESTRATOR:-127.0.0.1:7700}}
export MUSTER_ORCHESTRATOR
muster=${MUSTER:-muster}
by=${MUSTER_BY:-runbook-engine}

# uuid5 NAMESPACE NAME: the name's UUID, of the SHA-1 of both (RFC 9562).
uuid5() {
    namespace=
    for byte in $(printf %s "$1" | sed 's/-//g; s/../& /g'); do
        namespace="$namespace$(printf '\\0%03o' "0x$byte")"
    done
    sum=$({ printf %b "$namespace"; printf %s "$2"; } | sha1sum)
    part() { printf %s "$sum" | cut -c "$1"; }
    variant=$(printf %x $((0x$(part 17) & 3 | 8)))
    printf '%s-%s-5%s-%s%s-%s\n' "$(part 1-8)" "$(part 9-12)" "$(part 14-16)" "$variant" "$(part 18-20)" "$(part 21-32)"
}

# repeated COMMAND...: its output. What has failed without being refused (1) is tried again; the request id makes that safe.
repeated() {
    tries=1
    while :; do
        code=0
        output=$("$@") || code=$?
        if [ "$code" -ne 1 ] || [ "$tries" -ge "$TRIES_MAX" ]; then
            printf '%s\n' "$output"
            return "$code"
        fi
        tries=$((tries + 1))
        sleep "$AGAIN_AFTER_S"
    done
}

# Ends once the evacuation is over or all that is left of it is held; fails where the orchestrator is silent.
# shellcheck disable=SC2329
watched() {
    last=$("$muster" status "$evacuation" --watch --output json | tail -n 1)
    printf '%s\n' "$last" | grep -q '"waiting":0,"moving":0,'
}

request_id=$(uuid5 "$JOBS" "$job")
started=$(repeated "$muster" evacuate "$runbook" --request-id "$request_id" --by "$by" --output json)
evacuation=$(printf '%s\n' "$started" | sed 's/^{"evacuation":"\([^"]*\)".*/\1/')
echo "job $job: evacuation $evacuation" >&2
repeated watched >/dev/null

# Whatever the watch has shown, the verdicts are proven: the sites themselves are asked about every VM.
code=0
roll=$(repeated "$muster" recover "$evacuation" --orchestrator "$MUSTER_ORCHESTRATOR" --output json) || code=$?
verdicts=$(printf '%s\n' "$roll" | sed -n 's/.*"verdicts":\({[^}]*}\).*/\1/p')
fully_migrated=false
if [ "$code" -eq 0 ]; then
    if printf '%s\n' "$verdicts" | grep -q '^{"FullyMigrated":[1-9][0-9]*}$'; then
        fully_migrated=true
    else
        code=1
    fi
fi
printf '{"request_id":"%s","evacuation":"%s","fully_migrated":%s,"verdicts":%s}\n' \
    "$request_id" "$evacuation" "$fully_migrated" "${verdicts:-null}"
exit "$code"
