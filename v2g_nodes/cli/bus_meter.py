"""The passive listener of `bench can`, in a process of its own so that it hears what the station's processes miss.

`python -m v2g_nodes.cli.bus_meter SETTINGS` with the fields of CanSettings as JSON. Says {"event": "listening"}; then
a line on standard input begins the count ({"event": "counting"}), the next one ends it ({"event": "figures", ...}).
"""

from __future__ import annotations

import json
import math
import os
import select
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from v2g_nodes.canbus.ample_bus import AmpleOpener
from v2g_nodes.canbus.frame_io import read
from v2g_nodes.canbus.settings import CanSettings
from v2g_nodes.cli.bus_tally import BusTally
from v2g_nodes.core.priority import OPTIMIZER_PRIORITY, claim_real_time

STDIN = 0
AT_ONCE = 256  # frames of one reading: a flood must not keep it from hearing its commands
LONGEST_WAIT_S = 0.1


class Meter:
    """One bus, read as fast as it comes.

    Frames count at the time the kernel got them where the bus tells it, so that a busy machine, which reads them late
    and many at once, does not make bursts of them.

    Args:
        settings: of the bus; bus A is listened to.

    Raises:
        InputError: settings that can't work.
        can.CanError: the bus can't be opened.
        OSError: likewise.
    """

    def __init__(self, settings: CanSettings) -> None:
        self._opener = AmpleOpener()
        self._bus = self._opener(settings, settings.channel)
        self._missed_before = 0
        self._settings = settings
        self._tally: BusTally | None = None
        self._latest_ns = 0  # of a frame; they are counted in order
        self._poll = select.poll()
        for number in (STDIN, self._bus.fileno()):
            self._poll.register(number, select.POLLIN)

    def close(self) -> None:
        """Leave the bus."""
        self._opener.close()
        self._bus.shutdown()

    def run(self) -> dict[str, object] | None:
        """Count between two lines of standard input.

        Returns:
            As `BusTally.figures`, with `meter_missed`, frames that were thrown away before the meter could read them;
            None when standard input ended before that.
        """
        while True:
            ready = {number for number, _ in self._poll.poll(LONGEST_WAIT_S * 1e3)}
            self._count()
            if STDIN not in ready:
                continue
            now_ns = time.monotonic_ns()
            if not os.read(STDIN, 64):
                return None
            if self._tally is not None:
                while self._count(now_ns):  # all that had come until now
                    pass
                return self._tally.figures(now_ns) | {"meter_missed": self._opener.missed - self._missed_before}
            self._tally, self._missed_before = BusTally(self._settings, now_ns), self._opener.missed
            _say(event="counting")

    def _count(self, until_ns: float = math.inf) -> bool:
        """Count what came, up to a time; whether more may wait."""
        frames = read(self._bus, AT_ONCE, time.monotonic_ns()).frames
        for frame in frames:
            if self._tally is not None and self._tally.begun_ns <= frame.received_ns <= until_ns:
                self._latest_ns = max(self._latest_ns, frame.received_ns)
                self._tally.add(frame.identifier, frame.payload, self._latest_ns)
        return len(frames) == AT_ONCE


def main(fields: Mapping[str, Any]) -> int:
    """Entry point.

    Args:
        fields: of CanSettings.

    Returns:
        Exit code.
    """
    claim_real_time(OPTIMIZER_PRIORITY)  # what it does not hear in time is not measured
    with closing(Meter(CanSettings(**fields))) as meter:
        _say(event="listening")
        figures = meter.run()
    if figures is None:
        return 1
    _say(event="figures", **figures)
    return 0


def _say(**event: object) -> None:
    print(json.dumps(event), flush=True)


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
