"""All control loops of a CAN station in one process, without ROS: the bus hears what a live station says.

The same backend, last gate, droop and optimizer as in the nodes, at the same rates and in real time, the same frames
on the same link; the stand-ins are a process of their own. What takes a live station two processes a module is a part
of one core here, so the bus of many modules can be measured on a small machine.
"""

from __future__ import annotations

import json
import math
import select
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import fields
from pathlib import Path
from typing import Any

from v2g_nodes.bringup import (
    STAND_IN,
    NodeSpec,
    Overrides,
    ProcessPlan,
    process_plan,
    rating_kw,
    resolve_station,
)
from v2g_nodes.canbus.frame_watch import FrameWatch
from v2g_nodes.canbus.identifier import bridge_slot, controller_slot, module_of
from v2g_nodes.canbus.link import Link
from v2g_nodes.canbus.protection import Protection
from v2g_nodes.canbus.settings import CanSettings
from v2g_nodes.canbus.wire import Listener, Received, Speaker, unix_ms
from v2g_nodes.canbus.wire_frame import WireFrame
from v2g_nodes.cli.host_pool import STAND_IN_COMMAND
from v2g_nodes.cli.run_station import RunResult
from v2g_nodes.cli.stop_signals import StopSignals
from v2g_nodes.core.droop import Droop
from v2g_nodes.core.droop_control import DroopControl
from v2g_nodes.core.errors import StartupError
from v2g_nodes.core.limits import ModuleRating
from v2g_nodes.core.mode import Mode
from v2g_nodes.core.module_control import ModuleControl
from v2g_nodes.core.optimizer import ModuleOptimizer
from v2g_nodes.core.optimizer_types import NeighborReport, Snapshot
from v2g_nodes.core.pace import Pace
from v2g_nodes.core.priority import DROOP_PRIORITY, claim_real_time
from v2g_nodes.core.types import EpochId, Frame
from v2g_nodes.nodes import can_words, convert
from v2g_nodes.nodes.can_backend import open_can_module
from v2g_nodes.nodes.can_bridge_node import FILTERS, PLAN_S, TIME_SYNC_S
from v2g_nodes.nodes.grid_signal_node import GridSignalParameters
from v2g_nodes.nodes.module_node import PAUSE_S, ModuleParameters
from v2g_nodes.nodes.optimizer_node import SETPOINT_REPEAT_S, TICK_S
from v2g_nodes.nodes.optimizer_parameters import OptimizerParameters, offer_of, settings_of
from v2g_nodes.nodes.sources import Recordings

SHORTEST_S = 5e-5  # s
READY_S = 60.0  # longest wait for the stand-ins and for all modules to agree
OUT_OF_SERVICE = (Mode.OFF, Mode.FAULT, Mode.SAFE)
Say = Callable[[str, Mapping[str, Any], int], None]


class LoopModule:
    """Module, droop and optimizer of one module, as their nodes run them.

    Args:
        module: parameters of its module node.
        droop: of its droop node.
        optimizer: of its optimizer node.
    """

    def __init__(self, module: Mapping[str, Any], droop: Mapping[str, Any], optimizer: Mapping[str, Any]) -> None:
        p = OptimizerParameters(**_known(OptimizerParameters, optimizer))
        rating = ModuleRating(p.p_max_kw, p.ramp_kw_per_s, p.soc_min, p.soc_max, p.efficiency)
        self.module_id = p.module_id
        self._offer, self._hold_s = offer_of(p), p.signal_hold_s
        self._valid_s, self._silent_s = p.setpoint_valid_s, p.optimizer_silent_s
        self._backend = open_can_module(_known(ModuleParameters, module, complete=True))
        self.control = ModuleControl(rating, module["max_kw"], armed=True, longest_tick_s=PAUSE_S)
        law = Droop(droop["gain_kw_per_hz"], p.nominal_hz, droop["deadband_hz"], p.ramp_kw_per_s)
        self._droop = DroopControl(law, p.ramp_kw_per_s, p.signal_hold_s)
        self._pace = Pace(PAUSE_S)
        self._seen = self._backend.measurement()
        self._base_kw, self._agreed_until_s = 0.0, -math.inf
        self.optimizer = ModuleOptimizer(
            settings_of(p), int(time.time() * 65536), self._freeze, lambda: self._base_kw)

    def tick(self, now_s: float) -> None:
        """One tick of droop, gate and backend."""
        pause_s, dt_s = self._pace.take(now_s)
        if dt_s <= 0.0:
            return
        control = self.control
        if pause_s > 0.0:
            self._exchange(None, pause_s, now_s)
        if self._seen.timed_out:
            control.resume(self._seen.reference_kw)
        inputs = self._droop.inputs(
            now_s, dt_s, control.energised, control.limits, control.due_kw, control.setpoint_kw)
        self._base_kw = inputs.base_kw
        self._exchange(control.apply(self._droop.decide(inputs), dt_s).setpoint_kw, dt_s, now_s)

    def hear_signal(self, frequency_hz: float, epoch: EpochId, target_kw: float, now_s: float) -> None:
        """A grid signal."""
        self._droop.set_frequency(frequency_hz, now_s)
        self.optimizer.start_epoch(epoch, target_kw)

    def repeat_base(self, now_s: float) -> None:
        """Pass the base power in force on to droop."""
        base_kw, left_s = self.optimizer.base_kw(round(now_s * 1e9)), self._agreed_until_s - now_s
        if base_kw is not None and left_s > 0.0:
            self._droop.set_base(base_kw, now_s + min(left_s, self._silent_s))

    def think(self, frames: tuple[Frame, ...], reports: tuple[NeighborReport, ...], say: Say) -> bool:
        """One step of the optimizer; whether it has agreed."""
        now_ns = time.monotonic_ns()
        available = self.control.mode not in OUT_OF_SERVICE and self._backend.problem() == ""
        outbox = self.optimizer.step(frames, reports, now_ns, available)
        for frame in outbox.frames:
            say("CURVE", can_words.curve_signals(convert.curve_message(frame)), self.module_id)
        for report in outbox.reports:
            say("NEIGHBOR_STATE", can_words.state_signals(convert.state_message(report, not available)), self.module_id)
        if outbox.decision is not None:
            self._agreed_until_s = now_ns / 1e9 + self._valid_s
            self.repeat_base(now_ns / 1e9)
        return outbox.decision is not None

    def close(self) -> None:
        """Leave the bus."""
        self._backend.close()

    def _exchange(self, setpoint_kw: float | None, dt_s: float, now_s: float) -> None:
        self._seen = self._backend.step(setpoint_kw, dt_s, self.control.energised)
        self.control.observe(self._seen.observation, self._droop.signal_age_s(now_s) <= self._hold_s)

    def _freeze(self) -> Snapshot:
        seen = self._seen
        soc = seen.soc if math.isfinite(seen.soc) else 0.5
        supply = self._offer.freeze(self.control.range_kw, self._base_kw, soc, seen.temperature_c, seen.vehicle)
        return Snapshot(supply.box, supply)


class BusLoops:
    """All modules, the station's signal and plan, and the process of their stand-ins; a context manager.

    Args:
        station_plan: process plan of a station on the bus, with stand-ins.
        settings: of the bus.

    Raises:
        StartupError: the stand-ins do not come up.
    """

    def __init__(self, station_plan: ProcessPlan, settings: CanSettings) -> None:
        self._plan, self._signals, self.agreed = station_plan, 0, 0
        kinds = {kind: [node for node in station_plan.nodes if node.kind == kind] for kind in ("module", "droop")}
        optimizers = [node for node in station_plan.nodes if node.kind == "optimizer"]
        self._modules = [
            LoopModule(m.parameters, d.parameters, o.parameters)
            for m, d, o in zip(kinds["module"], kinds["droop"], optimizers, strict=True)]  # fmt: skip
        signal = next(node for node in station_plan.nodes if node.kind == "grid_signal")
        self._signal_p = GridSignalParameters(**_known(GridSignalParameters, signal.parameters))
        self._recordings = Recordings(self._signal_p)
        protection = Protection(None)
        self._speaker = Speaker(bridge_slot(min(m.module_id for m in self._modules)), protection, unix_ms)
        self._listener = Listener(protection, FrameWatch(), unix_ms)
        self._heard: deque[WireFrame] = deque()
        self._link = Link(settings, self._heard.extend, FILTERS, own_echo=True, name="loops")
        self._begun_s = time.monotonic()
        self._capacity_kw = station_plan.station.plan.capacity_fraction * rating_kw(station_plan.station)
        self._devices = self._start_devices(station_plan)

    def __enter__(self) -> BusLoops:
        self._link.start()
        return self

    def __exit__(self, *_: object) -> None:
        for module in self._modules:
            module.close()
        self._link.close()
        self._devices.terminate()
        self._devices.communicate()

    @property
    def is_settled(self) -> bool:
        """Whether all modules are in one group in which everybody counts, and have agreed: it changes no more."""
        optimizers = [module.optimizer for module in self._modules]
        memberships = [one.membership for one in optimizers]
        whole = all(one.counts and len(one.group.members) == len(optimizers) for one in memberships)
        alike = len({one.group.fingerprint for one in memberships}) == 1
        return whole and alike and all(one.agreement for one in optimizers)

    def run(self, seconds: float, done: Callable[[], bool], stop: StopSignals) -> bool:
        """Let everything run in real time.

        Args:
            seconds: so long at the most.
            done: ends it.
            stop: ends it too.

        Returns:
            Whether it was done.

        Raises:
            KeyboardInterrupt: a stop was asked for.
        """
        duties = self._duties()
        due_s = [time.monotonic()] * len(duties)
        until_s = time.monotonic() + seconds
        while not done():
            now_s = time.monotonic()
            if now_s >= until_s:
                return False
            if stop.requested:
                raise KeyboardInterrupt
            self._take_frames()
            for index, (period_s, duty) in enumerate(duties):
                if now_s >= due_s[index]:
                    due_s[index] = max(due_s[index] + period_s, now_s)
                    duty()
            pause_s = SHORTEST_S if self._heard else min(due_s) - time.monotonic()
            select.select([], [], [], max(pause_s, SHORTEST_S))  # a real-time process that never waits is ended
        return True

    def _duties(self) -> list[tuple[float, Callable[[], None]]]:
        """What is done how often; ticks of the modules one after the other within a period."""
        tick_s = 1.0 / self._plan.station.droop.rate_hz
        return [
            (self._signal_p.period_s, self._send_signal), (PLAN_S, self._send_plan), (TIME_SYNC_S, self._tell_time),
            (SETPOINT_REPEAT_S, lambda: self._each(lambda m: m.repeat_base(time.monotonic()))),
            (TICK_S, lambda: self._each(lambda m: m.think((), (), self._say))),
            (tick_s, lambda: self._each(lambda m: m.tick(time.monotonic()))),
        ]  # fmt: skip

    def _each(self, act: Callable[[LoopModule], object]) -> None:
        for module in self._modules:
            act(module)

    def _take_frames(self) -> None:
        while self._heard:
            frame = self._heard.popleft()
            received = self._listener.hear(frame, frame.received_ns)
            sender = None if received is None else module_of(received.source)
            if received is None or sender is None:
                continue
            frames, reports = _words(sender, received)
            for module in self._modules:
                if module.module_id != sender and module.think(frames, reports, self._say):
                    self.agreed += 1

    def _say(self, name: str, signals: Mapping[str, Any], module_id: int = 0) -> None:
        source = controller_slot(module_id) if module_id else None
        self._link.send(self._speaker.say(name, signals, source=source))

    def _time_of_day_s(self) -> float:
        return (self._plan.inputs.start_s + time.monotonic() - self._begun_s) % 86400.0

    def _send_signal(self) -> None:
        now_s, time_of_day_s = time.monotonic(), self._time_of_day_s()
        sequence = convert.signal_sequence(time.time(), self._signal_p.epoch_period_s)
        frequency_hz = self._recordings.frequency_hz(time_of_day_s)
        signal_pu = self._recordings.signal_pu(time_of_day_s)
        self._signals += 1
        self._say("GRID_SIGNAL", {
            "source_id": 1, "signal_counter": self._signals, "signal_sequence": sequence,
            "time_of_day_s": time_of_day_s, "frequency_hz": frequency_hz, "voltage_v": math.nan,
            "price_eur_per_kwh": self._recordings.price_eur_per_kwh(time_of_day_s), "signal_pu": signal_pu,
            "site_load_kw": math.nan})  # fmt: skip
        for module in self._modules:
            module.hear_signal(frequency_hz, EpochId(sequence, 1, 1), self._capacity_kw * signal_pu, now_s)
            module.think((), (), self._say)

    def _send_plan(self) -> None:
        slots = range(can_words.PLAN_SLOTS)
        self._say("PLAN", {
            "plan_version": 1, "slots": len(slots), "start_time_of_day_s": 0.0, "slot_s": 3600.0,
            **{f"base_kw_{k}": 0.0 for k in slots}, **{f"capacity_kw_{k}": self._capacity_kw for k in slots}})

    def _tell_time(self) -> None:
        self._say("TIME_SYNC", {"unix_ms": unix_ms()})

    def _start_devices(self, station_plan: ProcessPlan) -> subprocess.Popen[bytes]:
        nodes: list[NodeSpec] = [n for p in station_plan.processes if not p.is_ros for n in p.nodes]
        role = [{"kind": STAND_IN, "name": n.name, "namespace": n.namespace,
                 "parameters": {**n.parameters, "run_started_s": time.time()}} for n in nodes]
        process = subprocess.Popen([*STAND_IN_COMMAND, "hardware"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   start_new_session=True)  # fmt: skip
        line = json.dumps({"cmd": "role", "nodes": role}).encode() + b"\n"
        assert process.stdin is not None and process.stdout is not None  # noqa: PT018, S101 - for the type checker
        process.stdin.write(line)  # the end of its standard input ends it, however this process ends
        process.stdin.flush()
        if not any(b'"ready"' in said for said in process.stdout):
            process.communicate()
            raise StartupError("the stand-ins did not come up, see above")
        return process


def run_loops(
    station_file: Path, overrides: Overrides, settings: CanSettings,
    counting: Callable[[], AbstractContextManager[None]],
) -> RunResult:
    """Let the loops agree, then run them for a while.

    Args:
        station_file: a station on the bus, with stand-ins.
        overrides: frequency, start, seed, duration that counts.
        settings: of the bus.
        counting: context manager in which the meter counts.

    Returns:
        Epochs agreed by all modules while it counted.

    Raises:
        StartupError: they did not agree.
        KeyboardInterrupt: a stop was asked for.
    """
    plan = process_plan(resolve_station(station_file, overrides), overrides)
    for note in plan.inputs.notes:
        print(f"v2g │ {note}", file=sys.stderr)
    with StopSignals() as stop, BusLoops(plan, settings) as loops:
        claim_real_time(DROOP_PRIORITY)  # where it is permitted, as the nodes do
        if not loops.run(READY_S, lambda: loops.is_settled, stop):
            raise StartupError(f"{len(plan.modules)} modules did not agree within {READY_S:g} s")
        before = loops.agreed
        with counting():
            loops.run(overrides.duration_s or 0.0, lambda: False, stop)
        epochs = (loops.agreed - before) // len(plan.modules)
    verdict = "ok" if epochs else "no epoch agreed"
    return RunResult({"epochs": epochs, "verdict": verdict}, plan.station, plan.inputs.notes)


def _words(sender: int, received: Received) -> tuple[tuple[Frame, ...], tuple[NeighborReport, ...]]:
    if received.name == "CURVE":
        return (convert.curve_frame(can_words.curve_message(sender, received.signals)),), ()
    if received.name == "NEIGHBOR_STATE":
        report = convert.state_report(can_words.state_message(sender, received.signals))
        return (), () if report is None else (report,)
    return (), ()


def _known(kind: type[Any], parameters: Mapping[str, Any], complete: bool = False) -> dict[str, Any]:
    """Those that a node of this kind has, as it would get them; `complete`: with the defaults of the others."""
    names = {item.name: item.default for item in fields(kind)}
    given = {name: tuple(value) if isinstance(value, list) else value
             for name, value in parameters.items() if name in names}
    return {**names, **given} if complete else given
