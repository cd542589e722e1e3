"""The release rule with a journal of what came in and what it answered, so that each answer can be given again."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import IntEnum

from v2g_nodes.core.release import SetpointRelease


class Call(IntEnum):
    """What the rule was told or asked (msg/DecisionRecord.msg, kind BASE)."""

    ASK = 0
    AGREE = 1
    OWNED = 2
    DISOWNED = 3
    FORGET = 4


@dataclass
class JournalPage:
    """Calls in a row.

    Args:
        powers_kw: state before the first call, as SetpointRelease.state gives it [kW].
        times_ns: likewise, steady times [ns].
        now_ns: steady time of each call; a FORGET has none of its own and takes that of the call before [ns].
        calls: which.
        answers_kw: one per call: of an ASK the base power in force, NaN for none and for other calls [kW].
        agreed: three per AGREE: own power, station's target, in force before [kW].
    """

    powers_kw: tuple[float, ...]
    times_ns: tuple[int, ...]
    now_ns: list[int] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    answers_kw: list[float] = field(default_factory=list)
    agreed: list[float] = field(default_factory=list)


class ReleaseJournal:
    """A release rule that writes down. Has the methods of SetpointRelease.

    Args:
        rule: which.
    """

    def __init__(self, rule: SetpointRelease) -> None:
        self._rule = rule
        self._page: JournalPage | None = None

    def take(self) -> JournalPage | None:
        """Everything since the call before; None when there was nothing."""
        page, self._page = self._page, None
        return page

    def power_kw(self, now_ns: int) -> float | None:
        """As SetpointRelease."""
        page = self._note(Call.ASK, now_ns)
        power_kw = self._rule.power_kw(now_ns)
        page.answers_kw[-1] = math.nan if power_kw is None else power_kw
        return power_kw

    def group_changed(self, owns_target: bool, now_ns: int) -> None:
        """As SetpointRelease."""
        self._note(Call.OWNED if owns_target else Call.DISOWNED, now_ns)
        self._rule.group_changed(owns_target, now_ns)

    def agree(self, power_kw: float, target_kw: float, in_force_kw: float, now_ns: int) -> None:
        """As SetpointRelease."""
        self._note(Call.AGREE, now_ns).agreed += (power_kw, target_kw, in_force_kw)
        self._rule.agree(power_kw, target_kw, in_force_kw, now_ns)

    def forget(self) -> None:
        """As SetpointRelease."""
        page = self._page
        self._note(Call.FORGET, page.now_ns[-1] if page else 0)
        self._rule.forget()

    def _note(self, call: Call, now_ns: int) -> JournalPage:
        page = self._page
        if page is None:
            page = self._page = JournalPage(*self._rule.state())
        page.now_ns.append(now_ns)
        page.calls.append(call)
        page.answers_kw.append(math.nan)
        return page


def play_page(rule: SetpointRelease, page: JournalPage) -> list[float]:
    """Make all calls of a page again.

    Args:
        rule: built as the recorded one; its state is set to that of the page.
        page: what was recorded.

    Returns:
        One answer per call, as in the page [kW].
    """
    rule.restore(page.powers_kw, page.times_ns)
    agreed = iter(page.agreed)
    answers_kw = []
    for call, now_ns in zip(page.calls, page.now_ns, strict=True):
        answer = rule.power_kw(now_ns) if call is Call.ASK else None
        if call is Call.AGREE:
            rule.agree(next(agreed), next(agreed), next(agreed), now_ns)
        elif call in (Call.OWNED, Call.DISOWNED):
            rule.group_changed(call is Call.OWNED, now_ns)
        elif call is Call.FORGET:
            rule.forget()
        answers_kw.append(math.nan if answer is None else answer)
    return answers_kw
