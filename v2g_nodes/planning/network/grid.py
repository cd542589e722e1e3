"""A radial grid: one slack bus, every other bus behind one branch. Per unit on the grid's base.

Arrays follow an order in which every bus stands behind its parent, the slack bus first. Branch j is the one that ends
at bus j; entry 0 of arrays of branches is unused and 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from v2g_nodes.core.errors import InputError
from v2g_nodes.core.types import FloatArray, IntArray


@dataclass(frozen=True)
class Generators:
    """Generators with cost c2 P^2 + c1 P + c0 [EUR/h], P in MW; shape (generators,).

    Args:
        bus: positions of their buses.
        p_min_mw: least power [MW].
        p_max_mw: largest power [MW].
        q_min_mvar: least reactive power [MVAr].
        q_max_mvar: largest reactive power [MVAr].
        c2: at least 0 [EUR/MW^2 h].
        c1: [EUR/MWh].
        c0: [EUR/h].
    """

    bus: IntArray
    p_min_mw: FloatArray
    p_max_mw: FloatArray
    q_min_mvar: FloatArray
    q_max_mvar: FloatArray
    c2: FloatArray
    c1: FloatArray
    c0: FloatArray

    def cost_eur_per_h(self, power_mw: FloatArray) -> FloatArray:
        """Cost of powers, shape (generators, slots) [EUR/h]."""
        return self.c2[:, None] * power_mw**2 + self.c1[:, None] * power_mw + self.c0[:, None]


@dataclass(frozen=True)
class Grid:
    """What never changes over the day.

    Args:
        base_mva: base power [MVA].
        buses: numbers of the buses, shape (buses,).
        parent: position of each bus's parent, -1 at the slack bus.
        r: resistance of the branch to the parent [pu].
        x: its reactance [pu].
        shunt_g: conductance to ground [pu].
        shunt_b: susceptance to ground, above 0 supplies reactive power [pu].
        v_min: smallest allowed voltage [pu].
        v_max: largest allowed voltage [pu].
        current_max: of the branch [pu]; infinite = no limit.
        slack_voltage: voltage of the slack bus [pu].
        generators: all, with one at the slack bus at least.
    """

    base_mva: float
    buses: tuple[int, ...]
    parent: IntArray
    r: FloatArray
    x: FloatArray
    shunt_g: FloatArray
    shunt_b: FloatArray
    v_min: FloatArray
    v_max: FloatArray
    current_max: FloatArray
    slack_voltage: float
    generators: Generators

    def __len__(self) -> int:
        return len(self.buses)

    @property
    def base_kw(self) -> float:
        """One per unit of power [kW]."""
        return 1e3 * self.base_mva

    @cached_property
    def below(self) -> FloatArray:
        """Shape (buses, buses): 1 where the column's bus is fed through the row's branch; row 0 is the whole grid."""
        found = np.eye(len(self))
        for bus in range(len(self) - 1, 0, -1):
            found[self.parent[bus]] += found[bus]
        return found

    @cached_property
    def children(self) -> tuple[tuple[int, ...], ...]:
        """Positions of the buses right behind each bus."""
        lists: list[list[int]] = [[] for _ in self.buses]
        for bus in range(1, len(self)):
            lists[self.parent[bus]].append(bus)
        return tuple(map(tuple, lists))

    @property
    def slack_alone(self) -> bool:
        """Whether the only generator is the slack bus's: nothing is left to dispatch."""
        return len(self.generators.bus) == 1 and int(self.generators.bus[0]) == 0

    def position(self, bus: int, what: str) -> int:
        """Where a bus stands.

        Raises:
            InputError: no such bus; `what` names who asks.
        """
        if bus not in self.buses:
            raise InputError(f"{what} is {bus}, allowed are the buses {', '.join(map(str, sorted(self.buses)))}")
        return self.buses.index(bus)


def radial_order(
    buses: Sequence[int], slack: int, branches: Sequence[tuple[int, int]], where: str
) -> tuple[list[int], list[int], list[int]]:
    """Order the buses from the slack bus outwards.

    Args:
        buses: numbers.
        slack: number of the slack bus.
        branches: pairs of numbers, those in service.
        where: named in errors.

    Returns:
        Positions in `buses` in the new order, parents in the new order, and for each the branch to its parent; -1 at
        the slack bus.

    Raises:
        InputError: a branch between unknown buses, a mesh, or a bus that nothing feeds.
    """
    place = {number: k for k, number in enumerate(buses)}
    links: dict[int, list[tuple[int, int]]] = {k: [] for k in range(len(buses))}
    for row, (one, other) in enumerate(branches):
        if one not in place or other not in place or one == other:
            raise InputError(f"{where}: branch {one}-{other} in row {row + 1}, allowed between two known buses")
        links[place[one]].append((place[other], row))
        links[place[other]].append((place[one], row))
    order, parents, via = [place[slack]], [-1], [-1]
    seen = {place[slack]: 0}
    for position, bus in enumerate(order):  # grows while it is read
        for neighbour, row in links[bus]:
            if row == via[position]:
                continue
            if neighbour in seen:
                raise InputError(f"{where}: branch {branches[row][0]}-{branches[row][1]} closes a mesh, allowed radial")
            seen[neighbour] = len(order)
            order.append(neighbour)
            parents.append(position)
            via.append(row)
    if len(order) < len(buses):
        alone = min(buses[k] for k in range(len(buses)) if k not in seen)
        raise InputError(f"{where}: bus {alone} is not connected with the slack bus {slack}, allowed are radial grids")
    return order, parents, via


def check_grid(grid: Grid, where: str) -> None:
    """Refuse a grid whose values make no sense.

    Raises:
        InputError: with branch or bus, value and range.
    """
    for bus in range(1, len(grid)):
        name = f"{where}: branch {grid.buses[grid.parent[bus]]}-{grid.buses[bus]}"
        for what, value in (("resistance", grid.r[bus]), ("reactance", grid.x[bus])):
            if not (np.isfinite(value) and value >= 0.0):
                raise InputError(f"{name}: {what} is {value:g} pu, allowed at least 0, finite")
        if not grid.current_max[bus] > 0.0:
            raise InputError(f"{name}: current limit is {grid.current_max[bus]:g} pu, allowed above 0")
        if not 0.0 < grid.v_min[bus] <= grid.v_max[bus] < np.inf:
            low, high = grid.v_min[bus], grid.v_max[bus]
            raise InputError(f"{where}: bus {grid.buses[bus]}: voltage {low:g} to {high:g} pu, allowed 0 < low <= high")
    if not 0.0 < grid.slack_voltage < np.inf:
        raise InputError(f"{where}: slack voltage is {grid.slack_voltage:g} pu, allowed above 0")
    _check_generators(grid, where)


def _check_generators(grid: Grid, where: str) -> None:
    generators = grid.generators
    if 0 not in generators.bus:
        raise InputError(f"{where}: slack bus {grid.buses[0]} has no generator in service, allowed at least one")
    for k, bus in enumerate(generators.bus):
        name = f"{where}: generator at bus {grid.buses[bus]}"
        if not generators.c2[k] >= 0.0:
            raise InputError(f"{name}: quadratic cost is {generators.c2[k]:g}, allowed at least 0")
        if not (
            generators.p_min_mw[k] <= generators.p_max_mw[k] and generators.q_min_mvar[k] <= generators.q_max_mvar[k]
        ):
            raise InputError(f"{name}: least power is above the largest")
