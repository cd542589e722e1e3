"""One station over a range of externalities: best responses, equilibrium, optimum. What the claims are read from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from v2g_nodes.core.game.equilibrium import Course, best_response
from v2g_nodes.core.game.payoffs import congested
from v2g_nodes.core.game.potential import has_potential, potential
from v2g_nodes.core.game.welfare import Anarchy, price_of_anarchy
from v2g_nodes.core.supply import BoxedCost

STEPS = (1e-2, 1e-3, 1e-4)  # EUR/h/kW^2 over the number of modules: where the vanishing of the loss is looked at
_NOTHING = 1e-12  # EUR/h, a loss that is rounding


@dataclass(frozen=True)
class Point:
    """One externality.

    Args:
        externality: c [EUR/h/kW^2].
        has_potential: whether the second cross-derivatives agree.
        course: of best responses in turn, from standing still.
        potential_eur_per_h: Phi where they ended.
        anarchy: equilibrium against optimum; the equilibrium found from the potential, not from best responses.
    """

    externality: float
    has_potential: bool
    course: Course
    potential_eur_per_h: float
    anarchy: Anarchy

    @property
    def apart_kw(self) -> float:
        """Largest difference of a module's power between both ways to the equilibrium."""
        return float(np.abs(self.course.powers_kw - self.anarchy.equilibrium_kw).max())


def sweep(
    players: Sequence[BoxedCost], price_eur_per_kwh: float, target_kw: float, externalities: Sequence[float],
    each: Callable[[float], None] = lambda _: None,
) -> tuple[Point, ...]:  # fmt: skip
    """Play the game of one connection at each externality.

    Args:
        players: cost and box of each module.
        price_eur_per_kwh: pi.
        target_kw: P, what fits through the connection [kW].
        externalities: c, each at least 0.
        each: told the externality that is next.

    Raises:
        InputError: a value that is not allowed.
    """
    points = []
    for c in externalities:
        each(c)
        game = congested(players, price_eur_per_kwh, target_kw, c)
        course = best_response(game)
        phi = float(potential(game, course.powers_kw))
        points.append(Point(c, has_potential(game), course, phi, price_of_anarchy(game)))
    return tuple(points)


def free_sale_kw(players: Sequence[BoxedCost], price_eur_per_kwh: float) -> float:
    """What the modules together sell at a price when they don't congest each other [kW]."""
    return sum(player.proximal(price_eur_per_kwh, 0.0) for player in players)


def losses(players: Sequence[BoxedCost], price_eur_per_kwh: float, target_kw: float) -> tuple[float, ...]:
    """W* - W(equilibrium) [EUR/h] at the externalities STEPS / n.

    By n, because what all modules together do to one is to be small beside the curvature of its cost. Then equilibrium
    and optimum are O(c) apart and the optimum is flat, so the loss is O(c^2): a step takes it down by about a hundred.
    """
    games = (congested(players, price_eur_per_kwh, target_kw, c) for c in (step / len(players) for step in STEPS))
    return tuple(price_of_anarchy(game).loss_eur_per_h for game in games)


def vanishes(found: Sequence[float]) -> bool:
    """Whether losses along STEPS fall at least as fast as the externality: by ten a step, or to rounding."""
    return all(after <= max(before / 10.0, _NOTHING) for before, after in zip(found, found[1:], strict=False))
