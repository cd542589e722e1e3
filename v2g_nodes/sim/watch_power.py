"""Base powers in force: their sum never exceeds the target in its direction, and none rises too early.

A set-point stays in force at its module for a second after the optimizer has last repeated it, whatever becomes of the
optimizer (nodes/droop_node.py).
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from v2g_nodes.core.dispatch.agent import Group
from v2g_nodes.core.optimizer import ModuleOptimizer
from v2g_nodes.core.optimizer_types import NO_EPOCH, OptimizerSettings
from v2g_nodes.core.release import HOLD_OVER_SILENCE, NEVER_NS

VALID_NS = 1_000_000_000
SEEN_NS = 2_000_000_000  # a target counts for so long after the last module has gone over to another one
TOLERANCE_SHARE = 1e-3  # of the station's rating
LASTS_NS = 100_000_000  # members of a group decide at different moments; what is over sooner no ramp can follow


@dataclass
class Rise:
    """What a module's power may rise from: the least since members or share of its group changed."""

    group: Group
    sharing: tuple[tuple[int, ...], float]
    changed_ns: int
    more: float  # sign of the target
    least_kw: float


class PowerWatch:
    """The base power in force at each module.

    Args:
        settings: of the station.
        faults: where to write what should not be.
    """

    def __init__(self, settings: OptimizerSettings, faults: list[str]) -> None:
        self._rating_kw = settings.rating_kw
        self._station_kw = sum(settings.rating_kw.values())
        self._hold_ns, self._rise_ns = round(HOLD_OVER_SILENCE * settings.silence_ns), settings.fall_ns
        self._faults = faults
        self._held_kw: dict[int, float] = {}
        self._repeated_ns: dict[int, int] = {}
        self._targets_kw: dict[int, float] = {}
        self._former_kw: deque[tuple[int, float]] = deque()  # targets given up, and until when they count
        self._bounds_kw = (0.0, 0.0)
        self._left_over = (0, 0.0)  # until when, and what
        self._rises: dict[int, Rise] = {}
        self._excess_since_ns: int | None = None
        self._told = False
        self.largest_excess_share = -math.inf  # of the station's rating
        self.longest_excess_ns = 0  # beyond the tolerance
        # Some take what others give. Who takes and dies lifts the sum until the others have agreed: no fault of theirs.
        self.trading = False

    def in_force_kw(self, module_id: int) -> float:
        """What droop follows at a module [kW]."""
        return self._held_kw.get(module_id, 0.0)

    def stepped(self, module_id: int, optimizer: ModuleOptimizer, now_ns: int) -> None:
        """An optimizer was stepped."""
        base_kw, before_kw = optimizer.base_kw(now_ns), self._held_kw.get(module_id)
        if base_kw is not None:
            self._held_kw[module_id], self._repeated_ns[module_id] = base_kw, now_ns
        known_kw = self._targets_kw.get(module_id)
        if optimizer.target_kw != known_kw and not math.isnan(optimizer.target_kw):
            self._targets_kw[module_id] = optimizer.target_kw
            if known_kw is not None:
                self._former_kw.append((now_ns + SEEN_NS, known_kw))
            self._bound(now_ns)
        self._check_rise(module_id, optimizer, now_ns)
        if base_kw != before_kw:
            self._check_sum(now_ns)

    def gone(self, module_id: int, now_ns: int) -> None:
        """A module knows no target any more; its set-point stays for a while."""
        self._rises.pop(module_id, None)
        if module_id in self._targets_kw:
            self._former_kw.append((now_ns + SEEN_NS, self._targets_kw.pop(module_id)))

    def pass_time(self, now_ns: int) -> None:
        """Set-points that nobody repeats end; to be called often."""
        for k in [k for k, repeated_ns in self._repeated_ns.items() if now_ns - repeated_ns >= VALID_NS]:
            del self._held_kw[k], self._repeated_ns[k]
        if self._former_kw and self._former_kw[0][0] < now_ns:
            self._bound(now_ns)
        self._check_sum(now_ns)

    def _bound(self, now_ns: int) -> None:
        while self._former_kw and self._former_kw[0][0] < now_ns:
            self._former_kw.popleft()
        targets = [0.0, *self._targets_kw.values(), *(kw for _, kw in self._former_kw)]
        before_low_kw, before_high_kw = self._bounds_kw
        self._bounds_kw = low_kw, high_kw = min(targets), max(targets)
        # What islands that owe nothing give and take among themselves may be out of balance towards the target's other
        # side, where nothing rises late. When the target changes sides they need a moment to go over to it.
        if before_high_kw <= 0.0 < high_kw or before_low_kw >= 0.0 > low_kw:
            self._left_over = now_ns + SEEN_NS, sum(self._held_kw.values())

    def _check_sum(self, now_ns: int) -> None:
        """Beyond the largest target upwards, or the lowest downwards; a lack is no excess."""
        total_kw, (low_kw, high_kw) = sum(self._held_kw.values()), self._bounds_kw
        until_ns, left_kw = self._left_over
        if now_ns < until_ns:
            low_kw, high_kw = min(low_kw, left_kw), max(high_kw, left_kw)
        over_kw = total_kw - high_kw if high_kw > 0.0 else -math.inf
        under_kw = low_kw - total_kw if low_kw < 0.0 else -math.inf
        excess_share = max(over_kw, under_kw) / self._station_kw
        self.largest_excess_share = max(self.largest_excess_share, excess_share)
        if excess_share <= TOLERANCE_SHARE:
            self._excess_since_ns = None
            return
        self._excess_since_ns = self._excess_since_ns or now_ns
        lasts_ns = now_ns - self._excess_since_ns
        self.longest_excess_ns = max(self.longest_excess_ns, lasts_ns)
        if lasts_ns > LASTS_NS and not self.trading and not self._told:
            self._told = True
            powers = {k: round(kw, 3) for k, kw in sorted(self._held_kw.items())}
            self._faults.append(
                f"{now_ns / 1e9:.3f} s: base powers sum up to {total_kw:.3f} kW, targets are {low_kw:.3f} to "
                f"{high_kw:.3f} kW: {powers}"
            )

    def _check_rise(self, module_id: int, optimizer: ModuleOptimizer, now_ns: int) -> None:
        """After a change of the group a power rises later and no faster than core/release.py says."""
        group, more = optimizer.membership.group, math.copysign(1.0, optimizer.target_kw)
        power_kw = max(more * self._held_kw.get(module_id, 0.0), 0.0)
        if optimizer.epoch == NO_EPOCH:  # nobody has any power yet
            return
        rise = self._rises.get(module_id)
        if rise is None or rise.group is not group:
            sharing = (group.members, optimizer.island_share())
            if rise is None or rise.sharing != sharing:
                changed_ns = now_ns if rise else NEVER_NS  # as it begins a life nothing has changed
                self._rises[module_id] = Rise(group, sharing, changed_ns, more, power_kw)
                return
            rise.group = group
        since_ns = now_ns - rise.changed_ns
        share = (since_ns - self._hold_ns) / self._rise_ns
        if share >= 1.0:
            return
        if more != rise.more:
            rise.more, rise.least_kw = more, power_kw
        rise.least_kw = min(rise.least_kw, power_kw)
        allowed_kw = rise.least_kw + (max(share, 0.0) + TOLERANCE_SHARE) * self._rating_kw[module_id]
        if power_kw > allowed_kw:
            self._faults.append(
                f"{now_ns / 1e9:.3f} s: module {module_id} rises from {rise.least_kw:.3f} to {power_kw:.3f} kW "
                f"{since_ns / 1e9:.3f} s after a change of its group, allowed {allowed_kw:.3f} kW"
            )
            rise.least_kw = power_kw
