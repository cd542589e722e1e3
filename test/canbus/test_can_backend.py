"""`backend: can` against the stand-in: arming, outages, restarts, trips, keys."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

from v2g_nodes.canbus.codec import Codec
from v2g_nodes.core.mode import Mode
from v2g_nodes.nodes.backend import BackendError
from v2g_nodes.sim.ek3_module import build_plant

from .can_rig import MODULE, STEP_TICKS, TICK_S, CanRig

KEY = bytes(range(16))
RAMP_STEP_KW = 1.0 * STEP_TICKS * TICK_S
KEYS = pytest.mark.parametrize("key", [None, KEY], ids=["crc", "cmac"])


def jump_kw(references_kw: list[float]) -> float:
    return max(abs(b - a) for a, b in pairwise(references_kw))


def assert_unharmed(rig: CanRig) -> None:
    seen = rig.device.plant.measurement()
    assert seen.constraint_violations == 0, seen.violation
    assert jump_kw(rig.references_kw) <= RAMP_STEP_KW * 1.001


@KEYS
def test_the_device_follows_and_what_it_reports_comes_back(key: bytes | None) -> None:
    rig = CanRig(key, vehicle_departure_s=5000.0, vehicle_energy_due_kwh=1.0)
    rig.wanted_kw = -1.5
    rig.run(2.5)
    seen = rig.measured
    assert seen.reference_kw == pytest.approx(-1.5, abs=2e-4)
    assert seen.power_kw == pytest.approx(-1.5, abs=2e-3)
    assert seen.vehicle.session_id == "session-17"
    assert seen.vehicle.capacity_kwh == pytest.approx(60.0)
    assert seen.vehicle.departure_s == pytest.approx(5000.0, abs=0.2)
    assert seen.vehicle.energy_due_kwh == pytest.approx(1.0, abs=0.02)
    assert seen.soc == pytest.approx(0.5, abs=1e-3)
    assert seen.limits.low_kw == pytest.approx(-3.3)
    assert seen.charged_kwh > 0.0
    assert rig.control.mode is Mode.CHARGING
    assert_unharmed(rig)
    departures = {item.vehicle.departure_s for item in rig.seen if item.vehicle.plugged}
    assert len(departures) == 1, "a departure that jitters would make the must-charge bound jump"


def test_nothing_is_energised_before_arming_nor_after_an_e_stop() -> None:
    rig = CanRig(armed=False, max_kw=0.5)
    rig.wanted_kw = 2.0
    rig.run(1.0)
    before = rig.setpoints()
    assert before, "the device is told that it is not enabled"
    assert all(not s.enable and s.power_kw == 0.0 for s in before)
    rig.control.arm()
    mark = len(rig.recorded)
    rig.run(1.5)
    armed = rig.setpoints(mark)
    assert any(s.enable for s in armed)
    assert max(abs(s.power_kw) for s in armed) == pytest.approx(0.5, abs=2e-4), "commissioning cap"
    assert all(s.max_kw == pytest.approx(0.5) for s in armed)
    rig.control.stop()
    mark = len(rig.recorded)
    rig.run(1.0)
    stopped = rig.setpoints(mark)
    assert stopped
    assert all(not s.enable and s.power_kw == 0.0 for s in stopped)
    assert rig.references_kw[-1] == 0.0
    assert_unharmed(rig)


def test_a_dry_run_sends_nothing() -> None:
    rig = CanRig(can_dry_run=True)
    rig.wanted_kw = 1.0
    rig.run(1.0)
    assert rig.setpoints() == []
    assert rig.measured.vehicle.plugged, "but listens"


def test_setpoints_keep_to_their_rate_and_are_repeated_when_nothing_changes() -> None:
    rig = CanRig(can_setpoint_hz=50.0)
    rig.wanted_kw = 3.0
    rig.run(0.5)
    mark = len(rig.recorded)
    rig.run(2.0)
    assert 99 <= len(rig.setpoints(mark)) <= 101
    rig.run(1.0)
    mark = len(rig.recorded)
    rig.run(1.0)
    assert len(rig.setpoints(mark)) == 10


def test_cap_and_rate_may_change_while_power_flows() -> None:
    rig = CanRig(can_setpoint_hz=50.0)
    rig.wanted_kw = 2.0
    rig.run(2.5)
    mark = len(rig.recorded)
    rig.control.max_kw = 0.5
    rig.module.apply({"max_kw": 0.5, "can_setpoint_hz": 20.0})
    rig.run(1.0)
    sent = rig.setpoints(mark)
    assert 19 <= len(sent) <= 22
    assert all(abs(s.power_kw) <= s.max_kw + 2e-4 for s in sent), "the device is not made to jump"
    rig.run(1.0)
    assert rig.setpoints()[-1].max_kw == rig.references_kw[-1] == pytest.approx(0.5, abs=2e-4)
    assert_unharmed(rig)


@KEYS
@pytest.mark.parametrize("outage_s", [0.2, 0.35, 2.0])
@pytest.mark.parametrize("cut", ["both", "to_host", "to_device"])
def test_an_outage_in_a_ramp_breaks_no_limit_and_mends_itself(key: bytes | None, cut: str, outage_s: float) -> None:
    rig = CanRig(key)
    rig.wanted_kw = 3.0
    rig.run(1.5)
    rig.to_device_is_cut = cut != "to_host"
    rig.to_host_is_cut = cut != "to_device"
    rig.run(outage_s)
    assert (rig.module.problem() != "") == (rig.to_host_is_cut and outage_s > 0.3)
    rig.to_device_is_cut = rig.to_host_is_cut = False
    rig.run(0.2)
    assert rig.module.problem() == ""
    assert rig.control.energised
    rig.wanted_kw = -1.0
    rig.run(6.0)
    assert rig.references_kw[-1] == pytest.approx(-1.0, abs=2e-4)
    assert_unharmed(rig)
    assert rig.control.forced_steps <= 1, "the offer ends at once when nothing is known of the module"


@pytest.mark.parametrize("seed", range(8))
def test_processes_that_get_no_time_break_nothing(seed: int) -> None:
    """Control, its link and the device run late, stand still, or are held up between their look at the clock and the
    bus, at random and each for itself."""
    random = Random(seed)
    key = KEY if seed % 2 else None
    rig = CanRig(key)
    due_s = {"decide": 0.0, "read": 0.0, "step_device": 0.0}
    period_s = {"decide": TICK_S, "read": 0.002, "step_device": STEP_TICKS * TICK_S}
    worst_s = random.choice([0.05, 0.2, 0.6, 2.0])
    began_s = rig.now_ns / 1e9
    while rig.now_ns / 1e9 < began_s + 40.0:
        actor = min(due_s, key=lambda name: due_s[name])
        rig.now_ns = max(rig.now_ns, round((began_s + due_s[actor]) * 1e9))
        if actor == "decide":
            if random.random() < 0.005:
                rig.wanted_kw = random.uniform(-3.3, 3.3)
            rig.decide(random.uniform(0.0, 0.2) if random.random() < 0.01 else 0.0)
        else:
            getattr(rig, actor)()
        late_s = random.uniform(0.0, worst_s) if random.random() < 0.01 else random.uniform(0.0, 0.002)
        due_s[actor] = rig.now_ns / 1e9 - began_s + period_s[actor] + late_s
    seen = rig.device.plant.measurement()
    assert seen.constraint_violations == 0, seen.violation
    assert rig.device.setpoints > 100


def test_no_set_point_starts_from_a_status_that_is_out_of_date() -> None:
    rig = CanRig()
    rig.wanted_kw = 2.0
    rig.run(2.5)
    rig.to_device_is_cut = True
    rig.run(0.6)
    assert rig.measured.timed_out
    rig.to_device_is_cut = False
    mark, before_kw = len(rig.recorded), rig.references_kw[-1]
    rig.now_ns += round(TICK_S * 1e9)
    rig.decide(held_up_s=0.4)  # the device goes on towards zero, and its reports come in
    assert rig.references_kw[-1] < before_kw - 0.25
    assert rig.module.problem() == ""
    assert rig.setpoints(mark) == []
    rig.run(2.0)
    assert rig.references_kw[-1] == pytest.approx(2.0, abs=2e-4)
    assert rig.device.plant.measurement().constraint_violations == 0


def test_without_set_points_the_device_goes_to_zero_by_itself() -> None:
    rig = CanRig()
    rig.wanted_kw = 1.0
    rig.run(1.5)
    rig.to_device_is_cut = True
    rig.run(0.15)  # the last one may have been sent 0.1 s ago
    assert rig.references_kw[-1] == pytest.approx(1.0, abs=2e-4)
    rig.run(0.4)
    assert rig.measured.timed_out
    assert 0.64 < rig.references_kw[-1] < 0.8
    rig.run(1.0)
    assert rig.references_kw[-1] == 0.0


def test_nobody_drives_what_he_cannot_see() -> None:
    rig = CanRig()
    rig.wanted_kw = 1.0
    rig.run(1.5)
    rig.to_host_is_cut = True
    rig.run(0.5)
    mark = len(rig.recorded)
    rig.run(1.0)
    assert all(not s.enable for s in rig.setpoints(mark))
    assert not rig.measured.vehicle.plugged
    assert rig.module.problem().startswith("no status from the module for 1.")
    assert rig.references_kw[-1] == pytest.approx(0.0, abs=1e-9)


@KEYS
@pytest.mark.parametrize("gone_s", [0.05, 0.25, 1.0])
def test_a_device_that_restarts_is_taken_up_from_what_it_reports(key: bytes | None, gone_s: float) -> None:
    rig = CanRig(key)
    rig.wanted_kw = 2.0
    rig.run(2.5)
    plant = build_plant(rig.parameters)
    plant.from_state(rig.device.plant.to_state(0.0), 0.0)
    rig.to_host_is_cut = rig.to_device_is_cut = True
    for _ in range(round(gone_s / TICK_S)):  # its power part without firmware: nobody commands
        rig.tick()
        plant.hold(None, TICK_S)
    rig.to_host_is_cut = rig.to_device_is_cut = False
    rig.references_kw = [plant.measurement().reference_kw]
    rig.start_device(plant, life=0xBEEF)
    while len(rig.references_kw) == 1:
        rig.tick()
    mark = len(rig.recorded)  # from here on its reports are known
    rig.run(0.15)
    first = next(setpoint for setpoint in rig.setpoints(mark) if setpoint.enable)
    assert first.power_kw == pytest.approx(rig.references_kw[0], abs=0.03)
    assert rig.control.energised
    rig.run(3.0)
    assert rig.references_kw[-1] == pytest.approx(2.0, abs=2e-4)
    assert_unharmed(rig)


@KEYS
def test_a_host_that_restarts_goes_on_without_a_jump_and_clears_no_trip(key: bytes | None) -> None:
    rig = CanRig(key)
    rig.device._reset = 5  # trips were cleared before
    rig.wanted_kw = 2.0
    rig.run(2.5)
    rig.start_host()
    rig.run(1.0)
    assert_unharmed(rig)
    rig.device.plant._state.fault = "overpower"
    rig.run(0.2)
    rig.start_host()
    rig.run(1.0)
    assert rig.measured.fault == "overpower"
    assert rig.control.mode is Mode.FAULT


def test_a_trip_is_told_at_once_and_cleared_by_a_reset_when_its_cause_is_gone() -> None:
    rig = CanRig()
    rig.wanted_kw = 1.0
    rig.run(1.5)
    rig.device.plant._state.temperature_c = 160.0
    rig.run(0.02)
    assert rig.measured.fault == "overtemperature"
    rig.run(0.1)
    assert rig.control.mode is Mode.FAULT
    assert rig.references_kw[-1] == 0.0
    faults = [frame for _, frame in rig.recorded if frame.identifier & 0xFF == Codec.load().spec("FAULT").code]
    assert len(faults) >= 2, "repeated while it lasts"
    with pytest.raises(BackendError, match="module stays tripped: overtemperature"):
        rig.module.reset_fault()
    rig.run(0.1)
    assert rig.measured.fault == "overtemperature", "still hot"
    rig.device.plant._state.temperature_c = 40.0
    rig.run(0.1)
    assert rig.measured.fault == "overtemperature", "latched"
    with pytest.raises(BackendError):  # the answer takes a step, and here nobody steps while it is waited for
        rig.module.reset_fault()
    rig.run(0.1)
    assert rig.measured.fault == ""
    rig.module.reset_fault()
    rig.control.arm()
    rig.run(3.0)
    assert rig.references_kw[-1] == pytest.approx(1.0, abs=2e-4)
    assert rig.device.plant.measurement().constraint_violations == 0


def test_after_a_trip_control_goes_on_from_where_the_device_is() -> None:
    rig = CanRig()
    rig.wanted_kw = 2.0
    rig.run(2.5)
    rig.device.plant._state.fault = "overpower"
    rig.run(0.6)
    with pytest.raises(BackendError):  # see above
        rig.module.reset_fault()
    rig.run(0.05)
    rig.control.arm()
    rig.run(0.5)
    assert rig.control.energised
    assert rig.references_kw[-1] == pytest.approx(0.45, abs=0.05)
    assert rig.device.plant.measurement().constraint_violations == 0


def test_a_vehicle_that_leaves_and_another_that_comes_break_nothing() -> None:
    rig = CanRig()
    rig.wanted_kw = 1.0
    rig.run(2.0)
    rig.device.plant.plug_out()
    rig.run(0.05)
    assert not rig.measured.vehicle.plugged
    rig.run(1.0)
    rig.device.plant.plug_in(build_plant({**rig.parameters, "vehicle_session_id": "next", "vehicle_capacity_kwh": 40.0})
                             .measurement().vehicle)
    rig.run(0.05)
    assert (rig.measured.vehicle.session_id, rig.measured.vehicle.capacity_kwh) == ("next", pytest.approx(40.0))
    rig.run(2.0)
    assert rig.references_kw[-1] == pytest.approx(1.0, abs=2e-4)
    assert rig.device.plant.measurement().constraint_violations == 0


def test_a_module_that_leaves_or_speaks_another_version_is_said_so() -> None:
    rig = CanRig()
    rig.run(0.5)
    rig.hear([frame._replace(received_ns=rig.now_ns) for frame in rig.device.leave()])
    assert rig.module.problem() == "module has left the bus"
    rig.run(0.2)
    assert rig.module.problem() == ""
    rig.to_host_is_cut = True
    rig.run(0.5)
    status = next(frame for frame in rig.device.step(rig.now_ns + 10**9)
                  if frame.identifier & 0xFF == Codec.load().spec("STATUS").code)
    version = Codec.load().version
    rig.hear([status._replace(payload=bytes([version + 1]) + status.payload[1:])])
    assert rig.module.problem() == f"module speaks version {version + 1} of the bus, this is {version}"
    assert not rig.module.measurement().vehicle.plugged


def test_health_tells_what_was_heard_and_what_is_to_be_logged() -> None:
    rig = CanRig()
    rig.run(1.0)
    assert rig.module.health().news == []
    status = next(frame for frame in rig.device.step(rig.now_ns + 10**9)
                  if frame.identifier & 0xFF == Codec.load().spec("STATUS").code)
    rig.hear([status._replace(payload=status.payload[:-1] + b"x")])
    rig.tell_fault("bus A: cable out")
    health = rig.module.health()
    assert health.news == ["bus A: cable out", "STATUS of module 3: 1 frame refused, check"]
    assert rig.module.health().news == []
    line = next(line for line in health.frames if line.name == "STATUS")
    assert (line.source, line.verdict, line.refused) == (MODULE, "check", {"check": 1})


def test_before_the_module_answers_nothing_is_offered() -> None:
    rig = CanRig()
    rig.to_host_is_cut = True
    rig.run(0.5)
    assert rig.module.problem() == "module has not answered"
    assert all(not s.enable for s in rig.setpoints())
    assert not rig.measured.vehicle.plugged
    assert rig.measured.fault == ""
    with pytest.raises(BackendError, match="module has not answered"):
        rig.module.reset_fault()


def test_the_link_ends_with_the_module() -> None:
    rig = CanRig()
    rig.module.close()
    assert rig.module._link.closed  # type: ignore[attr-defined]
    assert MODULE == 3
