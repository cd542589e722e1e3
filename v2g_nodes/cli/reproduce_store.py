"""Results of claims as files: one JSON each, written whole or not at all, and read again where they still count."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from v2g_nodes.sim.claims.claim import Claim, Setting

Result: TypeAlias = dict[str, Any]
FINISHED = ("holds", "refuted", "not reproducible")  # verdicts that are not sought again
COLUMNS = ("id", "source", "origin", "claim", "holds_if", "verdict", "figures", "reason", "seconds", "cpu_seconds")


class Store:
    """A folder with the results of one size.

    Args:
        folder: made if it is not there; `quick` and `full` runs have one each.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._claims = folder / "claims"
        self._claims.mkdir(parents=True, exist_ok=True)

    def read(self, claim: Claim, mark: str, setting: Setting) -> Result | None:
        """A finished result of this code and setting; None where there is none that can be read."""
        try:
            result = json.loads(self._path(claim).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        if not isinstance(result, dict) or result.get("verdict") not in FINISHED:
            return None
        same = result.get("id") == claim.id and result.get("mark") == mark and result.get("data") == data_of(setting)
        return result if same else None

    def write(self, claim: Claim, result: Result) -> None:
        """Keep a result."""
        write_whole(self._path(claim), json.dumps(result, allow_nan=False, indent=1) + "\n")

    def _path(self, claim: Claim) -> Path:
        return self._claims / f"{claim.id}.json"


def data_of(setting: Setting) -> str | None:
    """The folder of recordings as results remember it."""
    return None if setting.data is None else str(setting.data.resolve())


def write_whole(path: Path, text: str) -> None:
    """Write a file beside and move it into place: whoever reads it sees the old one or the new one."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    except BaseException:
        with suppress(OSError):
            beside.unlink()
        raise


def write_verdicts(folder: Path, results: Sequence[Result], head: Mapping[str, object]) -> None:
    """`verdicts.json` with all results and `verdicts.csv`, a line for each.

    Args:
        folder: exists.
        results: in order.
        head: keys besides `claims`.
    """
    claims = [{key: value for key, value in result.items() if key != "series"} for result in results]
    write_whole(folder / "verdicts.json", json.dumps({**head, "claims": claims}, allow_nan=False, indent=1) + "\n")
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for result in results:
        row = {**result, "figures": json.dumps(result["figures"])}
        table.writerow([row[name] for name in COLUMNS])
    write_whole(folder / "verdicts.csv", text.getvalue())


def plain(value: Any) -> Any:  # noqa: ANN401 - figures and series
    """Values as JSON has them; what is not finite becomes null."""
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value
