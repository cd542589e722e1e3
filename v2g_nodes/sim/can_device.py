"""EK3 modules on the CAN bus, stood in for by one process: `python -m v2g_nodes.sim.can_device NAME`.

Only frames connect it with the station. Under a supervisor it speaks the host protocol of nodes/host.py on standard
input and output; `--role JSON` gives the modules on the command line instead. One link serves all of them.
"""

from __future__ import annotations

import argparse
import json
import secrets
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from queue import SimpleQueue
from typing import Any

from v2g_nodes.canbus.codec import Codec
from v2g_nodes.canbus.identifier import BROADCAST, device_slot
from v2g_nodes.canbus.link import Link
from v2g_nodes.canbus.parameters import settings_from
from v2g_nodes.canbus.protection import Protection, protection_of
from v2g_nodes.canbus.settings import CanSettings
from v2g_nodes.canbus.wire import unix_ms
from v2g_nodes.canbus.wire_frame import WireFrame
from v2g_nodes.core.errors import InputError, V2gError
from v2g_nodes.core.priority import DEVICE_PRIORITY, claim_real_time
from v2g_nodes.sim.can_firmware import CanDevice
from v2g_nodes.sim.ek3_module import build_plant
from v2g_nodes.sim.kept_state import KeptState

KIND = "can_device"
STEP_S = 0.01  # s, the plant's
NEWS_S = 1.0  # s, between two looks at what there is to log
DESTINATION_MASK, CODE_MASK = 0xFF00, 0xFF


class StandIn:
    """The modules of one process, their link and their clock.

    Args:
        nodes: as in the host protocol: {"kind", "name", "namespace", "parameters"}, all on the same bus.

    Raises:
        InputError: nodes or parameters that can't be used.
    """

    def __init__(self, nodes: Sequence[Mapping[str, Any]]) -> None:
        _check(nodes)
        self.names = [f"{node['namespace'].rstrip('/')}/{node['name']}" for node in nodes]
        parameters = [node["parameters"] for node in nodes]
        settings = _one_bus(parameters)
        codec = Codec.load()
        self._frames: deque[WireFrame] = deque()
        slots = [device_slot(one["module_id"]) for one in parameters]
        time_sync = codec.spec("TIME_SYNC").code | BROADCAST << 8
        filters = [(slot << 8, DESTINATION_MASK) for slot in slots] + [(time_sync, DESTINATION_MASK | CODE_MASK)]
        self._link = Link(settings, self._frames.extend, filters, name=KIND, on_fault=_log)
        protection = protection_of(settings.key_file)
        self._said = ""  # why a state could not be kept
        self._kept = [KeptState(one["state_file"]) for one in parameters]
        self._devices = [_device(one, kept, protection, codec, self._link)
                         for one, kept in zip(parameters, self._kept, strict=True)]

    def run(self, stop: threading.Event) -> None:
        """Be on the bus until asked to stop."""
        with self._link:
            due_s = news_s = time.monotonic()
            while not stop.is_set():
                self._step(time.monotonic_ns())
                if due_s >= news_s:
                    self._tell_news()
                    news_s += NEWS_S
                due_s = max(due_s, time.monotonic() - STEP_S) + STEP_S  # steps that were missed are not made up for
                time.sleep(max(due_s - time.monotonic(), 0.0))
            for device in self._devices:
                self._send(device.leave())

    def _step(self, now_ns: int) -> None:
        for _ in range(len(self._frames)):
            frame = self._frames.popleft()
            for device in self._devices:
                if frame.identifier >> 8 & 0xFF in (device.slot, BROADCAST):
                    device.on_frame(frame, frame.received_ns)
        for device, kept in zip(self._devices, self._kept, strict=True):
            frames = device.step(now_ns)
            if frames:  # kept before it is told: who takes over after a kill goes on from what was told, or later
                self._keep(device, kept)
                self._send(frames)

    def _keep(self, device: CanDevice, kept: KeptState) -> None:
        try:
            kept.keep(device.plant.to_state(time.time()))
        except OSError as error:
            if str(error) != self._said:
                _log(f"state not kept: {error}")
                self._said = str(error)

    def _send(self, frames: Sequence[WireFrame]) -> None:
        for frame in frames:
            self._link.send(frame)

    def _tell_news(self) -> None:
        for device in self._devices:
            for line in device.watch.news(time.monotonic_ns()):
                _log(line)


def _device(
    parameters: Mapping[str, Any], kept: KeptState, protection: Protection, codec: Codec, link: Link
) -> CanDevice:
    """A module as it was left, else new, at the local time of day that the run has reached."""
    begun_s = parameters["start_time_of_day_s"]
    if parameters.get("run_started_s"):
        begun_s += time.time() - parameters["run_started_s"]

    plant = build_plant({**parameters, "start_time_of_day_s": begun_s})
    kept.restore(plant, time.time())

    def link_words() -> tuple[int, int]:
        state = link.state
        return int(state.active == "B"), state.errors

    return CanDevice(
        parameters["module_id"], plant, lambda: secrets.randbits(32), protection, codec,
        unix_ms, link_words)


def _one_bus(parameters: Sequence[Mapping[str, Any]]) -> CanSettings:
    """The bus that all are on."""
    first = settings_from(parameters[0])
    if any(settings_from(one) != first for one in parameters):
        raise InputError("modules of one process are on different buses, allowed is one for all")
    return first


def _check(nodes: object) -> None:
    keys = {"kind": str, "name": str, "namespace": str, "parameters": dict}
    if not isinstance(nodes, list) or not nodes:
        raise InputError(f"role is {str(nodes)[:80]}, allowed a list of at least one node")
    for node in nodes:
        good = isinstance(node, dict) and all(isinstance(node.get(key), kind) for key, kind in keys.items())
        if not good or node["kind"] != KIND:
            raise InputError(f"role has node {str(node)[:80]}, allowed an object of kind {KIND} with {', '.join(keys)}")


def _emit(event: str, **fields: object) -> None:
    print(json.dumps({"event": event, **fields}), flush=True)


def _log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _read_role(stop: threading.Event, roles: SimpleQueue[list[Mapping[str, Any]] | None]) -> None:
    """Commands of the supervisor, until it says stop or is gone."""
    for line in sys.stdin:
        try:
            request = json.loads(line)
        except ValueError:
            request = None
        word = request.get("cmd") if isinstance(request, dict) else None
        if word == "role":
            roles.put(request.get("nodes"))
        elif word == "scout":
            _emit("scout", found=[])
        elif word == "stop":
            break
        elif line.strip():
            _emit("refused", text=f"command {line.strip()[:80]}, allowed an object with cmd scout, role or stop")
    stop.set()
    roles.put(None)


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point.

    Returns:
        Exit code: 2 for a role that can't be used.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("name", nargs="?", default=KIND, help="name of the process")
    parser.add_argument("--role", help="modules to stand in for, as JSON; without it they come on standard input")
    options = parser.parse_args(arguments)
    stop = threading.Event()
    roles: SimpleQueue[list[Mapping[str, Any]] | None] = SimpleQueue()

    def on_signal(number: int, _frame: object) -> None:
        stop.set()
        roles.put(None)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, on_signal)
    try:
        if options.role:
            roles.put(_parsed(options.role))
        else:
            Codec.load()  # a warm spare has everything at hand
            _emit("warm")
            threading.Thread(target=_read_role, args=(stop, roles), name="stdin", daemon=True).start()
        nodes = roles.get()
        if nodes is not None and not stop.is_set():
            stand_in = StandIn(nodes)
            if not claim_real_time(DEVICE_PRIORITY):
                _emit("note", text="real-time scheduling is not permitted here; stand-ins run at normal priority")
            _emit("ready", nodes=stand_in.names)
            stand_in.run(stop)
    except V2gError as error:
        _emit("error", text=str(error))
        _log(f"error: {error}")
        return 2 if isinstance(error, InputError) else 1
    _emit("stopped")
    return 0


def _parsed(text: str) -> Any:  # noqa: ANN401 - whatever JSON holds
    try:
        return json.loads(text)
    except ValueError as error:
        raise InputError(f"--role {text[:80]} is not JSON: {error}") from error


if __name__ == "__main__":
    sys.exit(main())
