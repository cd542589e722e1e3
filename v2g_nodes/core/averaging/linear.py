"""What Metropolis, Chebyshev and finite-time averages share: a linear recursion with gains that all members know.

    x_i(k+1) = x_i(k) + a_k sum_j w_ij (x_j(k) - x_i(k)) + b_k (x_i(k) - x_i(k-1)),      w_ij = w_ji

Written in differences, so whatever the gains are, but for rounding, the sum over the group is kept, and so is a state
in which all agree. The gains a_k, b_k decide which polynomial in the graph's matrix is applied and are the method.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from v2g_nodes.core.graph import Adjacency


@dataclass(frozen=True)
class LinearPlan:
    """How a group averages by a linear recursion.

    Args:
        neighbours: links used, per member.
        weights: w_ij of each member, in the order of its neighbours.
        gains: a_k and b_k of each round.
    """

    neighbours: Adjacency
    weights: dict[int, tuple[float, ...]]
    gains: tuple[tuple[float, float], ...]
    fixed_point: bool = False

    @property
    def rounds(self) -> int:
        """Broadcasts each member makes for one average."""
        return len(self.gains)

    def start(self, member: int, values: Sequence[float]) -> LinearAverage:
        """Begin one average."""
        return LinearAverage(self, member, values)


class LinearAverage:
    """One member's side of one average; see core/averaging/average.py.

    Args:
        plan: the group's plan.
        member: own id.
        values: own part.
    """

    def __init__(self, plan: LinearPlan, member: int, values: Sequence[float]) -> None:
        self._gains = plan.gains
        self._weights = plan.weights[member]
        self._values = self._values_before = tuple(values)
        self._round = 0

    @property
    def done(self) -> bool:
        """Whether `mean` is known."""
        return self._round == len(self._gains)

    @property
    def message(self) -> tuple[float, ...]:
        """What to broadcast in this round."""
        return self._values

    def advance(self, received: Sequence[Sequence[float]]) -> None:
        """End a round; see Average.advance."""
        gain, memory = self._gains[self._round]
        by_place = zip(self._values, self._values_before, zip(*received, strict=True), strict=True)
        following = tuple(
            own
            + gain * sum(weight * (other - own) for weight, other in zip(self._weights, others, strict=True))
            + memory * (own - before)
            for own, before, others in by_place
        )
        self._values_before, self._values = self._values, following
        self._round += 1

    @property
    def mean(self) -> tuple[float, ...]:
        """Own estimate of the mean over all members; meaningful once `done`."""
        return self._values
