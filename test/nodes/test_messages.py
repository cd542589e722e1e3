"""Message definitions: stated sizes hold on the wire, every field says its unit or meaning."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from rclpy.serialization import deserialize_message, serialize_message

from v2g_nodes import msg
from v2g_nodes.cli.dispatch_privacy import KEY_CDR_BYTES, STATE_CDR_BYTES
from v2g_nodes.cli.dispatch_trial import CURVE_CDR_BYTES

FOLDER = Path(__file__).resolve().parents[2] / "msg"
DEFINITIONS = {path.stem: path.read_text() for path in sorted(FOLDER.glob("*.msg"))}
STATED_SIZE = re.compile(r"^# CDR size (\d+) B at the most\.$", re.MULTILINE)
NEIGHBOR_LIMIT_B = 64  # what two modules exchange fits into one CAN FD frame


def stated_sizes() -> dict[str, int]:
    """Message name -> bytes that its header comment promises."""
    found = {name: STATED_SIZE.search(text) for name, text in DEFINITIONS.items()}
    return {name: int(match.group(1)) for name, match in found.items() if match is not None}


def test_the_neighbor_messages_state_a_size_within_the_limit() -> None:
    sizes = stated_sizes()
    assert {"Curve", "MaskKey", "NeighborState"} <= set(sizes)
    assert max(sizes.values()) <= NEIGHBOR_LIMIT_B


@pytest.mark.parametrize(("name", "size"), stated_sizes().items())
def test_the_stated_size_holds_on_the_wire(name: str, size: int) -> None:
    # Fields of fixed size only: the size can't depend on the values.
    assert not re.search(r"^\s*(string|\w+\[\]|\w+\[<=\d+\])\s", DEFINITIONS[name], re.MULTILINE)
    assert len(serialize_message(getattr(msg, name)())) <= size


def test_the_size_of_a_round_is_the_one_that_benchmarks_print() -> None:
    assert len(serialize_message(msg.Curve())) == CURVE_CDR_BYTES
    assert len(serialize_message(msg.NeighborState())) == STATE_CDR_BYTES
    assert len(serialize_message(msg.MaskKey())) == KEY_CDR_BYTES


@pytest.mark.parametrize("name", DEFINITIONS)
def test_every_definition_is_built_and_survives_a_round_trip(name: str) -> None:
    kind = getattr(msg, name)
    assert deserialize_message(serialize_message(kind()), kind) == kind()


@pytest.mark.parametrize(("name", "text"), DEFINITIONS.items())
def test_the_header_says_topic_rate_and_loss(name: str, text: str) -> None:
    header = text.partition("\n\n")[0]
    for word in ("Topic /", "Rate: ", "On loss: "):
        assert word in header, f"{name}.msg does not say {word!r}"
