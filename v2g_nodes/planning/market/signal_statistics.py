"""What a recorded regulation signal asks of a bid: mileage, the needed share, and how that share deviates.

The needed share of an hour is the smallest share kappa of the bid with which a response clipped to +-kappa still moves
through 1 - eta of the hour's mileage. Forward and backward deviation (Chen, Sim, Sun 2007) of a variable z with mean
zero: sup over theta > 0 of sqrt(2 ln E exp(+-theta z)) / theta; both are at least the standard deviation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from v2g_nodes.core.checks import check_range
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.types import FloatArray

BISECTIONS = 50
THETAS = 400  # of a search over five decades; the supremum is smooth in log theta


@dataclass(frozen=True)
class Need:
    """Distribution of a needed share of the bid.

    Args:
        mean: of the share.
        forward: deviation upwards.
        backward: deviation downwards.

    Raises:
        InputError: a value out of range.
    """

    mean: float
    forward: float
    backward: float

    def __post_init__(self) -> None:
        check_range("mean needed share", self.mean, -1.0, 1.0)
        check_range("forward deviation", self.forward, 0.0, 10.0)
        check_range("backward deviation", self.backward, 0.0, 10.0)


def mileage(signal: FloatArray) -> FloatArray:
    """Sum of the moves, along the last axis."""
    moved: FloatArray = np.abs(np.diff(signal, axis=-1)).sum(axis=-1)
    return moved


def performance_index(signal: FloatArray, share: float) -> FloatArray:
    """Mileage of the signal clipped to +-share over its own mileage; 1 where it does not move."""
    total = mileage(signal)
    done = mileage(np.clip(signal, -share, share))
    return np.where(total > 0.0, done / np.where(total > 0.0, total, 1.0), 1.0)


def needed_shares(hours: FloatArray, eta: float) -> FloatArray:
    """Needed share of each hour, 0 to 1, found by bisection, shape (hours,).

    Args:
        hours: signal per unit of the bid, shape (hours, samples).
        eta: share of the mileage that may be missed, in (0, 1).

    Raises:
        InputError: eta out of range, no hour, a value that is not finite.
    """
    check_eta("eta", eta)
    if hours.ndim != 2 or hours.shape[0] == 0 or hours.shape[1] < 2:
        raise InputError(f"signal has shape {hours.shape}, allowed at least one hour of two samples")
    if not np.isfinite(hours).all():
        row, column = np.argwhere(~np.isfinite(hours))[0]
        raise InputError(f"signal of hour {row}, sample {column} is {hours[row, column]}, allowed a finite number")
    low: FloatArray = np.zeros(len(hours))
    high: FloatArray = np.abs(hours).max(axis=1)
    total = mileage(hours)
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        enough = mileage(np.clip(hours, -middle[:, None], middle[:, None])) >= (1.0 - eta) * total
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return high


def deviation(samples: FloatArray) -> float:
    """Forward deviation of samples about their mean; that of -samples is the backward deviation."""
    centred = samples - samples.mean()
    spread = float(np.abs(centred).max())
    if spread == 0.0:
        return 0.0
    thetas = np.geomspace(1e-3, 1e2, THETAS) / spread
    exponents = thetas[:, None] * centred
    top = exponents.max(axis=1)
    log_mean = top + np.log(np.mean(np.exp(exponents - top[:, None]), axis=1))
    return max(float(centred.std()), float((np.sqrt(np.maximum(2.0 * log_mean, 0.0)) / thetas).max()))


def need_of(samples: FloatArray) -> Need:
    """Mean and both deviations of observed shares."""
    return Need(float(samples.mean()), deviation(samples), deviation(-samples))


def energy_shares(hours: FloatArray) -> FloatArray:
    """Net energy that an hour takes out of the vehicles, per kW of the bid, shape (hours,): the mean of the signal."""
    mean: FloatArray = hours.mean(axis=1)
    return mean


def check_eta(name: str, eta: float) -> None:
    """Refuse a level that is not strictly between 0 and 1.

    Raises:
        InputError: with name and value.
    """
    if not (math.isfinite(eta) and 0.0 < eta < 1.0):
        raise InputError(f"{name} is {eta!r}, allowed above 0 and below 1")
