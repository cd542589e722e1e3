"""Intervals of the drivers' flows over a box of rebates: guessed from samples, then proven by linear programs.

Proof by first exit: the answer moves continuously with the rebates and begins inside the guess. If it ever left, it
would be on the edge for some arc while all arcs are still inside, so it would be a point of the relaxation over the
guess. So where the relaxation over the guess shows for every arc that its flow stays strictly inside, no rebate of the
box leads outside. No sign of a cross effect is assumed. A guess that fails is widened and tried again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.market.persistency import Follower, flow_of, utility_of
from v2g_nodes.planning.market.relaxation import Rows, follower_rows

SAMPLES = 48
WIDEN, WIDEN_MIN = 0.06, 0.004  # of the interval in utility, and at least this many sigma
PASSES_MAX = 4


@dataclass(frozen=True)
class Intervals:
    """Flows over a box of rebates.

    Args:
        low: smallest flow of each arc, shape (arcs,).
        high: largest flow.
        proven: the proof by first exit succeeded; else samples alone speak for them.
        programs: linear programs that were solved.
    """

    low: FloatArray
    high: FloatArray
    proven: bool
    programs: int


def flow_intervals(
    follower: Follower, low: FloatArray, high: FloatArray, prove: bool = True, failures: int = 0
) -> Intervals:
    """Intervals of all flows for rebates between low and high.

    Args:
        follower: the drivers.
        low: smallest rebates, shape (hours,) [USD/h].
        high: largest rebates.
        prove: by linear programs, tens of milliseconds per arc and side.
        failures: times that intervals turned out too narrow before: each doubles the samples and widens by a quarter.
    """
    lam_low, lam_high = _sampled(follower, low, high, failures)
    solved = 0
    for _ in range(PASSES_MAX if prove else 0):
        failed, found, count = _exits(follower, low, high, lam_low, lam_high)
        solved += count
        if not failed.any():
            return Intervals(*_flows(follower, lam_low, lam_high), proven=True, programs=solved)
        # beyond what the relaxation reached, and everything a little, as wider neighbours reach further
        width = np.maximum(WIDEN * (lam_high - lam_low), WIDEN_MIN * follower.sigma)
        lam_low = np.minimum(lam_low, found[0]) - np.where(failed[0], width, 0.1 * width)
        lam_high = np.maximum(lam_high, found[1]) + np.where(failed[1], width, 0.1 * width)
    return Intervals(*_flows(follower, lam_low, lam_high), proven=False, programs=solved)


def _flows(follower: Follower, low: FloatArray, high: FloatArray) -> tuple[FloatArray, FloatArray]:
    return flow_of(low, follower.sigma), flow_of(high, follower.sigma)


def _sampled(follower: Follower, low: FloatArray, high: FloatArray, failures: int) -> tuple[FloatArray, FloatArray]:
    random, samples = np.random.default_rng(failures), SAMPLES * 2**failures
    picks = random.integers(0, 2, (samples, len(low))).astype(float)
    hours = np.arange(len(low))
    wide = hours[high > low]
    steps = [low, high, *(np.where(hours <= h, high, low) for h in wide),
             *(np.where(hours > h, high, low) for h in wide)]  # fmt: skip
    answer = follower.solve(np.array([*steps, *(low + picks * (high - low))]))
    lam = utility_of(np.clip(answer.flow, 1e-15, 1.0 - 1e-15), follower.sigma)
    width = np.maximum(WIDEN * (lam.max(axis=0) - lam.min(axis=0)), WIDEN_MIN * follower.sigma)
    width *= 1.0 + 0.25 * failures
    return lam.min(axis=0) - width, lam.max(axis=0) + width


def _exits(
    follower: Follower, low: FloatArray, high: FloatArray, lam_low: FloatArray, lam_high: FloatArray
) -> tuple[FloatArray, FloatArray, int]:
    """Arcs whose utility the relaxation lets reach the edge, shape (2, arcs), and how far, shape (2, arcs)."""
    import highspy

    network, sigma = follower.network, follower.sigma
    arcs, hours = network.arcs, network.hours
    columns = hours + arcs + len(network.supply)
    flow_low, flow_high = _flows(follower, lam_low, lam_high)
    rows = Rows(columns)
    follower_rows(rows, follower, hours, 0, flow_low, flow_high)
    matrix, below, above = rows.joined()
    # lambda = mu + s - B'rho is what is pushed: better scaled than flows near 0
    push = np.zeros((arcs, columns))
    push[:, :hours] = network.plug_matrix
    push[:, hours + arcs :] = -network.incidence.T
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = columns, matrix.shape[0]
    model.col_cost_ = np.zeros(columns)
    model.col_lower_ = np.concatenate([low, np.zeros(arcs), np.full(len(network.supply), -highspy.kHighsInf)])
    model.col_upper_ = np.concatenate([high, np.ones(arcs), np.full(len(network.supply), highspy.kHighsInf)])
    model.row_lower_, model.row_upper_ = below, above
    model.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    model.a_matrix_.start_, model.a_matrix_.index_, model.a_matrix_.value_ = matrix.indptr, matrix.indices, matrix.data
    solver: Any = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("threads", 1)
    solver.passModel(model)
    reached = np.array([lam_low, lam_high])
    failed = np.zeros((2, arcs), dtype=bool)
    every = np.arange(columns, dtype=np.int32)
    for side, sign in ((0, 1.0), (1, -1.0)):
        for arc in range(arcs):
            solver.changeColsCost(columns, every, sign * push[arc])
            solver.run()
            if solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
                failed[side, arc] = True
                continue
            end = follower.mu[arc] + sign * solver.getInfo().objective_function_value
            reached[side, arc] = end
            inside = end - lam_low[arc] if side == 0 else lam_high[arc] - end
            failed[side, arc] = inside < 1e-5 * sigma[arc]
    return failed, reached, 2 * arcs
