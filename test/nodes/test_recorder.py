"""The recorder: raw samples of all that is said, late topics too; a full disk or a kill costs the recording alone."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from rosbags.highlevel import AnyReader
from v2g_nodes.msg import Applied, DecisionRecord

from v2g_nodes.cli.bag_reader import BagReader
from v2g_nodes.core.errors import InputError
from v2g_nodes.nodes import streams
from v2g_nodes.nodes.recorder_node import RecorderNode
from v2g_nodes.sim import bag_writer

from .conftest import SUCCESS, Bench
from .recorded import tick_records

RECORD = "v2g_nodes/msg/DecisionRecord"
APPLIED = "v2g_nodes/msg/Applied"
LONG_S = 60.0


def recorder(bench: Bench, folder: Path, **parameters: object) -> RecorderNode:
    return bench.start(RecorderNode, "recorder", "/", folder=str(folder), **parameters)


def read(folder: Path, topic: str) -> list[Any]:
    with AnyReader([folder]) as reader:
        connections = [one for one in reader.connections if one.topic == topic]
        return [reader.deserialize(data, one.msgtype) for one, _, data in reader.messages(connections)]


def test_samples_of_late_topics_are_kept_as_they_came(bench: Bench, tmp_path: Path) -> None:
    node = recorder(bench, tmp_path / "bag", station="name: here")
    out = bench.sender(streams.APPLIED, "/ek3_07")
    for k in range(50):
        out.publish(Applied(module_id=7, setpoint_kw=0.01 * k, base_kw=float(k)))
    bench.until(lambda: node.bag.samples >= 50, "all are written")
    bench.drop(node)
    heard = read(tmp_path / "bag", "/ek3_07/applied")
    assert [one.base_kw for one in heard] == [float(k) for k in range(50)]
    assert (node.missed, node.failure_text) == (0, "")
    information = yaml.safe_load((tmp_path / "bag" / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    offered = {one["topic_metadata"]["name"]: one["topic_metadata"]["offered_qos_profiles"][0]["reliability"]
               for one in information["topics_with_message_count"]}  # fmt: skip
    assert offered["/ek3_07/applied"] == "best_effort"
    assert offered["/recorder/parameters_in_force"] == "reliable"
    assert information["custom_data"] == {"station": "name: here"}


def test_only_topics_that_are_wanted_are_recorded(bench: Bench, tmp_path: Path) -> None:
    node = recorder(bench, tmp_path / "bag", topics=["/ek3_0[12]/applied", "/nothing"])
    outs = [bench.sender(streams.APPLIED, space, listeners) for space, listeners in (("/ek3_01", 1), ("/ek3_03", 0))]
    for out in outs:
        out.publish(Applied(module_id=1))
    bench.until(lambda: node.bag.samples >= 1, "the first is written")
    bench.drop(node)
    with AnyReader([tmp_path / "bag"]) as reader:
        assert {one.topic for one in reader.connections} == {"/ek3_01/applied"}


def test_decisions_are_listened_for_before_the_module_is_there(bench: Bench, tmp_path: Path) -> None:
    node = recorder(bench, tmp_path / "bag", module_ids=[5], topics=["/ek3_05/decision_record"])
    out = bench.sender(streams.DECISION_RECORD, "/ek3_05")
    out.publish(DecisionRecord(module_id=5, sequence=1))
    bench.until(lambda: node.bag.samples == 1, "it is written")
    bench.drop(node)
    assert [one.sequence for one in read(tmp_path / "bag", "/ek3_05/decision_record")] == [1]


def test_a_successor_writes_beside_what_its_predecessor_left(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "bag").mkdir()
    assert recorder(bench, tmp_path / "bag").bag.folder == tmp_path / "bag_2"


@pytest.mark.parametrize(("topics", "text"), [(["("], "allowed are regular expressions"), ([], "folder is empty")])
def test_bad_parameters_are_refused(bench: Bench, tmp_path: Path, topics: list[str], text: str) -> None:
    parameters: dict[str, object] = {"topics": topics} if topics else {}
    folder = str(tmp_path / "bag") if topics else ""
    node = bench.make(RecorderNode, "recorder", "/", folder=folder, **parameters)
    node.trigger_configure()
    assert isinstance(node.failure, InputError)
    assert text in str(node.failure)
    assert not (tmp_path / "bag").exists()


def test_a_full_disk_ends_the_recording_in_one_line_and_nothing_else(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = recorder(bench, tmp_path / "bag", topics=["/ek3_01/applied"])
    out = bench.sender(streams.APPLIED, "/ek3_01")

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(bag_writer.os, "write", full)
    out.publish(Applied(module_id=1))
    bench.until(lambda: node.failure_text, "it has noticed")
    assert node.active
    out.publish(Applied(module_id=1))
    bench.spin()
    for step in (node.trigger_deactivate, node.trigger_cleanup):
        assert step() is SUCCESS
        assert node.failure is None
    assert node.failure_text.endswith("samples: No space left on device")
    assert not (tmp_path / "bag" / "metadata.yaml").exists()


def test_a_killed_recorder_leaves_all_but_the_last_second(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "bag"
    role = [{"kind": "recorder", "name": "recorder", "namespace": "/",
             "parameters": {"folder": str(folder), "topics": ["/ek3_01/decision_record"]}}]  # fmt: skip
    process = subprocess.Popen([sys.executable, "-m", "v2g_nodes.nodes.host", "recorder", "--role", json.dumps(role)])
    try:
        out = bench.sender(streams.DECISION_RECORD, "/ek3_01")
        file = folder / "bag_0.mcap"
        records = tick_records()
        end_s = time.monotonic() + LONG_S
        while not (file.exists() and file.stat().st_size > 10_000):  # a flushed second is there
            assert time.monotonic() < end_s
            for record in records:
                out.publish(record)
            bench.spin(5)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    with BagReader(str(folder), RECORD) as reader:
        assert "was not closed" in reader.note
        kept = [sample.message for sample in reader.samples()]
    assert len(kept) >= len(records)
    assert {one.kind for one in kept} == {DecisionRecord.DROOP, DecisionRecord.GATE}
