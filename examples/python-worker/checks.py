"""What comes in is checked here, once: presence, names, UUIDs, bounds. Nothing behind this looks at a request again."""

import re
import uuid
from collections.abc import Iterable
from typing import Any

from protocol import pb

ITEMS_MAX = 1_000
PAGE_MAX = 1_000
TEXT_MAX_BYTES = 1_024
SIZE_MAX_MIB = 1 << 40
U64_MAX = 2**64 - 1
KEPT_MS = (1_000, 315_360_000_000)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class Invalid(Exception):
    """A request that makes no sense: which field, and why."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}")
        self.field = field
        self.why = why


def hold(holds: bool, field: str, why: str) -> None:
    if not holds:
        raise Invalid(field, why)


def an_id(field: str, given: str) -> None:
    try:
        uuid.UUID(given)
    except ValueError:
        raise Invalid(field, "is not a UUID") from None


def ids(field: str, given: Iterable[str]) -> None:
    for index, item in enumerate(given):
        an_id(f"{field}[{index}]", item)


def name(field: str, given: str) -> None:
    hold(_NAME.fullmatch(given) is not None, field, "is not a name: 1 to 63 letters, digits, '-', '_' or '.'")


def text(field: str, given: str, most: int = TEXT_MAX_BYTES) -> None:
    hold(0 < len(given.encode()) <= most, field, f"is not 1 to {most} bytes long")
    hold(not any(ord(one) < 32 or 127 <= ord(one) < 160 for one in given), field, "has control characters")


def within(field: str, given: int, least: int, most: int) -> None:
    hold(least <= given <= most, field, f"is {given}; use {least} to {most}")


def one_of(field: str, kind: Any, given: int) -> None:
    hold(given != 0 and given in kind.values(), field, f"{given} is none of its kind")


def present(field: str, message: Any, of: str) -> None:
    hold(message.HasField(of), field, "is missing")


def few(field: str, items: Any) -> None:
    hold(len(items) <= ITEMS_MAX, field, f"has {len(items)} items; at most {ITEMS_MAX} go into one request")


def once(field: str, vms: Iterable[str]) -> None:
    seen: set[str] = set()
    for index, vm in enumerate(vms):
        hold(vm not in seen, f"{field}[{index}].vm", "stands twice")
        seen.add(vm)


def token(field: str, message: Any) -> None:
    present(field, message, "token")
    within(f"{field}.epoch", message.token.epoch, 1, U64_MAX - 1)


def execute(request: Any) -> None:
    few("commands", request.commands)
    for index, command in enumerate(request.commands):
        at = f"commands[{index}]"
        an_id(f"{at}.vm", command.vm)
        token(f"{at}.token", command)
        action = command.WhichOneof("action")
        hold(action is not None, f"{at}.action", "is missing")
        _action(f"{at}.{action}", action, getattr(command, action))
        if command.HasField("retired_copy_kept_ms"):
            within(f"{at}.retired_copy_kept_ms", command.retired_copy_kept_ms, *KEPT_MS)
    once("commands", (command.vm for command in request.commands))
    an_id("request_id", request.request_id)
    an_id("evacuation", request.evacuation)


def _action(field: str, action: str, given: Any) -> None:
    if isinstance(given, bool):
        hold(given, field, "is always true when set")
    elif action in ("make_placeholder", "commit", "abandon", "reopen"):
        within(field, given, 1, 2**32 - 1)
    elif action == "open_attempt":
        name(f"{field}.host", given.host)
        one_of(f"{field}.kind", pb.ArrivalKind, given.kind)
    elif action == "transfer":
        within(f"{field}.attempt", given.attempt, 1, 2**32 - 1)
        name(f"{field}.destination_site", given.destination_site)
        name(f"{field}.destination_host", given.destination_host)
        if given.HasField("connections"):
            within(f"{field}.connections", given.connections, 1, 64)
    elif action == "close_destination":
        one_of(field, pb.Outcome, given)
    elif action == "release":
        text(field, given)


def observe(request: Any) -> None:
    few("vms", request.vms)
    for index, item in enumerate(request.vms):
        an_id(f"vms[{index}].vm", item.vm)
        if item.HasField("token"):
            token(f"vms[{index}].token", item)
    once("vms", (item.vm for item in request.vms))
    an_id("evacuation", request.evacuation)


def write_roll(request: Any) -> None:
    few("entries", request.entries)
    for index, entry in enumerate(request.entries):
        at = f"entries[{index}]"
        an_id(f"{at}.evacuation", entry.evacuation)
        an_id(f"{at}.vm", entry.vm)
        one_of(f"{at}.mode", pb.Mode, entry.mode)
        for field in ("source_site", "destination_site", "destination_host"):
            name(f"{at}.{field}", getattr(entry, field))
        present(f"{at}.definition", entry, "definition")
        text(f"{at}.definition.name", entry.definition.name, 255)
        hold("/" not in entry.definition.name, f"{at}.definition.name", "has a '/'")
        within(f"{at}.definition.memory_mib", entry.definition.memory_mib, 0, SIZE_MAX_MIB)
        within(f"{at}.definition.local_disk_mib", entry.definition.local_disk_mib, 0, SIZE_MAX_MIB)
        hold(entry.evacuation == request.entries[0].evacuation, f"{at}.evacuation", "is another than the first's")
    once("entries", (entry.vm for entry in request.entries))
    an_id("request_id", request.request_id)
    one_of("side", pb.Side, request.side)
    within("epoch", request.epoch, 1, U64_MAX - 1)


def claim(request: Any) -> None:
    an_id("request_id", request.request_id)
    an_id("evacuation", request.evacuation)
    present("holder", request, "holder")
    text("holder.name", request.holder.name)
    one_of("holder.kind", pb.HolderKind, request.holder.kind)
    within("expected_epoch", request.expected_epoch, 0, U64_MAX - 1)
    within("at_least_epoch", request.at_least_epoch, 0, U64_MAX - 1)
    if request.HasField("take_over_reason"):
        text("take_over_reason", request.take_over_reason)


def release(request: Any) -> None:
    an_id("request_id", request.request_id)
    an_id("evacuation", request.evacuation)
    within("epoch", request.epoch, 1, U64_MAX - 1)


def assertion(request: Any) -> None:
    an_id("request_id", request.request_id)
    an_id("evacuation", request.evacuation)
    what = request.fenced.WhichOneof("what")
    hold(what is not None, "fenced.what", "is missing")
    if what == "host":
        name("fenced.host", request.fenced.host)
    text("reason", request.reason)
    text("by", request.by)


def commit(request: Any) -> None:
    an_id("request_id", request.request_id)
    an_id("evacuation", request.evacuation)
    an_id("vm", request.vm)
    within("attempt", request.attempt, 1, 2**32 - 1)
    token("token", request)
    name("source_site", request.source_site)


def prove_path(request: Any) -> None:
    text("nonce", request.nonce, 64)
    name("source_site", request.source_site)


def list_roll(request: Any) -> None:
    an_id("evacuation", request.evacuation)


def greatest_epoch(request: Any) -> None:
    few("vms", request.vms)
    ids("vms", request.vms)
    an_id("evacuation", request.evacuation)


def survey(request: Any) -> None:
    few("vms", request.vms)
    ids("vms", request.vms)
    few("processors", request.processors)


def list_events(request: Any) -> None:
    within("page_size", request.page_size, 0, PAGE_MAX)
