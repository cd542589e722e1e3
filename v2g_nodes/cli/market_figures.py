"""Figures of a market plan: the day, the course of the search, and what one change does to profit and rebates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from v2g_nodes.cli.market_runs import MarketRun
from v2g_nodes.cli.market_table import METHOD_NAMES
from v2g_nodes.cli.page import svg
from v2g_nodes.cli.report_figures import ACCENT, COLD, INK, STYLE
from v2g_nodes.planning.market.replay import replay_signal
from v2g_nodes.planning.market.studies import SOC_KW, SOC_SHARE, Case

Draw = Callable[[Figure, Axes], None]
HOUR_TICKS = range(0, 25, 4)
FAINT = "#8a97a3"


def draw(title: str, how: Draw) -> str:
    """A figure as an `<svg>` element."""
    with mpl.rc_context({**STYLE, "svg.hashsalt": title}):
        figure = Figure(figsize=(7.2, 3.1), layout="constrained")
        axis = figure.subplots()
        axis.set_title(title)
        how(figure, axis)
        return svg(figure, transparent=True)


def day_panels(run: MarketRun) -> dict[str, Draw]:
    """Title and drawing of the day's figures, of the search and of the replay."""
    platform, found = run.inputs.platform, run.outcome
    total = float(platform.vehicles.sum())
    share = found.plugged.sum(axis=0) / total
    panels = {
        "Rebates against regulation prices": _rebates(run),
        "Bid [kW]": _with_and_without(found.bid_kw[0], found.bid_kw[1]),
        "Vehicles plugged in [%]": _with_and_without(100.0 * share[0], 100.0 * share[1]),
        "Profit and bound during the search [USD per vehicle and month]": _course(run),
    }
    if run.inputs.odd_hours is not None:
        panels["Performance index of the bids on recorded odd hours"] = _replayed(run)
    return panels


def _rebates(run: MarketRun) -> Draw:
    def how(_: Figure, axis: Axes) -> None:
        hours = np.arange(run.inputs.platform.hours + 1)
        axis.stairs(run.rebates, hours, fill=True, color=ACCENT, alpha=0.35)
        axis.stairs(run.rebates, hours, color=ACCENT, linewidth=1.4)
        axis.set_ylabel("rebate [USD per hour]", color=ACCENT)
        axis.set_ylim(0.0, max(float(run.rebates.max()) * 1.15, 0.01))
        other = axis.twinx()
        other.stairs(1e3 * run.inputs.platform.prices, hours, color=COLD, linewidth=1.4, baseline=None)
        other.set_ylabel("price [USD/MWh]", color=COLD)
        other.set_ylim(0.0, float(1e3 * run.inputs.platform.prices.max()) * 1.15 + 1e-9)
        other.grid(False)
        _hour_axis(axis, len(hours) - 1)

    return how


def _with_and_without(one: Any, other: Any) -> Draw:  # noqa: ANN401 - arrays
    def how(_: Figure, axis: Axes) -> None:
        hours = np.arange(len(one) + 1)
        axis.stairs(one, hours, color=ACCENT, linewidth=1.6, baseline=None, label="with rebates")
        axis.stairs(other, hours, color=COLD, linewidth=1.2, linestyle="--", baseline=None, label="without")
        axis.set_ylim(0.0, 1.15 * float(max(one.max(), other.max(), 1e-9)))
        axis.legend(loc="lower left", ncols=2)
        _hour_axis(axis, len(one))

    return how


def _hour_axis(axis: Axes, hours: int) -> None:
    axis.set_xlim(0, hours)
    axis.set_xticks([tick for tick in HOUR_TICKS if tick <= hours])
    axis.set_xlabel("hour of the day")


def _course(run: MarketRun) -> Draw:
    def how(_: Figure, axis: Axes) -> None:
        monthly = run.inputs.platform.monthly
        course = np.array([one for one in run.plan.course if np.isfinite(one).all()])
        if not len(course):
            return
        ends = np.append(course[:, 0], max(run.plan.seconds, course[-1, 0]))
        for column, color, label in ((2, COLD, "bound"), (1, ACCENT, "best levels found")):
            values = monthly * np.append(course[:, column], course[-1, column])
            axis.step(ends, values, where="post", color=color, label=label)
        axis.set_xlabel("seconds")
        axis.legend()

    return how


def _replayed(run: MarketRun) -> Draw:
    """Per hour of the plan, over recorded odd hours and draws of plugged-in vehicles."""

    def how(_: Figure, axis: Axes) -> None:
        platform, found, signal = run.inputs.platform, run.outcome, run.inputs.odd_hours
        if signal is None:
            return
        share = found.plugged[:, 0] / platform.vehicles[:, None]
        only = [np.where(np.arange(platform.hours) == hour, found.bid_kw[0], 0.0) for hour in range(platform.hours)]
        each = [replay_signal(bid, platform.vehicles, share, run.inputs.follow_kw, signal, run.options.eta)
                for bid in only]  # fmt: skip
        hours = np.arange(platform.hours) + 0.5
        axis.plot(hours, [one.index_mean for one in each], "o-", color=ACCENT, markersize=3.5, label="mean")
        axis.plot(hours, [one.index_low for one in each], "s--", color=COLD, markersize=3.0, label="quantile η")
        axis.axhline(1.0 - run.options.eta, color=INK, linewidth=0.8, label="promised")
        axis.legend(ncols=3)
        _hour_axis(axis, platform.hours)

    return how


def case_panel(group: Sequence[Case], words: str, at: Sequence[float] | None = None) -> Draw:
    """Profit with and without rebates as bars or lines, what is paid as a line."""

    def how(_: Figure, axis: Axes) -> None:
        places = np.arange(len(group)) if at is None else np.array(at)
        axis.plot(places, [case.profit for case in group], "o-", color=ACCENT, markersize=4, label="profit")
        axis.plot(places, [case.profit_without for case in group], "s--", color=FAINT, markersize=3.5,
                  label="profit without rebates")  # fmt: skip
        axis.plot(places, [case.rebate for case in group], "^-", color=COLD, markersize=4, label="rebates")
        axis.set_ylabel("USD per vehicle and month")
        axis.set_ylim(bottom=0.0)
        axis.set_xlabel(words)
        if at is None:
            axis.set_xticks(places, [case.name for case in group])
        axis.legend(ncols=3, loc="best")

    return how


def guarantee_panel(cases: Mapping[str, Sequence[Case]]) -> Draw:
    """What is paid with and without the guarantee of the state of charge, by charger."""

    def how(_: Figure, axis: Axes) -> None:
        kw = [float(case.name.split()[0]) for case in cases["soc_charger_without"]]
        for name, label, style, color in (("soc_charger_without", "no guarantee", "o-", ACCENT),
                                          ("soc_charger_share", f"ω {SOC_SHARE:.0%} of the charger", "s--", COLD),
                                          ("soc_charger_power", f"ω {SOC_KW:g} kW", "^:", INK)):  # fmt: skip
            axis.plot(kw, [case.rebate for case in cases[name]], style, color=color, markersize=4, label=label)
        axis.set_xlabel("charger [kW]")
        axis.legend()

    return how


def gain_panel(groups: Mapping[str, Sequence[Case]]) -> Draw:
    """Improvement by rebates of groups of the same cases, beside each other."""

    def how(_: Figure, axis: Axes) -> None:
        width = 0.8 / len(groups)
        for k, ((name, group), color) in enumerate(zip(groups.items(), (ACCENT, COLD), strict=False)):
            places = np.arange(len(group)) + width * (k - 0.5 * (len(groups) - 1))
            axis.bar(places, [case.improvement_pct for case in group], width, color=color, label=name)
        names = [case.name for case in next(iter(groups.values()))]
        axis.set_xticks(np.arange(len(names)), names, rotation=60, ha="right", fontsize=7)
        axis.set_ylabel("improvement [%]")
        axis.legend(ncols=2)

    return how


def pattern_panel(cases: Sequence[Case], prices: Any) -> Draw:  # noqa: ANN401 - array
    """Rebates of a company and of platforms owned by more and more drivers, with the prices."""

    def how(_: Figure, axis: Axes) -> None:
        hours = np.arange(len(prices) + 1)
        colors = mpl.colormaps["viridis"](np.linspace(0.0, 0.85, len(cases)))
        for case, color in zip(cases, colors, strict=True):
            label = case.name if case.name == "company" else f"{float(case.name):.0%} own it"
            axis.stairs(case.hourly, hours, color=color, linewidth=1.4, baseline=None, label=label)
        axis.set_ylabel("rebate [USD per hour]")
        other = axis.twinx()
        other.stairs(1e3 * prices, hours, color=COLD, linewidth=1.0, linestyle=":", baseline=None)
        other.set_ylabel("price, dotted [USD/MWh]", color=COLD)
        other.set_ylim(bottom=0.0)
        other.grid(False)
        axis.legend(ncols=4, loc="upper left")
        axis.set_ylim(0.0, 1.3 * max(max(case.hourly) for case in cases))
        _hour_axis(axis, len(prices))

    return how


def mix_panel(rows: Sequence[Mapping[str, Any]], limit_s: float) -> Draw:
    """Mean seconds per mix and method."""

    def how(_: Figure, axis: Axes) -> None:
        shares = [row["cluster_1"] for row in rows]
        for name, color in (("v2g", ACCENT), ("scip", INK), ("scip_valid_inequalities", COLD)):
            if name in rows[0]:
                axis.plot(shares, [row[name]["seconds"] for row in rows], "o-", color=color, markersize=4,
                          label=METHOD_NAMES[name])  # fmt: skip
        axis.axhline(limit_s, color=INK, linewidth=0.8, linestyle=":", label="limit")
        axis.set_yscale("log")
        axis.set_xlabel("share of cluster 1")
        axis.set_ylabel("mean seconds, time-outs as the limit")
        axis.legend(ncols=2)

    return how
