"""Law time from tick to tick, with pauses set apart from it."""

from __future__ import annotations


class Pace:
    """Tells how much law time a tick stands for.

    A tick that comes late stands for all the time since the one before, up to a limit. What is beyond it is a pause
    (stopped process, simulated time that jumped): nobody commanded meanwhile, and it gives no ramp to catch up.

    Args:
        longest_s: longest time one tick may stand for [s].
    """

    def __init__(self, longest_s: float) -> None:
        self._longest_s = longest_s
        self._last_s: float | None = None

    def take(self, now_s: float) -> tuple[float, float]:
        """Time since the call before.

        Args:
            now_s: law time [s]; a step back and the first call count as no time.

        Returns:
            Pause before this tick [s], and what the tick stands for [s], neither below zero.
        """
        elapsed_s = 0.0 if self._last_s is None else max(now_s - self._last_s, 0.0)
        self._last_s = now_s
        tick_s = min(elapsed_s, self._longest_s)
        return elapsed_s - tick_s, tick_s
