"""Judges the commands that reach a device by frames, which come late, in bursts, or not at all for a while."""

from __future__ import annotations

from collections import deque

from v2g_nodes.core.types import Box
from v2g_nodes.sim.ek3_module import RAMP_SLACK_S, Ek3Plant, Measurement

STAMP_MODULUS = 1 << 32  # ms
# s, for which the sender's thread may stand still between its look at the clock and the stamp: no tick of control
# stands for more law time (PAUSE_S in nodes/module_node.py)
HELD_UP_S = 0.1
SLACK_S = RAMP_SLACK_S + HELD_UP_S


class CommandJudge:
    """Counts what a command breaks, as its sender could know it when it sent.

    The ramp is judged between two commands on the sender's clock: frames that were lost or held up make no command
    wrong. Limits and reference are those that the device has had within `memory_s`, the loosest of them: a report is
    on its way for some time, and after `memory_s` of silence the device stops by itself. For as long after its start
    nothing is judged: the sender need not know that it has restarted.

    Args:
        ramp_kw_per_s: of the hardware [kW/s].
        memory_s: the device's command time-out [s].
    """

    def __init__(self, ramp_kw_per_s: float, memory_s: float) -> None:
        self._ramp = ramp_kw_per_s
        self._memory_s = memory_s + HELD_UP_S
        self._seen: deque[tuple[int, Box, float]] = deque()
        self._begun_ns: int | None = None
        self._last: tuple[int, float] | None = None  # stamp [ms] and power [kW] of the command before
        self._budget_kw = ramp_kw_per_s * SLACK_S

    def remember(self, seen: Measurement, now_ns: int) -> None:
        """What the device measures now."""
        if self._begun_ns is None:
            self._begun_ns = now_ns
        self._seen.append((now_ns, seen.limits, seen.reference_kw))
        while now_ns - self._seen[0][0] > self._memory_s * 1e9:
            self._seen.popleft()

    def forget(self) -> None:
        """The commands end: the next one begins anew."""
        self._last, self._budget_kw = None, self._ramp * SLACK_S

    def judge(self, plant: Ek3Plant, setpoint_kw: float, stamp_ms: int, now_ns: int) -> None:
        """Let the plant count what a command breaks.

        Args:
            plant: the module.
            setpoint_kw: the command [kW].
            stamp_ms: when it was sent, on the sender's clock modulo 2^32 [ms].
            now_ns: when it came, on the clock of `remember` [ns].
        """
        starts = []
        if self._last is not None:
            last_ms, last_kw = self._last
            elapsed_s = min((stamp_ms - last_ms) % STAMP_MODULUS / 1000.0, self._memory_s)
            self._budget_kw = min(self._budget_kw + self._ramp * elapsed_s, self._ramp * (elapsed_s + SLACK_S))
            starts.append((last_kw, self._budget_kw))
            self._budget_kw = max(self._budget_kw - abs(setpoint_kw - last_kw), 0.0)
        self._last = (stamp_ms, setpoint_kw)
        if self._begun_ns is None or now_ns - self._begun_ns < self._memory_s * 1e9:
            return
        limits = Box(min(seen[1].low_kw for seen in self._seen), max(seen[1].high_kw for seen in self._seen))
        references = Box(min(seen[2] for seen in self._seen), max(seen[2] for seen in self._seen))
        starts.append((references.clip(setpoint_kw), self._ramp * SLACK_S))
        plant.judge(setpoint_kw, limits, starts)
