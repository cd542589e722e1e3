"""What a node with a link to the bus tells on /diagnostics."""

from __future__ import annotations

from collections.abc import Mapping

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from v2g_nodes.canbus.link import LinkState


def bus_diagnostics(
    stamp: Time, who: str, state: LinkState, refused: Mapping[str, int], figures: Mapping[str, float]
) -> DiagnosticArray:
    """Status of one link.

    Args:
        stamp: ROS time.
        who: name of the node.
        state: of its link.
        refused: frames that were not believed, by verdict.
        figures: whatever else is known, by name.
    """
    level, text = DiagnosticStatus.OK, f"bus {state.active} works"
    if not state.up:
        level, text = DiagnosticStatus.ERROR, f"bus {state.active} is down: {state.text}"
    elif refused:
        level = DiagnosticStatus.WARN
        text = "frames refused: " + ", ".join(f"{count} {verdict}" for verdict, count in sorted(refused.items()))
    values = {
        **state._asdict(),
        **{f"refused {verdict}": count for verdict, count in sorted(refused.items())},
        **{name: f"{value:.4g}" for name, value in figures.items()},
    }
    status = DiagnosticStatus(
        level=level,
        name=f"{who}: CAN bus",
        message=text,
        hardware_id=who,
        values=[KeyValue(key=key, value=str(value)) for key, value in values.items()],
    )
    array = DiagnosticArray(status=[status])
    array.header.stamp = stamp
    return array
