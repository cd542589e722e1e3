"""Nash equilibrium by best response: every module in turn, or all at once by a part of the way.

In turn: p_i <- argmax u_i(., p_-i). With a potential that is coordinate ascent on it, and with a strictly concave one
every limit is the equilibrium. At once: p <- p + w d, d = BR(p) - p. With m_i the least curvature of f_i, the payoff of
a module alone is strongly concave with m_i + C_ii, so a step gains at least

    w/2 ( 2 - w - w rho ) sum_i (m_i + C_ii) d_i^2,    rho = largest eigenvalue of D^-1/2 (C - diag C) D^-1/2,

of the potential, D = diag(m_i + C_ii): it rises for every w < 2 / (1 + rho). Taken is half of that; with one
connection it is 1/n or more, as rho <= n - 1. w = 1 may circle once c (n - 1) exceeds the curvature of the costs.

A game without a potential may circle in either order: then `converged` is false and the exploitability is what it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from v2g_nodes.core.checks import check_range
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.game.payoffs import Game
from v2g_nodes.core.types import FloatArray

ORDERS = ("in-turn", "at-once")
STEP_KW = 1e-10  # kW, a round in which nobody moves more ends the search
ROUNDS_MAX = 20_000


@dataclass(frozen=True)
class Course:
    """What best responses came to.

    Args:
        powers_kw: shape (n,) [kW].
        rounds: in which every module answered once.
        converged: whether nobody moved in the last one.
        exploitability_eur_per_h: most that a module could still gain, from above (payoffs.py).
        moves_kw: largest move of each round [kW].
        trace_kw: powers before the first and after each round, shape (rounds + 1, n).
    """

    powers_kw: FloatArray
    rounds: int
    converged: bool
    exploitability_eur_per_h: float
    moves_kw: FloatArray
    trace_kw: FloatArray


def best_response(
    game: Game, start_kw: FloatArray | None = None, order: str = "in-turn", part: float | None = None,
    step_kw: float = STEP_KW, rounds_max: int = ROUNDS_MAX,
) -> Course:  # fmt: skip
    """Let the modules answer each other until nobody moves.

    Args:
        game: of n modules.
        start_kw: first powers, moved into the boxes; default standing still.
        order: one of ORDERS.
        part: w, above 0 and at most 1, for at-once; default `safe_part`.
        step_kw: a round with smaller moves is the last, above 0; w times as much for at-once.
        rounds_max: ends then, converged or not.

    Raises:
        InputError: an order that does not exist, or a number out of range.
    """
    if order not in ORDERS:
        raise InputError(f"order is {order!r}, allowed {', '.join(ORDERS)}")
    curves = game.curves
    if part is None:
        part = safe_part(game) if order == "at-once" else 1.0
    check_range("part", part, 1e-9, 1.0)
    p = np.clip(np.zeros(curves.modules) if start_kw is None else start_kw, curves.low_kw, curves.high_kw)
    turn: Callable[[FloatArray], FloatArray]
    if order == "in-turn":
        turn, least = (lambda q: _in_turn(game, q)), step_kw
    else:
        turn, least = (lambda q: q + part * (game.best_responses(q) - q)), step_kw * part
    trace: list[FloatArray] = [p]
    moves: list[float] = []
    while len(moves) < rounds_max and (not moves or moves[-1] > least):
        trace.append(turn(trace[-1]))
        moves.append(float(np.abs(trace[-1] - trace[-2]).max()))
    end = trace[-1]
    return Course(end, len(moves), moves[-1] <= least, game.exploitability(end), np.array(moves), np.array(trace))


def safe_part(game: Game) -> float:
    """The w = 1 / (1 + rho) with which all at once never lose potential (see the head of this file)."""
    root = 1.0 / np.sqrt(game.curves.least_bend() + game.own)
    coupling = 0.5 * (game.coupling + game.coupling.T) - np.diag(game.own)
    rho = float(np.linalg.eigvalsh(root[:, None] * coupling * root[None, :])[-1])
    return 1.0 / (1.0 + max(rho, 0.0))


def _in_turn(game: Game, p: FloatArray) -> FloatArray:
    """One round in which each module answers what those before it have just done."""
    p, own, loads = p.copy(), game.own, game.coupling @ p
    base = game.price_eur_per_kwh + game.relief_eur_per_kwh
    for i, player in enumerate(game.players):
        answer = player.proximal(float(base[i] - loads[i] + own[i] * p[i]), float(own[i]))
        if answer != p[i]:
            loads += game.coupling[:, i] * (answer - p[i])
            p[i] = answer
    return p
