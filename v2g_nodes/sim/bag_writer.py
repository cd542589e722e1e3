"""A rosbag2 folder with MCAP storage, written as samples come in: what is told to be flushed survives a killed process.

Layout: rosbag2 of ROS 2 Jazzy (metadata version 9). The file holds message definitions, hashes of types and QoS, so it
says what is in it on any machine.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcap.writer import CompressionType, Writer

from v2g_nodes.core.errors import InputError

METADATA_VERSION = 9
METADATA = "metadata.yaml"
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Topic:
    """One topic of a bag.

    Args:
        name: full name.
        message: type, such as v2g_nodes/msg/Applied.
        definition: its text and that of every type in it, as ros2msg.
        type_hash: RIHS01_...
        qos: what its publishers offer, one mapping each, in the words of rosbag2.
    """

    name: str
    message: str
    definition: str
    type_hash: str
    qos: Sequence[Mapping[str, Any]]


class _File:
    """A file without a buffer of its own, so that what was written stays when the process is killed.

    Args:
        path: which must not exist.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        self._written = 0

    def write(self, data: bytes) -> int:
        left = memoryview(data)
        while left:
            left = left[os.write(self._descriptor, left) :]
        self._written += len(data)
        return len(data)

    def tell(self) -> int:
        return self._written

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        os.close(self._descriptor)


class BagWriter:
    """A bag being written. A context manager: leaving it makes the bag whole, unless writing has failed.

    Args:
        folder: of the bag; made here.
        custom: words about the run, kept in the bag's metadata.

    Raises:
        InputError: the folder is there already or can't be made.
    """

    def __init__(self, folder: Path, custom: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.samples = 0
        self._custom = dict(custom or {})
        self._topics: dict[int, Topic] = {}
        self._counts: dict[int, int] = {}
        self._schemas: dict[str, int] = {}
        self._start_ns, self._end_ns = 1 << 63, 0
        try:
            folder.mkdir(parents=True)
            self._path = folder / f"{folder.name}_0.mcap"
            self._file = _File(self._path)
        except OSError as error:
            raise InputError(f"bag {folder}: {error.strerror}, allowed is a new folder that can be made") from error
        output: Any = self._file
        self._writer: Any = Writer(output, chunk_size=CHUNK_BYTES, compression=CompressionType.LZ4)
        self._writer.start("ros2", "v2g_nodes")

    def add_topic(self, topic: Topic) -> int:
        """Number of the topic, for `write`.

        Raises:
            OSError: the disk is full, or worse.
        """
        if topic.message not in self._schemas:
            self._schemas[topic.message] = self._writer.register_schema(
                topic.message, "ros2msg", topic.definition.encode()
            )
        metadata = {"offered_qos_profiles": _yaml(list(topic.qos)), "topic_type_hash": topic.type_hash}
        channel: int = self._writer.register_channel(topic.name, "cdr", self._schemas[topic.message], metadata)
        self._topics[channel], self._counts[channel] = topic, 0
        return channel

    def write(self, channel: int, data: bytes, received_ns: int, sent_ns: int, sequence: int = 0) -> None:
        """One sample as it came, serialized.

        Args:
            channel: number of the topic.
            data: CDR.
            received_ns: Unix time [ns].
            sent_ns: Unix time [ns].
            sequence: of its publisher.

        Raises:
            OSError: the disk is full, or worse.
        """
        self._writer.add_message(channel, received_ns, data, sent_ns, sequence & 0xFFFFFFFF)
        self.samples += 1
        self._counts[channel] += 1
        self._start_ns, self._end_ns = min(self._start_ns, received_ns), max(self._end_ns, received_ns)

    def flush(self) -> None:
        """Pass on all samples to the operating system.

        Raises:
            OSError: the disk is full, or worse.
        """
        self._writer.flush()

    def close(self) -> None:
        """Index, metadata, end.

        Raises:
            OSError: the disk is full, or worse.
        """
        try:
            information = self._information()
            self._writer.add_metadata("rosbag2", {"serialized_metadata": _yaml(information)})
            self._writer.finish()
        finally:
            self._file.close()
        being_written = self.folder / f"{METADATA}.tmp"
        being_written.write_text(_yaml({"rosbag2_bagfile_information": information}), encoding="utf-8")
        being_written.replace(self.folder / METADATA)

    def abandon(self) -> None:
        """End without index and metadata, after a failure."""
        self._file.close()

    def _information(self) -> dict[str, Any]:
        start_ns = self._start_ns if self.samples else 0
        span = {
            "starting_time": {"nanoseconds_since_epoch": start_ns},
            "duration": {"nanoseconds": max(self._end_ns - start_ns, 0)},
            "message_count": self.samples,
        }
        topics = [
            {"topic_metadata": {"name": topic.name, "type": topic.message, "serialization_format": "cdr",
                                "offered_qos_profiles": [dict(qos) for qos in topic.qos],
                                "type_description_hash": topic.type_hash},
             "message_count": self._counts[channel]}
            for channel, topic in self._topics.items()
        ]  # fmt: skip
        return {"version": METADATA_VERSION, "storage_identifier": "mcap", **span, "topics_with_message_count": topics,
                "compression_format": "", "compression_mode": "", "relative_file_paths": [self._path.name],
                "files": [{"path": self._path.name, **span}], "custom_data": self._custom,
                "ros_distro": os.environ.get("ROS_DISTRO", "jazzy")}  # fmt: skip


def _yaml(value: object) -> str:
    import yaml  # slow to import, and needed once a run only

    plain = json.loads(json.dumps(value))  # no anchors for what appears twice
    text: str = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=1000)
    return text
