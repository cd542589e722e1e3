"""Averages that are the same bits at every member: fixed-point numbers in a ball sum.

Recursion. v_i = round(2**32 x_i) is an integer; core/averaging/ball_sum.py adds the integers up exactly, and
mean = total / (2**32 n), rounded once. The error is the rounding of the parts, 2**-33 at most, and of the quotient.

Rounds. "exact": the diameter on a tree, ring or complete graph; on other graphs, where a spanning tree is used, at most
twice the radius. "tree": always the spanning tree, so n - 1 on a ring of n and 2 on a complete graph.

Knows: members and links of the whole group; no spectrum.

Saturation. Values are limited to 2**31 / n, so that no ball leaves int64 on the wire; a ball is never larger than the
sum of magnitudes. A value that is not a number raises.

Source: DERIVED, see core/averaging/ball_sum.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from v2g_nodes.core.averaging.ball_sum import BallSum, SumPlan, sum_plan
from v2g_nodes.core.graph import Adjacency, Edges

UNITS = 2**32  # per 1.0: resolves 2.3e-10 and leaves 2**31 for the sum over the group
INT64_MAX = 2**63 - 1


@dataclass(frozen=True)
class FixedPointPlan:
    """How a group averages on an exact sum.

    Args:
        sums: how it adds up.
        members: how many they are.
    """

    sums: SumPlan
    members: int
    fixed_point: bool = True

    @property
    def neighbours(self) -> Adjacency:
        """Links used, per member."""
        return self.sums.neighbours

    @property
    def rounds(self) -> int:
        """Broadcasts each member makes for one average."""
        return self.sums.rounds

    def start(self, member: int, values: Sequence[float]) -> FixedPointAverage:
        """Begin one average."""
        return FixedPointAverage(self, member, values)


def fixed_point_plan(members: tuple[int, ...], edges: Edges, tree: bool) -> FixedPointPlan:
    """Plan for a connected group; `tree` as in `sum_plan`."""
    return FixedPointPlan(sum_plan(members, edges, tree), len(members))


class FixedPointAverage:
    """One member's side of one exact average; see core/averaging/average.py.

    Args:
        plan: the group's plan.
        member: own id.
        values: own part.

    Raises:
        ValueError: a value is not a number.
    """

    def __init__(self, plan: FixedPointPlan, member: int, values: Sequence[float]) -> None:
        limit = INT64_MAX // plan.members
        self._sum = BallSum(plan.sums, member, [_units(value, limit) for value in values])
        self._divisor = plan.members * UNITS

    @property
    def done(self) -> bool:
        """Whether `mean` is known."""
        return self._sum.done

    @property
    def message(self) -> tuple[int, ...]:
        """What to broadcast in this round, in units."""
        return self._sum.ball

    def advance(self, received: Sequence[Sequence[float]]) -> None:
        """End a round; the neighbours' messages are integers."""
        self._sum.advance(cast("Sequence[Sequence[int]]", received))

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean over all members, the same bits at each; meaningful once `done`."""
        return tuple(total / self._divisor for total in self._sum.total)  # of two integers: rounded once


def _units(value: float, limit: int) -> int:
    return round(min(max(UNITS * value, -limit), limit))
