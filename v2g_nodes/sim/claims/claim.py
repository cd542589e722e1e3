"""What a claim is, what its check finds, and what it may ask of the run it is part of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from v2g_nodes.core.errors import V2gError

Verdict = Literal["holds", "refuted", "not reproducible", "not run"]
Origin = Literal["printed", "derived", "prototype", "error"]
Choice = TypeVar("Choice")

#: documents by the first three digits of a claim's id
SOURCES = {
    "000": "V2G problem formulation for EK3 modules, and its companions",
    "001": "Zou, Ma, Hiskens 2016: decentralized coordination of charging",
    "002": "Distributed resource allocation for vehicles and grid (arXiv 1905.01847)",
    "003": "Two-stage optimal power flow with V2G scheduling (arXiv 2409.19962)",
    "004": "Tang, Mak 2024: V2G in frequency regulation markets",
}
#: the same in a word or two
SHORT = {"000": "V2G formulation", "001": "charging by prices", "002": "resource allocation", "003": "two-stage OPF",
         "004": "regulation market"}  # fmt: skip
#: where a claim comes from
ORIGINS: Mapping[Origin, str] = {
    "printed": "printed in the source",
    "derived": "follows from what the source prints",
    "prototype": "number of an earlier prototype with parameters of its own, the source's being lost",
    "error": "printed in the source and believed to be wrong",
}


class NeedsRecordingError(V2gError):
    """A claim can't be checked without a recording that was not given."""


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Args:
        verdict: on the claim as worded.
        figures: measured, by name with unit; values that JSON knows.
        reason: why it is refuted or can't be had, or what is different from the source's setting.
        series: lines that figures of the report are drawn from; lists of numbers.
    """

    verdict: Verdict
    figures: Mapping[str, object] = field(default_factory=dict)
    reason: str = ""
    series: Mapping[str, object] = field(default_factory=dict)


def judged(
    holds: object, figures: Mapping[str, object], reason: str = "", series: Mapping[str, object] | None = None
) -> Finding:
    """A finding that holds or is refuted.

    Args:
        holds: whether the claim does; any truth value.
        figures: measured.
        reason: see Finding.
        series: see Finding.
    """
    return Finding("holds" if holds else "refuted", figures, reason, series or {})


def not_reproducible(reason: str, **figures: object) -> Finding:
    """A finding for what can't be had from what is left of the source."""
    return Finding("not reproducible", figures, reason)


@dataclass(frozen=True)
class Setting:
    """The run a check is part of.

    Args:
        quick: reduced sizes.
        data: folder with recordings; None: none.
    """

    quick: bool
    data: Path | None = None

    def pick(self, quick: Choice, full: Choice) -> Choice:
        """A size."""
        return quick if self.quick else full

    def find(self, name: str) -> Path | None:
        """A recording by its file name, None where there is none."""
        if self.data is None or not (self.data / name).is_file():
            return None
        return self.data / name

    def recording(self, name: str) -> Path:
        """The same where a check can't do without.

        Raises:
            NeedsRecordingError: no such recording.
        """
        found = self.find(name)
        if found is None:
            raise NeedsRecordingError(f"needs --data DIR with {name}")
        return found


Check = Callable[[Setting], Finding]


@dataclass(frozen=True)
class Claim:
    """One statement to check.

    Args:
        id: document, section and number, as 001.4.3a.
        text: what is claimed, in our words.
        holds_if: what counts as holding.
        origin: see ORIGINS.
        check: measures it.
        code: files and folders of the package whose change makes an earlier finding worthless.
    """

    id: str
    text: str
    holds_if: str
    origin: Origin
    check: Check
    code: tuple[str, ...]

    @property
    def source(self) -> str:
        """Title of the document."""
        return SOURCES[self.id[:3]]


class Register:
    """Claims of one file, in order.

    Args:
        code: see Claim; what the checks of the file use.
    """

    def __init__(self, *code: str) -> None:
        self._code = code
        self.claims: list[Claim] = []

    def claim(self, id_: str, text: str, holds_if: str, origin: Origin) -> Callable[[Check], Check]:
        """Decorate a check; see Claim."""

        def add(check: Check) -> Check:
            self.claims.append(Claim(id_, text, holds_if, origin, check, self._code))
            return check

        return add
