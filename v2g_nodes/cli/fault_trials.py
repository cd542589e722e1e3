"""The faults of `v2g bench faults` that are made in the running station, one function each."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from v2g_nodes.cli.fault_arena import RECOVERED_S, Arena, Outcome, hardware_process, optimizer_process

EPOCH_S = 0.015  # s, an agreement is over after this
STOP_S = (0.3, 3.0)  # s, for which a process does not run
LINK_CUT_S = 2.0  # s
HALVES_S = 5.0  # s
LOSS, LOSS_BEFORE_S = 0.2, (0.5, 1.5)  # share, and so long [s] before the death in it
CORRUPT, CORRUPT_S = 0.05, 4.0  # share, s
LIES = ("nan", "range", "frozen", "stuck")
LIE_FOUND_S = 15.0  # s; a power that stays shows only when the agreed one moves, every few epochs
CLOCK_STEP_S, CLOCK_S = 3600.0, 4.0  # s, and for so long
STATION_NODES = ("grid_signal", "market_planner", "station_monitor", "plant")


def kill_optimizer(arena: Arena) -> Outcome:
    """SIGKILL for an optimizer's process."""
    k = arena.chance.choice(arena.modules)
    name = optimizer_process(k)
    return arena.after_deaths(arena.kill(name), [name], _others(arena, k))


def kill_module(arena: Arena) -> Outcome:
    """SIGKILL for a process with hardware and droop."""
    k = arena.chance.choice(arena.modules)
    name = hardware_process(k)
    return arena.after_deaths(arena.kill(name), [name], _others(arena, k))


def kill_both(arena: Arena) -> Outcome:
    """SIGKILL for both processes of a module; there is one spare."""
    k = arena.chance.choice(arena.modules)
    names = [hardware_process(k), optimizer_process(k)]
    arena.chance.shuffle(names)
    return arena.after_deaths(arena.kill(*names), names, _others(arena, k), spare_ready=False)


def kill_two(arena: Arena) -> Outcome:
    """Processes of two modules die at once; there is one spare."""
    victims = arena.chance.sample(arena.modules, 2)
    kinds = [arena.chance.choice((hardware_process, optimizer_process)) for _ in victims]
    names = [kind(k) for kind, k in zip(kinds, victims, strict=True)]
    return arena.after_deaths(arena.kill(*names), names, _others(arena, *victims), spare_ready=False)


def kill_again(arena: Arena) -> Outcome:
    """A second optimizer dies before there is a new spare."""
    first, second = arena.chance.sample(arena.modules, 2)
    names = [optimizer_process(k) for k in (first, second)]
    arena.kill(names[0])
    arena.until(lambda: arena.replaced(names[0]), RECOVERED_S)
    arena.wait(arena.chance.uniform(0.0, 0.5))
    return arena.after_deaths(arena.kill(names[1]), names, _others(arena, first, second), spare_ready=False)


def kill_in_epoch(arena: Arena) -> Outcome:
    """An optimizer dies while its epoch is agreed on."""
    k = arena.chance.choice(arena.modules)
    name = optimizer_process(k)
    arena.into_epoch(arena.chance.uniform(0.0, EPOCH_S))
    return arena.after_deaths(arena.kill(name), [name], _others(arena, k))


def kill_station_node(arena: Arena) -> Outcome:
    """A node of the station dies: nothing may depend on it."""
    name = arena.chance.choice([name for name in STATION_NODES if arena.supervisor.is_ready(name)])
    return replace(arena.after_deaths(arena.kill(name), [name], arena.modules), rejoin_s=None)


def stop_optimizer(arena: Arena) -> Outcome:
    """An optimizer's process does not run for a while (SIGSTOP, SIGCONT)."""
    k = arena.chance.choice(arena.modules)
    return _stop(arena, optimizer_process(k), k)


def stop_module(arena: Arena) -> Outcome:
    """A process with hardware and droop does not run for a while."""
    k = arena.chance.choice(arena.modules)
    return _stop(arena, hardware_process(k), k)


def _stop(arena: Arena, name: str, k: int) -> Outcome:
    with arena.stopped(name) as begun_ns:
        arena.wait(arena.chance.uniform(*STOP_S))
    ended_ns = time.monotonic_ns()
    recovered, merge_s = arena.together_again(ended_ns)
    agreed_ns = arena.watch.agreed_ns(_others(arena, k), begun_ns, other_than=arena.group)
    return Outcome(recovered, recover_s=None if agreed_ns is None else (agreed_ns - begun_ns) / 1e9, merge_s=merge_s,
                   text="" if recovered else arena.what_is_missing())


def cut_link(arena: Arena) -> Outcome:
    """One link is dead for a while; the others have another way on most graphs."""
    return _cut(arena, [arena.chance.choice(arena.edges)], LINK_CUT_S)


def cut_halves(arena: Arena) -> Outcome:
    """The station falls into two halves and comes together again."""
    half = _half(arena)
    return _cut(arena, [(a, b) for a, b in arena.edges if (a in half) != (b in half)], HALVES_S)


def _half(arena: Arena) -> set[int]:
    """Half of the modules, neighbours of each other: grown from one of them."""
    half, size = {arena.chance.choice(arena.modules)}, len(arena.modules) // 2
    while len(half) < size:
        near = sorted({k for edge in arena.edges if (edge[0] in half) != (edge[1] in half) for k in edge} - half)
        half.add(arena.chance.choice(near))
    return half


def _cut(arena: Arena, links: list[tuple[int, int]], seconds: float) -> Outcome:
    islands = arena.islands(without=links)
    with arena.cut(links) as begun_ns:
        arena.wait(seconds)
        agreed_ns = arena.island_agreed_ns(islands, begun_ns)
        fault = arena.watch.island_fault(islands, arena.ratings_kw, begun_ns)
        parted = arena.watch.group()
    ended_ns = time.monotonic_ns()
    if agreed_ns is None:
        fault = fault or f"no agreement in each of {[sorted(island) for island in islands]}"
    recovered, merge_s = arena.together_again(ended_ns, parted)
    return Outcome(recovered and not fault, recover_s=None if agreed_ns is None else (agreed_ns - begun_ns) / 1e9,
                   merge_s=merge_s, text=fault or ("" if recovered else arena.what_is_missing()))


def lose_messages(arena: Arena) -> Outcome:
    """A fifth of all messages between neighbours is lost, and an optimizer dies meanwhile."""
    k = arena.chance.choice(arena.modules)
    name = optimizer_process(k)
    with arena.everywhere(trial_loss=LOSS):
        arena.wait(arena.chance.uniform(*LOSS_BEFORE_S))
        killed_ns = arena.kill(name)
        arena.until(lambda: arena.replaced(name), RECOVERED_S)
        arena.set(k, "optimizer", trial_loss=LOSS)  # its host reads this after its role
        return arena.after_deaths(killed_ns, [name], _others(arena, k))


def corrupt_messages(arena: Arena) -> Outcome:
    """Bits of some messages between neighbours are flipped."""
    with arena.everywhere(trial_corrupt=CORRUPT):
        arena.wait(CORRUPT_S)
    recovered, merge_s = arena.together_again(time.monotonic_ns())
    return Outcome(recovered, merge_s=merge_s, text="" if recovered else arena.what_is_missing())


def lie(arena: Arena, sort: str) -> Outcome:
    """An optimizer tells its neighbours what is not so: the others go on without it until it is sane again."""
    k = arena.chance.choice(arena.modules)
    islands = arena.islands(gone=[k])
    begun_ns = time.monotonic_ns()
    try:
        arena.set(k, "optimizer", trial_lie=sort)
        excluded = arena.until(lambda: arena.island_agreed_ns(islands, begun_ns) is not None, LIE_FOUND_S)
        arena.wait(1.0)
    finally:
        arena.set(k, "optimizer", trial_lie="")
    agreed_ns = arena.island_agreed_ns(islands, begun_ns)
    ended_ns = time.monotonic_ns()
    recovered, merge_s = arena.together_again(ended_ns)
    text = "" if excluded else f"module {k}, lie {sort}: not excluded within {LIE_FOUND_S:g} s"
    return Outcome(excluded and recovered, merge_s=merge_s,
                   exclude_s=None if agreed_ns is None else (agreed_ns - begun_ns) / 1e9,
                   text=text or ("" if recovered else f"lie {sort}: {arena.what_is_missing()}"))


def step_clock(arena: Arena) -> Outcome:
    """The clock of one module's host is wrong by an hour for a while."""
    k, step_s = arena.chance.choice(arena.modules), arena.chance.choice((-CLOCK_STEP_S, CLOCK_STEP_S))
    nodes = ("module", "droop", "optimizer")
    try:
        for node in nodes:
            arena.set(k, node, trial_clock_step_s=step_s)
        begun_ns = time.monotonic_ns()
        arena.wait(CLOCK_S)
        agreed = arena.all_agreed_ns(begun_ns) is not None
    finally:
        for node in nodes:
            arena.set(k, node, trial_clock_step_s=0.0)
    recovered, merge_s = arena.together_again(time.monotonic_ns())
    text = "" if agreed else f"module {k}: no agreement of all while its clock is wrong by {step_s:+g} s"
    return Outcome(recovered and agreed, merge_s=merge_s, text=text or ("" if recovered else arena.what_is_missing()))


def _lie(sort: str) -> Callable[[Arena], Outcome]:
    return lambda arena: lie(arena, sort)


def _others(arena: Arena, *gone: int) -> list[int]:
    return [k for k in arena.modules if k not in gone]


#: name of a kind -> what it does
LIVE_KINDS: Mapping[str, Callable[[Arena], Outcome]] = {
    "optimizer": kill_optimizer,
    "module": kill_module,
    "both": kill_both,
    "two": kill_two,
    "again": kill_again,
    "in_epoch": kill_in_epoch,
    "station": kill_station_node,
    "stop_optimizer": stop_optimizer,
    "stop_module": stop_module,
    "link": cut_link,
    "halves": cut_halves,
    "loss": lose_messages,
    "corrupt": corrupt_messages,
    **{f"lie_{sort}": _lie(sort) for sort in LIES},
    "clock": step_clock,
}
