"""Signals of a scenario from its seed: frequency, price, and the plan that makes the target."""

from __future__ import annotations

import math

import numpy as np

from v2g_nodes.core.plan import DAY_S, Plan, price_threshold_plan
from v2g_nodes.core.types import FloatArray
from v2g_nodes.sim.scenario_file import FrequencySection, PriceSection, Scenario

FREQUENCY, PRICE, STEPS = 1, 2, 3  # streams of random numbers, so that one does not move the others
HOUR_S = 3600.0
NOMINAL_HZ = 50.0


def frequency_hz(section: FrequencySection, count: int, step_s: float, seed: int) -> FloatArray:
    """Grid frequency at 0, step, 2 step, ... [Hz], shape (count,).

    The exact solution of the process over each step, from its stationary distribution (standard deviation
    sigma / sqrt(2 theta)), so that statistics do not depend on the step.

    Args:
        section: theta and sigma; without a pull back the process starts at nominal.
        count: number of values.
        step_s: distance of two values [s].
        seed: names the process.
    """
    theta, sigma = section.theta_per_s, section.sigma_hz
    noise = np.random.default_rng([seed, FREQUENCY]).standard_normal(count)
    decay = math.exp(-theta * step_s)
    stationary = sigma / math.sqrt(2.0 * theta) if theta > 0.0 else 0.0
    kick = stationary * math.sqrt(1.0 - decay * decay) if theta > 0.0 else sigma * math.sqrt(step_s)
    values = np.empty(count)
    deviation = stationary * noise[0]
    for k in range(count):
        if k:
            deviation = decay * deviation + kick * noise[k]
        values[k] = NOMINAL_HZ + deviation
    return values


def hourly_prices(section: PriceSection, seed: int) -> FloatArray:
    """Price of each hour of the day [EUR/kWh], shape (24,); dearest at the peak hour, so the swing is a cosine."""
    random = np.random.default_rng([seed, PRICE])
    hours = np.arange(24)
    base = section.base_eur_per_kwh * (1.0 + section.swing * np.cos(2.0 * np.pi * (hours - section.peak_h) / 24.0))
    noisy = base + section.noise_eur_per_kwh * random.standard_normal(24)
    factors = random.uniform(section.spike_low, section.spike_high, 24)
    prices: FloatArray = np.where(random.random(24) < section.spike_per_h, factors, 1.0) * noisy
    return prices


def scenario_plan(scenario: Scenario, rating_kw: float) -> Plan:
    """The target of the whole day as a plan, as the live station gets it.

    Args:
        scenario: target rule, prices and seed.
        rating_kw: of the station [kW].
    """
    target = scenario.target
    if target.rule == "price_threshold":
        prices = hourly_prices(scenario.price, scenario.seed).tolist()
        return price_threshold_plan(prices, rating_kw, 0.0, target.base_fraction)
    if target.rule == "constant":
        return Plan(1, target.rule, 0.0, DAY_S, (target.power_kw,), (0.0,))
    slots = math.ceil(DAY_S / target.every_s)
    random = np.random.default_rng([scenario.seed, STEPS])
    base_kw = tuple(random.uniform(target.low_kw, target.high_kw, slots).tolist())
    return Plan(1, target.rule, 0.0, DAY_S / slots, base_kw, (0.0,) * slots)
