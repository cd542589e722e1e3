"""What all averaging methods that go in rounds have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from v2g_nodes.core.graph import Adjacency


class Average(Protocol):
    """One member's side of one average of a short vector."""

    @property
    def done(self) -> bool:
        """Whether `mean` is known."""
        ...

    @property
    def message(self) -> tuple[float, ...]:
        """What to broadcast in this round; integers if the plan is in fixed point."""
        ...

    def advance(self, received: Sequence[Sequence[float]]) -> None:
        """End a round.

        Args:
            received: what the plan's neighbours broadcast in this round, in the order of `plan.neighbours[member]`.
        """
        ...

    @property
    def mean(self) -> tuple[float, ...]:
        """Mean over all members; meaningful once `done`."""
        ...


class AveragingPlan(Protocol):
    """How a group averages, the same at everyone who knows members and links."""

    @property
    def neighbours(self) -> Adjacency:
        """Links used, per member."""
        ...

    @property
    def rounds(self) -> int:
        """Broadcasts each member makes for one average."""
        ...

    @property
    def fixed_point(self) -> bool:
        """Whether messages are 64-bit integers and all means the same bits; otherwise they are float64."""
        ...

    def start(self, member: int, values: Sequence[float]) -> Average:
        """Begin one average.

        Args:
            member: own id.
            values: own part.
        """
        ...
