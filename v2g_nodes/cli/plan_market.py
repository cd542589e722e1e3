"""`v2g plan market`: bids of regulation capacity and rebates for plugging in, a day ahead."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from v2g_nodes.cli.folders import prepare_folder
from v2g_nodes.cli.market_inputs import OWNERSHIPS, MarketOptions, read_market
from v2g_nodes.cli.market_mixes import CAMPAIGN_INSTANCES, INSTANCES, OURS, MixStudy, run_mixes
from v2g_nodes.cli.market_peers import check_peer
from v2g_nodes.cli.market_plan_file import write_plan_csv
from v2g_nodes.cli.market_runs import Limits, run_market
from v2g_nodes.cli.market_survey import DAYS
from v2g_nodes.cli.market_survey import KINDS as SURVEY_KINDS
from v2g_nodes.cli.market_table import show_mixes, show_run
from v2g_nodes.cli.output import Json, check_writable
from v2g_nodes.cli.progress import telling
from v2g_nodes.core.checks import check_range
from v2g_nodes.core.errors import InputError
from v2g_nodes.planning.market.synthetic import ETA, KINDS, VALUE_USD_MONTH


def plan_market(
    vehicles: Annotated[int, typer.Option(help="Vehicles of the fleet.")] = 200,
    charger_kw: Annotated[float, typer.Option(help="Power of each charger.")] = 10.0,
    utility: Annotated[float, typer.Option(help="What a month is worth to a driver, in USD.")] = VALUE_USD_MONTH,
    eta: Annotated[float, typer.Option(help="η: share of the mileage, and probability, that may be missed.")] = ETA,
    levels: Annotated[int, typer.Option(help="Rebate levels, evenly from 0 to --rebate-max.")] = 7,
    rebate_max: Annotated[
        float | None, typer.Option(help="Largest rebate in USD per hour plugged in. "
                                        "[default: 0.3, 1.5 with --ownership community]")
    ] = None,
    clusters: Annotated[
        str | None, typer.Option(metavar="NAME=SHARE,...", help=f"Kinds of drivers: {', '.join(KINDS)} [default: "
                                 f"mean=1]; with --survey {', '.join(SURVEY_KINDS)} [default: half and half].")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Names a random variation of the drivers. [default: none]")] = None,
    workplace: Annotated[bool, typer.Option("--workplace", help="Chargers at work too.")] = False,
    network: Annotated[
        str | None, typer.Option(metavar="CSV", help="Own drivers: arcs tail, head, plug_hour, flow.")
    ] = None,
    survey: Annotated[
        str | None, typer.Option(metavar="DIR", help="Drivers from a mobility survey: survey_*.csv, trips by half hour "
                                                     "and destination, and trips per day.")
    ] = None,
    survey_day: Annotated[str, typer.Option(help=f"Of the survey: {', '.join(DAYS)}.")] = "weekdays",
    home_sessions: Annotated[
        str | None, typer.Option(metavar="DIR", help="Shape of plug-in shares at home: arrivals and mean lengths of "
                                                     "sessions, elaad_*.csv. [default: of the made drivers]")
    ] = None,
    work_sessions: Annotated[
        str | None, typer.Option(metavar="CSV", help="Shape of plug-in shares at work: recorded sessions, "
                                                     "arrival_local, departure_local. [default: every hour the same]")
    ] = None,
    signal: Annotated[
        str | None, typer.Option(metavar="CSV", help="Recorded signal: second_of_day, signal_pu. Even hours calibrate, "
                                                     "odd ones are replayed.")
    ] = None,
    prices: Annotated[
        str | None, typer.Option(metavar="CSV", help="Hourly regulation prices: utc_start, rmcp in USD/MWh.")
    ] = None,
    soc_kw: Annotated[
        float | None, typer.Option(help="ω: vehicles charge at this power on average, and lose no energy in an hour.")
    ] = None,
    soc_eta: Annotated[float, typer.Option(help="Probability that they do.")] = 0.05,
    ownership: Annotated[
        str, typer.Option(help=f"{' or '.join(OWNERSHIPS)}: most profit, or most welfare of drivers without a loss.")
    ] = "company",
    stake: Annotated[
        float | None, typer.Option(help="k: share of drivers who own the platform. [default: 1]")
    ] = None,
    variance: Annotated[
        bool, typer.Option("--variance", help="Standard deviation of a plug-in as in the source, not the exact one.")
    ] = False,
    gap: Annotated[float, typer.Option(help="The search ends at this relative gap.")] = 0.005,
    time_limit: Annotated[float, typer.Option(help="Or after so many seconds.")] = 60.0,
    trends: Annotated[
        bool, typer.Option("--trends", help="Also the source's tables and observations, holds or refuted.")
    ] = False,
    peer: Annotated[
        bool, typer.Option("--peer", help="Also the source's model with SCIP, same limits; needs pyscipopt.")
    ] = False,
    mixes: Annotated[
        bool, typer.Option("--mixes", help="Instead of a plan, the source's study of solving: two clusters, "
                                           "0.4/0.6 to 0.7/0.3, random instances of each.")
    ] = False,
    instances: Annotated[
        int | None, typer.Option(help="Of each mix. [default: 5, 50 with --campaign]")
    ] = None,
    campaign: Annotated[
        str | None, typer.Option(metavar="DIR", help="Keep every instance of --mixes as a file, and go on from there.")
    ] = None,
    plan_csv: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write bids and rebates as a plan file for a station's rule csv.")
    ] = None,
    report: Annotated[
        str | None, typer.Option(metavar="DIR", help="Write report.html: the day, the search, tables and trends.")
    ] = None,
    json: Json = None,
) -> None:  # fmt: skip
    """Plan rebates and bids for a day: drivers answer rebates, the bid must be served with the probability 1 - η.

    Money is USD per vehicle and month of 30 days. lower_bound is the certified bound of the search in the usual sense
    of a minimisation, turned around: minus lower_bound is what no choice of the rebate levels can exceed as profit
    (profit_bound, the same number with the other sign). gap is (profit_bound - profit) / profit. The bound is proven
    but for the intervals of the drivers' flows behind it: these are tested, with answers_tested answers in and at the
    corners of the boxes searched. bound_proven is true only where none was needed, as all choices were enumerated. With
    --ownership community, gap and lower_bound are those of the welfare: the value of a driver's month plus the
    driver's share of the profit, without a loss. The exit code is 1 where the gap that is asked for is not reached.
    """
    check_range("--gap", gap, 0.0, 1.0)
    check_range("--time-limit", time_limit, 0.1, 86400.0, "s")
    check_writable(json)
    check_writable(plan_csv, "--plan-csv")
    options = MarketOptions(
        vehicles, charger_kw, utility, eta, levels, rebate_max, clusters, seed, workplace, network, survey, survey_day,
        home_sessions, work_sessions, signal, prices, soc_kw, soc_eta, ownership, stake, variance,
    )  # fmt: skip
    limits = Limits(gap, time_limit)
    if peer:
        check_peer()
    if mixes:
        _mixes(options, limits, instances, peer, campaign, report, json)
        return
    if plan_csv == "-":
        raise InputError("--plan-csv -: allowed is a file")
    if instances is not None or campaign is not None:
        raise InputError(f"{'--campaign' if instances is None else '--instances'}: allowed with --mixes")
    if peer and options.community:
        raise InputError("--peer: allowed with --ownership company, the only one that it solves")
    inputs = read_market(options)
    folder = prepare_folder(report, "--report") if report is not None else None
    with telling("rebates of any size") as tell:
        run = run_market(options, inputs, limits, tell, peer, trends or folder is not None)
    if folder is not None:
        from v2g_nodes.cli.market_report import write_report

        write_report(folder, run)
    if plan_csv is not None:
        write_plan_csv(Path(plan_csv), run.outcome.bid_kw[0], run.rebates)
    show_run(run, json)
    if run.gap > gap:
        raise typer.Exit(1)


def _mixes(options: MarketOptions, limits: Limits, instances: int | None, peer: bool, campaign: str | None,
           report: str | None, json: str | None) -> None:  # fmt: skip
    for name, value in (("--clusters", options.clusters), ("--seed", options.seed), ("--network", options.network),
                        ("--survey", options.survey)):  # fmt: skip
        if value is not None:
            raise InputError(f"{name}: allowed without --mixes, which brings its own drivers")
    if options.community:
        raise InputError("--ownership community: allowed without --mixes")
    count = instances if instances is not None else INSTANCES if campaign is None else CAMPAIGN_INSTANCES
    check_range("--instances", count, 1, 999)
    read_market(options)  # nothing is made where an option is wrong
    kept: Path | None = None if campaign is None else prepare_folder(campaign, "--campaign")
    folder = prepare_folder(report, "--report") if report is not None else None
    with telling("mixes") as tell:
        figures = run_mixes(MixStudy(options, limits, count, peer, kept), tell)
    if folder is not None:
        from v2g_nodes.cli.market_report import write_mix_report

        write_mix_report(folder, figures)
    show_mixes(figures, json)
    if any(row[OURS]["time_outs"] for row in figures["mixes"]):
        raise typer.Exit(1)
