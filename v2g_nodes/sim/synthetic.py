"""Synthetic grid inputs with the statistics of real ones: frequency, regulation signal, price.

Seeded and a function of time alone: the value at t is the same whoever asks, in whatever order. A day of
seconds is made at once from white noise shaped in the frequency domain, so the day closes in on itself
and midnight is no step; the next day is the same day again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from v2g_nodes.core.types import FloatArray

DAY_SECONDS = 86400

# Fitted to two days of Continental Europe at 1 s (sd 21 mHz; autocorrelation 0.93 at 10 s, 0.75 at 60 s,
# 0.27 at 300 s; largest step 9 mHz): two Ornstein-Uhlenbeck parts behind the inertia of the grid, and the
# steps that generation schedules make at full hours.
FREQUENCY_SD_HZ = 0.0205
SLOW_S = 180.0  # s, relaxation of the slow part (secondary control against load)
FAST_S = 12.0  # s, relaxation of the fast part (primary control)
INERTIA_S = 2.0  # s, low pass of both
FAST_SHARE = 0.12  # of the variance of noise
HOURLY_SHARE = 0.33  # of the whole variance
HOURLY_DECAY_S = 600.0  # s, secondary control takes a schedule step back
HOURLY_RISE_S = 60.0  # s
HOURLY_LEAD_S = 300.0  # s, schedules ramp from 5 min before the hour (ENTSO-E: +-5 min)

# Fitted to one day of PJM RegD: mileage 30 per hour, at an end 20 % of the time, autocorrelation 0.36 at 2 min.
SIGNAL_RELAX_S = 75.0  # s
SIGNAL_SMOOTH_S = 40.0  # s
SIGNAL_SD_PU = 0.8  # before clipping to +-1

PRICE_BASE_EUR_PER_KWH = 0.10  # scenario constant of the project, for a day without recorded prices
PRICE_SWING = 0.5  # of the base
PRICE_PEAK_H = 19.0  # evening peak of the load; cos, so that the peak is where it is said to be


def _shaped_noise(seed: tuple[int, ...], parts: tuple[tuple[float, float], ...], smooth_s: float) -> FloatArray:
    """A day of noise with the spectrum of smoothed Ornstein-Uhlenbeck parts, one value per second.

    Args:
        seed: names the day.
        parts: (relaxation time [s], variance) of each part.
        smooth_s: time constant of the common low pass [s].

    Returns:
        Shape (86400,), zero mean, variance of the parts' sum.
    """
    angular = 2.0 * math.pi * np.fft.rfftfreq(DAY_SECONDS, 1.0)
    density = np.zeros_like(angular)
    for relax_s, variance in parts:
        density += variance * 2.0 * (relax_s + smooth_s) / (1.0 + (angular * relax_s) ** 2)
    density /= 1.0 + (angular * smooth_s) ** 2
    density[0] = 0.0  # no offset over the day: time control
    white = np.fft.rfft(np.random.default_rng(seed).standard_normal(DAY_SECONDS))
    noise: FloatArray = np.fft.irfft(white * np.sqrt(density), DAY_SECONDS)
    return noise


def _hourly_pattern() -> FloatArray:
    """Deterministic deviation around full hours, variance 1, one value per second of the day.

    Schedules step at the hour while load glides: down after the hour while load falls, up while it rises,
    which it does twice a day.
    """
    hours = np.arange(24)
    steps = np.cos(2.0 * math.pi * (hours - 14.5) / 12.0)
    seconds = np.arange(DAY_SECONDS, dtype=float)
    pattern = np.zeros(DAY_SECONDS)
    for hour, step in zip(hours, steps, strict=True):
        since = (seconds - 3600.0 * hour + HOURLY_LEAD_S) % DAY_SECONDS
        pattern += step * (np.exp(-since / HOURLY_DECAY_S) - np.exp(-since / HOURLY_RISE_S))
    pattern -= pattern.mean()
    scaled: FloatArray = pattern / pattern.std()
    return scaled


@dataclass(frozen=True)
class _Day:
    """Values at full seconds of a day that repeats itself, straight lines between them."""

    values: FloatArray

    def at(self, time_s: float) -> float:
        whole = math.floor(time_s)
        here = float(self.values[whole % DAY_SECONDS])
        return here + (time_s - whole) * (float(self.values[(whole + 1) % DAY_SECONDS]) - here)


@dataclass(frozen=True)
class SyntheticFrequency:
    """Frequency of a large grid without a recording.

    Args:
        seed: names the day.
        nominal_hz: 50 or 60.
    """

    seed: int
    nominal_hz: float = 50.0

    @cached_property
    def _day(self) -> _Day:
        noise = _shaped_noise((self.seed, 1), ((SLOW_S, 1.0 - FAST_SHARE), (FAST_S, FAST_SHARE)), INERTIA_S)
        mixed = math.sqrt(1.0 - HOURLY_SHARE) * noise + math.sqrt(HOURLY_SHARE) * _hourly_pattern()
        return _Day(self.nominal_hz + FREQUENCY_SD_HZ * mixed)

    def at(self, time_of_day_s: float) -> float:
        """Frequency [Hz] at a local time of day [s]."""
        return self._day.at(time_of_day_s)


@dataclass(frozen=True)
class SyntheticSignal:
    """Fast regulation signal without a recording.

    Args:
        seed: names the day.
    """

    seed: int

    @cached_property
    def _day(self) -> _Day:
        noise = _shaped_noise((self.seed, 2), ((SIGNAL_RELAX_S, SIGNAL_SD_PU**2),), SIGNAL_SMOOTH_S)
        return _Day(np.clip(noise, -1.0, 1.0))

    def at(self, time_of_day_s: float) -> float:
        """Signal [-1..1], positive asks for discharge, at a local time of day [s]."""
        return self._day.at(time_of_day_s)


def synthetic_price(time_of_day_s: float) -> float:
    """Price [EUR/kWh] at a local time of day [s]: 0.10 with a swing of 50 %, dearest at 19 h, one value per hour."""
    hour = math.floor(time_of_day_s / 3600.0)
    return PRICE_BASE_EUR_PER_KWH * (1.0 + PRICE_SWING * math.cos(2.0 * math.pi * (hour - PRICE_PEAK_H) / 24.0))
