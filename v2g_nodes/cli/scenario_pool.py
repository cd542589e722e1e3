"""Scenarios in processes of their own, as many at a time as there are processors. Nothing is left behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from v2g_nodes.cli.scenario_station import build_parts
from v2g_nodes.core.errors import V2gError
from v2g_nodes.sim.scenario_figures import ScenarioResult
from v2g_nodes.sim.scenario_file import Scenario
from v2g_nodes.sim.scenario_run import ScenarioRun

TOLD_S = 0.1  # s, how often a worker tells its progress

#: place of the scenario, epochs played
OnProgress = Callable[[int, int], None]


class WorkerError(V2gError, RuntimeError):
    """A scenario's process ended without a result."""


def play(scenario: Scenario, algorithm: str, progress: Callable[[int], None] = lambda _: None) -> ScenarioResult:
    """Build the station and play the scenario in this process."""
    return ScenarioRun(scenario, build_parts(scenario, algorithm)).play(progress)


def play_all(
    scenarios: Sequence[Scenario], algorithm: str, workers: int, on_progress: OnProgress
) -> list[ScenarioResult]:
    """Play scenarios, those with the most work first.

    Args:
        scenarios: what to play.
        algorithm: how the modules agree.
        workers: processes at a time, at least 1.
        on_progress: told now and then.

    Returns:
        Results in the order of the scenarios.

    Raises:
        WorkerError: a process died, or its run raised.
        KeyboardInterrupt: Ctrl-C; the processes are gone.
    """
    context = multiprocessing.get_context("spawn")
    left = sorted(range(len(scenarios)), key=lambda place: scenarios[place].work)
    running: dict[Connection, tuple[int, BaseProcess]] = {}
    results: dict[int, ScenarioResult] = {}
    try:
        while left or running:
            while left and len(running) < workers:
                place = left.pop()
                mine, theirs = context.Pipe(duplex=False)
                process = context.Process(target=_work, args=(theirs, scenarios[place], algorithm), daemon=True)
                process.start()
                theirs.close()
                running[mine] = place, process
            ready = wait(list(running))
            for connection in [mine for mine in running if mine in ready]:
                place, worker = running[connection]
                message = _receive(connection, scenarios[place].name)
                if isinstance(message, ScenarioResult):
                    results[place] = message
                    del running[connection]
                    worker.join()
                else:
                    on_progress(place, message)
    finally:
        for _, worker in running.values():
            worker.kill()
            worker.join()
    return [results[place] for place in range(len(scenarios))]


def _receive(connection: Connection, name: str) -> ScenarioResult | int:
    try:
        message = connection.recv()
    except EOFError:
        raise WorkerError(f"scenario {name}: its process died") from None
    if isinstance(message, str):
        raise WorkerError(f"scenario {name}: {message}")
    return message  # type: ignore[no-any-return]


def _work(connection: Connection, scenario: Scenario, algorithm: str) -> None:
    """The worker: tells its progress, then sends the result, or the text of what went wrong."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends its workers
    parent, told_s = os.getppid(), time.monotonic()

    def tell(epochs: int) -> None:
        nonlocal told_s
        if time.monotonic() - told_s >= TOLD_S:
            if os.getppid() != parent:  # killed; nobody waits for this any more
                os._exit(1)
            told_s = time.monotonic()
            connection.send(epochs)

    try:
        connection.send(play(scenario, algorithm, tell))
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent must hear of it
        connection.send(f"{type(error).__name__}: {error}")
