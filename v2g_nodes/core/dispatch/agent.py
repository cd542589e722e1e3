"""The protocol every distributed dispatch algorithm follows.

An agent lives for one epoch: it is built from the frozen problem of its module, the group that takes
part and, if there is one, the warm start that the epoch before left. It is driven by messages only;
the same object runs in a unit test, in the network simulator, in a ROS node and over CAN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from v2g_nodes.core.supply import Supply
from v2g_nodes.core.types import Agreement, Box, EpochId, Frame


@dataclass(frozen=True)
class Group:
    """Who takes part in an epoch, identical at every member.

    Args:
        members: module ids, ascending.
        edges: undirected live links (i, j), i < j, ascending; the graph is connected.
        rating_kw: power rating of each member [kW], by id; bounds |p_i|.
        fingerprint: 32-bit name of the link reports behind members and links (core/membership.py).
    """

    members: tuple[int, ...]
    edges: tuple[tuple[int, int], ...]
    rating_kw: Mapping[int, float]
    fingerprint: int

    @cached_property
    def total_rating_kw(self) -> float:
        """Sum of the members' ratings [kW]."""
        return sum(self.rating_kw[k] for k in self.members)


@dataclass(frozen=True)
class LocalProblem:
    """One module's part of the allocation, frozen for the epoch.

    Args:
        module_id: own id.
        box: feasible range [kW].
        supply: answers to prices, inside the box.
        epoch: which agreement.
        target_kw: what the group owes in total [kW], the same at every member.
        price_span_eur_per_kwh: cold price range is [-span, span]; covers every marginal cost inside the boxes.
        start_eur_per_kwh: price to start from: the last one agreed on or, for who has just joined, that of its
            neighbours; None = nothing known. May differ between members.
    """

    module_id: int
    box: Box
    supply: Supply
    epoch: EpochId
    target_kw: float
    price_span_eur_per_kwh: float
    start_eur_per_kwh: float | None = None


class Agent(Protocol):
    """One module's side of one epoch."""

    def step(self, inbox: Sequence[Frame], now_ns: int) -> list[Frame]:
        """Take in frames, return what to broadcast to all neighbours.

        Called on every arrival and on a timer (to send again). The first call may have an empty inbox.
        Frames of other epochs, memberships or non-neighbours are ignored. The result never depends on
        the order or repetition of frames.

        Args:
            inbox: received frames, any order.
            now_ns: steady time [ns].
        """

    @property
    def agreement(self) -> Agreement | None:
        """The result, or None while the exchange runs. An agent that has finished still answers
        neighbours that are behind."""
