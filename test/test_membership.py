"""Link reports and the group concluded from them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from v2g_nodes.core.graph import Edge, Edges, build_edges, hops_from
from v2g_nodes.core.membership import GUEST, NEWBORN, NEWS_COPIES, LinkReport, Membership
from v2g_nodes.sim.random_graph import random_edges

SILENCE_NS = 100


def bits(*ids: int) -> int:
    return sum(1 << (k - 1) for k in ids)


class Flood:
    """Memberships that send each other reports in rounds, each hearing whom it should."""

    def __init__(self, edges: Edges, ids: Iterable[int], lives: dict[int, int] | None = None) -> None:
        self.ids = tuple(ids)
        self.edges = edges
        self.rating = dict.fromkeys(self.ids, 3.3)
        self.now_ns = 0
        self.deaf: set[Edge] = set()  # (from, to) over which nothing passes
        self.members = {k: self.make(k, (lives or {}).get(k, 1)) for k in self.ids}

    def make(self, k: int, incarnation: int, version: int = 0) -> Membership:
        return Membership(k, self.edges, self.rating, (incarnation << 16) + version, SILENCE_NS)

    def round(self, count: int = 1) -> None:
        for _ in range(count):
            self.now_ns += 10
            sent = {k: m.next_report() for k, m in self.members.items()}
            for k, m in self.members.items():
                for j in m.neighbours:
                    if j in sent and (j, k) not in self.deaf:
                        m.hear(j, self.now_ns)
                        m.take(sent[j], j)
            for m in self.members.values():
                m.update(self.now_ns)

    def settle(self) -> None:
        self.round(SILENCE_NS // 10 + 10 * len(self.ids))

    def cut(self, *edges: Edge) -> None:
        self.deaf |= {e for a, b in edges for e in ((a, b), (b, a))}

    def groups(self) -> dict[int, tuple[int, ...]]:
        return {k: m.group.members for k, m in self.members.items()}


def flood(topology: str, n: int, lives: dict[int, int] | None = None) -> Flood:
    ids = range(1, n + 1)
    made = Flood(build_edges(topology, ids), ids, lives)
    made.settle()
    for _ in range(2):  # from guest to joining to counting
        for member in made.members.values():
            member.promote()
        made.settle()
    return made


def same_view(members: Iterable[Membership]) -> bool:
    return len({(m.group.members, m.group.edges, m.group.fingerprint) for m in members}) == 1


def sorted_ids(electorate: Iterable[int]) -> tuple[int, ...]:
    return tuple(sorted(electorate))


def weighed(station: Flood) -> set[tuple[tuple[int, ...], ...]]:
    """What each member weighs its island against."""
    return {tuple(map(sorted_ids, member.electorates())) for member in station.members.values()}


# ---- order of reports


@pytest.mark.parametrize(
    ("newer", "older"),
    [
        ((1, 5, 0), (1, 4, 0)),
        ((2, 0, 0), (1, 900, 0)),
        ((1, 0, 0), (1, 65535, 0)),
        ((1, 10, 0), (1, 65000, 0)),
        ((65535, 0, 0), (0, 5, 0)),
        ((40000, 0, 0), (1, 0, 0)),
        ((1, 5, 3), (1, 5, 1)),
    ],
)
def test_order_of_reports(newer: tuple[int, int, int], older: tuple[int, int, int]) -> None:
    assert LinkReport(7, *newer).newer_than(LinkReport(7, *older))
    assert not LinkReport(7, *older).newer_than(LinkReport(7, *newer))
    assert not LinkReport(7, *newer).newer_than(LinkReport(7, *newer))


@given(*(st.integers(0, 65535) for _ in range(3)))
def test_no_three_lives_beat_each_other_in_turn(a: int, b: int, c: int) -> None:
    lives = [LinkReport(1, life, 0, 1) for life in (a, b, c)]
    beats = [lives[k].newer_than(lives[(k + 1) % 3]) for k in range(3)]
    assert not all(beats)


def test_versions_wrap() -> None:
    station = flood("line", 2)
    for _ in range(70_000):  # a link that comes and goes more often than a version can count
        station.members[1].hear(2, station.now_ns)
        station.members[1].update(station.now_ns)
        station.now_ns += SILENCE_NS
        station.members[1].update(station.now_ns)
    station.settle()
    assert same_view(station.members.values())
    assert station.groups() == {1: (1, 2), 2: (1, 2)}


# ---- conclusions


@pytest.mark.parametrize("topology", ["ring", "line", "star", "bus", "mesh"])
@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_a_station_comes_together(topology: str, n: int) -> None:
    station = flood(topology, n)
    assert same_view(station.members.values())
    group = station.members[1].group
    assert group.members == tuple(range(1, n + 1))
    assert group.edges == station.edges
    assert group.rating_kw == station.rating


def test_at_first_a_module_is_alone() -> None:
    member = Membership(2, ((1, 2),), {1: 3.3, 2: 3.0}, 0x50007, SILENCE_NS)
    assert member.group.members == (2,)
    assert member.group.edges == ()
    assert member.group.rating_kw == {2: 3.0}
    assert not member.update(0)
    assert member.next_report() == LinkReport(2, 5, 7, bits(2), NEWBORN)


def test_a_link_counts_when_both_ends_report_it() -> None:
    member = Membership(1, ((1, 2),), {1: 3.3, 2: 3.3}, 1, SILENCE_NS)
    member.hear(2, 0)
    member.take(LinkReport(2, 1, 1, bits(2)), 2)
    assert member.update(0)
    assert member.group.members == (1,)
    assert member.heard == (2,)
    member.take(LinkReport(2, 1, 2, bits(1, 2)), 2)
    assert member.update(0)
    assert member.group.members == (1, 2)
    member.take(LinkReport(2, 1, 3, bits(1)), 2)  # hears me, takes no part
    assert member.update(0)
    assert member.group.members == (1,)


def test_links_that_the_station_file_does_not_know_count_for_nothing() -> None:
    member = Membership(1, ((1, 2),), {1: 3.3, 2: 3.3, 3: 3.3}, 1, SILENCE_NS)
    member.hear(3, 0)
    member.take(LinkReport(3, 1, 1, bits(1, 2, 3)), 2)
    member.take(LinkReport(9, 1, 1, bits(1, 9)), 2)
    member.update(0)
    assert member.group.members == (1,)
    assert member.known == 2  # 9 is no module of this station


def test_silence_is_noticed_after_its_time() -> None:
    station = flood("line", 2)
    member = station.members[1]
    member.hear(2, 1000)
    assert not member.update(1000 + SILENCE_NS - 1)
    assert member.group.members == (1, 2)
    assert member.update(1000 + SILENCE_NS)
    assert member.group.members == (1,)
    assert member.heard == ()


def test_a_death_opens_the_ring() -> None:
    station = flood("ring", 6)
    before = station.members[1].group.fingerprint
    del station.members[4]
    station.settle()
    assert same_view(station.members.values())
    group = station.members[1].group
    assert group.members == (1, 2, 3, 5, 6)
    assert group.edges == ((1, 2), (1, 6), (2, 3), (5, 6))
    assert group.fingerprint != before


def test_a_cut_makes_two_groups_and_healing_one() -> None:
    station = flood("line", 6)
    first = station.members[1].group
    station.cut((3, 4))
    station.settle()
    assert station.groups() == {**dict.fromkeys((1, 2, 3), (1, 2, 3)), **dict.fromkeys((4, 5, 6), (4, 5, 6))}
    station.deaf.clear()
    station.settle()
    assert same_view(station.members.values())
    second = station.members[1].group
    assert (second.members, second.edges) == (first.members, first.edges)
    assert second.fingerprint != first.fingerprint  # rounds from before the cut can't pass for rounds from after


@pytest.mark.parametrize("deaf", [(1, 2), (2, 1)])
def test_a_link_that_works_one_way_is_no_link(deaf: Edge) -> None:
    station = flood("line", 3)
    station.deaf.add(deaf)
    station.settle()
    assert station.groups() == {1: (1,), 2: (2, 3), 3: (2, 3)}


def test_polite_leave_and_return() -> None:
    station = flood("ring", 5)
    station.members[2].taking_part = False
    assert station.members[2].update(station.now_ns)
    report = station.members[2].next_report()
    assert (report.alive, report.standing) == (1 << 0 | 1 << 2, GUEST)  # hears its neighbours and takes no part
    station.round(4)  # no silence to wait for
    assert station.groups() == {1: (1, 3, 4, 5), 2: (2,), 3: (1, 3, 4, 5), 4: (1, 3, 4, 5), 5: (1, 3, 4, 5)}
    assert weighed(station) == {((1, 3, 4, 5), (1, 3, 4, 5))}
    station.members[2].taking_part = True
    station.settle()
    assert same_view(station.members.values())
    assert station.members[4].group.members == (1, 2, 3, 4, 5)
    assert weighed(station) == {((1, 3, 4, 5), (1, 3, 4, 5))}  # a guest
    station.members[2].promote()
    station.settle()
    assert weighed(station) == {((1, 3, 4, 5), (1, 2, 3, 4, 5))}
    station.members[2].promote()
    station.settle()
    assert weighed(station) == {((1, 2, 3, 4, 5), (1, 2, 3, 4, 5))}
    station.members[2].promote()
    assert not station.members[2].update(station.now_ns)


@pytest.mark.parametrize(("left", "counts"), [(False, (1, 2, 3, 4, 5)), (True, (1, 3, 4, 5))])
def test_a_new_life_stands_where_the_last_one_stood(left: bool, counts: tuple[int, ...]) -> None:
    station = flood("ring", 5)
    station.members[2].taking_part = not left
    station.settle()
    for incarnation in (9, 3):  # which of them is the later one they settle among themselves
        station.members[2] = station.make(2, incarnation)
        station.settle()
        assert same_view(station.members.values())
        assert station.members[2].group.members == (1, 2, 3, 4, 5)
        assert weighed(station) == {(counts, counts)}


def test_who_comes_late_for_the_first_time_is_no_leaver() -> None:
    station = flood("ring", 5)
    late = station.members[2] = station.make(2, 9)
    late.taking_part = False  # its module has not said anything yet
    station.settle()
    late.taking_part = True
    station.settle()
    assert weighed(station) == {((1, 2, 3, 4, 5), (1, 2, 3, 4, 5))}


def test_islands_that_only_a_leaver_joins_do_not_both_begin_anew() -> None:
    station = flood("line", 5)
    for member in station.members.values():
        member.taking_part = False
    station.settle()
    for k in (1, 2, 4, 5):
        station.members[k].taking_part = True
    station.settle()
    assert station.groups() == {1: (1, 2), 2: (1, 2), 3: (3,), 4: (4, 5), 5: (4, 5)}
    assert weighed(station) == {((1, 2, 4, 5),)}


@pytest.mark.parametrize(
    ("back", "dead", "weighed_against"),
    [((1, 2), (), (1, 2)), ((1, 2), (5,), (1, 2, 3, 4, 5))],
    ids=["all in sight", "one is out of sight"],
)
def test_after_all_have_left_those_that_are_back_begin_anew(
    back: tuple[int, ...], dead: tuple[int, ...], weighed_against: tuple[int, ...]
) -> None:
    station = flood("bus", 5)
    for member in station.members.values():
        member.taking_part = False
    station.settle()
    for k in dead:
        del station.members[k]
    for k in back:
        station.members[k].taking_part = True
    station.settle()
    assert {k: station.members[k].group.members for k in back} == dict.fromkeys(back, back)
    assert {tuple(map(sorted_ids, station.members[k].electorates())) for k in back} == {(weighed_against,)}


def test_the_silently_dead_stay_present_and_the_left_stay_away() -> None:
    station = flood("bus", 4)
    station.members[1].taking_part = False
    station.settle()
    del station.members[1], station.members[2]
    station.settle()
    assert station.members[3].group.members == (3, 4)
    assert weighed(station) == {((2, 3, 4), (2, 3, 4))}


# ---- further lives


@pytest.mark.parametrize("version", [1, 5, 30_000, 40_000, 65_535])
@pytest.mark.parametrize("incarnation", [1, 499, 500, 501, 33_268, 33_269, 65_535])
def test_a_restart_under_any_number_is_taken_in(incarnation: int, version: int) -> None:
    station = flood("ring", 5, {3: 500})
    before = station.members[1].group
    station.members[3] = station.make(3, incarnation, version)  # at once: nobody notices a silence
    station.settle()
    assert same_view(station.members.values())
    after = station.members[1].group
    assert after.members == before.members
    assert after.fingerprint != before.fingerprint


def test_an_outdated_neighbour_is_not_linked_on_the_word_of_its_earlier_life() -> None:
    station = flood("line", 2, {2: 500})
    station.deaf.add((1, 2))  # 2 can't hear what it should outbid
    station.members[2] = station.make(2, 400)
    station.settle()
    assert station.groups() == {1: (1,), 2: (2,)}
    station.deaf.clear()
    station.settle()
    assert station.groups() == {1: (1, 2), 2: (1, 2)}


def test_a_report_under_the_own_name_is_outbid() -> None:
    member = Membership(1, ((1, 2),), {1: 3.3, 2: 3.3}, 100 << 16, SILENCE_NS)
    member.take(LinkReport(1, 60_000, 7, bits(1, 2)), 2)
    assert member.next_report() == LinkReport(1, 60_000, 8, bits(1))
    member.take(LinkReport(1, 60_000, 8, bits(1, 2)), 2)  # same count, other content
    assert member.next_report() == LinkReport(1, 60_000, 9, bits(1))
    own = member.next_report()
    member.take(LinkReport(1, 50, 9, bits(1, 2)), 2)  # an old one
    member.take(own, 2)  # the own one come back
    assert member.next_report() == own


def test_a_neighbour_with_an_old_name_is_told_at_once() -> None:
    station = flood("bus", 8, {3: 500})
    station.members[1].take(LinkReport(3, 400, 0, bits(3)), 3)
    assert station.members[1].next_report().origin == 3


def test_neighbours_with_old_names_do_not_silence_all_other_news() -> None:
    station = flood("star", 5, dict.fromkeys((2, 3), 500))
    station.deaf |= {(1, 2), (1, 3)}
    for k in (2, 3):
        station.members[k] = station.make(k, 400)  # says so over and over, and hears nothing
    station.round(30)
    assert station.members[1]._outdated == {2, 3}
    assert {station.members[1].next_report().origin for _ in range(12)} == {1, 2, 3, 4, 5}


# ---- how news travel


def test_news_go_first_and_more_than_once() -> None:
    station = flood("bus", 8)
    member = station.members[1]
    member.take(LinkReport(5, 9, 0, bits(5)), 2)
    member.take(LinkReport(6, 9, 0, bits(6)), 2)
    sent = [member.next_report().origin for _ in range(2 * NEWS_COPIES)]
    assert sorted(sent) == [5] * NEWS_COPIES + [6] * NEWS_COPIES
    assert set(sent[:2]) == {5, 6}


def test_all_reports_come_up_in_turn() -> None:
    member = flood("bus", 8).members[4]
    for _ in range(3 * NEWS_COPIES * 8):  # whatever is news to it
        member.next_report()
    origins = [member.next_report().origin for _ in range(16)]
    assert origins.count(4) == 8 + 1, "every second one is its own"
    assert set(origins) == set(range(1, 9))


def test_a_report_passed_on_in_a_circle_ends() -> None:
    station = flood("ring", 6)
    reports = [m.next_report() for m in station.members.values()]
    station.settle()
    assert {m.group.fingerprint for m in station.members.values()} == {station.members[1].group.fingerprint}
    fingerprint = station.members[1].group.fingerprint
    for member in station.members.values():
        for report in reports:
            member.take(report, member.neighbours[0])
        assert not member.update(station.now_ns)
    assert station.members[1].group.fingerprint == fingerprint


@settings(max_examples=60, deadline=None)
@example(11, 346369)
@given(st.integers(2, 12), st.integers(0, 2**32 - 1))
def test_random_stations_end_with_one_view_per_island(n: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    ids = tuple(range(1, n + 1))
    edges = random_edges(ids, int(random.integers(0, n)), random)
    station = Flood(edges, ids, {k: int(random.integers(65536)) for k in ids})
    for _ in range(4):
        for k in ids:
            draw = random.random()
            if draw < 0.15:
                station.members.pop(k, None)
            elif draw < 0.3:
                station.members[k] = station.make(k, int(random.integers(65536)))
            elif draw < 0.45 and k in station.members:
                station.members[k].taking_part = not station.members[k].taking_part
        for edge in edges:
            draw = random.random()
            if draw < 0.2:
                station.deaf |= {edge} if draw < 0.05 else {edge, edge[::-1]}
            elif draw < 0.5:
                station.deaf -= {edge, edge[::-1]}
        station.round(int(random.integers(6)))
    station.settle()
    active = [k for k, m in station.members.items() if m.taking_part]
    good = [e for e in edges if not station.deaf & {e, e[::-1]} and set(e) <= set(active)]
    around = {k: tuple(b if a == k else a for a, b in good if k in (a, b)) for k in active}
    for k in active:
        island = sorted(hops_from(k, around))
        assert station.members[k].group.members == tuple(island)
        assert station.members[k].group.edges == tuple(e for e in good if e[0] in island)
        assert same_view(station.members[j] for j in island)


def test_every_set_of_reports_has_its_own_fingerprint() -> None:
    def fingerprint(report: LinkReport) -> int:
        member = Membership(1, ((1, 2),), {1: 3.3, 2: 3.3}, 1, SILENCE_NS)
        member.take(report, 2)
        member.update(0)
        return member.group.fingerprint

    reports = [LinkReport(2, life, version, alive) for life in range(20) for version in range(25) for alive in range(4)]
    fingerprints = {fingerprint(report) for report in reports}
    assert len(fingerprints) == len(reports)
    assert 0 <= min(fingerprints) <= max(fingerprints) < 2**32
