"""What an optimizer tells on /diagnostics: with whom it shares the target out, and whom it does not believe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue


def exchange_diagnostics(
    stamp: Time, module_id: int, members: Sequence[int], modules: int, share: float, excluded: Mapping[int, str]
) -> DiagnosticArray:
    """Status of one module's exchange.

    Args:
        stamp: ROS time.
        module_id: whose.
        members: its group.
        modules: of the station.
        share: share of the target that its island owes, 0 to 1.
        excluded: neighbours that are not believed, and why.
    """
    texts = [f"module {k} excluded: {why}" for k, why in sorted(excluded.items())]
    level = DiagnosticStatus.ERROR if texts else DiagnosticStatus.OK
    if not texts and len(members) < modules:
        level, texts = DiagnosticStatus.WARN, [f"island of {len(members)} of {modules} modules"]
    values = {
        "members": " ".join(map(str, members)),
        "share of the target": f"{share:.4g}",
        **{f"excluded {k}": why for k, why in sorted(excluded.items())},
    }
    status = DiagnosticStatus(
        level=level,
        name=f"ek3_{module_id:02d}: exchange with the neighbours",
        message="; ".join(texts) or "agrees with all modules",
        hardware_id=f"ek3_{module_id:02d}",
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )
    array = DiagnosticArray(status=[status])
    array.header.stamp = stamp
    return array
