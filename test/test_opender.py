"""Our grid codes against EPRI's OpenDER, in short; benchmarks/opender_peer.py is the long comparison."""

from __future__ import annotations

import importlib.util
import itertools
import logging
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from v2g_nodes.core.grid_code.volt_var import VoltVar, volt_var_curve
from v2g_nodes.sim.synthetic import SyntheticFrequency

pytest.importorskip("opender", reason="OpenDER is not installed")
STEP_S = 0.05
WITHIN = 0.01  # of the rating


@pytest.fixture(scope="module")
def peer() -> Iterator[ModuleType]:
    """The benchmark, without OpenDER's warnings of settings it has ranges of its own for."""
    path = Path(__file__).parents[1] / "benchmarks" / "opender_peer.py"
    spec = importlib.util.spec_from_file_location("opender_peer", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["opender_peer"] = module
    spec.loader.exec_module(module)
    logging.disable(logging.WARNING)
    yield module
    logging.disable(logging.NOTSET)
    del sys.modules["opender_peer"]


@pytest.mark.parametrize("settings", ["DEFAULT", "AGGRESSIVE"])
@pytest.mark.parametrize("demand", [0.5, -0.97])
def test_droop_agrees_on_a_frequency_that_swings(peer: ModuleType, settings: str, demand: float) -> None:
    frequency = SyntheticFrequency(3, 60.0)
    deviations = [4.0 * (frequency.at(float(t)) - 60.0) + 0.5 * math.sin(t / 15.0) for t in range(120)]
    assert max(deviations) > 0.3
    assert min(deviations) < -0.3
    apart = peer.differences(deviations, demand, getattr(peer, settings), STEP_S)
    assert float(apart.max()) < WITHIN


def test_droop_agrees_on_recorded_minutes(peer: ModuleType, shared_data: Path) -> None:
    recordings = dict(peer.recordings(shared_data, [17]))
    for name in ("2024-09-03 17:00", "place VES"):
        for settings in (peer.DEFAULT, peer.AGGRESSIVE):
            assert float(peer.differences(recordings[name][:90], 0.5, settings, 0.1).max()) < WITHIN, name


def test_droop_agrees_on_steps_of_frequency_at_the_same_step(peer: ModuleType) -> None:
    for changes in (peer.DEFAULT, peer.AGGRESSIVE, {"response_s": 10.0, "slope_over": 0.03}):
        moments = [peer.Moment(deviation, 1.0, 0.3) for deviation in (0.0, -0.5, 0.02, 0.6, 0.0, 1.1, -1.4)
                   for _ in range(160)]
        ours = peer.our_powers(moments, STEP_S, changes)
        theirs = peer.opender_powers(moments, STEP_S, changes)
        assert max(abs(mine - its) for mine, (its, _) in zip(ours, theirs, strict=True)) < WITHIN


STEEP = {"response_s": 1.0, "q1_pu": 0.6, "q4_pu": -0.6, "v1_pu": 0.94, "v4_pu": 1.06}


# With active priority OpenDER cuts Q to table 7 even where more fits, and raises P beyond the demand to fill S; so the
# steep curve of category A, which absorbs 0.25 at the least, is left out there.
@pytest.mark.parametrize(
    ("category", "priority", "changes"),
    [("A", "reactive", {}), ("A", "active", {}), ("B", "reactive", {}), ("B", "active", {}),
     ("A", "reactive", STEEP), ("B", "reactive", STEEP), ("B", "active", STEEP)],
)
def test_volt_var_agrees_on_steps_of_voltage(
    peer: ModuleType, category: str, changes: dict[str, float], priority: str
) -> None:
    names = {"response_s": "QV_OLRT", **{f"v{k}_pu": f"QV_CURVE_V{k}" for k in (1, 4)},
             **{f"q{k}_pu": f"QV_CURVE_Q{k}" for k in (1, 4)}}
    moments = [peer.Moment(0.0, voltage, 0.95) for voltage in (1.0, 0.95, 0.90, 1.0, 1.04, 1.09, 1.0)
               for _ in range(100)]
    theirs = peer.opender_powers(
        moments, STEP_S, {}, NP_NORMAL_OP_CAT=f"CAT_{category}", QV_MODE_ENABLE="ENABLED",
        NP_PRIO_OUTSIDE_MIN_Q_REQ=priority.upper(), **{names[name]: value for name, value in changes.items()})
    law = VoltVar(volt_var_curve("ieee1547", category, priority, changes), 1.0)
    for moment, (active, reactive) in zip(moments, theirs, strict=True):
        found = law.update(moment.voltage_pu, 0.95, STEP_S)
        assert found.reactive_kvar == pytest.approx(reactive, abs=WITHIN)
        assert found.power_kw == pytest.approx(active, abs=WITHIN)


@pytest.mark.parametrize(
    ("deviation_hz", "voltage_pu"), [(2.1, 1.0), (-3.6, 1.0), (1.3, 1.0), (0.0, 1.21), (0.0, 0.85), (0.0, 0.48)]
)
def test_trip_and_return_come_at_the_same_time(peer: ModuleType, deviation_hz: float, voltage_pu: float) -> None:
    changes = {"over_frequency_1_s": 180.0, "enter_delay_s": 20.0, "enter_ramp_s": 30.0}
    step_s = 0.08
    story = [peer.Moment(0.0, 1.0, 0.6)] * 50 + [peer.Moment(deviation_hz, voltage_pu, 0.6)] * 2400
    story += [peer.Moment(0.0, 1.0, 0.6)] * 800
    ours = list(peer.our_powers(story, step_s, changes))
    theirs = [active for active, _ in peer.opender_powers(story, step_s, changes)]

    def off(powers: list[float]) -> list[int]:
        """Steps at which power stops and begins after the event."""
        edges = itertools.pairwise(power == 0.0 for power in powers)
        return [k for k, (before, after) in enumerate(edges) if before != after]

    assert off(ours)[-2:] == pytest.approx(off(theirs)[-2:], abs=1.1), "to a step"
    begun = off(ours)[-1]
    ramp = [abs(mine - its) for mine, its in zip(ours[begun:], theirs[begun:], strict=True)]
    assert max(ramp) < WITHIN
