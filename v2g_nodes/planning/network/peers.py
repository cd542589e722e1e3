"""The same problem as one mixed-integer cone program, solved by SCIP: through cvxpy, as the source does, or directly.

Both are measured beside the certified method. The time is the solver's own, without that of building the model. Each
run has a process of its own, which is ended where the solver does not heed its time limit.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from importlib.util import find_spec
from multiprocessing.connection import Connection
from typing import TypeVar

import numpy as np

from v2g_nodes.core.errors import InputError, V2gError
from v2g_nodes.planning.network.instance import Instance
from v2g_nodes.planning.network.peer_problem import PeerResult

Result = TypeVar("Result")
PEERS = ("scip-cvxpy", "scip")
PACKAGES = {"scip-cvxpy": ("cvxpy", "pyscipopt"), "scip": ("pyscipopt",)}
BUILD_S = 60.0  # for building a model, and for stopping


class PeerError(V2gError, RuntimeError):
    """A peer's process ended without an answer."""


def solve_peer(instance: Instance, peer: str, seconds_max: float = 600.0) -> PeerResult:
    """Solve an instance by a peer.

    Args:
        instance: the same that we solve.
        peer: one of PEERS.
        seconds_max: time limit of the solver.

    Raises:
        InputError: unknown peer, or its packages are not installed.
        PeerError: its process ended without an answer.
    """
    if peer not in PEERS:
        raise InputError(f"peer {peer!r}, allowed {', '.join(PEERS)}")
    for package in PACKAGES[peer]:
        if find_spec(package) is None:
            raise InputError(f"peer {peer}: package {package} is not installed, allowed with it")
    began = time.perf_counter()
    found = within(seconds_max + BUILD_S, _solve, instance, peer, seconds_max)
    if found is not None:
        return found
    seconds, nothing = time.perf_counter() - began, np.zeros((len(instance.vehicles), instance.slots))
    status = f"ended after {seconds:.0f} s, as it did not heed its limit of {seconds_max:g} s"
    return PeerResult(False, np.nan, np.nan, seconds, seconds, nothing, status)


def _solve(instance: Instance, peer: str, seconds_max: float) -> PeerResult:
    if peer == "scip":
        from v2g_nodes.planning.network.peer_scip import by_scip

        return by_scip(instance, seconds_max)
    from v2g_nodes.planning.network.peer_cvxpy import by_cvxpy

    return by_cvxpy(instance, seconds_max)


def within(seconds_max: float, job: Callable[..., Result], *arguments: object) -> Result | None:
    """Do a job in a process of its own; None where it takes longer, and the process is ended.

    Args:
        seconds_max: from the start of the process on [s].
        job: of a module that can be imported.
        arguments: of the job, as its result to be sent between processes.

    Raises:
        PeerError: the process ended without an answer; says why if it said so.
    """
    context = multiprocessing.get_context("spawn")  # a fork would take threads of solvers along
    ear, mouth = context.Pipe(duplex=False)
    process = context.Process(target=_tell, args=(mouth, job, arguments), daemon=True)
    process.start()
    mouth.close()
    try:
        if not ear.poll(seconds_max):
            return None
        result, why = ear.recv()
    except EOFError:
        result, why = None, "no word"
    finally:
        process.kill()
        process.join()
        ear.close()
    if why:
        raise PeerError(f"the peer's process ended without an answer: {why}")
    return result  # type: ignore[no-any-return]


def _tell(mouth: Connection, job: Callable[..., object], arguments: tuple[object, ...]) -> None:
    try:
        mouth.send((job(*arguments), ""))
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent is to say it
        mouth.send((None, f"{type(error).__name__}: {error}"))
