"""What a passive listener learns of a bus without reading the contents: frames, bits, load, and what got lost."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from v2g_nodes.canbus.bit_time import frame_bits, frame_time_s
from v2g_nodes.canbus.bus_load import BusLoad
from v2g_nodes.canbus.identifier import Identifier, module_of
from v2g_nodes.canbus.settings import CanSettings

HEADER_BYTES = 8
SEQUENCE = slice(5, 7)  # of the payload, little-endian (EQUATIONS 000.2)
SEQUENCES = 1 << 16
NS_PER_S = 1e9


@dataclass
class _Stream:
    """Frames of one identifier: one message of one sender to one receiver."""

    sequence: int
    frames: int = 1
    lost: int = 0
    repeated: int = 0


class BusTally:
    """Counts frames from its making on.

    Args:
        settings: bit rates.
        now_ns: steady time [ns].
    """

    def __init__(self, settings: CanSettings, now_ns: int) -> None:
        self._settings, self.begun_ns = settings, now_ns
        self._load = BusLoad(settings)
        self._streams: dict[int, _Stream] = {}
        self._lengths: dict[tuple[int, int], int] = defaultdict(int)  # frames by identifier and payload length
        self._odd = 0

    def add(self, identifier: int, payload: bytes, now_ns: int) -> None:
        """Count a frame.

        Args:
            identifier: 29 bits.
            payload: at least a header; shorter ones are not of this bus and are counted apart.
            now_ns: when it came [ns]; never before the one before.
        """
        if len(payload) < HEADER_BYTES:
            self._odd += 1
            return
        self._load.add(len(payload), now_ns)
        self._lengths[identifier, len(payload)] += 1
        sequence = int.from_bytes(payload[SEQUENCE], "little")
        stream = self._streams.get(identifier)
        if stream is None:
            self._streams[identifier] = _Stream(sequence)
            return
        step = (sequence - stream.sequence) % SEQUENCES
        if 0 < step < SEQUENCES // 2:
            stream.lost += step - 1
            stream.sequence = sequence
        else:  # once more, or an older one
            stream.repeated += 1
        stream.frames += 1

    def figures(self, now_ns: int) -> dict[str, object]:
        """Keys of `bench can` that come from the bus.

        Loads count every frame with the most stuff bits its length can need (canbus/bit_time.py), so they are an upper
        bound. Bits of a module are those that its device and its controller have sent.

        Args:
            now_ns: steady time [ns].
        """
        elapsed_s = (now_ns - self.begun_ns) / NS_PER_S
        total = sum(stream.frames for stream in self._streams.values())
        busy_s = sum(count * frame_time_s(size, self._settings) for (_, size), count in self._lengths.items())
        load = self._load.load(now_ns)
        return {
            "duration_s": elapsed_s,
            "bus_load_max": load.peak_1s,
            "bus_load_max_100ms": load.peak_100ms,
            "bus_load_mean": busy_s / elapsed_s,
            "bytes_per_frame_max": max((size for _, size in self._lengths), default=None),
            "kbps_per_module_max": self._kbps(elapsed_s, {size: sum(frame_bits(size)) for _, size in self._lengths}),
            "payload_kbps_per_module_max": self._kbps(elapsed_s, {size: 8 * size for _, size in self._lengths}),
            "frames": total,
            "frames_per_s": total / elapsed_s,
            "frames_lost": sum(stream.lost for stream in self._streams.values()),
            "frames_repeated": sum(stream.repeated for stream in self._streams.values()),
            "frames_odd": self._odd,
            "senders": len({Identifier.unpack(identifier).source for identifier in self._streams}),
            "frames_by_code": self._by_code(),
            "lost_by_identifier": {str(k): stream.lost for k, stream in sorted(self._streams.items()) if stream.lost},
        }

    def _kbps(self, elapsed_s: float, bits: Mapping[int, int]) -> float | None:
        """Of the busiest module; None without one."""
        per_module: dict[int, int] = defaultdict(int)
        for (identifier, size), count in self._lengths.items():
            module = module_of(Identifier.unpack(identifier).source)
            if module is not None:
                per_module[module] += count * bits[size]
        return max(per_module.values()) / elapsed_s / 1000.0 if per_module else None

    def _by_code(self) -> dict[str, int]:
        counts: dict[int, int] = defaultdict(int)
        for identifier, stream in self._streams.items():
            counts[Identifier.unpack(identifier).code] += stream.frames
        return {str(code): counts[code] for code in sorted(counts)}
