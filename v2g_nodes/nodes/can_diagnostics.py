"""What a node with a link to the CAN bus tells on /diagnostics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from v2g_nodes.canbus.frame_watch import FrameLine
from v2g_nodes.canbus.identifier import slot_name
from v2g_nodes.canbus.link_state import LinkState


def bus_diagnostics(
    stamp: Time, who: str, state: LinkState, lines: Sequence[FrameLine], figures: Mapping[str, float] | None = None,
    problem: str = "",
) -> DiagnosticArray:
    """Status of one link: OK only if the bus works, nothing was refused and nobody is late.

    Args:
        stamp: ROS time.
        who: name of the node.
        state: of its link.
        lines: of every message of every sender.
        figures: whatever else is known, by name.
        problem: why the other end can't be used; empty when it can.
    """
    refused = sum((Counter(line.refused) for line in lines), Counter[str]())
    late = [f"{line.name} of {slot_name(line.source)}" for line in lines if line.late]
    level, text = DiagnosticStatus.OK, f"bus {state.active} works"
    if not state.up or problem:
        level, text = DiagnosticStatus.ERROR, problem or f"bus {state.active} is down: {state.text}"
    elif refused or late:
        level = DiagnosticStatus.WARN
        words = [f"{count} frames refused: {verdict}" for verdict, count in sorted(refused.items())]
        text = "; ".join([*words, *(f"{what} is late" for what in late)])
    values = {
        **{name: str(value) for name, value in state._asdict().items()},
        **{name: f"{value:.4g}" for name, value in (figures or {}).items()},
        **{f"{line.name} of {slot_name(line.source)}": _words(line) for line in lines if line.source >= 0},
    }
    status = DiagnosticStatus(
        level=level, name=f"{who}: CAN bus", message=text, hardware_id=who,
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )  # fmt: skip
    array = DiagnosticArray(status=[status])
    array.header.stamp = stamp
    return array


def _words(line: FrameLine) -> str:
    refused = "".join(f", {count} {verdict}" for verdict, count in sorted(line.refused.items()))
    return (f"{line.verdict}: {line.frames} frames, {line.rate_hz:.4g} Hz, last {line.age_s:.3f} s ago, "
            f"{line.lost} lost{refused}")
