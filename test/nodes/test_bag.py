"""Bags: what is written can be read by others, whole or cut off, and `v2g replay` finds every decision in it."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from builtin_interfaces.msg import Time
from rclpy.serialization import serialize_message
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from v2g_nodes.msg import Applied, DecisionRecord

from v2g_nodes.cli.main import main
from v2g_nodes.core.errors import InputError
from v2g_nodes.sim import bag_writer
from v2g_nodes.sim.bag_writer import BagWriter, Topic
from v2g_nodes.sim.message_text import definition

from .recorded import ring_records, tick_records

QOS = {"history": "keep_last", "depth": 50, "reliability": "reliable", "durability": "volatile",
       "deadline": {"sec": 9223372036, "nsec": 854775807}, "lifespan": {"sec": 9223372036, "nsec": 854775807},
       "liveliness": "automatic", "liveliness_lease_duration": {"sec": 9223372036, "nsec": 854775807},
       "avoid_ros_namespace_conventions": False}  # fmt: skip
RECORD = "v2g_nodes/msg/DecisionRecord"
STEP_NS = 10_000_000
BEGIN_NS = 1_790_000_000_000_000_000


def type_hash(message: str) -> str:
    store = get_typestore(Stores.EMPTY)
    store.register(get_types_from_msg(definition(message), message))
    return store.hash_rihs01(message)


def payload(message: Any, kind: str) -> bytes:  # noqa: ANN401 - any message
    """As it crosses the network; rclpy's serialization leaves bytes of no meaning behind the end."""
    store = get_typestore(Stores.EMPTY)
    store.register(get_types_from_msg(definition(kind), kind))
    data = serialize_message(message)
    _, end = store.get_msgdef(kind).deserialize_cdr_le(data[4:], 0, store.get_msgdef(kind).cls, store)
    return data[: end + 4]


def topic(name: str, message: str) -> Topic:
    return Topic(name, message, definition(message), type_hash(message), [QOS])


def fill(bag: BagWriter, records: Sequence[Any]) -> None:
    channels: dict[str, int] = {}
    for number, record in enumerate(records):
        name = f"/ek3_{record.module_id:02d}/decision_record"
        if name not in channels:
            channels[name] = bag.add_topic(topic(name, RECORD))
        time_ns = BEGIN_NS + STEP_NS * number
        bag.write(channels[name], payload(record, RECORD), time_ns, time_ns - 1000, number)
        if number == len(records) // 2:
            bag.flush()


def write(folder: Path, records: Sequence[Any]) -> Path:
    bag = BagWriter(folder, {"station": "name: test"})
    fill(bag, records)
    bag.close()
    return folder


@pytest.fixture(scope="module")
def records() -> list[DecisionRecord]:
    return [*ring_records("supply_curve"), *tick_records()]


@pytest.fixture(scope="module")
def bag(records: list[DecisionRecord], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("bags") / "run", records)


def replay(*words: str | Path) -> int:
    return main(["replay", *map(str, words)])


@pytest.fixture
def figures(capsys: pytest.CaptureFixture[str]) -> Callable[[], dict[str, Any]]:
    return lambda: json.loads(capsys.readouterr().out)


def test_others_read_what_was_written(tmp_path: Path) -> None:
    said = Applied(stamp=Time(sec=7, nanosec=9), module_id=3, setpoint_kw=-1.5, limit_high_kw=3.25, base_kw=0.5)
    bag = BagWriter(tmp_path / "bag")
    channel = bag.add_topic(topic("/ek3_03/applied", "v2g_nodes/msg/Applied"))
    data_said = payload(said, "v2g_nodes/msg/Applied")
    bag.write(channel, data_said, BEGIN_NS + 5, BEGIN_NS, 17)
    bag.close()
    with AnyReader([tmp_path / "bag"]) as reader:
        (connection,) = reader.connections
        assert (connection.topic, connection.msgtype) == ("/ek3_03/applied", "v2g_nodes/msg/Applied")
        assert "kW" in connection.msgdef.data, "comments with units are kept"
        ((_, time_ns, data),) = reader.messages()
        heard: Any = reader.deserialize(data, connection.msgtype)
    assert time_ns == BEGIN_NS + 5
    assert bytes(data) == data_said
    assert (heard.stamp.sec, heard.stamp.nanosec, heard.module_id) == (7, 9, 3)
    assert (heard.setpoint_kw, heard.limit_high_kw, heard.base_kw) == (-1.5, 3.25, 0.5)


def test_metadata_has_the_layout_of_rosbag2(bag: Path, records: list[DecisionRecord]) -> None:
    information = yaml.safe_load((bag / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert set(information) == {
        "version", "storage_identifier", "duration", "starting_time", "message_count", "topics_with_message_count",
        "compression_format", "compression_mode", "relative_file_paths", "files", "custom_data", "ros_distro",
    }  # fmt: skip
    assert (information["version"], information["storage_identifier"]) == (9, "mcap")
    assert information["relative_file_paths"] == ["run_0.mcap"] == [one["path"] for one in information["files"]]
    assert information["message_count"] == len(records) == information["files"][0]["message_count"]
    assert information["starting_time"] == {"nanoseconds_since_epoch": BEGIN_NS}
    assert information["duration"] == {"nanoseconds": STEP_NS * (len(records) - 1)}
    assert information["custom_data"] == {"station": "name: test"}
    first = information["topics_with_message_count"][0]["topic_metadata"]
    assert (first["name"], first["type"]) == ("/ek3_01/decision_record", RECORD)
    assert first["type_description_hash"].startswith("RIHS01_")
    assert first["offered_qos_profiles"] == [QOS]
    assert not list(bag.glob("*.tmp"))


def test_a_definition_is_the_installed_text_with_all_types_in_it() -> None:
    text = definition("v2g_nodes/msg/DecisionRecord")
    first, *others = text.split("=" * 80 + "\n")
    assert first.startswith("# Everything a decision depended on")
    assert [other.partition("\n")[0] for other in others] == ["MSG: builtin_interfaces/Time"]
    with pytest.raises(InputError, match="message v2g_nodes/Nothing: no definition"):
        definition("v2g_nodes/msg/Nothing")


def test_replay_of_a_bag_is_exact_and_gives_the_same_file_twice(
    bag: Path, tmp_path: Path, figures: Callable[[], dict[str, Any]]
) -> None:
    assert replay(bag, "-o", tmp_path / "a.csv", "--json", "-") == 0
    told = figures()
    assert (told["verdict"], told["differing"], told["gaps"]) == ("ok", 0, [])
    assert (told["droop_ticks"], told["gate_ticks"]) == (600, 30)
    assert told["agreements"] >= 16
    assert replay(bag, "-o", tmp_path / "b.csv", "--json", "-") == 0
    text = (tmp_path / "a.csv").read_text()
    assert text == (tmp_path / "b.csv").read_text()
    assert len(text.splitlines()) == 1 + told["agreements"] + told["base_setpoints"] + 630


def test_a_bag_that_was_tampered_with_is_caught(
    records: list[DecisionRecord], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ticks = next(r for r in records if r.kind == DecisionRecord.DROOP)
    kept = ticks.applied_kw[150]
    ticks.applied_kw[150] = kept + 1e-3
    try:
        folder = write(tmp_path / "bag", records)
    finally:
        ticks.applied_kw[150] = kept
    assert replay(folder, "--json", "-") == 1
    told = capsys.readouterr()
    assert json.loads(told.out)["verdict"] == "1 decisions differ"
    assert "differs: /ek3_01/droop at" in told.err
    assert f"setpoint_kw recorded {kept + 1e-3!r}, replayed {kept!r}" in told.err


@pytest.mark.parametrize(
    ("storage", "mode"),
    [(StoragePlugin.SQLITE3, CompressionMode.NONE), (StoragePlugin.SQLITE3, CompressionMode.MESSAGE),
     (StoragePlugin.SQLITE3, CompressionMode.FILE), (StoragePlugin.MCAP, CompressionMode.STORAGE)],
)  # fmt: skip
def test_bags_of_others_are_replayed(
    storage: StoragePlugin, mode: CompressionMode, records: list[DecisionRecord], tmp_path: Path,
    figures: Callable[[], dict[str, Any]],
) -> None:
    store = get_typestore(Stores.EMPTY)
    store.register(get_types_from_msg(definition(RECORD), RECORD))
    other = Writer(tmp_path / "bag", version=9, storage_plugin=storage)
    other.set_compression(mode, CompressionFormat.ZSTD)
    with other:
        connections: dict[int, Any] = {}
        for number, record in enumerate(records):
            k = record.module_id
            if k not in connections:
                connections[k] = other.add_connection(f"/ek3_{k:02d}/decision_record", RECORD, typestore=store)
            other.write(connections[k], BEGIN_NS + number, payload(record, RECORD))
    assert replay(tmp_path / "bag", "--json", "-") == 0
    assert figures()["agreements"] >= 16


def test_a_bag_that_was_never_closed_is_read_as_far_as_it_goes(
    records: list[DecisionRecord], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bag = BagWriter(tmp_path / "bag")
    fill(bag, records)
    bag.abandon()
    assert replay(tmp_path / "bag", "--json", "-") == 0
    told = capsys.readouterr()
    assert "was not closed" in told.err
    assert json.loads(told.out)["records"] == len(records) // 2 + 1
    file = tmp_path / "bag" / "bag_0.mcap"
    file.write_bytes(file.read_bytes()[:-100])  # cut within a record
    assert replay(file, "--json", "-") in (0, 2)
    assert "Traceback" not in capsys.readouterr().err


def test_a_full_disk_ends_writing_with_an_error(
    records: list[DecisionRecord], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bag = BagWriter(tmp_path / "bag")

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(bag_writer.os, "write", full)
    with pytest.raises(OSError, match="No space left on device"):
        fill(bag, records)
    bag.abandon()


def test_a_folder_that_is_there_is_not_written_to(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="File exists, allowed is a new folder"):
        BagWriter(tmp_path)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["replay", "/no/such/bag"], "bag /no/such/bag: no such folder or file"),
        (["replay", "{empty}"], "bag {empty}: "),
        (["replay", "{file}"], "bag {file}: "),
        (["replay", "{bag}", "--module", "65"], "--module 65, allowed 1 to 64"),
        (["replay", "{bag}", "--module", "9"], "bag {bag}: no decisions of module 9 in it"),
        (["replay", "{bag}", "-o", "/no/such/a.csv"], "--output /no/such/a.csv: No such file or directory"),
        (["replay", "{bag}", "--json", "/no/such/a.json"], "--json /no/such/a.json: allowed is a file"),
        (["record", "-o", "{empty}"], "--output {empty}: is there already, allowed is a new folder"),
        (["record", "-o", "/proc/bag"], "--output /proc/bag: "),
        (["record", "--duration", "0"], "--duration 0, allowed above 0"),
        (["record", "--station", "/no/such.yaml"], "/no/such.yaml: No such file or directory"),
    ],
)
def test_bad_input_is_one_line(
    words: list[str], message: str, bag: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text").write_text("no bag")
    (tmp_path / "empty").mkdir()
    places = {"bag": str(bag), "empty": str(tmp_path / "empty"), "file": str(tmp_path / "text")}
    assert main([word.format(**places) for word in words]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith(f"v2g: error: {message.format(**places)}")
    assert told.err.count("\n") == 1
