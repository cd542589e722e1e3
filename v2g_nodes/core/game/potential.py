"""Whether a game has a potential, and what it is.

Phi is an exact potential when a module that moves alone changes Phi by what it changes its own payoff. For smooth
coupling that is so for some Phi if and only if the SECOND cross-derivatives agree (Monderer and Shapley, 1996):

    d^2 u_i / dp_i dp_j = d^2 u_j / dp_i dp_j    for all i != j

(The source's condition on first derivatives, du_i/dp_j = du_j/dp_i, is another thing: it fails for this very game.)
Here they are -C_ij and -C_ji, so a symmetric C has the potential

    Phi(p) = sum_i (pi p_i - f_i(p_i)) - p'Cp/2 + t'p.

f_i is strictly convex, so with a positive semidefinite C the potential is strictly concave: it has one maximum on the
boxes, every equilibrium is a maximum (each payoff is concave in the own power), so there is exactly one equilibrium,
and price of anarchy and price of stability are the same number.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from v2g_nodes.core.errors import InputError
from v2g_nodes.core.game.payoffs import Game
from v2g_nodes.core.types import FloatArray

SYMMETRY = 1e-9  # relative to the largest cross-derivative: the agreement that counts as equal where they are known
_PRICE_STEPS = 200
Payoffs = Callable[[FloatArray], FloatArray]


def has_potential(game: Game, tolerance: float = SYMMETRY) -> bool:
    """Whether the second cross-derivatives agree, to a tolerance relative to the largest of them."""
    cross = game.coupling - np.diag(game.own)
    return bool(np.abs(cross - cross.T).max() <= tolerance * np.abs(cross).max())


def cross_derivatives(payoffs: Payoffs, p: FloatArray, step_kw: float = 0.1) -> FloatArray:
    """Second cross-derivatives by differences, for payoffs of any form: entry ij is d^2 u_i / dp_i dp_j at p.

    The four-point difference is free of the own costs, which depend on p_i alone, and exact for bilinear coupling.

    Args:
        payoffs: from powers (..., n) [kW] to payoffs (..., n) [EUR/h].
        p: where, shape (n,) [kW].
        step_kw: half width of the difference.

    Returns:
        Shape (n, n) [EUR/h/kW^2]; the diagonal is left at 0.
    """
    n = p.size
    result = np.zeros((n, n))
    moves = step_kw * np.eye(n)
    for i in range(n):
        up, down = p + moves[i] + moves, p + moves[i] - moves
        low_up, low_down = p - moves[i] + moves, p - moves[i] - moves
        u = [payoffs(points)[:, i] for points in (up, down, low_up, low_down)]
        result[i] = (u[0] - u[1] - u[2] + u[3]) / (4.0 * step_kw**2)
        result[i, i] = 0.0
    return result


def potential(game: Game, p: FloatArray) -> FloatArray:
    """Phi(p) [EUR/h], shape (...); 0 for modules that stand still. p is (..., n) [kW].

    Raises:
        InputError: the game has none.
    """
    if not has_potential(game):
        raise InputError("coupling is not symmetric, allowed is C_ij = C_ji: the game has no exact potential")
    shared = 0.5 * p * (p @ game.coupling.T)
    own = (game.price_eur_per_kwh + game.relief_eur_per_kwh) * p - game.curves.cost(p)
    result: FloatArray = (own - shared).sum(axis=-1)
    return result


def has_one_equilibrium(game: Game) -> bool:
    """Whether there is surely one equilibrium only: the symmetric part of C plus curvature of costs above 0.

    Sufficient (diagonal strict concavity, Rosen 1965), with or without a potential; curvature is taken at its least
    over each box.
    """
    part = 0.5 * (game.coupling + game.coupling.T) + np.diag(game.curves.least_bend())
    return bool(np.linalg.eigvalsh(part)[0] > 0.0)


def potential_maximum(game: Game) -> FloatArray:
    """The equilibrium of one connection, from its potential instead of from best responses.

    Where Phi is largest every module answers the one price mu = pi + t - c sum p; both sides are monotone in mu, so
    bisection finds it.

    Args:
        game: the same coupling c for all pairs and the same relief t for all modules.

    Returns:
        Powers [kW], shape (n,).

    Raises:
        InputError: coupling or relief differ.
    """
    c, relief = uniform_coupling(game)
    curves, base = game.curves, game.price_eur_per_kwh + relief
    left, right = (base - c * float(ends.sum()) for ends in (curves.high_kw, curves.low_kw))
    for _ in range(_PRICE_STEPS):
        middle = 0.5 * (left + right)
        if not left < middle < right:
            break
        if middle < base - c * float(curves.responses(np.array(middle)).sum()):
            left = middle
        else:
            right = middle
    return curves.responses(np.array(0.5 * (left + right)))


def uniform_coupling(game: Game) -> tuple[float, float]:
    """The c [EUR/h/kW^2] and t [EUR/kWh] of a game of one connection.

    Raises:
        InputError: coupling or relief differ between modules.
    """
    c, relief = float(game.coupling[0, 0]), float(game.relief_eur_per_kwh[0])
    if np.any(game.coupling != c) or np.any(game.relief_eur_per_kwh != relief):
        raise InputError("coupling or relief differs between modules, allowed is one connection with one externality")
    return c, relief
