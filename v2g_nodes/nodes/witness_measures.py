"""What a witness measures: jumps of power, unsafe set-points, the sum of base powers against the target.

Pure: times come in, from one steady clock unless said otherwise.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

TOLERANCE_KW = 0.001  # kW, rounding of float32 and of messages
JUMP_S = 0.1  # s, changes are scaled to it
JUMP_WINDOW_S = 0.3  # s, changes over this time are looked at too, not only from message to message
OTHER_CLOCK_S = 60.0  # s, a stamp that moves so far against the witness's clock is of another clock
TARGET_WINDOW_S = 2.5  # s, a target counts as in force so long after it was heard last
SILENT_S = 1.0  # s, a module not heard for so long has no base power in force: droop has given it up
LASTING_S = 0.15  # s, shorter excesses are the messages' (20 Hz), which are not of one instant
SLACK = 0.5  # of the ramp: so fast at least a set-point comes down to a limit that has closed


class JumpMeter:
    """Changes of one module's set-point, scaled to JUMP_S. They go on over a restart of its process."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float]] = deque()  # stamp [s], set-point [kW]
        self._offset_s = math.nan

    def add(self, stamp_s: float, now_s: float, setpoint_kw: float) -> float:
        """Take one set-point.

        Args:
            stamp_s: its stamp [s], of the module's clock.
            now_s: receipt [s].
            setpoint_kw: [kW].

        Returns:
            Largest change against earlier ones [kW per JUMP_S]; nothing across a step of the module's clock.
        """
        offset_s = stamp_s - now_s
        if abs(offset_s - self._offset_s) > OTHER_CLOCK_S:
            self._seen.clear()
        self._offset_s = offset_s
        seen = self._seen
        largest = max((abs(setpoint_kw - kw) * JUMP_S / max(stamp_s - at_s, JUMP_S) for at_s, kw in seen), default=0.0)
        seen.append((stamp_s, setpoint_kw))
        while len(seen) > 1 and stamp_s - seen[0][0] > JUMP_WINDOW_S:
            seen.popleft()
        return largest


class LimitJudge:
    """Set-points of one module against its rating and the limits told with them.

    A limit that has just closed (silent droop, a departure near) is reached along the ramp: who is beyond it must
    come nearer from message to message.

    Args:
        rating_kw: [kW].
        ramp_kw_per_s: [kW/s].
    """

    def __init__(self, rating_kw: float, ramp_kw_per_s: float) -> None:
        self._rating_kw, self._ramp = rating_kw, ramp_kw_per_s
        self._before: tuple[float, float, float] | None = None  # time [s], set-point and excess [kW]

    def problem(self, now_s: float, setpoint_kw: float, low_kw: float, high_kw: float) -> str:
        """Why a set-point is unsafe, empty if it is not.

        Args:
            now_s: receipt [s].
            setpoint_kw: [kW].
            low_kw: limit [kW].
            high_kw: limit [kW].
        """
        if not all(map(math.isfinite, (setpoint_kw, low_kw, high_kw))):
            return f"set-point {setpoint_kw:g} kW with limits {low_kw:g} to {high_kw:g} kW, allowed are finite ones"
        if abs(setpoint_kw) > self._rating_kw + TOLERANCE_KW:
            return f"set-point {setpoint_kw:.3f} kW, allowed up to the rating {self._rating_kw:g} kW"
        excess_kw = max(low_kw - setpoint_kw, setpoint_kw - high_kw, 0.0)
        before, self._before = self._before, (now_s, setpoint_kw, excess_kw)
        if excess_kw <= TOLERANCE_KW:
            return ""
        allowed_kw = TOLERANCE_KW
        if before is not None:
            before_s, before_kw, before_excess_kw = before
            due_kw = SLACK * self._ramp * (now_s - before_s) if before_excess_kw > TOLERANCE_KW else 0.0
            allowed_kw += max(low_kw - before_kw, before_kw - high_kw, 0.0) - due_kw
        if excess_kw <= max(allowed_kw, TOLERANCE_KW):
            return ""
        return f"set-point {setpoint_kw:.3f} kW, allowed {low_kw:.3f} to {high_kw:.3f} kW"


@dataclass
class _Excess:
    """Excesses of the last LASTING_S and the largest that lasted."""

    recent: deque[tuple[float, float]]
    largest_kw: float = 0.0

    def add(self, now_s: float, kw: float) -> None:
        self.recent.append((now_s, kw))
        if now_s - self.recent[0][0] < LASTING_S:
            return
        while len(self.recent) > 1 and now_s - self.recent[1][0] >= LASTING_S:
            self.recent.popleft()
        self.largest_kw = max(self.largest_kw, min(kw for _, kw in self.recent))

    def take(self) -> float:
        """The largest since the last call."""
        largest_kw, self.largest_kw = self.largest_kw, 0.0
        return largest_kw


class SumMeter:
    """Sums over all modules against the target: base powers in force, and set-points less what droop may add.

    The sum must not lie beyond the targets in force in their direction: above the largest of those that ask for
    discharge, below the smallest of those that ask for charge. What lasts less than LASTING_S does not count.
    """

    def __init__(self) -> None:
        self._targets: dict[float, float] = {}  # by value [kW], heard last [s]
        self._modules: dict[int, tuple[float, float, float]] = {}  # heard [s], base, set-point [kW]
        self._droop: deque[tuple[float, float]] = deque()
        self._base, self._setpoints = _Excess(deque()), _Excess(deque())
        self._words = ""  # base powers and targets when their excess was largest

    def take(self) -> tuple[float, float, str]:
        """Largest excess of the base powers and of the set-points since the last call [kW]; the former in words."""
        words, self._words = self._words, ""
        return self._base.take(), self._setpoints.take(), words

    def target(self, now_s: float, kw: float) -> None:
        """A module counts on this target [kW]."""
        if math.isfinite(kw):
            self._targets[kw] = now_s

    def droop(self, now_s: float, kw: float) -> None:
        """What droop owes at all modules together from now on [kW]."""
        self._droop.append((now_s, kw))

    def module(self, now_s: float, module_id: int, base_kw: float, setpoint_kw: float) -> None:
        """What a module has in force; not finite counts as nothing here (LimitJudge tells)."""
        base, setpoint = (kw if math.isfinite(kw) else 0.0 for kw in (base_kw, setpoint_kw))
        self._modules[module_id] = (now_s, base, setpoint)
        self._look(now_s)

    def _look(self, now_s: float) -> None:
        self._targets = {kw: at_s for kw, at_s in self._targets.items() if now_s - at_s <= TARGET_WINDOW_S}
        while len(self._droop) > 1 and now_s - self._droop[1][0] > TARGET_WINDOW_S:
            self._droop.popleft()
        living = [values for values in self._modules.values() if now_s - values[0] <= SILENT_S]
        targets = [*self._targets] or [0.0]
        high = max(targets) if max(targets) >= 0.0 else math.inf
        low = min(targets) if min(targets) <= 0.0 else -math.inf
        before_kw = self._base.largest_kw
        self._base.add(now_s, _beyond(sum(base for _, base, _ in living), low, high))
        if self._base.largest_kw > before_kw:
            bases = ", ".join(f"{k}: {base:.2f}" for k, (at_s, base, _) in sorted(self._modules.items())
                              if now_s - at_s <= SILENT_S)
            self._words = (f"base powers are {self._base.largest_kw:.3f} kW beyond the targets {low:.2f} to {high:.2f} "
                           f"kW: {bases}")
        up, down = (edge((0.0, *(kw for _, kw in self._droop))) for edge in (max, min))
        self._setpoints.add(now_s, _beyond(sum(setpoint for _, _, setpoint in living), low + down, high + up))


def _beyond(value: float, low: float, high: float) -> float:
    return max(low - value, value - high, 0.0)


class Counter:
    """Sum of a count over the restarts of who counts, by module."""

    def __init__(self) -> None:
        self._last: dict[int, int] = {}
        self.total = 0

    def take(self, module_id: int, value: int) -> int:
        """How many more there are; a smaller number than before begins a new count."""
        before = self._last.get(module_id, 0)
        self._last[module_id] = value
        more = value - before if value >= before else value
        self.total += more
        return more
