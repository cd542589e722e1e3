"""Who takes part: every module floods what it hears, everyone draws the same conclusion.

A module reports which neighbours it hears (a link report). Reports are passed on from neighbour to neighbour, so
each module of an island ends with the same set of reports. A link counts when both ends report each other; the
members are what a module can reach over such links. Death, cut, join and rejoin are the same event: reports
change, and with them members, links and their fingerprint, which every round of an exchange carries.

A report with its own bit clear says that its module has left politely. A restarted module begins another
incarnation; one that meets a newer report under its own name outbids it, so it never stays locked out.
(The scheme of link-state routing, e.g. RFC 2328, reduced to one area of 64 nodes.)

Who has left does not count where islands are weighed against each other, and others may not learn that it is back. So
a module that returns is a guest; when the island that owns the target has agreed with it, it is joining; when that has
agreed again, it counts. An island owns the target if it is the larger part both of those that count and of those that
count or join: two islands that have heard different things can't both be (joint consensus, as in Raft's changes of
membership). Where nobody is known to count, as at the start, it takes more than half of the station, or all in sight.
A new life is told by its neighbours where its last one stood. (What nobody knows any more can't be respected: a module
that left, died and begins again among modules that had not heard of its leaving counts there.)

The fingerprint names the set of reports a conclusion was drawn from. A link that breaks and heals leaves newer
reports and so another fingerprint, and no round from before can pass for one from after. It has 32 bits: with 16,
neighbours with different views met under one name once in some thousand random changes of a simulated station.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from v2g_nodes.core.dispatch.agent import Group
from v2g_nodes.core.graph import Adjacency, Edges, adjacency

SERIAL = 0x10000
NEWBORN, GUEST, JOINING, COUNTS = 0, 1, 2, 3
NEWS_COPIES = 3  # a changed report is sent so often before it takes its turn with the others: 0.2**3 of all get lost


@dataclass(frozen=True)
class LinkReport:
    """What one module hears.

    Args:
        origin: module that made it.
        incarnation: life of the origin, 0 to 65535; the larger one is the later one.
        version: counts reports within the incarnation, modulo 2^16.
        alive: bit k-1 set: origin hears module k; own bit set: origin takes part.
        standing: NEWBORN, GUEST, JOINING or COUNTS, see module docstring.
    """

    origin: int
    incarnation: int
    version: int
    alive: int
    standing: int = 3

    def newer_than(self, other: LinkReport) -> bool:
        """Whether this replaces `other`: the same order everywhere, also for lives that counted alike.

        Versions are serial numbers (RFC 1982). Incarnations are not, or three of them could each beat another.
        """
        if self.incarnation != other.incarnation:
            return self.incarnation > other.incarnation
        step = (self.version - other.version) % SERIAL
        return 0 < step < SERIAL // 2 or (step == 0 and (self.alive, self.standing) > (other.alive, other.standing))


class Membership:
    """One module's view of the group.

    Args:
        module_id: own id.
        edges: links of the station file.
        rating_kw: rating of every module of the station [kW].
        life: differs from that of the life before. Its lower 16 bits are the first version, the next 16 the
            incarnation, so a clock in 1/65536 s makes later lives newer ones most of the time; any number does.
        silence_ns: a neighbour not heard for so long is reported dead [ns].
    """

    def __init__(
        self, module_id: int, edges: Edges, rating_kw: Mapping[int, float], life: int, silence_ns: int
    ) -> None:
        self._module_id = module_id
        self._rating_kw = dict(rating_kw)
        self._wired: Adjacency = adjacency(rating_kw, edges)
        self._silence_ns = silence_ns
        self._heard_ns: dict[int, int] = {}
        self._outdated: set[int] = set()
        self.excluded: frozenset[int] = frozenset()  # neighbours that are not believed
        own = LinkReport(module_id, life // SERIAL % SERIAL, life % SERIAL, 1 << (module_id - 1), NEWBORN)
        self._reports = {module_id: own}
        self._news = deque([module_id] * NEWS_COPIES)
        self._turns: deque[int] = deque()
        self._own_turn = False
        self._changed = False
        self.taking_part = True
        self.group = self._conclude()

    @property
    def neighbours(self) -> Sequence[int]:
        """Neighbours by the station file."""
        return self._wired[self._module_id]

    @property
    def heard(self) -> tuple[int, ...]:
        """Neighbours in the own report, ascending."""
        alive = self._reports[self._module_id].alive
        return tuple(k for k in self.neighbours if alive >> (k - 1) & 1)

    def hear(self, neighbour: int, now_ns: int) -> None:
        """Any valid message of a neighbour came in."""
        if neighbour in self.neighbours:
            self._heard_ns[neighbour] = now_ns

    def take(self, report: LinkReport, sender: int) -> None:
        """Take in a report that a neighbour sent or passed on; strangers are ignored.

        A neighbour that still speaks under an earlier life than known here counts as silent until it outbids that:
        the report in force is not its own, and it may not hear of it.
        """
        if report.origin not in self._rating_kw:
            return
        known = self._reports.get(report.origin)
        if report.origin == sender:
            if known is None or known.incarnation <= report.incarnation:
                self._outdated.discard(sender)
            elif sender not in self._outdated:
                self._outdated.add(sender)
                self._announce(sender)  # it should learn what to outbid; later in turn, or others would never have one
        if report.origin == self._module_id:
            self._outbid(report)
        elif known is None:
            self._store(report)
        elif report.newer_than(known):
            if report.standing == NEWBORN != known.standing:  # told to all under its name, which it will outbid
                report = replace(report, version=(report.version + 1) % SERIAL, standing=known.standing)
            self._store(report)

    def _outbid(self, report: LinkReport) -> None:
        """Answer what goes round under the own name; a new life takes the standing of the last one from it."""
        own = self._reports[self._module_id]
        standing = own.standing or report.standing
        if report != own and not own.newer_than(report):
            self._issue(own.alive, report.incarnation, report.version, standing)
        elif standing != own.standing:
            self._issue(own.alive, own.incarnation, own.version, standing)

    def agrees(self, neighbour: int) -> None:
        """A neighbour says it has the same reports, its own among them."""
        self._outdated.discard(neighbour)

    def update(self, now_ns: int) -> bool:
        """Notice silence and conclude anew; True when reports and with them the fingerprint changed."""
        alive = self.taking_part << (self._module_id - 1)
        for neighbour, heard_ns in self._heard_ns.items():
            trusted = neighbour not in self._outdated and neighbour not in self.excluded
            if now_ns - heard_ns < self._silence_ns and trusted:
                alive |= 1 << (neighbour - 1)
        own = self._reports[self._module_id]
        if alive != own.alive:
            left = own.alive >> (self._module_id - 1) & 1 and not self.taking_part
            self._issue(alive, own.incarnation, own.version, min(own.standing, GUEST) if left else own.standing)
        if not self._changed:
            return False
        self._changed = False
        before, self.group = self.group, self._conclude()
        return self.group != before

    def next_report(self) -> LinkReport:
        """The report to send next: what changed lately first, then the own one and all others in turn."""
        if self._news:
            origin = self._news.popleft()
            if origin not in self._news:
                self._turns.append(origin)
        elif self._own_turn:  # every second one: a neighbour that is not heard may hold an old one
            origin = self._module_id
        else:
            origin = self._turns[0]
            self._turns.rotate(-1)
        self._own_turn = not self._own_turn
        return self._reports[origin]

    @property
    def known(self) -> int:
        """Number of modules whose report is in hand."""
        return len(self._reports)

    @property
    def counts(self) -> bool:
        """Whether this module counts where islands are weighed against each other."""
        return self._reports[self._module_id].standing == COUNTS

    def electorates(self) -> list[frozenset[int]]:
        """Sets of modules, dead ones among them; the island that owns the target is the larger part of each."""
        standing = {k: report.standing for k, report in self._reports.items()}
        counting = {k for k, rank in standing.items() if rank == COUNTS}
        joining = {k for k, rank in standing.items() if rank >= JOINING}
        unheard = self._rating_kw.keys() - standing.keys()
        if counting:
            return [frozenset(counting | unheard), frozenset(joining | unheard)]
        in_sight, _ = self._reach({k: report.alive for k, report in self._reports.items()})
        everyone = self._rating_kw.keys()
        anew = [k for k in everyone if self._takes_part(k)] if in_sight == everyone else everyone
        return [frozenset(anew), *([frozenset(joining)] if joining else [])]

    def promote(self) -> None:
        """The own island owns the target and has agreed, so its members know where this module stands: a step up."""
        own = self._reports[self._module_id]
        if own.standing < COUNTS and self.taking_part:
            self._issue(own.alive, own.incarnation, own.version, max(own.standing, GUEST) + 1)

    def renew(self) -> None:
        """Nothing has changed but the name of the group: it gets another one from the own report on."""
        own = self._reports[self._module_id]
        self._issue(own.alive, own.incarnation, own.version, own.standing)

    def digest(self) -> bytes:
        """Names the set of reports as the fingerprint does, too long for two sets to share one."""
        return hashlib.blake2b(self._text(), digest_size=32).digest()

    def forget_heard(self) -> None:
        """Nobody has been heard: what is known of the neighbours is too old after a pause."""
        self._heard_ns.clear()

    def _issue(self, alive: int, incarnation: int, version: int, standing: int) -> None:
        self._store(LinkReport(self._module_id, incarnation, (version + 1) % SERIAL, alive, standing))

    def _store(self, report: LinkReport) -> None:
        self._reports[report.origin] = report
        self._changed = True
        self._announce(report.origin)

    def _announce(self, origin: int) -> None:
        """Send the report of this module before those that are known to all."""
        for queue in (self._news, self._turns):
            while origin in queue:
                queue.remove(origin)
        for place in range(NEWS_COPIES):  # in turn with other news
            self._news.insert(2 * place, origin)

    def _conclude(self) -> Group:
        taking_part = {k: report.alive for k, report in self._reports.items() if self._takes_part(k)}
        reached, edges = self._reach(taking_part)
        members = tuple(sorted(reached))
        rating = {k: self._rating_kw[k] for k in members}
        return Group(members, edges, rating, self._fingerprint())

    def _reach(self, alive: Mapping[int, int]) -> tuple[set[int], Edges]:
        """Modules joined to this one by links whose ends hear each other, and these links, ascending."""
        reached, coming = {self._module_id}, [self._module_id]
        edges = []
        while coming:
            a = coming.pop()
            for b in self._wired[a] if a in alive else ():
                if b in alive and alive[a] >> (b - 1) & alive[b] >> (a - 1) & 1:
                    if a < b:
                        edges.append((a, b))
                    if b not in reached:
                        reached.add(b)
                        coming.append(b)
        return reached, tuple(sorted(edges))

    def _takes_part(self, k: int) -> bool:
        return bool(self._reports[k].alive >> (k - 1) & 1)

    def _fingerprint(self) -> int:
        return zlib.crc32(self._text())

    def _text(self) -> bytes:
        known = [self._reports[k] for k in sorted(self._reports)]
        return b"".join(struct.pack("<BHHQB", r.origin, r.incarnation, r.version, r.alive, r.standing) for r in known)
