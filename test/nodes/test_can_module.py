"""A module node whose hardware is on a CAN bus: the stand-in behind a real link, as they run."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from v2g_nodes.core.mode import Mode
from v2g_nodes.nodes.module_node import ModuleNode, ModuleParameters
from v2g_nodes.sim.can_device import StandIn

from .conftest import SUCCESS, Bench
from .test_module_and_droop import RAMP, Rig

BUS = {"can_channel": "239.255.43.9", "can_port": 20_000 + os.getpid() % 20_000}


@contextlib.contextmanager
def stand_in(state_file: Path, soc: float = 0.5) -> Iterator[None]:
    values: dict[str, Any] = {"backend": "can", "state_file": str(state_file), "soc": soc, **RAMP, **BUS}
    parameters = asdict(ModuleParameters(**values))
    node = {"kind": "can_device", "name": "device", "namespace": "/ek3_01", "parameters": parameters}
    stop = threading.Event()
    thread = threading.Thread(target=StandIn([node]).run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_a_module_on_the_bus_is_driven_lost_and_taken_up_again(bench: Bench, tmp_path: Path) -> None:
    rig = Rig(bench, backend="can", **BUS)
    rig.base_kw = 1.0
    rig.until(lambda: rig.reason == "module has not answered")
    assert rig.applied[-1].limit_high_kw == 0.0
    with stand_in(tmp_path / "state.json"):
        rig.reach(1.0)
        assert rig.mode is Mode.DISCHARGING
        rig.frequency_hz = 50.11
        rig.reach(0.0)
        rig.frequency_hz = 50.0
        rig.reach(1.0)
    rig.until(lambda: rig.reason == "module has left the bus")
    rig.until(lambda: rig.applied[-1].limit_high_kw == 0.0)
    with stand_in(tmp_path / "state.json", soc=0.9):
        rig.until(lambda: rig.module._seen.vehicle.plugged)
        rig.reach(1.0)
        seen = rig.module._seen
        assert seen.soc == pytest.approx(0.5, abs=0.01), "it remembers"
        assert seen.constraint_violations == 0, seen.violation


def test_a_module_that_does_not_answer_can_not_be_armed(bench: Bench) -> None:
    rig = Rig(bench, backend="can", armed=False, **BUS)
    rig.until(lambda: rig.reason == "module has not answered")
    refusal = rig.arm(True)
    assert (refusal.successful, refusal.reason) == (False, "backend: module has not answered")


def test_the_link_ends_with_the_node(bench: Bench) -> None:
    rig = Rig(bench, backend="can", **BUS)
    assert any(thread.name == "can link module 1" for thread in threading.enumerate())
    rig.module.destroy_node()
    assert not any(thread.name == "can link module 1" for thread in threading.enumerate())


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"use_sim_time": True, "speed": 5.0}, "speed is 5.0, allowed with backend can is 1.0"),
        ({"can_options": "[1]"}, "can_options is '[1]', allowed a JSON object"),
        ({"can_options": "{"}, "can_options is '{', allowed a JSON object"),
    ],
)
def test_parameters_that_the_bus_can_not_have_are_refused(
    bench: Bench, parameters: dict[str, Any], text: str
) -> None:
    module = bench.make(ModuleNode, "module", "/ek3_01", backend="can", **parameters)
    assert module.trigger_configure() is not SUCCESS
    assert text in str(module.failure)
