"""Who takes part: every module floods what it hears, everyone draws the same conclusion.

A module reports which neighbours it hears (a link report). Reports are passed on from neighbour to neighbour, so
each module of an island ends with the same set of reports. A link counts when both ends report each other; the
members are what a module can reach over such links. Death, cut, join and rejoin are the same event: reports
change, and with them members, links and their fingerprint, which every round of an exchange carries.

A report with its own bit clear says that its module has left politely. A restarted module takes a new
incarnation; one that meets a newer report under its own name outbids it, so it never stays locked out.
(The scheme of link-state routing, e.g. RFC 2328, reduced to one area of 64 nodes.)
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from v2g_nodes.core.dispatch.agent import Group
from v2g_nodes.core.graph import Adjacency, Edges, adjacency, hops_from

SERIAL = 0x10000


@dataclass(frozen=True)
class LinkReport:
    """What one module hears.

    Args:
        origin: module that made it.
        incarnation: start count of the origin, modulo 2^16.
        version: counts reports within the incarnation, modulo 2^16.
        alive: bit k-1 set: origin hears module k; own bit set: origin takes part.
    """

    origin: int
    incarnation: int
    version: int
    alive: int

    def newer_than(self, other: LinkReport) -> bool:
        """Whether this replaces `other` (serial numbers, RFC 1982)."""
        step = (self.incarnation - other.incarnation) % SERIAL or (self.version - other.version) % SERIAL
        return 0 < step < SERIAL // 2


class Membership:
    """One module's view of the group.

    Args:
        module_id: own id.
        edges: links of the station file.
        rating_kw: rating of every module of the station [kW].
        incarnation: differs from that of the life before (any number does).
        silence_ns: a neighbour not heard for so long is reported dead [ns].
    """

    def __init__(
        self, module_id: int, edges: Edges, rating_kw: Mapping[int, float], incarnation: int, silence_ns: int
    ) -> None:
        self._module_id = module_id
        self._rating_kw = dict(rating_kw)
        self._wired: Adjacency = adjacency(rating_kw, edges)
        self._silence_ns = silence_ns
        self._heard_ns: dict[int, int] = {}
        own = LinkReport(module_id, incarnation % SERIAL, 0, 1 << (module_id - 1))
        self._reports = {module_id: own}
        self._news = [module_id]
        self.taking_part = True
        self.group = self._conclude()

    @property
    def neighbours(self) -> Sequence[int]:
        """Neighbours by the station file."""
        return self._wired[self._module_id]

    def hear(self, neighbour: int, now_ns: int) -> None:
        """Any valid message of a neighbour came in."""
        if neighbour in self.neighbours:
            self._heard_ns[neighbour] = now_ns

    def take(self, report: LinkReport) -> None:
        """Take in a report that a neighbour sent or passed on; strangers are ignored."""
        if report.origin not in self._rating_kw:
            return
        known = self._reports.get(report.origin)
        if report.origin == self._module_id:
            if report != known and known and not known.newer_than(report):
                self._issue(known.alive, report.incarnation, report.version)
        elif known is None or report.newer_than(known):
            self._reports[report.origin] = report
            self._spread(report.origin)

    def update(self, now_ns: int) -> bool:
        """Notice silence and conclude anew; True when members, links or incarnations changed."""
        alive = 0
        if self.taking_part:
            alive = 1 << (self._module_id - 1)
            for neighbour, heard_ns in self._heard_ns.items():
                if now_ns - heard_ns < self._silence_ns:
                    alive |= 1 << (neighbour - 1)
        own = self._reports[self._module_id]
        if alive != own.alive:
            self._issue(alive, own.incarnation, own.version)
        group = self._conclude()
        changed = group != self.group
        self.group = group
        return changed

    def next_report(self) -> LinkReport:
        """The report to send next: what changed lately first, then all in turn."""
        origin = self._news.pop(0)
        self._news.append(origin)
        return self._reports[origin]

    @property
    def known(self) -> int:
        """Number of modules whose report is in hand."""
        return len(self._reports)

    def present_rating_kw(self) -> float:
        """Rating of all modules of the station that have not politely left [kW]."""
        left = {k for k, r in self._reports.items() if not r.alive >> (k - 1) & 1}
        return sum(kw for k, kw in self._rating_kw.items() if k not in left)

    def _issue(self, alive: int, incarnation: int, version: int) -> None:
        self._reports[self._module_id] = LinkReport(
            self._module_id, incarnation, (version + 1) % SERIAL, alive
        )
        self._spread(self._module_id)

    def _spread(self, origin: int) -> None:
        if origin in self._news:
            self._news.remove(origin)
        self._news.insert(0, origin)

    def _conclude(self) -> Group:
        def hears(a: int, b: int) -> bool:
            report = self._reports.get(a)
            return report is not None and bool(report.alive >> (a - 1) & report.alive >> (b - 1) & 1)

        links = [(a, b) for a, others in self._wired.items() for b in others if a < b and hears(a, b) and hears(b, a)]
        members = tuple(sorted(hops_from(self._module_id, adjacency(self._wired, links))))
        edges = tuple(sorted((a, b) for a, b in links if a in members))
        incarnations = [self._reports[k].incarnation for k in members]
        text = repr((members, edges, incarnations)).encode()
        rating = {k: self._rating_kw[k] for k in members}
        return Group(members, edges, rating, zlib.crc32(text) & 0xFFFF)
