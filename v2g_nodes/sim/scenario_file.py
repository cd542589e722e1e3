"""A scenario as data: station, signals, target, faults and the limits of its verdict, read from `config/scenarios/`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from v2g_nodes.core.errors import InputError
from v2g_nodes.sim.scenario_graph import StationName, module_count
from v2g_nodes.station_config import config_path
from v2g_nodes.station_file import YamlFile
from v2g_nodes.station_key import key
from v2g_nodes.station_model import CLOCK, Section

NAMES = ("BASIC", "TRACKING", "FREQUENCY", "ARBITRAGE", "SCALE", "ROBUST")
SEED_MAX = 2**31 - 1


class FrequencySection(Section):
    """Ornstein-Uhlenbeck process around nominal: df = -theta f dt + sigma dW."""

    theta_per_s: float = key(0.1, "pull back to nominal", "1/s", 0.0, 10.0)
    sigma_hz: float = key(0.01, "noise", "Hz/sqrt(s)", 0.0, 1.0)


class PriceSection(Section):
    """One price per hour: base (1 + swing cos) + noise, times a factor where a spike falls."""

    base_eur_per_kwh: float = key(0.10, "mean over the day", "EUR/kWh", 0.0, 10.0)
    swing: float = key(0.5, "of the base", "", 0.0, 1.0)
    peak_h: float = key(14.0, "dearest hour of the swing", "h", 0.0, 24.0)
    noise_eur_per_kwh: float = key(0.02, "standard deviation", "EUR/kWh", 0.0, 1.0)
    spike_per_h: float = key(0.01, "probability of a spike in an hour", "", 0.0, 1.0)
    spike_low: float = key(2.0, "smallest factor of a spike", "", 1.0, 100.0)
    spike_high: float = key(5.0, "largest factor of a spike", "", 1.0, 100.0)


class TargetSection(Section):
    """What the station owes."""

    rule: Literal["constant", "steps", "price_threshold"] = key(..., "how the target comes about")
    power_kw: float = key(0.0, "constant: the target", "kW", -1e4, 1e4)
    every_s: float = key(900.0, "steps: length of one", "s", 300.0, 3600.0)
    low_kw: float = key(0.0, "steps: drawn evenly from here", "kW", -1e4, 1e4)
    high_kw: float = key(0.0, "to here", "kW", -1e4, 1e4)
    base_fraction: float = key(0.0, "price_threshold: share of the rating, out in dear hours, in in cheap ones", "",
                               0.0, 1.0)


class Failure(Section):
    """A module whose process dies in the middle of an exchange and stays dead."""

    module: int = key(..., "its number", "", 1, 1000)
    at_s: float = key(..., "time of the run; it happens in the epoch that begins then or next", "s", 0.0, 1e6)
    round: int = key(3, "round of that exchange in which it falls silent", "", 0, 10_000)


class FaultSection(Section):
    """What goes wrong."""

    loss: float = key(0.0, "share of the frames lost, on each link by itself", "", 0.0, 0.9)
    failures: tuple[Failure, ...] = key((), "modules that die", allowed="a list such as {module: 25, at_s: 1800}")


class Limit(Section):
    """A bound of the verdict; one of the three."""

    max: float | None = key(None, "largest value allowed")
    min: float | None = key(None, "smallest value allowed")
    max_of_rating: float | None = key(None, "largest value allowed, as a share of the station's rating")
    why: str = key(..., "where the bound comes from")


class Scenario(Section):
    """One run with its verdict."""

    version: Literal[1] = key(..., "version of this file format")
    name: str = key(..., "what it is called")
    about: str = key(..., "what it shows, in a line")
    station: StationName = key(..., "which station")
    duration_s: float = key(..., "length", "s", 1.0, 1e6)
    epoch_s: float = key(..., "period of agreements", "s", 0.1, 60.0)
    tick_s: float = key(..., "step of droop, last gate and hardware", "s", 0.005, 60.0)
    round_s: float = key(0.001, "time that one round of the exchange takes", "s", 1e-5, 1.0)
    start: str = key("12:00", "local time of day", "HH:MM", pattern=CLOCK)
    seed: int = key(0, "of modules, signals, steps and losses", "", 0, SEED_MAX)
    frequency: FrequencySection = key(FrequencySection(), "grid frequency")
    price: PriceSection = key(PriceSection(), "market price")
    target: TargetSection = key(..., "what the station owes")
    faults: FaultSection = key(FaultSection(), "what goes wrong")
    limits: dict[str, Limit] = key(..., "figure -> bound", allowed="figures such as gap_max: {max: 0.001, why: ...}")

    @property
    def epochs(self) -> int:
        """Number of agreements."""
        return max(1, round(self.duration_s / self.epoch_s))

    @property
    def work(self) -> float:
        """How much there is to compute, roughly: a module's epoch takes as long as ten of its ticks."""
        return module_count(self.station) * self.epochs * (10.0 + self.epoch_s / self.tick_s)


def load_scenario(name: str, figures: Sequence[str]) -> Scenario:
    """Read one of the scenarios that come with the package.

    Args:
        name: one of NAMES, in any case.
        figures: what a limit may be put on.

    Raises:
        InputError: unknown name; or one line with file, line, key, what was found and what is allowed.
    """
    known = name.upper()
    if known not in NAMES:
        raise InputError(f"scenario {name!r}, allowed {', '.join(NAMES)} or all")
    return read_scenario(str(config_path(f"scenarios/{known.lower()}.yaml")), figures)


def read_scenario(path: str, figures: Sequence[str]) -> Scenario:
    """Read a scenario file; see `load_scenario`."""
    file = YamlFile(path)
    scenario = file.model(Scenario)
    if not scenario.tick_s <= scenario.epoch_s <= scenario.duration_s:
        file.fail(("epoch_s",), f"{scenario.epoch_s:g}, allowed from tick_s ({scenario.tick_s:g} s) to duration_s "
                                f"({scenario.duration_s:g} s)")
    ticks = scenario.epoch_s / scenario.tick_s
    if abs(ticks - round(ticks)) > 1e-9:
        file.fail(("tick_s",), f"{scenario.tick_s:g}, allowed a whole part of epoch_s ({scenario.epoch_s:g} s)")
    if scenario.target.low_kw > scenario.target.high_kw:
        file.fail(("target", "low_kw"), f"{scenario.target.low_kw:g}, allowed up to high_kw")
    for place, failure in enumerate(scenario.faults.failures):
        if failure.module > module_count(scenario.station):
            file.fail(("faults", "failures", place, "module"),
                      f"{failure.module}, allowed 1 to {module_count(scenario.station)} in {scenario.station}")
        if failure.at_s >= scenario.duration_s:
            file.fail(("faults", "failures", place, "at_s"), f"{failure.at_s:g}, allowed below duration_s")
    for figure, limit in scenario.limits.items():
        if figure not in figures:
            file.fail(("limits", figure), f"unknown figure, allowed {', '.join(figures)}")
        if sum(bound is not None for bound in (limit.max, limit.min, limit.max_of_rating)) != 1:
            file.fail(("limits", figure), "allowed is one of max, min, max_of_rating")
    return scenario


def shortened(scenario: Scenario, duration_s: float) -> Scenario:
    """The scenario with another length; failures keep their place in proportion."""
    share = duration_s / scenario.duration_s
    failures = tuple(item.model_copy(update={"at_s": share * item.at_s}) for item in scenario.faults.failures)
    faults = scenario.faults.model_copy(update={"failures": failures})
    return scenario.model_copy(update={"duration_s": duration_s, "faults": faults})
