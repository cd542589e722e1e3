"""Samples of a bag in the order of their times: rosbag2 folders and single files, MCAP or sqlite3, whole or cut off."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from mcap.exceptions import McapError, UnsupportedCompressionError
from mcap.reader import NonSeekingReader
from rosbags.highlevel import AnyReader, AnyReaderError
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, TypesysError, get_types_from_msg, get_typestore

from v2g_nodes.core.errors import InputError


class Sample(NamedTuple):
    """One sample.

    Args:
        time_ns: when it was received, Unix time [ns].
        topic: full name.
        message: its fields.
        share: of the bag that has been read, 0 to 1.
    """

    time_ns: int
    topic: str
    message: Any
    share: float


class BagReader:
    """A bag to be read once. A context manager.

    Args:
        path: folder of rosbag2, or an .mcap file.
        message: type that is wanted, such as v2g_nodes/msg/DecisionRecord.

    Raises:
        InputError: it is no bag.
    """

    def __init__(self, path: str, message: str) -> None:
        self._path, self._message = Path(path), message
        self.note = ""  # what is wrong with the bag, in words
        self._whole: AnyReader | None = None
        self._cut: list[Path] = []
        if not self._path.exists():
            raise InputError(f"bag {path}: no such folder or file")
        try:
            self._whole = AnyReader([self._path])
            self._whole.open()
        except (AnyReaderError, AssertionError, OSError, ValueError) as error:
            self._whole = None
            self._cut = _mcap_files(self._path)
            if not self._cut:
                raise InputError(
                    f"bag {path}: {error}, allowed is a folder of rosbag2 or an .mcap file"
                ) from error
            self.note = f"{path} was not closed: reading what is there"

    def samples(self) -> Iterator[Sample]:
        """All samples of the type that is wanted.

        Raises:
            InputError: a sample that does not fit its definition; a file in another form.
        """
        if self._whole is None:
            for number, path in enumerate(self._cut):
                for sample in self._of_cut(path):
                    yield sample._replace(share=(number + sample.share) / len(self._cut))
            return
        reader = self._whole
        begin_ns, length_ns = reader.start_time, max(reader.duration, 1)
        connections = [one for one in reader.connections if one.msgtype == self._message]
        if not connections:  # the reader would take none for all
            return
        try:
            for connection, time_ns, data in reader.messages(connections):
                message = reader.deserialize(data, connection.msgtype)
                yield Sample(time_ns, connection.topic, message, (time_ns - begin_ns) / length_ns)
        except (AnyReaderError, ValueError, OSError) as error:
            raise InputError(f"bag {self._path}: {error}") from error

    def _of_cut(self, path: Path) -> Iterator[Sample]:
        """What can be read of a file up to where it ends."""
        store = get_typestore(Stores.EMPTY)
        size = max(path.stat().st_size, 1)
        with path.open("rb") as stream:
            reader = NonSeekingReader(stream)
            try:
                for schema, channel, message in reader.iter_messages(log_time_order=False):
                    if schema is None or schema.name != self._message:
                        continue
                    if schema.name not in store.types:
                        store.register(get_types_from_msg(schema.data.decode(), schema.name))
                    value = store.deserialize_cdr(message.data, schema.name)
                    yield Sample(message.log_time, channel.topic, value, stream.tell() / size)
            except UnsupportedCompressionError as error:
                raise InputError(f"bag {path}: {error}, and it was not closed") from error
            except (McapError, EOFError, struct.error):  # here it was cut off
                return
            except (TypesysError, SerdeError, ValueError) as error:
                raise InputError(f"bag {path}: {error}") from error

    def __enter__(self) -> BagReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._whole is not None:
            self._whole.close()


def _mcap_files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(path.glob("*.mcap"))
    return [path] if path.suffix == ".mcap" else []
