"""One module's optimizer: membership, epochs and the agent that runs them, as one message-driven machine.

The same object runs in the network simulator and in the optimizer node. It holds no clock and sends nothing
itself: `step` takes what came in and returns what has to go out.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from v2g_nodes.core.dispatch.agent import LocalProblem
from v2g_nodes.core.dispatch.lockstep import LockstepAgent
from v2g_nodes.core.dispatch.methods import build_agent
from v2g_nodes.core.dispatch.price_grid import WarmStart
from v2g_nodes.core.epoch_start import forced_cold, moved
from v2g_nodes.core.exchange import exchange_tag
from v2g_nodes.core.membership import Membership
from v2g_nodes.core.neighbour_watch import NeighbourWatch
from v2g_nodes.core.optimizer_types import (
    NO_EPOCH,
    Begun,
    Decision,
    NeighborReport,
    OptimizerSettings,
    Outbox,
    Snapshot,
)
from v2g_nodes.core.privacy.key_book import KeyPair, KeyReport
from v2g_nodes.core.privacy.veil import build_veil
from v2g_nodes.core.release import SetpointRelease, release_rule
from v2g_nodes.core.release_journal import ReleaseJournal
from v2g_nodes.core.target import MAJORITY, caution, island_target_kw
from v2g_nodes.core.types import Agreement, EpochId, Frame

KNOWN_PER_REPORT = 4  # while views differ a report more goes out at a time for each so many modules known
PROMOTE_AFTER_RESENDS = 4  # after an agreement, so that the change does not end it for who has not agreed yet


class ModuleOptimizer:
    """See module docstring.

    Args:
        settings: constants.
        life: differs from that of the life before (see Membership).
        freeze: returns the own snapshot; called once per epoch and membership, while the own module is available.
        in_force_kw: returns the base power that the own module follows at this moment [kW].
        release: how what is agreed comes into force; None = by the rule, without a journal.
        pair: own key where curves are hidden, new in each life; None = there is none.

    Raises:
        InputError: settings ask for a privacy that can't be had.
    """

    def __init__(
        self,
        settings: OptimizerSettings,
        life: int,
        freeze: Callable[[], Snapshot],
        in_force_kw: Callable[[], float] = lambda: 0.0,
        release: SetpointRelease | ReleaseJournal | None = None,
        pair: KeyPair | None = None,
    ) -> None:
        self._settings = settings
        self._freeze, self._in_force_kw = freeze, in_force_kw
        self._rating_w = {k: round(1000 * kw) for k, kw in settings.rating_kw.items()}
        self.membership = Membership(
            settings.module_id, settings.edges, settings.rating_kw, life, settings.silence_ns
        )
        self._watch = NeighbourWatch(settings, self.membership.neighbours)
        self._veil = build_veil(settings, self.membership, pair, life)
        self._veiled: bytes | None = b""  # name of the group in the exchange begun last
        self._release = release or release_rule(settings.silence_ns, settings.fall_ns)
        self._begun: Begun | None = None  # the last exchange, unless it has ended in agreement
        self.epoch = NO_EPOCH
        self.target_kw = math.nan
        self.agreement: Agreement | None = None
        self._price_of_neighbours: float | None = None  # what one of them said last; a joiner starts from it
        self._agent: LockstepAgent | None = None
        self._warm: tuple[int, WarmStart] | None = None
        self._early: dict[int, Frame] = {}  # last frame of each neighbour that no agent could use
        self._views: dict[int, int] = {}  # last fingerprint of each neighbour
        self._unrest_ns = -(1 << 62)  # when the own membership or a neighbour's changed last
        self._linked: tuple[int, ...] = ()  # neighbours in the group
        self._sharing: tuple[tuple[int, ...], float] = ((), 0.0)  # members, and their share of the target
        self._linked_ns = 0  # when this module last had a link, or heard nobody
        self._report_ns = -(1 << 62)
        self._sequence = life % 2**16  # of reports
        self._promote_ns: int | None = None  # when this module may come closer to counting
        self._stepped_ns: int | None = None
        self._alone_ns = 0  # from then on it may decide alone
        self._reported = False
        self._tag = 0  # of the agent's frames

    def start_epoch(self, epoch: EpochId, target_kw: float, sequence_limit: int | None = None) -> bool:
        """A newer signal: the exchange in progress ends, the next `step` begins another. False if not newer.

        An epoch beyond the limit in force, which a wrong clock made, gives way to one within.

        Args:
            epoch: of the signal.
            target_kw: what the station owes [kW].
            sequence_limit: see `step`.
        """
        wrong = _beyond(self.epoch, sequence_limit) and not _beyond(epoch, sequence_limit)
        if self.epoch != NO_EPOCH and not (epoch.newer_than(self.epoch) or wrong):
            return False
        self.epoch, self.target_kw = epoch, target_kw
        self._agent, self._reported = None, False
        return True

    def step(
        self,
        frames: Sequence[Frame],
        reports: Sequence[NeighborReport],
        now_ns: int,
        available: bool = True,
        sequence_limit: int | None = None,
        keys: Sequence[KeyReport] = (),
    ) -> Outbox:
        """Take in what came, return what has to go out. Call on every arrival and every few milliseconds.

        Args:
            frames: curve frames, any order.
            reports: neighbours' reports, any order.
            now_ns: steady time [ns].
            available: the own module answers; otherwise this optimizer leaves the group politely.
            sequence_limit: signal sequences beyond it come from a wrong clock and are not adopted.
            keys: neighbours' keys, any order; of no use without privacy.
        """
        outbox = Outbox()
        self._notice_pause(now_ns)
        if frames and not (reports or keys) and self._agent is not None and available:  # the many steps of a round
            self._run_agent([frame for frame in frames if self._usable(frame, now_ns)], now_ns, outbox)
            return outbox
        self._veil.take(keys, now_ns)
        for report in reports:
            self._take_report(report, now_ns, sequence_limit)
        usable = [frame for frame in frames if self._usable(frame, now_ns)]
        if self._promote_ns is not None and now_ns >= self._promote_ns:
            self._promote()
        self.membership.taking_part, self.membership.excluded = available, self._watch.excluded
        if self.membership.update(now_ns):
            self._regroup(now_ns)
            outbox.reports.append(self._report(now_ns))
        if self._linked or not (self.membership.heard and available):
            self._linked_ns = now_ns
        if not available:
            self._watch.ended()
        if self._veil.name != self._veiled:  # another key: the others begin anew too
            self._agent, self._reported = None, False
        if self._agent is None and available and self.epoch != NO_EPOCH and self._settled(now_ns):
            usable += self._begin(now_ns, outbox)
        self._run_agent(usable, now_ns, outbox)
        # Who is linked will come to the same view; a neighbour that only one end hears may never.
        lately = now_ns - self._unrest_ns < self._settings.silence_ns
        differing = not self._alike(self.membership.heard if lately else self._linked)
        if now_ns - self._report_ns >= (self._settings.sync_ns if differing else self._settings.heartbeat_ns):
            most = self._settings.reports_at_a_time if differing else 1
            copies = min(1 + self.membership.known // KNOWN_PER_REPORT, most)
            outbox.reports += [self._report(now_ns) for _ in range(copies)]
        self._veil.tell(outbox, now_ns)
        return outbox

    def base_kw(self, now_ns: int) -> float | None:
        """Base power in force at this module [kW] (core/release.py); None while nothing has been agreed."""
        return self._release.power_kw(now_ns)

    @property
    def faults(self) -> Mapping[int, str]:
        """Neighbours that are excluded, and why."""
        return self._watch.faults

    @property
    def failed(self) -> str:
        """Why the exchange in progress will not end in agreement, in words; empty if it may."""
        return self._agent.failed if self._agent is not None else ""

    def island_share(self) -> float:
        """Share of the target that this module's island owes."""
        members, rule = self.membership.group.members, self._settings.island_rule
        return min(
            island_target_kw(1.0, members, electorate, self._rating_w, rule)
            for electorate in self.membership.electorates()
        )

    def _notice_pause(self, now_ns: int) -> None:
        """After a pause (a stopped process) the others have gone on: nothing known before counts any more."""
        if self._stepped_ns is None or now_ns - self._stepped_ns > self._settings.silence_ns:
            self.membership.forget_heard()
            self._release.forget()
            self._agent, self._reported, self.agreement = None, False, None
            self._watch.woke_up(now_ns)
            self._alone_ns = now_ns + self._settings.silence_ns
        self._stepped_ns = now_ns

    def _regroup(self, now_ns: int) -> None:
        """Begin anew with other members or links."""
        self._agent, self._reported, self._unrest_ns = None, False, now_ns
        group, own = self.membership.group, self._settings.module_id
        self._linked = tuple(a + b - own for a, b in group.edges if own in (a, b))
        share = self.island_share()
        before, self._sharing = self._sharing, (group.members, share)
        if self._sharing != before and self.epoch != NO_EPOCH:  # before the first nobody has any power to give up
            self._release.group_changed(share > 0.0, now_ns)
        self._watch.regrouped(self._linked, now_ns)
        self._veil.regrouped(now_ns)

    def _usable(self, frame: Frame, now_ns: int) -> bool:
        """Count the sender as alive; keep a frame that only an agent to come can use."""
        if frame.sender not in self.membership.neighbours:
            return False
        self.membership.hear(frame.sender, now_ns)
        if self._agent is not None and frame.tag == self._tag:
            self._watch.answered(frame.sender, now_ns)
            return True
        self._early[frame.sender] = frame
        return False

    def _shared(self) -> int:
        """What the exchange is named by besides its epoch: the group, the target it shares out, the algorithm, keys.

        Modules set to different algorithms never agree, instead of reading each other's words wrongly; nor do those
        that would mask theirs by different keys.
        """
        shared = struct.pack("<If", self.membership.group.fingerprint, self.target_kw)
        return zlib.crc32(shared + self._settings.algorithm.encode() + (self._veiled or b""))

    def _alike(self, neighbours: Sequence[int]) -> bool:
        """Whether these neighbours have the same membership as this module."""
        own = self.membership.group.fingerprint
        return all(self._views.get(k) == own for k in neighbours)

    def _settled(self, now_ns: int) -> bool:
        """Whether an agent is worth beginning.

        The neighbours in the group must have the same view of it. A module that hears others but is linked with
        none is about to join them and waits for that, but not for ever: its own voice may not be heard.
        """
        if not self._linked:
            lonely = not self.membership.heard or now_ns - self._linked_ns >= self._settings.silence_ns
            return lonely and now_ns >= self._alone_ns
        return self._alike(self._linked) and self._veil.name is not None

    def _take_report(self, report: NeighborReport, now_ns: int, sequence_limit: int | None) -> None:
        if report.sender not in self.membership.neighbours or not self._watch.usable(report, now_ns):
            return
        self.membership.hear(report.sender, now_ns)
        self.membership.take(report.link, report.sender)
        if report.membership == self.membership.group.fingerprint:
            self.membership.agrees(report.sender)
        if self._views.get(report.sender) != report.membership:
            self._views[report.sender] = report.membership
            self._unrest_ns = now_ns
        if report.agreed:
            self._price_of_neighbours = report.lambda_eur_per_kwh
        keyless = self._veil.lacks(report.sender)
        self._watch.compare(report, self.epoch, self._running_agent(report), now_ns, keyless)
        if not self._watch.adoptable(report) or _beyond(report.epoch, sequence_limit):
            return
        if report.epoch != self.epoch:
            self.start_epoch(report.epoch, report.target_kw, sequence_limit)
        elif caution(report.target_kw) < caution(self.target_kw):
            # Two messages of one signal differed and not everyone heard both: all settle on the smaller target.
            self.target_kw = report.target_kw
            self._agent, self._reported = None, False

    def _running_agent(self, report: NeighborReport) -> LockstepAgent | None:
        """The agent of the exchange that a report speaks of."""
        same = report.epoch == self.epoch and report.membership == self.membership.group.fingerprint
        return self._agent if same else None

    def _begin(self, now_ns: int, outbox: Outbox) -> list[Frame]:
        """Begin the exchange, unless its masks may have been used; frames of it that came early."""
        if not self._veil.begin(self.epoch, self.target_kw):
            self.membership.renew()
            return []
        self._veiled = self._veil.name
        outbox.given_up = self._begun
        self._begin_agent(now_ns)
        early = [*self._early.values()]
        self._early.clear()
        return early

    def _begin_agent(self, now_ns: int) -> None:
        """Freeze the snapshot and build the agent."""
        snapshot = self._freeze()
        group = self.membership.group
        start = self._price_of_neighbours if self.agreement is None else self.agreement.lambda_eur_per_kwh
        problem = LocalProblem(
            self._settings.module_id,
            snapshot.box,
            snapshot.supply,
            self.epoch,
            self.target_kw * self.island_share(),
            self._settings.price_span_eur_per_kwh,
            start,
        )
        warm = self._warm[1] if self._warm and self._warm[0] == group.fingerprint else None
        shown = replace(group, fingerprint=self._shared())
        self._tag = exchange_tag(self.epoch, shown.fingerprint)
        settings = self._settings
        cold = forced_cold(self.epoch, settings.cold_every, settings.epoch_period_s) or (
            warm is not None
            and moved(snapshot.supply, self.agreement, settings.rating_kw[settings.module_id])
        )
        self._agent = build_agent(
            self._settings.algorithm, problem, shown, warm, self._settings.resend_ns, cold,
            masks=self._veil.masks,
        )  # fmt: skip
        self._begun = Begun(
            self.epoch, self.target_kw, problem.target_kw, group, snapshot, warm, start, cold, now_ns
        )
        self._watch.began(now_ns)

    def _run_agent(self, frames: Sequence[Frame], now_ns: int, outbox: Outbox) -> None:
        agent = self._agent
        if agent is None:
            return
        self._watch.goes_on(now_ns)
        resends = agent.resends
        outbox.frames += agent.step(frames, now_ns)
        if agent.resends > resends:
            outbox.reports.append(self._report(now_ns))  # who waits may have missed the signal
        if agent.failed:  # the powers agreed last hold; the next epoch has other masks
            self._watch.ended()
        if agent.agreement is not None and self._begun is not None:
            first, self.agreement, self._reported = self.agreement is None, agent.agreement, True
            begun, self._begun = self._begun, None
            self._watch.ended()
            if first and len(begun.group.members) < len(self._rating_w):  # others may be at work that are not seen yet
                self._release.group_changed(owns_target=True, now_ns=now_ns)
            self._release.agree(agent.agreement.power_kw, self.target_kw, self._in_force_kw(), now_ns)
            self._promote_ns = now_ns + PROMOTE_AFTER_RESENDS * self._settings.resend_ns
            if agent.warm_start:
                self._warm = (begun.group.fingerprint, agent.warm_start)
            outbox.decision = Decision(begun, agent.bracket, agent.agreement, agent.resends)
            outbox.reports.append(self._report(now_ns))

    def _promote(self) -> None:
        """Come closer to counting, where no other island may owe anything by a count without this module."""
        self._promote_ns = None
        if self._settings.island_rule == MAJORITY:
            allowed = self.island_share() > 0.0
        else:
            members = frozenset(self.membership.group.members)
            allowed = all(electorate <= members for electorate in self.membership.electorates())
        if allowed:
            self.membership.promote()

    def _report(self, now_ns: int) -> NeighborReport:
        self._report_ns = now_ns
        self._sequence = (self._sequence + 1) % 2**16
        agreement = self.agreement
        return NeighborReport(
            sender=self._settings.module_id,
            sequence=self._sequence,
            epoch=self.epoch,
            membership=self.membership.group.fingerprint,
            target_kw=self.target_kw,
            lambda_eur_per_kwh=agreement.lambda_eur_per_kwh if agreement else math.nan,
            power_kw=agreement.power_kw if agreement and not self._veil.hides else math.nan,
            agreed=self._reported,
            link=self.membership.next_report(),
        )


def _beyond(epoch: EpochId, sequence_limit: int | None) -> bool:
    """Whether an epoch's signal time lies after the limit (modulo 2^32)."""
    return sequence_limit is not None and 0 < (epoch.signal_sequence - sequence_limit) % 2**32 < 2**31
