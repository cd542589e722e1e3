"""Whether neighbours can be believed: what their reports say, against what this module knows itself.

Beside nonsense in a single report these are faults: an epoch that stays behind (or runs ahead) for EPOCH_LATE_NS, no
frame for ROUND_LATE_NS in an exchange that waits for it, and an agreed power that is not what the neighbour's own
curve says at the agreed price. The last is known exactly to neighbours in a supply-curve exchange: each hears the
other's curve in the first round of a pass, and the share of the cell is the same for all. Where modules hide their
curves, powers are not told and that check is lost; a neighbour without a key for KEY_LATE_NS is then at fault.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from v2g_nodes.core.conduct import Conduct
from v2g_nodes.core.dispatch.lockstep import LockstepAgent
from v2g_nodes.core.optimizer_types import NO_EPOCH, NeighborReport, OptimizerSettings
from v2g_nodes.core.privacy.masks import NONE
from v2g_nodes.core.types import EpochId

EPOCH_LATE_NS = 1_000_000_000
KEY_LATE_NS = 1_000_000_000  # keys go round as fast as link reports
ROUND_LATE_NS = 1_000_000_000  # meanwhile the station holds the powers of an older target
SILENCES_FOR_NEWS = 1.2  # a neighbour that waits for one of its own, unseen from here, regroups by then
GAP_NS = 200_000_000  # after a longer time without any exchange waiting counts anew
PRICE_SPANS = 10.0  # an agreed price so many spans away is nonsense
POWER_TOLERANCE = 1e-4  # of the rating; a report carries 32-bit floats


class NeighbourWatch:
    """The conduct of a module's neighbours.

    Args:
        settings: of the own optimizer.
        neighbours: by the station file.
    """

    def __init__(self, settings: OptimizerSettings, neighbours: Sequence[int]) -> None:
        self._news_ns = SILENCES_FOR_NEWS * settings.silence_ns
        self._regrouped_ns = 0
        self._price_max = PRICE_SPANS * settings.price_span_eur_per_kwh
        self._powers_told = settings.privacy == NONE
        self._rating_kw = settings.rating_kw
        self._station_kw = sum(settings.rating_kw.values())
        self._conduct = {k: Conduct() for k in neighbours}
        self._waiting_ns: int | None = None  # since when exchanges have been going on without an end
        self._went_on_ns = 0  # when one did so last
        self._answered_ns = dict.fromkeys(neighbours, 0)
        self._level_ns = dict.fromkeys(neighbours, 0)  # when a neighbour's epoch was the own one
        self._linked: frozenset[int] = frozenset()

    @property
    def excluded(self) -> frozenset[int]:
        """Neighbours not to be believed."""
        return frozenset(k for k, conduct in self._conduct.items() if conduct.excluded)

    @property
    def faults(self) -> Mapping[int, str]:
        """Excluded neighbours, and why."""
        return {k: conduct.fault for k, conduct in self._conduct.items() if conduct.excluded}

    def began(self, now_ns: int) -> None:
        """An exchange has begun; perhaps in place of one that was still going on."""
        if self._waiting_ns is None or now_ns - self._went_on_ns > GAP_NS:
            self._waiting_ns = now_ns

    def goes_on(self, now_ns: int) -> None:
        """An exchange is going on."""
        self._went_on_ns = now_ns

    def ended(self) -> None:
        """The exchange has come to an end, or nobody waits for it any more."""
        self._waiting_ns = None

    def answered(self, neighbour: int, now_ns: int) -> None:
        """A frame of the exchange in progress came."""
        self._answered_ns[neighbour] = now_ns

    def regrouped(self, linked: Iterable[int], now_ns: int) -> None:
        """The group has changed: give neighbours time that are linked now and were not before."""
        self._regrouped_ns = now_ns
        before, self._linked = self._linked, frozenset(linked)
        self._give_time(self._linked - before, now_ns)

    def woke_up(self, now_ns: int) -> None:
        """After a pause everyone has time: what waited in the meantime is old."""
        self.ended()
        self._give_time(self._conduct, now_ns)

    def _give_time(self, neighbours: Iterable[int], now_ns: int) -> None:
        for k in neighbours:
            self._answered_ns[k] = self._level_ns[k] = now_ns

    def usable(self, report: NeighborReport, now_ns: int) -> bool:
        """Whether a report is new and makes sense; what doesn't is counted against its sender."""
        conduct = self._conduct[report.sender]
        if report.link.origin == report.sender:
            conduct.lives(report.link.incarnation)
        if conduct.repeats(report.sequence, now_ns):
            return False
        nonsense = self._nonsense(report)
        if nonsense:
            conduct.judge(nonsense, now_ns)
        return not nonsense

    def adoptable(self, report: NeighborReport) -> bool:
        """Whether a report's target may be taken over by who has missed the signal."""
        return report.epoch != NO_EPOCH and abs(report.target_kw) <= 2.0 * self._station_kw

    def compare(
        self,
        report: NeighborReport,
        epoch: EpochId,
        agent: LockstepAgent | None,
        now_ns: int,
        keyless: bool = False,
    ) -> None:
        """Judge a usable report; nothing is expected of neighbours without a link.

        Args:
            report: of the neighbour.
            epoch: the own one.
            agent: that of the exchange which the report speaks of, if it runs or has ended here.
            now_ns: steady time [ns].
            keyless: its key is needed and not in hand.
        """
        if report.epoch == epoch:
            self._level_ns[report.sender] = now_ns
        fault = self._contradiction(report, epoch, agent, now_ns) if report.sender in self._linked else ""
        if keyless and report.sender in self._linked and now_ns - self._answered_ns[report.sender] > KEY_LATE_NS:
            fault = "no key for the masks"
        self._conduct[report.sender].judge(fault, now_ns)

    def _nonsense(self, report: NeighborReport) -> str:
        if report.epoch != NO_EPOCH and not math.isfinite(report.target_kw):
            return f"target {report.target_kw:g} kW, allowed a finite one"
        if not report.agreed:
            return ""
        most_kw = self._rating_kw[report.sender] * (1.0 + POWER_TOLERANCE)
        if self._powers_told and not abs(report.power_kw) <= most_kw:
            return f"power {report.power_kw:g} kW, allowed {-most_kw:.4g} to {most_kw:.4g} kW"
        if not abs(report.lambda_eur_per_kwh) <= self._price_max:
            return f"lambda {report.lambda_eur_per_kwh:g} EUR/kWh, allowed {-self._price_max:g} to {self._price_max:g}"
        return ""

    def _contradiction(
        self, report: NeighborReport, epoch: EpochId, agent: LockstepAgent | None, now_ns: int
    ) -> str:
        if now_ns - self._level_ns[report.sender] > EPOCH_LATE_NS:
            return f"epoch {report.epoch.signal_sequence}, here {epoch.signal_sequence}"
        if agent is None:
            return ""
        if agent.agreement is None:
            since_ns = max(self._waiting_ns or now_ns, self._answered_ns[report.sender])
            late = now_ns - since_ns > ROUND_LATE_NS and now_ns - self._regrouped_ns > self._news_ns
            late = late and report.sender in agent.links
            return "no frame in an exchange" if late else ""
        expected = agent.powers_of_neighbours_kw.get(report.sender)
        if not report.agreed or expected is None:
            return ""
        power_kw, error_kw = expected
        error_kw += POWER_TOLERANCE * self._rating_kw[report.sender]
        if abs(report.power_kw - power_kw) > error_kw:
            return f"power {report.power_kw:.4g} kW, by its own curve {power_kw:.4g} kW"
        return ""
