"""Figures of the studies of a market plan: what one change does to profit and rebates, and the mixes of clusters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from v2g_nodes.cli.market_figures import Draw, hour_axis
from v2g_nodes.cli.market_table import METHOD_NAMES
from v2g_nodes.cli.report_figures import ACCENT, COLD, INK
from v2g_nodes.planning.market.studies import SOC_KW, SOC_SHARE, Case

FAINT = "#8a97a3"


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
        hour_axis(axis, len(prices))

    return how


def mix_panel(rows: Sequence[Mapping[str, Any]], key: str, words: str, limit: float) -> Draw:
    """A number per mix and method, and what is asked for.

    Args:
        rows: see market_mixes.mix_rows.
        key: of the number.
        words: what it is.
        limit: of it.
    """

    def how(_: Figure, axis: Axes) -> None:
        shares = [row["cluster_1"] for row in rows]
        for name, color in (("v2g", ACCENT), ("scip", INK), ("scip_valid_inequalities", COLD)):
            if name in rows[0]:
                values = [np.nan if row[name][key] is None else row[name][key] for row in rows]
                axis.plot(shares, values, "o-", color=color, markersize=4,
                          label=METHOD_NAMES[name])  # fmt: skip
        axis.axhline(limit, color=INK, linewidth=0.8, linestyle=":", label="limit")
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.yaxis.set_minor_locator(NullLocator())
        axis.set_xlabel("share of cluster 1")
        axis.set_ylabel(words)
        axis.legend(ncols=2)

    return how
