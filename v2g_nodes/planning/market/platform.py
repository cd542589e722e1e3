"""The platform's problem: one rebate per hour and one bid per hour, for a fleet of several kinds of drivers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from v2g_nodes.core.checks import check_positive, check_range
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.market.capacity import Form, Requirement, squared_deviation
from v2g_nodes.planning.market.persistency import Answer, Follower

DAYS_PER_MONTH = 30.0
LEVELS_MAX, CLUSTERS_MAX, VEHICLES_MAX = 64, 6, 10_000_000


@dataclass(frozen=True)
class Outcome:
    """What rebates lead to; the first axis counts vectors of rebates.

    Args:
        profit: of the platform [USD per day], shape (rebates,).
        plugged: expected vehicles of each cluster, shape (clusters, rebates, hours).
        bid_kw: shape (rebates, hours).
        paid: rebates paid [USD per day], shape (rebates,).
        answers: of the clusters.
    """

    profit: FloatArray
    plugged: FloatArray
    bid_kw: FloatArray
    paid: FloatArray
    answers: tuple[Answer, ...]


@dataclass(frozen=True)
class Platform:
    """Fleet, market and rebate levels.

    Args:
        followers: one per cluster of drivers.
        vehicles: of each cluster, above 0, shape (clusters,).
        prices: expected revenue per kW and hour, at least 0, shape (hours,) [USD/kWh].
        requirements: chance constraints that every bid meets.
        levels: allowed rebates, rising from 0, shape (levels,) [USD/h].
        exact_deviation: see capacity.squared_deviation.

    Raises:
        InputError: a value out of range or numbers that do not fit together.
    """

    followers: tuple[Follower, ...]
    vehicles: FloatArray
    prices: FloatArray
    requirements: tuple[Requirement, ...]
    levels: FloatArray
    exact_deviation: bool = True

    def __post_init__(self) -> None:
        if not 1 <= len(self.followers) == len(self.vehicles) <= CLUSTERS_MAX:
            raise InputError(f"{len(self.followers)} clusters and {len(self.vehicles)} numbers of vehicles, allowed "
                             f"as many, 1 to {CLUSTERS_MAX}")  # fmt: skip
        for count in self.vehicles:
            check_positive("vehicles of a cluster", float(count))
        check_range("vehicles", float(self.vehicles.sum()), 1, VEHICLES_MAX)
        for follower in self.followers:
            if follower.network.hours != len(self.prices):
                raise InputError(f"prices have {len(self.prices)} hours, allowed {follower.network.hours}")
        for hour, price in enumerate(self.prices):
            check_range(f"price of hour {hour}", float(price), 0.0, 1e3, "USD/kWh")
        if not 1 <= len(self.levels) <= LEVELS_MAX:
            raise InputError(f"{len(self.levels)} rebate levels, allowed 1 to {LEVELS_MAX}")
        for level in self.levels:
            check_range("rebate level", float(level), 0.0, 1e3, "USD/h")
        if self.levels[0] != 0.0 or (np.diff(self.levels) <= 0.0).any():
            raise InputError(f"rebate levels are {self.levels.tolist()}, allowed are rising ones that begin with 0")

    @property
    def hours(self) -> int:
        """Hours of the day."""
        return len(self.prices)

    @property
    def monthly(self) -> float:
        """USD per vehicle and month from USD of all per day."""
        return DAYS_PER_MONTH / float(self.vehicles.sum())

    @cached_property
    def forms(self) -> tuple[tuple[Form, Form], ...]:
        """Of each requirement; within one the larger bid counts, among requirements the smallest."""
        return tuple(requirement.forms for requirement in self.requirements)

    def evaluate(self, rebates: FloatArray, starts: tuple[FloatArray, ...] | None = None) -> Outcome:
        """Profit and all that leads to it.

        Args:
            rebates: shape (hours,) or (rebates, hours) [USD/h].
            starts: potentials of each cluster to begin with.
        """
        wanted = np.atleast_2d(rebates)
        begin = starts or (None,) * len(self.followers)
        answers = tuple(f.solve(wanted, b) for f, b in zip(self.followers, begin, strict=True))
        share = np.array([f.plugged(a) for f, a in zip(self.followers, answers, strict=True)])
        plugged = self.vehicles[:, None, None] * share
        bid, _ = self.best_bid(share)
        paid = np.sum(wanted * plugged.sum(axis=0), axis=1)
        return Outcome(bid @ self.prices - paid, plugged, bid, paid, answers)

    def best_bid(self, share: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Largest bid for shares plugged in, and its derivative by each cluster's share.

        Args:
            share: shape (clusters, ...).

        Returns:
            Bid [kW], shape (...), and derivatives, shape (clusters, ...).
        """
        best = np.full(share.shape[1:], np.inf)
        moved = np.zeros(share.shape)
        for forms in self.forms:
            one, by_one = self.form_bid(forms[0], share)
            other, by_other = self.form_bid(forms[1], share)
            larger = other > one
            one, by_one = np.where(larger, other, one), np.where(larger, by_other, by_one)
            moved = np.where(one < best, by_one, moved)
            best = np.minimum(best, one)
        return best, moved

    def form_bid(self, form: Form, share: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The same for one form alone."""
        vehicles = self.vehicles.reshape(-1, *(1,) * (share.ndim - 1))
        squared, by_share = squared_deviation(share, form.backward, self.exact_deviation)
        bid, by_n, by_d = form.bid(np.sum(vehicles * share, axis=0), np.sum(vehicles * squared, axis=0))
        return bid, vehicles * (by_n + by_d * by_share)

    def gradient(self, rebates: FloatArray, outcome: Outcome) -> FloatArray:
        """Derivative of the profit by each rebate, for the first row of an outcome, shape (hours,)."""
        share = outcome.plugged[:, 0] / self.vehicles[:, None]
        _, moved = self.best_bid(share)
        total: FloatArray = -outcome.plugged[:, 0].sum(axis=0)
        for k, follower in enumerate(self.followers):
            worth = self.prices * moved[k] - self.vehicles[k] * rebates
            total = total + follower.sensitivity(outcome.answers[k]) @ worth
        return total
