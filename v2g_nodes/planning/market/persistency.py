"""What drivers do on average: a concave reward network flow, solved through its smooth dual.

Primal (Natarajan, Song, Teo 2009): max over unit flows y of sum mu_a y_a + sigma_a sqrt(y_a (1 - y_a)), with the rebate
s_t added to mu of every arc plugged in during hour t. Dual: min over rho of sum (lambda_a + sqrt(lambda_a^2 +
sigma_a^2)) / 2 + f'rho, lambda = mu + E s - B'rho; the flow is y_a = (1 + lambda_a / sqrt(lambda_a^2 + sigma_a^2)) / 2.
The dual is smooth and strictly convex, so Newton's method with step halving converges from anywhere, quadratically at
the end; many rebates are solved at a time. Source: EQUATIONS 004.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from v2g_nodes.core.errors import InputError, V2gError
from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.market.activity_network import ActivityNetwork

STEPS_MAX, HALVINGS_MAX = 100, 40
TOLERANCE = 1e-11  # of the flow that a node may miss
ARMIJO = 1e-4
BATCH = 512  # rebates at a time; more leave the processor's cache


class NoConvergenceError(V2gError, ArithmeticError):
    """The drivers' flow was not found to the tolerance."""


@dataclass(frozen=True)
class Answer:
    """The drivers' answer to rebates.

    Args:
        flow: share of drivers on each arc, shape (rebates, arcs).
        potential: rho, shape (rebates, nodes - 1).
        value: of a driver's day, dual value [USD], shape (rebates,).
    """

    flow: FloatArray
    potential: FloatArray
    value: FloatArray


@dataclass(frozen=True)
class Follower:
    """Drivers of one kind.

    Args:
        network: of their day.
        mu: mean utility of each arc, shape (arcs,) [USD].
        sigma: its standard deviation, above 0, shape (arcs,) [USD].

    Raises:
        InputError: another number of utilities than arcs, one that is not finite, a sigma that is not above 0.
    """

    network: ActivityNetwork
    mu: FloatArray
    sigma: FloatArray

    def __post_init__(self) -> None:
        if self.mu.shape != (self.network.arcs,) or self.sigma.shape != (self.network.arcs,):
            raise InputError(f"utilities have shapes {self.mu.shape} and {self.sigma.shape}, allowed "
                             f"({self.network.arcs},)")  # fmt: skip
        for arc in range(self.network.arcs):
            if not np.isfinite(self.mu[arc]):
                raise InputError(f"{self.network.place(arc)}: mu is {self.mu[arc]}, allowed any finite number")
            if not (np.isfinite(self.sigma[arc]) and self.sigma[arc] > 0.0):
                raise InputError(f"{self.network.place(arc)}: sigma is {self.sigma[arc]}, allowed above 0, finite")

    @cached_property
    def _outer(self) -> FloatArray:
        """Column a is b_a b_a' as one vector, so that B W B' of many W is one product."""
        incidence = self.network.incidence
        return (incidence[:, None, :] * incidence[None, :, :]).reshape(-1, self.network.arcs)

    @cached_property
    def _sparse_outer(self) -> Any:  # noqa: ANN401 - scipy has no types
        from scipy.sparse import csr_matrix

        return csr_matrix(self._outer)

    def solve(self, rebates: FloatArray, start: FloatArray | None = None) -> Answer:
        """Answer to one or many vectors of rebates.

        Args:
            rebates: shape (hours,) or (rebates, hours) [USD per hour plugged in].
            start: potentials to begin with, shape (nodes - 1,) or one row per vector; None: zero.

        Raises:
            NoConvergenceError: flow conservation is missed after STEPS_MAX Newton steps.
        """
        wanted = np.atleast_2d(np.asarray(rebates, dtype=float))
        begin = np.zeros(self.network.supply.shape) if start is None else start
        begin = np.broadcast_to(begin, (len(wanted), len(self.network.supply)))
        parts = [self._newton(wanted[k : k + BATCH], begin[k : k + BATCH]) for k in range(0, len(wanted), BATCH)]
        return Answer(*(np.concatenate([getattr(part, name) for part in parts])
                        for name in ("flow", "potential", "value")))  # fmt: skip

    def utility(self, answer: Answer, rebates: FloatArray) -> FloatArray:
        """Utility lambda = mu + E s - B'rho of each arc, shape (rebates, arcs) [USD]."""
        mean = self.mu + np.atleast_2d(rebates) @ self.network.plug_matrix.T
        lam: FloatArray = mean - answer.potential @ self.network.incidence
        return lam

    def laplacian(self, weight: FloatArray) -> FloatArray:
        """B W B' of many W, shape (rows, nodes - 1, nodes - 1), from weights of shape (rows, arcs)."""
        nodes = len(self.network.supply)
        return np.ascontiguousarray((self._sparse_outer @ weight.T).T).reshape(-1, nodes, nodes)

    def plugged(self, answer: Answer) -> FloatArray:
        """Share plugged in per hour, shape (rebates, hours)."""
        return answer.flow @ self.network.plug_matrix

    def sensitivity(self, answer: Answer, row: int = 0) -> FloatArray:
        """How the share plugged in in each hour moves with each rebate: dy/ds, symmetric, shape (hours, hours).

        It is E'(W - W B'(B W B')^-1 B W)E, W = diag(sigma^2 / (2 (lambda^2 + sigma^2)^1.5)).
        """
        incidence, plug = self.network.incidence, self.network.plug_matrix
        weight = slope(answer.flow[row], self.sigma)
        crossed = (incidence * weight) @ plug
        laplacian = (incidence * weight) @ incidence.T
        moved: FloatArray = plug.T @ (weight[:, None] * plug) - crossed.T @ np.linalg.solve(laplacian, crossed)
        return moved

    def primal_value(self, flow: FloatArray, rebates: FloatArray) -> FloatArray:
        """Value of a flow [USD], shape (rebates,); at most the dual value for every flow of one driver."""
        reward = flow @ self.mu + np.sum((flow @ self.network.plug_matrix) * rebates, axis=-1)
        value: FloatArray = reward + np.sqrt(np.maximum(flow * (1.0 - flow), 0.0)) @ self.sigma
        return value

    def _newton(self, rebates: FloatArray, start: FloatArray) -> Answer:
        mean = self.mu + rebates @ self.network.plug_matrix.T
        potential = start.copy()
        incidence, supply = self.network.incidence, self.network.supply
        tiny = np.finfo(float).eps
        for _ in range(STEPS_MAX):
            lam = mean - potential @ incidence
            root = np.hypot(lam, self.sigma)
            flow = flow_of(lam, self.sigma)
            missed: FloatArray = supply - flow @ incidence.T
            value = 0.5 * np.sum(lam + root, axis=1) + potential @ supply
            if np.abs(missed).max() <= TOLERANCE:
                return Answer(flow, potential, value)
            weight = 0.5 * self.sigma**2 / root**3
            step = np.asarray(np.linalg.solve(self.laplacian(weight), -missed[..., None])[..., 0], dtype=np.float64)
            potential = potential + self._length(lam, step, missed, value, tiny)[:, None] * step
        raise NoConvergenceError(
            f"drivers' flow: a node misses {np.abs(missed).max():.1e} after {STEPS_MAX} steps, "
            f"allowed up to {TOLERANCE:g}"
        )

    def _length(
        self, lam: FloatArray, step: FloatArray, missed: FloatArray, value: FloatArray, tiny: float
    ) -> FloatArray:
        """Longest halved step that lowers the dual enough, shape (rebates,)."""
        length = np.ones(len(lam))
        direction, fall = step @ self.network.incidence, np.sum(missed * step, axis=1)
        for _ in range(HALVINGS_MAX):
            moved = lam - length[:, None] * direction
            change = 0.5 * np.sum(moved - lam + np.hypot(moved, self.sigma) - np.hypot(lam, self.sigma), axis=1)
            change += length * (step @ self.network.supply)
            bad = change > ARMIJO * length * fall + 100.0 * tiny * (1.0 + np.abs(value))
            if not bad.any():
                break
            length[bad] *= 0.5
        return length


def flow_of(lam: FloatArray, sigma: FloatArray) -> FloatArray:
    """Y = (1 + lambda / sqrt(lambda^2 + sigma^2)) / 2, without cancellation for small flows."""
    root = np.hypot(lam, sigma)
    flow: FloatArray = 0.5 * sigma**2 / (root * (root + np.abs(lam)))
    return np.where(lam > 0.0, 1.0 - flow, flow)


def utility_of(flow: FloatArray, sigma: FloatArray) -> FloatArray:
    """The inverse: lambda = sigma (2 y - 1) / (2 sqrt(y (1 - y))) [USD]."""
    lam: FloatArray = sigma * (2.0 * flow - 1.0) / (2.0 * np.sqrt(flow * (1.0 - flow)))
    return lam


def slope(flow: FloatArray, sigma: FloatArray) -> FloatArray:
    """dy/dlambda at a flow: (4 / sigma) (y (1 - y))^1.5 [1/USD]."""
    weight: FloatArray = 4.0 / sigma * np.maximum(flow * (1.0 - flow), 0.0) ** 1.5
    return weight
