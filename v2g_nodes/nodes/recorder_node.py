"""`recorder`: writes what is said on the topics into a rosbag2 folder, sample by sample as it comes."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.topic_endpoint_info import TopicEndpointInfo

from v2g_nodes.core.errors import InputError
from v2g_nodes.msg import DecisionRecord
from v2g_nodes.nodes import events, streams
from v2g_nodes.nodes.base import ManagedNode
from v2g_nodes.nodes.parameters import RunParameters, parameter
from v2g_nodes.sim.bag_writer import BagWriter, Topic
from v2g_nodes.sim.message_text import definition

LOOK_S = 0.1  # s, new topics are looked for so often
NAP_S = 0.04  # s, samples wait so long: to wake for each of them costs three times as much
FLUSH_S = 1.0  # s, a killed recorder loses this much
DEPTH = 1000  # samples of a topic that wait while the disk is slow
FOLDERS_MAX = 100  # of one name, made by successors of killed recorders


@dataclass(frozen=True)
class RecorderParameters(RunParameters):
    """Parameters of the recorder."""

    folder: str = parameter("", "bag, a new folder")
    topics: tuple[str, ...] = parameter((), "regular expressions of topics; none = all")
    station: str = parameter("", "station file's text, kept in the bag")
    module_ids: tuple[int, ...] = parameter((), "modules whose decisions are listened for before they are there")


class RecorderNode(ManagedNode[RecorderParameters]):
    """See module docstring."""

    PARAMETERS = RecorderParameters

    def configure(self) -> None:
        """Make the bag.

        Raises:
            InputError: no folder, or one that can't be made; what is no regular expression.
        """
        if not self.p.folder:
            raise InputError("folder is empty, allowed is a new folder")
        try:
            self._wanted = re.compile("|".join(f"(?:{text})" for text in self.p.topics))
        except re.error as error:
            raise InputError(f"topics {list(self.p.topics)}: {error}, allowed are regular expressions") from error
        custom = {"station": self.p.station} if self.p.station else {}
        self.bag = BagWriter(_free(Path(self.p.folder)), custom)
        self.missed = 0  # samples of topics with one publisher, by its numbers
        self.failure_text = ""
        self._seen: set[str] = set()  # topics that are listened to, or can't be
        self._channels: dict[str, int] = {}

    def activate(self) -> None:
        """Listen to all there is, and to what comes."""
        self._seen.clear()
        for k in self.p.module_ids:
            topic = f"/ek3_{k:02d}/{streams.DECISION_RECORD.topic}"
            if self._is_wanted(topic):
                self._seen.add(topic)
                self._listen(topic, DecisionRecord, streams.DECISION_RECORD.qos)
        self.every(LOOK_S, self._look)
        self.every(FLUSH_S, self._flush)
        self._look()

    def deactivate(self) -> None:
        """Nothing is written any more."""
        self._try(self.bag.flush)

    def cleanup(self) -> None:
        """Make the bag whole."""
        self._try(self.bag.close)
        if not self.failure_text:
            text = f"{self.bag.samples} samples of {self.topics} topics in {self.bag.folder}, {self.missed} missed"
            self.get_logger().info(text)
            events.emit("note", text=text)

    @property
    def topics(self) -> int:
        """How many are in the bag."""
        return len(self._channels)

    def _look(self) -> None:
        if self.failure_text:
            return
        for name, types in self.get_topic_names_and_types():
            if name in self._seen or not self._is_wanted(name):
                continue
            offers = self.get_publishers_info_by_topic(name)
            if offers and len(types) == 1:
                self._seen.add(name)
                message = self._message(name, types[0])
                if message is not None:
                    self._listen(name, message, _request(offers))

    def _is_wanted(self, topic: str) -> bool:
        return not self.p.topics or self._wanted.fullmatch(topic) is not None

    def _message(self, topic: str, name: str) -> type[Any] | None:
        """Class of a message type; None where it is not known here, which is told."""
        try:
            package, _, kind = name.split("/")
            message: type[Any] = getattr(importlib.import_module(f"{package}.msg"), kind)
            definition(name)
        except (ImportError, AttributeError, ValueError, InputError) as error:
            self.get_logger().warning(f"{topic} is not recorded: {error}")
            return None
        return message

    def _listen(self, topic: str, message: type[Any], qos: QoSProfile) -> None:
        subscription = self.create_subscription(message, topic, self._writer(topic, message), qos, raw=True)
        self._made_to_act.append(subscription)  # goes with what `activate` made

    def _writer(self, topic: str, message: type[Any]) -> Callable[[bytes, dict[str, Any]], None]:
        """Callback of a topic. It is entered into the bag with its first sample, when it has a publisher."""
        channel, alone, last = -1, False, 0

        def on_sample(data: bytes, info: dict[str, Any]) -> None:
            nonlocal channel, alone, last
            if channel < 0:
                offers = self.get_publishers_info_by_topic(topic)
                alone = len(offers) == 1
                channel = self._enter(topic, message, offers)
            number = info["publication_sequence_number"] or 0
            if alone and last and number > last + 1:
                self.missed += number - last - 1
            last = number
            self.bag.write(channel, data, info["received_timestamp"], info["source_timestamp"], number)

        return lambda data, info: self._try(partial(on_sample, data, info))

    def _enter(self, topic: str, message: type[Any], offers: Sequence[TopicEndpointInfo]) -> int:
        if topic not in self._channels:
            name = f"{message.__module__.split('.')[0]}/msg/{message.__name__}"
            type_hash = str(offers[0].topic_type_hash) if offers else ""
            qos = [_words(offer.qos_profile) for offer in offers]
            self._channels[topic] = self.bag.add_topic(Topic(topic, name, definition(name), type_hash, qos))
        return self._channels[topic]

    def _flush(self) -> None:
        self._try(self.bag.flush)

    def _try(self, action: Callable[[], object]) -> None:
        """Write; a disk that is full ends the recording and nothing else. Nothing once it has ended."""
        if self.failure_text:
            return
        try:
            action()
        except OSError as error:
            self.failure_text = (
                f"recording to {self.bag.folder} has ended after {self.bag.samples} samples: {error.strerror}"
            )
            self.get_logger().error(self.failure_text)
            self.bag.abandon()


def _free(folder: Path) -> Path:
    """The folder; one beside it where a recorder that was killed has left it."""
    for k in range(2, FOLDERS_MAX):
        if not folder.exists():
            break
        folder = folder.with_name(f"{folder.name.removesuffix(f'_{k - 1}')}_{k}")
    return folder


def _request(offers: Sequence[TopicEndpointInfo]) -> QoSProfile:
    """What all publishers of a topic can serve."""
    profiles = [offer.qos_profile for offer in offers]
    reliable = all(one.reliability == ReliabilityPolicy.RELIABLE for one in profiles)
    latched = all(one.durability == DurabilityPolicy.TRANSIENT_LOCAL for one in profiles)
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=DEPTH,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def _words(profile: QoSProfile) -> dict[str, Any]:
    """A profile in the words of rosbag2's metadata."""
    return {
        "history": profile.history.name.lower(),
        "depth": profile.depth,
        "reliability": profile.reliability.name.lower(),
        "durability": profile.durability.name.lower(),
        "deadline": _duration(profile.deadline.nanoseconds),
        "lifespan": _duration(profile.lifespan.nanoseconds),
        "liveliness": profile.liveliness.name.lower(),
        "liveliness_lease_duration": _duration(profile.liveliness_lease_duration.nanoseconds),
        "avoid_ros_namespace_conventions": profile.avoid_ros_namespace_conventions,
    }


def _duration(nanoseconds: int) -> dict[str, int]:
    return {"sec": nanoseconds // 1_000_000_000, "nsec": nanoseconds % 1_000_000_000}
