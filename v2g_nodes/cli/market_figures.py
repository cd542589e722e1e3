"""Figures of a market plan: the day, the course of the search, and the replay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from v2g_nodes.cli.market_runs import MarketRun
from v2g_nodes.cli.page import svg
from v2g_nodes.cli.report_figures import ACCENT, COLD, INK, STYLE
from v2g_nodes.planning.market.replay import replay_signal

Draw = Callable[[Figure, Axes], None]
HOUR_TICKS = range(0, 25, 4)


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
        f"Profit{'' if run.community is None else ' of a company'} and bound during the search "
        "[USD per vehicle and month]": _course(run),
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
        hour_axis(axis, len(hours) - 1)

    return how


def _with_and_without(one: Any, other: Any) -> Draw:  # noqa: ANN401 - arrays
    def how(_: Figure, axis: Axes) -> None:
        hours = np.arange(len(one) + 1)
        axis.stairs(one, hours, color=ACCENT, linewidth=1.6, baseline=None, label="with rebates")
        axis.stairs(other, hours, color=COLD, linewidth=1.2, linestyle="--", baseline=None, label="without")
        axis.set_ylim(0.0, 1.15 * float(max(one.max(), other.max(), 1e-9)))
        axis.legend(loc="lower left", ncols=2)
        hour_axis(axis, len(one))

    return how


def hour_axis(axis: Axes, hours: int) -> None:
    """Hours of the day below a figure."""
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
        axis.set_xlim(left=0.0)
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
        axis.set_ylim(1.0 - 1.3 * run.options.eta, 1.0)
        axis.legend(ncols=3, loc="upper left")
        hour_axis(axis, platform.hours)

    return how
