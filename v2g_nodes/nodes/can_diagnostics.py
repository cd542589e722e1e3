"""What a node with a link to the CAN bus tells on /diagnostics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from v2g_nodes.canbus.frame_watch import FrameLine
from v2g_nodes.canbus.identifier import slot_name
from v2g_nodes.canbus.link_state import LinkState
from v2g_nodes.nodes.diagnostics import Status


def bus_status(
    who: str, state: LinkState, lines: Sequence[FrameLine], figures: Mapping[str, float] | None = None,
    problem: str = "",
) -> Status:
    """Status of one link: OK only if the bus works, nothing was refused and nobody is late.

    Args:
        who: module, or name of the node.
        state: of its link.
        lines: of every message of every sender.
        figures: whatever else is known, by name.
        problem: why the other end can't be used; empty when it can.
    """
    status = Status(who, "CAN bus", f"bus {state.active} works", {
        **state._asdict(),
        **{name: float(value) for name, value in (figures or {}).items()},
        **{f"{line.name} of {slot_name(line.source)}": _words(line) for line in lines if line.source >= 0},
    })  # fmt: skip
    if not state.up or problem:
        status.error(problem or f"bus {state.active} is down: {state.text}")
        return status
    refused = sum((Counter(line.refused) for line in lines), Counter[str]())
    for verdict, count in sorted(refused.items()):
        status.warn(f"{count} frames refused: {verdict}")
    for line in lines:
        if line.late:
            status.warn(f"{line.name} of {slot_name(line.source)} is late")
    return status


def _words(line: FrameLine) -> str:
    refused = "".join(f", {count} {verdict}" for verdict, count in sorted(line.refused.items()))
    return (f"{line.verdict}: {line.frames} frames, {line.rate_hz:.4g} Hz, last {line.age_s:.3f} s ago, "
            f"{line.lost} lost{refused}")
