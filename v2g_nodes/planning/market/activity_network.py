"""A driver's day as an acyclic network: nodes are places at a time, arcs are what is done in between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from v2g_nodes.core.errors import InputError
from v2g_nodes.core.types import FloatArray, IntArray

NOT_PLUGGED = -1
HOURS_MAX = 96


@dataclass(frozen=True)
class ActivityNetwork:
    """Activities and charging arcs from the start of a day to its end.

    Args:
        nodes: name of each node.
        tail: node that each arc leaves, shape (arcs,).
        head: node that each arc enters, shape (arcs,).
        plug_hour: hour in which the arc is plugged in, NOT_PLUGGED for the others, shape (arcs,). No path may use two
            arcs of the same hour: a driver is plugged in once.
        hours: of the day.
        start: node in which every driver begins.
        end: node in which every driver ends.
        places: where each arc is stated, for messages (`network.csv:5`); empty: `arc 4`.

    Raises:
        InputError: an array of another length, a cycle, an arc on no path from start to end, an hour out of range, no
            charging arc in an hour, or an hour twice on a path.
    """

    nodes: tuple[str, ...]
    tail: IntArray
    head: IntArray
    plug_hour: IntArray
    hours: int
    start: int
    end: int
    places: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.hours <= HOURS_MAX:
            raise InputError(f"network has {self.hours} hours, allowed 1 to {HOURS_MAX}")
        if not len(self.tail) == len(self.head) == len(self.plug_hour) > 0:
            raise InputError(
                f"network has {len(self.tail)} tails, {len(self.head)} heads and {len(self.plug_hour)} plug hours, "
                "allowed as many, at least 1"
            )
        self._check_plug_hours()
        self._check_reach(_order(self))

    @property
    def arcs(self) -> int:
        """Number of arcs."""
        return len(self.tail)

    @cached_property
    def incidence(self) -> FloatArray:
        """B: +1 where an arc leaves, -1 where it enters; the row of the end is left out, shape (nodes - 1, arcs)."""
        full = np.zeros((len(self.nodes), self.arcs))
        arcs = np.arange(self.arcs)
        full[self.tail, arcs] += 1.0
        full[self.head, arcs] -= 1.0
        return np.delete(full, self.end, axis=0)

    @cached_property
    def supply(self) -> FloatArray:
        """f: one driver enters at the start, shape (nodes - 1,)."""
        full = np.zeros(len(self.nodes))
        full[self.start] = 1.0
        return np.delete(full, self.end)

    @cached_property
    def plug_matrix(self) -> FloatArray:
        """1 where an arc is plugged in during an hour, shape (arcs, hours)."""
        matrix = np.zeros((self.arcs, self.hours))
        plugged = np.flatnonzero(self.plug_hour >= 0)
        matrix[plugged, self.plug_hour[plugged]] = 1.0
        return matrix

    @cached_property
    def only_plug(self) -> IntArray:
        """The one charging arc of each hour, -1 where there are several, shape (hours,)."""
        count, arc = self.plug_matrix.sum(axis=0), self.plug_matrix.argmax(axis=0)
        only: IntArray = np.where(count == 1.0, arc, -1)
        return only

    @cached_property
    def sparse_incidence(self) -> Any:  # noqa: ANN401 - scipy has no types
        """B', sparse by rows, shape (arcs, nodes - 1)."""
        from scipy.sparse import csr_matrix

        return csr_matrix(self.incidence.T)

    @cached_property
    def sparse_plug(self) -> Any:  # noqa: ANN401 - scipy has no types
        """plug_matrix, sparse by rows."""
        from scipy.sparse import csr_matrix

        return csr_matrix(self.plug_matrix)

    def place(self, arc: int) -> str:
        """Where the arc is stated, for a message."""
        return self.places[arc] if self.places else f"arc {arc}"

    def _check_plug_hours(self) -> None:
        for arc, hour in enumerate(self.plug_hour):
            if not NOT_PLUGGED <= hour < self.hours:
                raise InputError(f"{self.place(arc)}: plug_hour is {hour}, allowed 0 to {self.hours - 1} or none")
        for hour in range(self.hours):
            if hour not in self.plug_hour:
                raise InputError(f"network: no charging arc in hour {hour}, allowed at least one in each")

    def _check_reach(self, order: Sequence[int]) -> None:
        forward, backward = {self.start}, {self.end}
        leaving: dict[int, list[int]] = {}
        for arc in range(self.arcs):
            leaving.setdefault(int(self.tail[arc]), []).append(arc)
        used: dict[int, set[int]] = {}  # hours plugged in on some path to a node
        for node in order:
            for arc in leaving.get(node, ()) if node in forward else ():
                hour, target = int(self.plug_hour[arc]), int(self.head[arc])
                if hour >= 0 and hour in used.get(node, set()):
                    raise InputError(f"{self.place(arc)}: hour {hour} is plugged in twice on a path, allowed once")
                forward.add(target)
                used.setdefault(target, set()).update(used.get(node, set()), {hour} if hour >= 0 else ())
        for node in reversed(order):
            if any(int(self.head[arc]) in backward for arc in leaving.get(node, ())):
                backward.add(node)
        for arc in range(self.arcs):
            if int(self.tail[arc]) not in forward or int(self.head[arc]) not in backward:
                raise InputError(
                    f"{self.place(arc)}: {self.nodes[self.tail[arc]]} -> {self.nodes[self.head[arc]]} is on no path "
                    f"from {self.nodes[self.start]} to {self.nodes[self.end]}, allowed are arcs of such a path"
                )


def _order(network: ActivityNetwork) -> list[int]:
    """Nodes, each after those it can be reached from."""
    missing = np.bincount(network.head, minlength=len(network.nodes))
    free = [node for node in range(len(network.nodes)) if missing[node] == 0]
    order: list[int] = []
    while free:
        node = free.pop()
        order.append(node)
        for arc in np.flatnonzero(network.tail == node):
            missing[network.head[arc]] -= 1
            if missing[network.head[arc]] == 0:
                free.append(int(network.head[arc]))
    if len(order) < len(network.nodes):
        inside = set(range(len(network.nodes))) - set(order)
        inside = _trim(network, inside)
        arc = next(a for a in range(network.arcs) if network.tail[a] in inside and network.head[a] in inside)
        raise InputError(
            f"{network.place(arc)}: {network.nodes[network.tail[arc]]} -> {network.nodes[network.head[arc]]} closes a "
            "cycle, allowed is a network without one"
        )
    return order


def _trim(network: ActivityNetwork, nodes: set[int]) -> set[int]:
    """Of nodes on or behind a cycle those that lead back into the set."""
    while True:
        kept = {n for n in nodes if any(int(network.head[a]) in nodes for a in np.flatnonzero(network.tail == n))}
        if kept == nodes:
            return nodes
        nodes = kept
