"""Exact sums over a group in as many rounds as the graph is wide.

Each member broadcasts one integer vector per round and ends with the sum over all members. With S_i(k) the sum
over all members within k hops of i and d_i the links used by i,

    S_i(1) = S_i(0) + sum_j S_j(0),      S_i(k+1) = sum_j S_j(k) - (d_i - 1) S_i(k-1),

because a ball around i is covered once by the balls around its neighbours, except for the part nearer than
k hops, which all d_i of them cover. The recursion holds on every graph without a cycle shorter than the
balls: on a tree always, on a ring until the balls meet, on a complete graph in its first round. On other
graphs the group uses a spanning tree. On a ring of even length the last ball holds the opposite member
twice and the ball before lacks it, so the sum is half of the two together.

Knows: a member needs the members and links of the whole group, to choose the same tree as everybody, and when to stop.

Integers make the sum exact: every member ends with the same bits, whatever the order of arrival, so
decisions taken from it never differ. (DERIVED; the same recursion counts non-backtracking walks.)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from v2g_nodes.core.graph import Adjacency, Edges, adjacency, diameter, spanning_tree


@dataclass(frozen=True)
class SumPlan:
    """How a group adds up, the same at everyone who knows members and links.

    Args:
        neighbours: links used, per member.
        rounds: broadcasts each member makes for one sum.
        even_ring: the last two balls are averaged.
    """

    neighbours: Adjacency
    rounds: int
    even_ring: bool


@lru_cache(maxsize=64)
def sum_plan(members: tuple[int, ...], edges: Edges, tree: bool = False) -> SumPlan:
    """Choose the links and the number of rounds for a connected group.

    Args:
        members: ids, ascending.
        edges: links between them.
        tree: take a spanning tree even where the graph needs none.

    Raises:
        GraphError: an edge names a stranger.
    """
    neighbours = adjacency(members, edges)
    n = len(members)
    degrees = {len(v) for v in neighbours.values()}
    complete = degrees == {n - 1} and not tree
    ring = degrees == {2} and len(edges) == n and not tree
    if not (complete or ring):
        neighbours = adjacency(members, spanning_tree(neighbours))
    return SumPlan(neighbours, diameter(neighbours), ring and n % 2 == 0)


class BallSum:
    """One member's side of one sum.

    Args:
        plan: the group's plan.
        member: own id.
        values: own integers.
    """

    def __init__(self, plan: SumPlan, member: int, values: Sequence[int]) -> None:
        self._plan = plan
        self._links = len(plan.neighbours[member])
        self._ball = self._ball_before = tuple(values)
        self._round = 0

    @property
    def done(self) -> bool:
        """Whether `total` is known."""
        return self._round == self._plan.rounds

    @property
    def ball(self) -> tuple[int, ...]:
        """What to broadcast in this round."""
        return self._ball

    def advance(self, received: Iterable[Sequence[int]]) -> None:
        """End a round.

        Args:
            received: the balls that all neighbours in the plan broadcast in this round.
        """
        covered = map(sum, zip(*received, strict=True))
        if self._round == 0:
            following = tuple(c + own for c, own in zip(covered, self._ball, strict=True))
        else:
            twice = self._links - 1
            following = tuple(c - twice * before for c, before in zip(covered, self._ball_before, strict=True))
        self._ball_before, self._ball = self._ball, following
        self._round += 1

    @property
    def total(self) -> tuple[int, ...]:
        """Sum over all members; meaningful once `done`."""
        if self._plan.even_ring:
            return tuple((a + b) // 2 for a, b in zip(self._ball, self._ball_before, strict=True))
        return self._ball
