"""Ticks and base set-points made again from their records: droop's law, the last gate, the release rule."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from v2g_nodes.core.droop_control import DroopInputs
from v2g_nodes.core.droop_settings import DroopSettings, build_control
from v2g_nodes.core.gate import gate_of_module, towards_zero_kw
from v2g_nodes.core.release import release_rule
from v2g_nodes.core.release_journal import Call, play_page
from v2g_nodes.sim.replay_values import RecordError, page_of, settings_of, ticks_of


class Made(NamedTuple):
    """One decision made again.

    Args:
        decision: agreement, base, droop or gate.
        steady_ns: when, on the steady clock of the host it was made on [ns].
        recorded: numbers that were recorded.
        replayed: the same numbers, made again.
    """

    decision: str
    steady_ns: int
    recorded: tuple[float, ...]
    replayed: tuple[float, ...]


#: what the numbers of a decision are
NAMES = {
    "agreement": ("lambda_eur_per_kwh", "power_kw", "clipped_target_kw", "rounds", "cold"),
    "base": ("power_kw",),
    "droop": ("requested_kw", "setpoint_kw"),
    "gate": ("requested_kw", "setpoint_kw"),
}


class DroopReplay:
    """Droop's ticks of one module, second by second."""

    def __init__(self) -> None:
        self.state: tuple[float, ...] = ()  # after the last tick

    def play(self, record: Any) -> Iterator[Made]:  # noqa: ANN401 - see sim/replay_values.py
        """All ticks of a record of kind DROOP.

        Raises:
            RecordError: what is recorded does not fit the law.
        """
        settings, ticks = settings_of(record), ticks_of(record)
        try:
            control = build_control(DroopSettings(**settings["law"]))
            control.restore([float(value) for value in record.state])
            ramp = float(settings["gate_ramp_kw_per_s"])
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise RecordError(f"settings or state of another version: {error}") from error
        for k, inputs in enumerate(ticks.inputs):
            requested_kw = control.decide(inputs)
            setpoint_kw = _gated_kw(requested_kw, inputs, ramp)
            yield Made("droop", ticks.times_ns[k], (ticks.requested_kw[k], ticks.applied_kw[k]),
                       (requested_kw, setpoint_kw))  # fmt: skip
        self.state = tuple(control.state())


class GateReplay:
    """Ticks that a module made by itself."""

    state: tuple[float, ...] = ()

    def play(self, record: Any) -> Iterator[Made]:  # noqa: ANN401 - see sim/replay_values.py
        """All ticks of a record of kind GATE.

        Raises:
            RecordError: what is recorded does not fit the law.
        """
        ticks = ticks_of(record)
        ramp = float(_needed(settings_of(record), "gate_ramp_kw_per_s"))
        for k, inputs in enumerate(ticks.inputs):
            requested_kw = towards_zero_kw(inputs.applied_kw, ramp, inputs.dt_s)
            yield Made("gate", ticks.times_ns[k], (ticks.requested_kw[k], ticks.applied_kw[k]),
                       (requested_kw, _gated_kw(requested_kw, inputs, ramp)))  # fmt: skip


class BaseReplay:
    """Base set-points of one module."""

    def __init__(self) -> None:
        self.state: tuple[float, ...] = ()  # after the last call

    def play(self, record: Any) -> Iterator[Made]:  # noqa: ANN401 - see sim/replay_values.py
        """All answers of a record of kind BASE.

        Raises:
            RecordError: what is recorded does not fit the rule.
        """
        settings, page = settings_of(record), page_of(record)
        rule = release_rule(int(_needed(settings, "silence_ns")), int(_needed(settings, "fall_ns")))
        try:
            answers_kw = play_page(rule, page)
        except ValueError as error:
            raise RecordError(f"state of another version: {error}") from error
        for call, now_ns, recorded_kw, replayed_kw in zip(
            page.calls, page.now_ns, page.answers_kw, answers_kw, strict=True
        ):
            if call is Call.ASK:
                yield Made("base", now_ns, (recorded_kw,), (replayed_kw,))
        self.state = _flat(rule.state())


def state_before(record: Any) -> tuple[float, ...]:  # noqa: ANN401 - see sim/replay_values.py
    """State that a record of kind DROOP or BASE begins with."""
    return _flat((record.state, record.state_ns))


def _flat(parts: Sequence[Sequence[float]]) -> tuple[float, ...]:
    return tuple(float(value) for part in parts for value in part)


def _gated_kw(requested_kw: float, inputs: DroopInputs, ramp_kw_per_s: float) -> float:
    i = inputs
    return gate_of_module(requested_kw, i.energised, i.applied_kw, i.limits, ramp_kw_per_s, i.dt_s).setpoint_kw


def _needed(settings: dict[str, Any], name: str) -> float:
    value = settings.get(name, math.nan)
    if not isinstance(value, (int, float)) or math.isnan(value):
        raise RecordError(f"settings without {name}")
    return value
