"""`v2g game`: the modules as players who each look after themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from v2g_nodes.cli.folders import prepare_folder
from v2g_nodes.cli.game_figures import Asked, figures, study
from v2g_nodes.cli.output import Json, check_writable, emit
from v2g_nodes.cli.progress import telling
from v2g_nodes.core.checks import check_range
from v2g_nodes.core.errors import InputError
from v2g_nodes.core.game.dispatch import SHORTAGE_EUR_PER_KWH
from v2g_nodes.core.game.mechanism import MECHANISMS

MODULES = (2, 500)
EXTERNALITIES = (0.0, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
EXTERNALITY_MAX = 1.0  # EUR/h/kW^2: one kilowatt would congest another for ten times the price of its energy


def game(
    modules: Annotated[int, typer.Option(metavar="N", help="Modules of the station that is shown, 2 to 500.")] = 10,
    seed: Annotated[int, typer.Option(metavar="S", help="Names this station and the others, 0 to 2^31 - 1.")] = 0,
    target_kw: Annotated[
        float | None,
        typer.Option(
            metavar="P",
            help="What fits through the connection, and what the station buys, in kW; below 0 charges. "
            "[default: half of what the modules sell at the price without congestion]",
        ),
    ] = None,
    price: Annotated[float, typer.Option(metavar="EUR/kWh", help="Price of energy, -10 to 10 EUR/kWh.")] = 0.10,
    externality: Annotated[
        list[float] | None,
        typer.Option(
            metavar="C",
            help="What a kilowatt costs each other one, 0 to 1 EUR/h/kW²; once per value. "
            f"[default: {', '.join(f'{c:g}' for c in EXTERNALITIES)}]",
        ),
    ] = None,
    fleets: Annotated[int, typer.Option(metavar="K", help="Other stations, 3 to 20 modules each, 1 to 1000.")] = 20,
    tries: Annotated[int, typer.Option(metavar="T", help="Lies tried, over all of them, K to 10 million.")] = 10_000,
    mechanism: Annotated[
        str, typer.Option(help=f"Payments that lies are tried on: {', '.join(MECHANISMS)} or both.")
    ] = "both",
    shortage: Annotated[
        float, typer.Option(metavar="EUR/kWh", help="Price of power that nobody can deliver, above 0, up to 1000.")
    ] = SHORTAGE_EUR_PER_KWH,
    report: Annotated[str | None, typer.Option(metavar="DIR", help="Write report.html with figures there.")] = None,
    json: Json = None,
) -> None:
    """What modules do that each look after themselves, what it costs all, and which payments make them tell the truth.

    **The game.** A module is paid the price, bears its cost, and what the others' power costs it: the externality c
    times its own power, for each kilowatt by which the rest exceeds what fits through the connection. Second
    cross-derivatives of the payoffs agree, so there is a potential, one equilibrium, and best responses find it.
    Exploitability is the most that any module could still gain, from above.

    **Price of anarchy.** The largest sum of payoffs over that of the equilibrium; null where the latter is not above
    0. The optimum carries its own bound (welfare_optimum_gap): above c of about 0.01 the sum of payoffs has traps and
    the bound may stay open. As there is one equilibrium, the price of stability is the same number.

    **Payments.** The station asks for costs and buys its target at the least of them. VCG pays each module what its
    being there saves the others; pay-as-bid what it says. Random lies (another cost, other curvature, less or more
    capacity) look for a profit. vcg_budget is the energy sold at the price minus the payments. A module that must
    charge or discharge may have to pay (unwilling_modules); one without which the target can't be met is paid the
    shortage price for what would be missing (pivotal_modules).

    Exit code 1 when anything is not as the theory has it (`verdict`).
    """
    values = sorted(set(externality or EXTERNALITIES))
    check_range("--modules", modules, *MODULES)
    check_range("--seed", seed, 0, 2**31 - 1)
    if target_kw is not None:
        check_range("--target-kw", target_kw, -1e6, 1e6, "kW")
    check_range("--price", price, -10.0, 10.0, "EUR/kWh")
    for c in values:
        check_range("--externality", c, 0.0, EXTERNALITY_MAX, "EUR/h/kW^2")
    check_range("--fleets", fleets, 1, 1000)
    check_range("--tries", tries, fleets, 10_000_000)
    check_range("--shortage", shortage, 1e-3, 1000.0, "EUR/kWh")
    if mechanism not in (*MECHANISMS, "both"):
        raise InputError(f"--mechanism {mechanism}: allowed {', '.join(MECHANISMS)}, both")
    check_writable(json)
    folder: Path | None = prepare_folder(report, "--report") if report is not None else None
    mechanisms = MECHANISMS if mechanism == "both" else (mechanism,)
    asked = Asked(modules, seed, target_kw, price, tuple(values), fleets, tries, mechanisms, shortage)
    with telling("stations") as tell:
        found = study(asked, tell)
        numbers = figures(found)
        if folder is not None:
            from v2g_nodes.cli.game_report import write_report  # matplotlib takes a second to import

            tell("report")
            write_report(folder, found, numbers)
    if json is not None:
        emit(numbers, json, "game")
    else:
        from v2g_nodes.cli.game_table import show

        show(found, numbers)
    if numbers["verdict"] != "ok":
        raise typer.Exit(1)
