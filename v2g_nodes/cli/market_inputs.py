"""Options and files of `v2g plan market` as the platform's problem."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from v2g_nodes.cli import market_survey
from v2g_nodes.cli.market_files import read_network, read_prices, read_signal
from v2g_nodes.core.checks import check_positive, check_range
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.market.capacity import Requirement
from v2g_nodes.planning.market.ownership import check_stake
from v2g_nodes.planning.market.persistency import Follower
from v2g_nodes.planning.market.platform import DAYS_PER_MONTH, LEVELS_MAX, VEHICLES_MAX, Platform
from v2g_nodes.planning.market.signal_statistics import Need, check_eta, energy_shares, need_of, needed_shares
from v2g_nodes.planning.market.studies import COMMUNITY_MAX, ENERGY_NEED, Base
from v2g_nodes.planning.market.synthetic import HOURS, KINDS, NEED, REBATE_MAX, drivers, prices

OWNERSHIPS = ("company", "community")
MADE_CLUSTERS, SURVEY_CLUSTERS = "mean=1", "worker=0.5,nonworker=0.5"


@dataclass(frozen=True)
class MarketOptions:
    """What the command line says; None: not said. See plan_market."""

    vehicles: int
    charger_kw: float
    utility: float
    eta: float
    levels: int
    rebate_max: float | None
    clusters: str | None
    seed: int | None
    workplace: bool
    network: str | None
    survey: str | None
    survey_day: str
    home_sessions: str | None
    work_sessions: str | None
    signal: str | None
    prices: str | None
    soc_kw: float | None
    soc_eta: float
    ownership: str
    stake: float | None
    variance: bool

    @property
    def community(self) -> bool:
        """The drivers own the platform."""
        return self.ownership == "community"

    @property
    def largest_rebate(self) -> float:
        """USD/h."""
        return self.rebate_max if self.rebate_max is not None else COMMUNITY_MAX if self.community else REBATE_MAX

    @property
    def owners(self) -> float:
        """Share of drivers who own the platform."""
        return 1.0 if self.stake is None else self.stake


@dataclass(frozen=True)
class MarketInputs:
    """The problem and what the replay needs.

    Args:
        platform: the problem.
        base: the same as what studies start from.
        odd_hours: of the recorded signal, shape (hours, samples); None without a signal.
        follow_kw: power per vehicle that follows the signal [kW].
        notes: what was decided, in words.
    """

    platform: Platform
    base: Base
    odd_hours: FloatArray | None
    follow_kw: float
    notes: tuple[str, ...]


def read_market(options: MarketOptions) -> MarketInputs:
    """Check the options, read the files.

    Raises:
        InputError: an option or a file that can't be used, in one line with its place.
    """
    _check(options)
    need, energy, odd, notes = _needs(options)
    requirements: tuple[Requirement, ...] = (Requirement(options.charger_kw, options.eta, need),)
    follow_kw = options.charger_kw
    if options.soc_kw is not None:
        follow_kw = options.charger_kw - options.soc_kw
        requirements = (Requirement(follow_kw, options.eta, need), Requirement(options.soc_kw, options.soc_eta, energy))
    followers, shares, told = _drivers(options, options.utility, options.workplace)
    priced, note = _prices(options)
    levels = np.array([k * options.largest_rebate / (options.levels - 1) for k in range(options.levels)])
    counts: FloatArray = options.vehicles * shares
    platform = Platform(followers, counts, priced, requirements, levels, not options.variance)
    base = Base(lambda utility, workplace: _drivers(options, utility, workplace)[:2], priced, need, energy, options.eta,
                float(options.vehicles), options.charger_kw, options.utility,
                REBATE_MAX if options.rebate_max is None else options.rebate_max,
                options.network is None, options.workplace)  # fmt: skip
    return MarketInputs(platform, base, odd, follow_kw, (*told, *notes, note))


def _check(options: MarketOptions) -> None:
    check_range("--vehicles", options.vehicles, 1, VEHICLES_MAX)
    check_positive("--charger-kw", options.charger_kw, "kW")
    check_positive("--utility", options.utility, "USD")
    check_eta("--eta", options.eta)
    check_eta("--soc-eta", options.soc_eta)
    check_range("--levels", options.levels, 2, LEVELS_MAX)
    check_range("--rebate-max", options.largest_rebate, 1e-6, 100.0, "USD/h")
    if options.soc_kw is not None and not 0.0 < options.soc_kw < options.charger_kw:
        raise InputError(f"--soc-kw is {options.soc_kw:g} kW, allowed above 0 and below --charger-kw")
    if options.ownership not in OWNERSHIPS:
        raise InputError(f"--ownership {options.ownership}: allowed {', '.join(OWNERSHIPS)}")
    if options.stake is not None and not options.community:
        raise InputError("--stake: allowed with --ownership community")
    check_stake(options.owners)
    _check_sources(options)


def _check_sources(options: MarketOptions) -> None:
    """Drivers come from one place."""
    made = {"--clusters": options.clusters, "--seed": options.seed, "--workplace": options.workplace or None,
            "--survey": options.survey}  # fmt: skip
    if options.network is not None:
        for name, value in made.items():
            if value is not None:
                raise InputError(f"{name}: allowed without --network, which brings its own drivers")
    if options.survey is not None and options.seed is not None:
        raise InputError("--seed: allowed without --survey, whose drivers are as they are")
    for name, value in (("--home-sessions", options.home_sessions), ("--work-sessions", options.work_sessions)):
        if value is not None and options.survey is None:
            raise InputError(f"{name}: allowed with --survey")
    if options.work_sessions is not None and not options.workplace:
        raise InputError("--work-sessions: allowed with --workplace")


def _drivers(
    options: MarketOptions, utility: float, workplace: bool
) -> tuple[tuple[Follower, ...], FloatArray, tuple[str, ...]]:
    """Drivers, shares and notes, for what a month is worth [USD]."""
    value = utility / DAYS_PER_MONTH
    if options.network is not None:
        return (read_network(options.network, value),), np.ones(1), ()
    if options.survey is None:
        names, shares = _clusters(options.clusters or MADE_CLUSTERS, tuple(KINDS))
        made = tuple(drivers(name, HOURS, workplace, None if options.seed is None else options.seed + 1000 * k, utility)
                     for k, name in enumerate(names))  # fmt: skip
        return made, shares, ()
    names, shares = _clusters(options.clusters or SURVEY_CLUSTERS, tuple(market_survey.KINDS))
    files = market_survey.SurveyFiles(options.survey, options.survey_day, options.home_sessions,
                                      options.work_sessions if workplace else None, workplace)  # fmt: skip
    found = [market_survey.survey_drivers(files, name, value) for name in names]
    return tuple(one for one, _ in found), shares, tuple(note for _, note in found)


def _clusters(text: str, allowed: tuple[str, ...]) -> tuple[list[str], FloatArray]:
    names, shares = [], []
    for part in text.split(","):
        name, _, share = part.partition("=")
        try:
            shares.append(float(share or 1.0))
        except ValueError as error:
            raise InputError(f"--clusters {part}: share is {share!r}, allowed a number above 0") from error
        check_positive(f"--clusters {name}", shares[-1])
        if name not in allowed:
            raise InputError(f"--clusters {name}: allowed {', '.join(allowed)}")
        names.append(name)
    if abs(sum(shares) - 1.0) > 1e-9:
        raise InputError(f"--clusters {text}: shares sum to {sum(shares):g}, allowed 1")
    return names, np.array(shares)


def _needs(options: MarketOptions) -> tuple[Need, Need, FloatArray | None, tuple[str, ...]]:
    if options.signal is None:
        return NEED, ENERGY_NEED, None, (f"needed share of the bid: {NEED.mean:g}, deviation {NEED.forward:g}",)
    hours = read_signal(options.signal)
    even = hours[0::2]
    need = need_of(needed_shares(even, options.eta))
    note = (f"needed share of the bid: {need.mean:.4g}, deviations {need.forward:.3g} up, {need.backward:.3g} down, "
            f"from {len(even)} even hours of {options.signal}")  # fmt: skip
    return need, need_of(energy_shares(even)), hours[1::2], (note,)


def _prices(options: MarketOptions) -> tuple[FloatArray, str]:
    if options.prices is None:
        return prices(), "prices: made, mean 19.7 USD/MWh"
    values = read_prices(options.prices)
    return values, f"prices: mean of each hour of {options.prices}, {1e3 * values.mean():.4g} USD/MWh"
