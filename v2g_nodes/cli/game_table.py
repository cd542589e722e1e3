"""Results of `v2g game` on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from v2g_nodes.cli.game_figures import Study
from v2g_nodes.core.game.misreports import LIES

SHOWN_MODULES = 30  # more would fill the screen

Table = tuple[str, Sequence[str], Sequence[Sequence[object]]]


def tables(found: Study, figures: Mapping[str, Any]) -> list[Table]:
    """Title, columns and rows of each table."""
    return [_sweep(found, figures), *_modules(found), _lies(found, figures)]


def show(found: Study, figures: Mapping[str, Any]) -> None:
    """Print them."""
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable

    console = Console()
    for title, columns, rows in tables(found, figures):
        table = RichTable(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 0, 0, 1))
        for k, name in enumerate(columns):
            table.add_column(name, justify="right" if k else "left", overflow="fold", no_wrap=not k)
        for row in rows:
            table.add_row(*map(text, row))
        console.print(table)
    console.print(f"station buys {figures['target_kw']:.6g} kW at {figures['marginal_price_eur_per_kwh']:.4g} EUR/kWh; "
                  f"VCG leaves it {figures['vcg_budget_eur_per_h']:.4g} EUR/h of what it sells at "
                  f"{figures['price_eur_per_kwh']:g} EUR/kWh")  # fmt: skip
    console.print(f"verdict: {figures['verdict']}")


def text(value: object) -> str:
    """A cell: numbers short, nothing as a dash."""
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _sweep(found: Study, figures: Mapping[str, Any]) -> Table:
    rows = [
        (f"{p.externality:g}", p.course.rounds, f"{p.course.exploitability_eur_per_h:.0e}",
         float(p.course.powers_kw.sum()),
         float(p.anarchy.optimum.powers_kw.sum()), p.anarchy.welfare_eur_per_h, p.anarchy.optimum.welfare_eur_per_h,
         p.anarchy.price, worst)
        for p, worst in zip(found.points, figures["price_of_anarchy_fleets_max"], strict=True)
    ]  # fmt: skip
    return ("equilibrium (nash) against optimum (best), by externality c [EUR/h/kW²]",
            ("c", "rounds", "to gain EUR/h", "nash kW", "best kW", "nash EUR/h", "best EUR/h", "price of anarchy",
             f"worst of {found.asked.fleets}"), rows)  # fmt: skip


def _modules(found: Study) -> list[Table]:
    last, n = found.points[-1], found.asked.modules
    if n > SHOWN_MODULES:
        return []
    powers, best = last.course.powers_kw.tolist(), last.anarchy.optimum.powers_kw.tolist()
    vcg, bid = found.settlements["vcg"], found.settlements["pay-as-bid"]
    notes = [", ".join(word for word, told in (("pivotal", vcg.pivotal[i]), ("can't stand still", not vcg.willing[i]))
                       if told) for i in range(n)]  # fmt: skip
    rows = [
        (str(i + 1), powers[i], best[i], float(vcg.powers_kw[i]), float(bid.payments_eur_per_h[i]),
         float(vcg.payments_eur_per_h[i]), float(vcg.gains_eur_per_h[i]), notes[i]) for i in range(n)
    ]  # fmt: skip
    return [(f"modules: the game at c = {last.externality:g}, and the purchase of {found.target_kw:.4g} kW",
             ("module", "nash kW", "best kW", "bought kW", "cost EUR/h", "VCG EUR/h", "gain EUR/h", ""),
             rows)]  # fmt: skip


def _lies(found: Study, figures: Mapping[str, Any]) -> Table:
    rows = []
    for mechanism, searches in found.searches.items():
        by_kind = [0] * len(LIES)
        for search in searches:
            for kind in search.lies[search.gains_eur_per_h > search.limits_eur_per_h]:
                by_kind[kind] += 1
        key = mechanism.replace("-", "_")
        rows.append((mechanism, figures[f"misreports_profitable_{key}"],
                     figures[f"best_gain_{key}_eur_per_h"], *by_kind))  # fmt: skip
    return (f"{figures['misreport_tries']} lies on {found.asked.fleets} stations: how many paid, by kind",
            ("payments", "paid", "best gain EUR/h", *LIES), rows)  # fmt: skip
