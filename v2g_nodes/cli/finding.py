"""What `v2g doctor` finds: one line each, with what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape

OK, NOTE, WRONG = "ok", "note", "wrong"
STYLES = {OK: "green", NOTE: "yellow", WRONG: "bold red"}


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    Args:
        what: in a word or two.
        level: OK; NOTE = worth knowing; WRONG = the station can't run as it should.
        text: what was found.
        advice: what to do; empty when nothing.
    """

    what: str
    level: str
    text: str
    advice: str = ""


def show(findings: Sequence[Finding], console: Console) -> None:
    """One line per finding."""
    width = max((len(finding.what) for finding in findings), default=0)
    for finding in findings:
        style = STYLES[finding.level]
        advice = f" → {finding.advice}" if finding.advice else ""
        text = escape(f"{finding.what:<{width}}  {finding.text}{advice}")
        console.print(f"[{style}]{finding.level:<5}[/] {text}", soft_wrap=True, highlight=False)


def all_well(findings: Sequence[Finding]) -> bool:
    """Whether nothing is wrong."""
    return all(finding.level != WRONG for finding in findings)
