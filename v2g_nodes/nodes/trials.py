"""Faults made on purpose at an optimizer's edge: messages dropped, damaged, falsified. All off by default.

For trials on a bench as well as on a rig: they are ROS parameters that can be set while the node runs. Control code
knows nothing of them; what passes here reaches it as it would from the network.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import random
from collections.abc import Iterator, Mapping
from typing import Any

from rclpy.serialization import deserialize_message, serialize_message

from v2g_nodes.core.errors import InputError
from v2g_nodes.msg import NeighborState
from v2g_nodes.nodes import convert
from v2g_nodes.nodes.parameters import LimitParameters, parameter

LIES = ("nan", "range", "frozen", "stuck")
ABSURD = 1e6  # kW and EUR/kWh: no module and no market has so much
FLIPS_MAX = 8  # bits of one message


@dataclasses.dataclass(frozen=True)
class TrialParameters(LimitParameters):
    """Parameters of an optimizer's trials."""

    trial_cut: tuple[int, ...] = parameter((0,), "trial: neighbours not heard; 0 = none", "", 0, 64, settable=True)
    trial_loss: float = parameter(0.0, "trial: share of neighbours' messages lost", "", 0.0, 0.95, settable=True)
    trial_corrupt: float = parameter(0.0, "trial: share of them with bits flipped", "", 0.0, 1.0, settable=True)
    trial_lie: str = parameter("", f"trial: how neighbor_state lies: {', '.join(LIES)}; empty = not", settable=True)


TRIALS = frozenset(TrialParameters.__annotations__)


class Trials:
    """What happens to the messages of one optimizer.

    Args:
        node: whose messages they are, full name.
        values: its parameters at the start.
        chance: source of chance.

    Raises:
        InputError: there is no such lie.
    """

    def __init__(self, node: str, values: TrialParameters, chance: random.Random | None = None) -> None:
        self._chance = chance or random.Random()
        self._values: dict[str, Any] = {}
        problem = self.apply({name: getattr(values, name) for name in TRIALS})
        if problem:
            raise InputError(f"{node}: parameter {problem}")

    def apply(self, changes: Mapping[str, Any]) -> str:
        """Take over those of the changes that are trials; see ManagedNode.apply."""
        lie = changes.get("trial_lie", "")
        if lie not in ("", *LIES):
            return f"trial_lie is {lie!r}, allowed {', '.join(LIES)} or nothing"
        self._values |= {name: value for name, value in changes.items() if name in TRIALS}
        if "trial_lie" in changes:
            self._lying: NeighborState | None = None  # first message of the lie
        return ""

    def heard(self, message: Any) -> Iterator[Any]:  # noqa: ANN401 - Curve or NeighborState
        """What reaches control code of a neighbour's message: it, a damaged one, or nothing."""
        values, chance = self._values, self._chance
        if message.module_id in values["trial_cut"] or chance.random() < values["trial_loss"]:
            return
        if chance.random() < values["trial_corrupt"]:
            message = self._damaged(message)
        if message is not None:
            yield message

    def said(self, message: NeighborState) -> NeighborState:
        """What goes out instead of a report."""
        lie = self._values["trial_lie"]
        if not lie:
            return message
        first = self._lying = self._lying or copy.deepcopy(message)
        if lie == "nan":
            message.lambda_eur_per_kwh = message.power_kw = math.nan
        elif lie == "range":
            message.lambda_eur_per_kwh = message.power_kw = ABSURD
        elif lie == "stuck":
            message.power_kw = first.power_kw
        else:
            for name in ("sequence", "signal_sequence", "plan_version", "source_id"):
                setattr(message, name, getattr(first, name))
        return convert.seal(message)

    def _damaged(self, message: Any) -> Any:  # noqa: ANN401 - as heard
        """The message with some bits flipped; None where it can't be read any more."""
        data = bytearray(serialize_message(message))
        for _ in range(self._chance.randint(1, FLIPS_MAX)):
            bit = self._chance.randrange(8 * len(data))
            data[bit // 8] ^= 1 << bit % 8
        try:
            return deserialize_message(bytes(data), type(message))
        except Exception:  # noqa: BLE001 - whatever the middleware makes of garbage
            return None
