"""Runs claims one after another or side by side, keeps each result at once, and goes on where an earlier run ended."""

from __future__ import annotations

import multiprocessing
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing.process import BaseProcess

from v2g_nodes.cli.progress import Tell
from v2g_nodes.cli.reproduce_store import Result, Store, data_of, plain
from v2g_nodes.core.errors import InputError
from v2g_nodes.sim.claims.catalogue import all_claims, mark
from v2g_nodes.sim.claims.claim import Claim, Finding, NeedsRecordingError, Setting

FAILED = "failed"
GENTLE_S = 2.0  # for a process to end by itself


def chosen(claims: Sequence[Claim], prefixes: Sequence[str]) -> list[Claim]:
    """Claims whose id begins with one of the prefixes; all where there is none.

    Raises:
        InputError: a prefix that fits no claim.
    """
    for prefix in prefixes:
        if not any(_begins(claim.id, prefix) for claim in claims):
            raise InputError(f"--only {prefix}: no claim begins so, allowed are 000 to 004 and ids below, see --list")
    return [claim for claim in claims if not prefixes or any(_begins(claim.id, prefix) for prefix in prefixes)]


def _begins(id_: str, prefix: str) -> bool:
    """Whether an id begins with a prefix that does not end inside a number."""
    behind = id_[len(prefix) :]
    return id_.startswith(prefix) and not (prefix[-1:].isdigit() and behind[:1].isdigit())


def run_claims(
    claims: Sequence[Claim], setting: Setting, store: Store, again: bool, jobs: int, tell: Tell
) -> list[Result]:  # fmt: skip
    """Results of all claims, in order; each is in the store before the next one is begun.

    Args:
        claims: to run.
        setting: of the run.
        store: where results are kept.
        again: run those too that are finished.
        jobs: processes; 1 = this one.
        tell: told what goes on.
    """
    results: dict[str, Result] = {}
    for claim in claims:
        kept = None if again else store.read(claim, mark(claim), setting)
        if kept is not None:
            results[claim.id] = kept
    todo = [claim for claim in claims if claim.id not in results]
    done = len(results)
    for claim, result in _side_by_side(todo, setting, jobs, tell) if jobs > 1 else _in_turn(todo, setting, tell, done):
        store.write(claim, result)
        results[claim.id] = result
    return [results[claim.id] for claim in claims]


def kept_results(claims: Sequence[Claim], results: Sequence[Result], setting: Setting, store: Store) -> list[Result]:
    """Results of this run, and for claims that it left out what is kept of earlier ones, or that there is nothing.

    Args:
        claims: all there are.
        results: of this run.
        setting: of the run.
        store: where results are kept.
    """
    known = {str(result["id"]): result for result in results}
    left_out = Finding("not run", reason="left out by --only")
    found = []
    for claim in claims:
        result = known.get(claim.id) or store.read(claim, mark(claim), setting)
        found.append(result or _result(claim, setting, left_out, 0.0, 0.0))
    return found


def run_one(claim: Claim, setting: Setting) -> Result:
    """Run a claim; an error is its result, so that the others go on."""
    began, cpu = time.perf_counter(), time.process_time()
    try:
        finding = claim.check(setting)
        result = _result(claim, setting, finding, time.perf_counter() - began, time.process_time() - cpu)
    except NeedsRecordingError as error:
        result = _result(claim, setting, Finding("not run", reason=str(error)), 0.0, 0.0)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told and the other claims go on
        why = " ".join(f"{type(error).__name__}: {error}".split())
        result = _result(claim, setting, Finding("not run", reason=why), time.perf_counter() - began,
                         time.process_time() - cpu)  # fmt: skip
        result["verdict"] = FAILED
    return result


def _result(claim: Claim, setting: Setting, finding: Finding, seconds: float, cpu_seconds: float) -> Result:
    return {
        "id": claim.id, "source": claim.source, "origin": claim.origin, "claim": claim.text, "holds_if": claim.holds_if,
        "verdict": finding.verdict, "figures": plain(finding.figures), "reason": finding.reason, "seconds": seconds,
        "cpu_seconds": cpu_seconds, "size": "quick" if setting.quick else "full", "data": data_of(setting),
        "mark": mark(claim), "series": plain(finding.series),
    }  # fmt: skip


def _in_turn(claims: Sequence[Claim], setting: Setting, tell: Tell, done: int) -> Iterator[tuple[Claim, Result]]:
    for k, claim in enumerate(claims):
        tell(f"{done + k + 1} of {done + len(claims)}: {claim.id} {claim.text[:70]}")
        yield claim, run_one(claim, setting)


def _side_by_side(claims: Sequence[Claim], setting: Setting, jobs: int, tell: Tell) -> Iterator[tuple[Claim, Result]]:
    """In processes of their own, in the order in which they finish."""
    context = multiprocessing.get_context("spawn")  # a fork would take threads of solvers along
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(jobs, context, initializer=_quiet)
    try:
        waiting = {pool.submit(_run_by_id, claim.id, setting): claim for claim in claims}
        for k, future in enumerate(as_completed(waiting)):
            claim = waiting[future]
            tell(f"{k + 1} of {len(claims)} done, last {claim.id}")
            yield claim, future.result()
    except BaseException:  # Ctrl-C too: what runs now is not waited for
        pool.shutdown(wait=False, cancel_futures=True)
        _end(set(multiprocessing.active_children()) - before)
        raise
    pool.shutdown()


def _end(processes: set[BaseProcess]) -> None:
    """End processes; gently first, so that they end the children of solvers."""
    for process in processes:
        process.terminate()
    until = time.monotonic() + GENTLE_S
    for process in processes:
        process.join(max(until - time.monotonic(), 0.0))
        process.kill()


def _run_by_id(id_: str, setting: Setting) -> Result:
    return run_one(next(claim for claim in all_claims() if claim.id == id_), setting)


def _quiet() -> None:
    """The parent decides what Ctrl-C means; it ends this process so that children of solvers are ended too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
