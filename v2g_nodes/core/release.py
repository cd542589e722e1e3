"""How much of an agreed power may be used while the group changes: less at once, more only later.

A cut looks like a death, and the two sides notice it at different moments. So that the union of islands never exceeds
the target, a module whose group has changed moves its base power

- at once, where that is less in the direction of the target;
- after `hold_ns`, when everyone else must have noticed the change too, and then linearly over `rise_ns`, where it is
  more. In `rise_ns` any module ramps down from its rating, so whatever the others give up is gone in time:
  a sum of ramps min(r t, D_j), each of which ends by then, is never less than (sum of D_j) t / rise_ns.

A module whose island does not own the target goes to zero at once, agreement or not.
(DERIVED from the rule of islands.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

HOLD_OVER_SILENCE = 1.5  # two ends notice a break up to one silence apart, and news take a while to go round
NEVER_NS = -(1 << 62)


class SetpointRelease:
    """Base power in force at one module.

    Args:
        hold_ns: pause after a change of the group before anything rises [ns].
        rise_ns: duration of the rise after it [ns].
    """

    def __init__(self, hold_ns: int, rise_ns: int) -> None:
        self._hold_ns, self._rise_ns = hold_ns, rise_ns
        self._changed_ns = NEVER_NS
        self._wanted_kw: float | None = None
        self._from_kw, self._from_ns = 0.0, NEVER_NS  # where the way to what is wanted begins
        self._target_kw = 0.0

    @property
    def times_ns(self) -> tuple[int, int]:
        """What it was built from: pause and duration of the rise [ns]."""
        return self._hold_ns, self._rise_ns

    def state(self) -> tuple[tuple[float, ...], tuple[int, ...]]:
        """All that its answers depend on besides what comes in: powers [kW], NaN for none, and steady times [ns]."""
        wanted_kw = math.nan if self._wanted_kw is None else self._wanted_kw
        return (wanted_kw, self._from_kw, self._target_kw), (self._changed_ns, self._from_ns)

    def restore(self, powers_kw: Sequence[float], times_ns: Sequence[int]) -> None:
        """Go on from a state.

        Args:
            powers_kw: as `state` gave them [kW].
            times_ns: likewise [ns].
        """
        wanted_kw, self._from_kw, self._target_kw = powers_kw
        self._wanted_kw = None if math.isnan(wanted_kw) else wanted_kw
        self._changed_ns, self._from_ns = times_ns

    def power_kw(self, now_ns: int) -> float | None:
        """Base power in force [kW]; None while nothing has been agreed."""
        if self._wanted_kw is None:
            return None
        end_ns = self._changed_ns + self._hold_ns + self._rise_ns
        if now_ns >= end_ns:
            return self._wanted_kw
        begin_ns = max(self._from_ns, self._changed_ns + self._hold_ns)
        share = max(now_ns - begin_ns, 0) / (end_ns - begin_ns) if end_ns > begin_ns else 0.0
        return self._from_kw + share * (self._wanted_kw - self._from_kw)

    def group_changed(self, owns_target: bool, now_ns: int) -> None:
        """Members or links are other ones from now on.

        Args:
            owns_target: whether the own island owes any of the target.
            now_ns: steady time [ns].
        """
        in_force_kw = self.power_kw(now_ns)
        self._changed_ns = now_ns
        if in_force_kw is not None:
            self._from_kw = self._wanted_kw = in_force_kw if owns_target else 0.0
            self._from_ns = now_ns

    def agree(self, power_kw: float, target_kw: float, in_force_kw: float, now_ns: int) -> None:
        """Take what was agreed.

        Args:
            power_kw: own agreed power [kW].
            target_kw: of the whole station [kW]; its sign says which direction is more.
            in_force_kw: what droop follows already [kW], where this module remembers nothing.
            now_ns: steady time [ns].
        """
        before_kw = self.power_kw(now_ns)
        start_kw = in_force_kw if before_kw is None else before_kw
        more = 1.0 if target_kw >= 0.0 else -1.0
        turned = before_kw is None or self._target_kw * target_kw < 0.0
        if turned and start_kw * more < 0.0:  # left over from a target of the other sign; nobody counts on it
            start_kw = max(start_kw * more, min(0.0, power_kw * more)) * more
        self._from_kw = min(power_kw * more, start_kw * more) * more
        self._from_ns, self._wanted_kw, self._target_kw = now_ns, power_kw, target_kw

    def forget(self) -> None:
        """Nothing is agreed any more."""
        self._wanted_kw = None


def release_rule(silence_ns: int, fall_ns: int) -> SetpointRelease:
    """The rule for a station.

    Args:
        silence_ns: a neighbour not heard for so long is dead [ns].
        fall_ns: time in which any module's base power has come down from its rating [ns].
    """
    return SetpointRelease(round(HOLD_OVER_SILENCE * silence_ns), fall_ns)
