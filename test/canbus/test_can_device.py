"""The process of the stand-ins: host protocol on its pipes, frames on the bus, nothing else."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from v2g_nodes.canbus.device_words import Setpoint, setpoint_signals
from v2g_nodes.canbus.frame_watch import FrameWatch
from v2g_nodes.canbus.identifier import controller_slot, device_slot
from v2g_nodes.canbus.link import Link
from v2g_nodes.canbus.parameters import settings_from
from v2g_nodes.canbus.protection import Protection
from v2g_nodes.canbus.wire import Listener, Received, Speaker
from v2g_nodes.canbus.wire_frame import WireFrame
from v2g_nodes.core.errors import InputError
from v2g_nodes.sim import can_device
from v2g_nodes.sim.can_device import StandIn

from .can_rig import PARAMETERS

LONG_S = 30.0
CAN = {"can_interface": "udp_multicast", "can_channel": "239.255.43.8", "can_backup_channel": "",
       "can_port": 20_000 + os.getpid() % 20_000, "can_bitrate": 1_000_000, "can_data_bitrate": 5_000_000,
       "can_options": "{}", "can_key_file": ""}  # fmt: skip


def node(module_id: int, **parameters: object) -> dict[str, Any]:
    return {"kind": "can_device", "name": "device", "namespace": f"/ek3_{module_id:02d}",
            "parameters": {**PARAMETERS, **CAN, "module_id": module_id, "state_file": "", **parameters}}


class Bus:
    """Everything that is said on it."""

    def __init__(self) -> None:
        self._listener = Listener(Protection(), FrameWatch(), lambda: 0)
        self._heard: queue.SimpleQueue[Received] = queue.SimpleQueue()
        self.link = Link(settings_from(CAN), self._hear)

    def until(self, what: str, wanted: Callable[[Received], bool]) -> Received:
        while True:
            try:
                received = self._heard.get(timeout=LONG_S)
            except queue.Empty:
                pytest.fail(f"waited in vain for {what}")
            if received.name == what and wanted(received):
                return received

    def _hear(self, frames: list[WireFrame]) -> None:
        for frame in frames:
            received = self._listener.hear(frame, frame.received_ns)
            if received is not None:
                self._heard.put(received)


@pytest.mark.system
def test_two_modules_in_one_process_live_and_end_with_their_supervisor() -> None:
    bus = Bus()
    speaker = Speaker(controller_slot(6), Protection(), lambda: 0)
    with bus.link, subprocess.Popen(
        [sys.executable, "-m", "v2g_nodes.sim.can_device", "devices"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert json.loads(process.stdout.readline())["event"] == "warm"
            process.stdin.write(json.dumps({"cmd": "role", "nodes": [node(5), node(6)]}) + "\n")
            process.stdin.flush()
            said = [json.loads(process.stdout.readline())]
            while said[-1]["event"] == "note":  # real-time scheduling may not be permitted
                said.append(json.loads(process.stdout.readline()))
            assert said[-1] == {"event": "ready", "nodes": ["/ek3_05/device", "/ek3_06/device"]}
            bus.until("STATUS", lambda heard: heard.source == 5)
            bus.until("STATUS", lambda heard: heard.source == 6)
            setpoint = setpoint_signals(Setpoint(0.01, 60.0, True, 0, 3.3))
            bus.link.send(speaker.say("SETPOINT", setpoint, device_slot(6)))
            bus.until("ACKNOWLEDGE", lambda heard: heard.source == 6)
            status = bus.until("STATUS", lambda heard: heard.source == 6 and heard.signals["power_kw"] > 0.008)
            assert status.signals["enabled"] == 1
            process.stdin.close()  # the supervisor is gone
            bus.until("JOIN_LEAVE", lambda heard: heard.source == 5 and heard.signals["action"] == 0)
            bus.until("JOIN_LEAVE", lambda heard: heard.source == 6 and heard.signals["action"] == 0)
            assert json.loads(process.stdout.readline())["event"] == "stopped"
            assert process.wait(LONG_S) == 0
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("nodes", "text"),
    [
        ([], "role is [], allowed a list of at least one node"),
        ("x", "allowed a list of at least one node"),
        ([{"kind": "module"}], "allowed an object of kind can_device with kind, name, namespace, parameters"),
        ([node(1), node(2, can_port=3000)], "modules of one process are on different buses"),
        ([node(65)], "module id is 65, allowed 1 to 64"),
        ([node(1, can_channel="x")], "can.channel is 'x'"),
        ([node(1, can_options="{")], "can_options is '{', allowed a JSON object"),
        ([node(1, can_key_file="/nowhere")], "key file /nowhere"),
    ],
)
def test_a_role_that_can_not_be_played_is_refused(nodes: Any, text: str) -> None:  # noqa: ANN401
    with pytest.raises(InputError) as refusal:
        StandIn(nodes)
    assert text in str(refusal.value)


def test_a_kept_state_of_something_else_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    file.write_text("{}")
    with pytest.raises(InputError, match=r"state_file .*state\.json: module state is of another version"):
        StandIn([node(1, state_file=str(file))])


@pytest.mark.parametrize("role", ["{", "[]"])
def test_a_bad_role_ends_the_process_in_one_line(
    role: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert can_device.main(["device", "--role", role]) == 2
    out, err = capsys.readouterr()
    assert json.loads(out)["event"] == "error"
    assert err.startswith("error: ")
    assert err.count("\n") == 1


