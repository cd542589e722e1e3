"""Supervisor of the bus: for each message and sender count, rate, age, frames lost, and frames refused with the reason.

Counts are for people and diagnostics; nothing is decided from them. The source of a refused frame is what it claims.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from v2g_nodes.canbus import verdict
from v2g_nodes.canbus.codec import Codec
from v2g_nodes.canbus.identifier import slot_name

RATE_WINDOW_NS = 1_000_000_000
NEWS_PAUSE_NS = 5_000_000_000
NEWS_LINES_MAX = 10  # at once; the rest is counted in one line
LATE_CYCLES = 3  # a cyclic message that is older than so many of its cycles is late
UNKNOWN_NAME = "?"
EVENT = 2  # kind of a message that has a cycle only while something lasts


class FrameLine(NamedTuple):
    """What is known of one message of one sender.

    Args:
        name: of the message; `?` for all that is no message.
        source: slot of the sender, as it says.
        frames: accepted.
        rate_hz: of the accepted ones, over the last full second.
        age_s: since the last accepted one [s]; infinite before the first.
        lost: frames missing.
        verdict: on the latest frame.
        refused: by verdict.
        late: a cyclic message that has been silent for more than LATE_CYCLES cycles.
    """

    name: str
    source: int
    frames: int
    rate_hz: float
    age_s: float
    lost: int
    verdict: str
    refused: Mapping[str, int]
    late: bool


class _Stream:
    """Counters of one message of one sender."""

    __slots__ = ("frames", "last_ns", "lost", "refused", "verdict", "window_before", "window_frames", "window_ns")

    def __init__(self, now_ns: int) -> None:
        self.frames = self.lost = 0
        self.last_ns: int | None = None
        self.verdict = ""
        self.refused: Counter[str] = Counter()
        self.window_ns, self.window_frames, self.window_before = now_ns, 0, 0

    def take(self, word: str, now_ns: int, lost: int) -> None:
        """Count one frame."""
        self.verdict = word
        self.lost += lost
        if word not in verdict.ACCEPTED:
            self.refused[word] += 1
            return
        self.roll(now_ns)
        self.frames += 1
        self.window_frames += 1
        self.last_ns = now_ns

    def roll(self, now_ns: int) -> None:
        """Begin a new rate window when this one is full."""
        passed = (now_ns - self.window_ns) // RATE_WINDOW_NS
        if passed > 0:
            self.window_before = self.window_frames if passed == 1 else 0
            self.window_frames = 0
            self.window_ns += passed * RATE_WINDOW_NS


class _News:
    """What is to be told of one verdict on one sender."""

    __slots__ = ("count", "detail", "name", "told_ns")

    def __init__(self) -> None:
        self.count = 0
        self.name = self.detail = ""
        self.told_ns: int | None = None


class FrameWatch:
    """Counts verdicts.

    Args:
        codec: knows names and cycles; None = the one of ek3.dbc.
    """

    def __init__(self, codec: Codec | None = None) -> None:
        self._codec = codec or Codec.load()
        self._streams: dict[tuple[str, int], _Stream] = {}
        self._news: dict[tuple[str, int], _News] = {}
        self._lock = threading.Lock()  # frames come in one thread, people ask in another
        self.frames = 0
        self.lost = 0
        self.refused: Counter[str] = Counter()

    def note(self, identifier: int, word: str, now_ns: int, lost: int = 0, detail: str = "") -> None:
        """Count one frame.

        Args:
            identifier: of the frame.
            word: see verdict.py.
            now_ns: steady clock [ns].
            lost: frames missing before it.
            detail: more about a refusal, for people.
        """
        spec = None if word == verdict.UNKNOWN else self._codec.by_code(identifier & 255)
        name, source = spec.name if spec else UNKNOWN_NAME, identifier >> 16 & 255
        with self._lock:
            stream = self._streams.get((name, source))
            if stream is None:
                stream = self._streams[name, source] = _Stream(now_ns)
            stream.take(word, now_ns, lost)
            self.lost += lost
            if word in verdict.ACCEPTED:
                self.frames += 1
            else:
                self.refused[word] += 1
            if word != verdict.OK:
                news = self._news.setdefault((word, source), _News())
                news.count += lost or 1
                news.name, news.detail = name, detail

    def lines(self, now_ns: int) -> list[FrameLine]:
        """All streams, by message and sender."""
        with self._lock:
            return [self._line(*key, self._streams[key], now_ns) for key in sorted(self._streams)]

    def news(self, now_ns: int) -> list[str]:
        """Lines for the log: the first of each verdict and sender at once, then at most one per 5 s, with the count."""
        with self._lock:
            due = [
                (key, news)
                for key, news in self._news.items()
                if news.count and (news.told_ns is None or now_ns - news.told_ns >= NEWS_PAUSE_NS)
            ]
            lines = [_headline(word, source, news) for (word, source), news in due[:NEWS_LINES_MAX]]
            others = due[NEWS_LINES_MAX:]
            if others:
                lines.append(f"and {sum(news.count for _, news in others)} more frames of {len(others)} other kinds")
            for _, news in due:
                news.count, news.told_ns = 0, now_ns
        return lines

    def _line(self, name: str, source: int, stream: _Stream, now_ns: int) -> FrameLine:
        stream.roll(now_ns)
        age_s = float("inf") if stream.last_ns is None else (now_ns - stream.last_ns) / 1e9
        spec = self._codec.spec(name) if name != UNKNOWN_NAME else None
        cycle_ms = spec.cycle_ms if spec and spec.kind != EVENT else 0
        return FrameLine(
            name=name,
            source=source,
            frames=stream.frames,
            rate_hz=stream.window_before * 1e9 / RATE_WINDOW_NS,
            age_s=age_s,
            lost=stream.lost,
            verdict=stream.verdict,
            refused=dict(stream.refused),
            late=0.0 < LATE_CYCLES * cycle_ms / 1e3 < age_s,
        )


def _headline(word: str, source: int, news: _News) -> str:
    who = slot_name(source)
    frames = f"{news.count} frame{'s' if news.count > 1 else ''}"
    if word == verdict.VERSION:
        return f"{who} {news.detail}: {frames} not read"
    if word == verdict.LOST:
        return f"{news.name} of {who}: {frames} lost"
    about = f" ({news.detail})" if news.detail else ""
    return f"{news.name} of {who}: {frames} refused, {word}{about}"
