"""A short campaign of hostile frames into the stand-in; benchmarks/can_fuzz.py runs the long one."""

from __future__ import annotations

import pytest

from v2g_nodes.sim.can_firmware import CanDevice
from v2g_nodes.sim.frame_fuzz import SHARES, FrameFuzz, FuzzClock
from v2g_nodes.sim.fuzz_device import DeviceTarget


def campaign(key: bytes | None, frames: int) -> FrameFuzz:
    clock = FuzzClock()
    fuzz = FrameFuzz(DeviceTarget(key, clock), clock, seed=1)
    fuzz.run(frames)
    return fuzz


@pytest.mark.parametrize("key", [None, bytes(range(16))], ids=["crc", "cmac"])
def test_nothing_hostile_moves_the_device(key: bytes | None) -> None:
    report = campaign(key, 5000).report
    assert report.faults == []
    assert set(report.frames) == set(SHARES)


@pytest.mark.parametrize(
    ("method", "harm", "words"),
    [
        ("_is_late", lambda *_: False, "replayed frame"),
        ("_target_kw", lambda self, _: self.setpoint and -self.setpoint.power_kw, "led from"),
    ],
)
def test_a_bad_device_is_found_out(
    monkeypatch: pytest.MonkeyPatch, method: str, harm: object, words: str
) -> None:
    monkeypatch.setattr(CanDevice, method, harm)
    report = campaign(None, 6000).report
    assert report.faults_total > 0
    assert words in report.faults[0]
