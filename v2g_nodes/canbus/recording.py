"""Recordings of the bus that other tools can read: BLF (binary) and ASC (text) of Vector's tools, through python-can.

Channel 0 is bus A, channel 1 is bus B. Times in them are wall time; a file keeps them to 1 ms in absolute terms and to
1 us from frame to frame.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import can

from v2g_nodes.canbus.wire_frame import WireFrame
from v2g_nodes.core.errors import InputError

BUSES = ("A", "B")
NS_PER_S = 1_000_000_000
WRITERS = {".blf": can.BLFWriter, ".asc": can.ASCWriter}
READERS = {".blf": can.BLFReader, ".asc": can.ASCReader}


def check_name(path: str | Path) -> Path:
    """A file whose name says how it is to be written or read.

    Raises:
        InputError: another ending than .blf or .asc.
    """
    file = Path(path)
    if file.suffix.lower() not in WRITERS:
        raise InputError(f"recording {path}: allowed is a name that ends with {' or '.join(WRITERS)}")
    return file


class Recorder:
    """Writes frames to a file; a context manager, without whose end the file is not complete.

    Args:
        path: new file, .blf or .asc; what is there is overwritten.

    Raises:
        InputError: another ending, or the file can't be written.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = check_name(path)
        try:
            self._writer = WRITERS[self._path.suffix.lower()](str(self._path))
        except OSError as error:
            raise InputError(f"recording {path}: {error.strerror or error}") from error
        self.frames = 0

    def write(self, bus: str, frame: WireFrame, unix_ns: int) -> None:
        """Add a frame.

        Args:
            bus: A or B.
            frame: as it was on the bus.
            unix_ns: when, wall time [ns].
        """
        self._writer.on_message_received(can.Message(
            timestamp=unix_ns / NS_PER_S, arbitration_id=frame.identifier, is_extended_id=True, is_fd=True,
            bitrate_switch=True, dlc=len(frame.payload), data=frame.payload, channel=BUSES.index(bus)))  # fmt: skip
        self.frames += 1

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.stop()


def read_recording(path: str | Path) -> Iterator[tuple[str, WireFrame]]:
    """Bus and frame, in the order of the file; `received_ns` is wall time.

    What is no CAN-FD data frame with a 29-bit identifier is left out.

    Args:
        path: .blf or .asc.

    Raises:
        InputError: another ending, not readable, or not such a file.
    """
    file = check_name(path)
    mode, encoding = ("r", "utf-8") if file.suffix.lower() == ".asc" else ("rb", None)
    try:
        # python-can leaves the file open when it is not what it should be
        with file.open(mode, encoding=encoding) as stream:
            for message in READERS[file.suffix.lower()](stream, relative_timestamp=False):
                if message.is_fd and message.is_extended_id and not message.is_remote_frame:
                    unix_ns = round(message.timestamp * NS_PER_S)
                    frame = WireFrame(message.arbitration_id, bytes(message.data), unix_ns)
                    yield BUSES[1] if message.channel == 1 else BUSES[0], frame
    except OSError as error:
        raise InputError(f"recording {path}: {error.strerror or error}") from error
    except (can.CanError, ValueError, IndexError, struct.error, zlib.error, NotImplementedError) as error:
        raise InputError(f"recording {path}: not a {file.suffix} file, or damaged: {error}") from error
