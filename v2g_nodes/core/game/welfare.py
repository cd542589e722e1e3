"""What the modules could have together, and how much of it selfishness costs: the price of anarchy.

Welfare is the sum of the payoffs: with one connection

    W(p) = sum_i (pi p_i - f_i(p_i)) - c ( S^2 - sum_i p_i^2 / 2 - P S ),    S = sum_i p_i,

so that the congestion of a pair counts twice, once for each who bears it. (Counted once per pair, the sum is the
potential itself and the price of anarchy is 1 whatever c: `pairwise_welfare`.)

W is concave only while c is below the curvature of the costs; beyond, it pays all together to make modules unlike. So
its maximum is found by branch and bound: g_i = (pi + c P) p_i - f_i + c p_i^2 / 2 separates and -c S^2 is concave, so
for every lambda

    W* <= sum_i max_p [g_i(p) - lambda p] + lambda^2 / (4 c),

the least such bound is found along lambda, and where a module jumps at that lambda its box is cut in two.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from itertools import count

import numpy as np

from v2g_nodes.core.game.payoffs import Game
from v2g_nodes.core.game.pieces import convex_pieces
from v2g_nodes.core.game.potential import potential, potential_maximum, uniform_coupling
from v2g_nodes.core.types import FloatArray

GAP = 1e-9  # relative to the welfare, or EUR/h where that is less: what bound and optimum may differ by
NODES_MAX = 60
_PRICE_STEPS = 100
_SECANTS = 12
_POWER_STEPS = 48  # bisections of some kW
_ROUNDING = 1e-14  # EUR/kWh, lambda is known no better
_JUMP_KW = 1e-6  # kW, a module whose answers on both sides of lambda are nearer does not jump

_Ends = tuple[FloatArray, FloatArray]


@dataclass(frozen=True)
class Optimum:
    """The best that all can do together.

    Args:
        powers_kw: shape (n,) [kW].
        welfare_eur_per_h: W there.
        bound_eur_per_h: W of no powers in the boxes is above this.
        nodes: of the search, 1 where W is concave.
    """

    powers_kw: FloatArray
    welfare_eur_per_h: float
    bound_eur_per_h: float
    nodes: int

    @property
    def certified(self) -> bool:
        """Whether the bound is met to GAP."""
        return self.bound_eur_per_h - self.welfare_eur_per_h <= GAP * max(1.0, abs(self.welfare_eur_per_h))


@dataclass(frozen=True)
class Anarchy:
    """Equilibrium against optimum.

    Args:
        equilibrium_kw: the only one, shape (n,) [kW].
        optimum: of the sum of payoffs.
        welfare_eur_per_h: W at the equilibrium.
        exploitability_eur_per_h: of the equilibrium, from above.
    """

    equilibrium_kw: FloatArray
    optimum: Optimum
    welfare_eur_per_h: float
    exploitability_eur_per_h: float

    @property
    def price(self) -> float | None:
        """W* / W(equilibrium), at least 1; None where the equilibrium is worth nothing or less.

        There is one equilibrium only (potential.py), so this is the price of stability too.
        """
        if not self.welfare_eur_per_h > 0.0:
            return None
        return self.optimum.welfare_eur_per_h / self.welfare_eur_per_h

    @property
    def loss_eur_per_h(self) -> float:
        """W* - W(equilibrium)."""
        return self.optimum.welfare_eur_per_h - self.welfare_eur_per_h


def price_of_anarchy(game: Game) -> Anarchy:
    """Compare the equilibrium of a game of one connection with its optimum.

    Raises:
        InputError: coupling or relief differ between modules.
    """
    p = potential_maximum(game)
    return Anarchy(p, social_optimum(game), game.welfare(p), game.exploitability(p))


def pairwise_welfare(game: Game, p: FloatArray) -> float:
    """Welfare in which each pair's congestion counts once [EUR/h]: the potential.

    Raises:
        InputError: the game has none.
    """
    return float(potential(game, p))


def social_optimum(game: Game, nodes_max: int = NODES_MAX) -> Optimum:
    """The powers in the boxes whose sum of payoffs is largest.

    Args:
        game: of one connection.
        nodes_max: ends the search; `certified` tells whether it was enough.

    Raises:
        InputError: coupling or relief differ between modules.
    """
    node = _Node(game)
    best, tie = node(game.curves.low_kw, game.curves.high_kw), count()
    queue, nodes = [(-best.bound, next(tie), best)], 1
    best_kw, best_welfare = best.powers_kw, best.welfare
    while queue and nodes < nodes_max:
        bound = -queue[0][0]
        if bound - best_welfare <= GAP * max(1.0, abs(best_welfare)):
            break
        _, _, worst = heapq.heappop(queue)
        for low, high in worst.halves():
            child = node(low, high)
            nodes += 1
            if child.welfare > best_welfare:
                best_kw, best_welfare = child.powers_kw, child.welfare
            heapq.heappush(queue, (-min(child.bound, worst.bound), next(tie), child))
    bound = max(best_welfare, -queue[0][0] if queue else best_welfare)
    return Optimum(best_kw, best_welfare, bound, nodes)


@dataclass(frozen=True)
class _Bounded:
    """One node: its box, the least bound, the better of the answers on both sides of lambda, and where to cut."""

    low_kw: FloatArray
    high_kw: FloatArray
    bound: float
    powers_kw: FloatArray
    welfare: float
    sides_kw: tuple[FloatArray, FloatArray]

    def halves(self) -> list[tuple[FloatArray, FloatArray]]:
        jump = np.abs(self.sides_kw[0] - self.sides_kw[1])
        k = int(jump.argmax())
        if jump[k] <= _JUMP_KW:  # no module jumps: the bound is met but for rounding, which no cut can mend
            return []
        middle = 0.5 * (self.sides_kw[0][k] + self.sides_kw[1][k])
        low, high = self.low_kw.copy(), self.high_kw.copy()
        low[k], high[k] = middle, middle
        return [(self.low_kw, high), (low, self.high_kw)]


class _Node:
    """Bounds of W over boxes: minimises the dual along lambda."""

    def __init__(self, game: Game) -> None:
        self._game, self._curves = game, game.curves
        self._c, relief = uniform_coupling(game)
        self._offer = game.price_eur_per_kwh + relief

    def __call__(self, low_kw: FloatArray, high_kw: FloatArray) -> _Bounded:
        ends = convex_pieces(self._curves, low_kw, high_kw, self._c)
        (left, right), sides = self._along(ends, low_kw, high_kw)
        bound = min(self._dual(left, sides[0]), self._dual(right, sides[1]))
        candidates = [*sides]
        if np.abs(sides[0] - sides[1]).max() > _JUMP_KW:
            candidates.append(self._mended(ends, left, sides))
        values = [self._game.welfare(p) for p in candidates]
        best = int(np.argmax(values))
        return _Bounded(low_kw, high_kw, max(bound, values[best]), candidates[best], values[best], sides)

    def _along(self, ends: _Ends, low_kw: FloatArray, high_kw: FloatArray) -> tuple[tuple[float, float], _Ends]:
        """Bracket of the best lambda, and the answers at both of its ends: there 2 c S(lambda) crosses lambda."""
        c = self._c
        left, right = 2.0 * c * float(low_kw.sum()), 2.0 * c * float(high_kw.sum())
        p_left, p_right = self._answers(ends, left), self._answers(ends, right)
        above, below = 2.0 * c * float(p_left.sum()) - left, 2.0 * c * float(p_right.sum()) - right
        for step in range(_PRICE_STEPS):
            # secants meet a smooth crossing in a few steps, bisections close in on a jump
            share = above / (above - below) if step < _SECANTS and above > below else 0.5
            price = left + share * (right - left)
            if not left < price < right or right - left <= _ROUNDING * max(1.0, abs(price)):
                break
            powers = self._answers(ends, price)
            error = 2.0 * c * float(powers.sum()) - price
            if abs(error) <= _ROUNDING:
                return (price, price), (powers, powers)
            if error > 0.0:  # an end that stays counts half as much (the Illinois rule), or secants would creep
                left, p_left, above, below = price, powers, error, 0.5 * below
            else:
                right, p_right, above, below = price, powers, 0.5 * above, error
        return (left, right), (p_left, p_right)

    def _mended(self, ends: _Ends, price: float, sides: _Ends) -> FloatArray:
        """Powers near the bound: modules that jump go to that side which brings the sum to lambda / 2c, the largest
        first; then all move to the best place in the pieces they are in, where W is concave along lambda."""
        chosen, jumps = sides[1].copy(), sides[0] - sides[1]
        room = price / (2.0 * self._c) - float(chosen.sum())
        for k in np.argsort(-np.abs(jumps)):
            if jumps[k] <= room:
                chosen[k] += jumps[k]
                room -= jumps[k]
        inside = (ends[0] <= chosen) & (chosen <= ends[1])
        row, columns = np.where(inside, ends[1] - ends[0], -1.0).argmax(axis=0), np.arange(chosen.size)
        low = np.minimum(ends[0][row, columns], chosen)
        high = np.maximum(ends[1][row, columns], chosen)
        return self._along((low[None, :], high[None, :]), low, high)[1][0]

    def _dual(self, price: float, powers: FloatArray) -> float:
        parts = (self._offer - price) * powers - self._curves.cost(powers) + 0.5 * self._c * powers**2
        return float(parts.sum()) + (price**2 / (4.0 * self._c) if self._c > 0.0 else 0.0)

    def _answers(self, ends: _Ends, price: float) -> FloatArray:
        """Every module's maximum of g - lambda p over its pieces."""
        curves, c, mu = self._curves, self._c, self._offer - price
        low, high = ends
        for _ in range(_POWER_STEPS):
            p = 0.5 * (low + high)
            rise = mu + c * p - np.sign(p) * curves.steepness(np.abs(p))
            low, high = np.where(rise > 0.0, p, low), np.where(rise > 0.0, high, p)
        p = np.concatenate((ends[0], 0.5 * (low + high), ends[1]))
        values = mu * p + 0.5 * c * p * p - curves.cost(p)
        result: FloatArray = p[values.argmax(axis=0), np.arange(curves.modules)]
        return result
