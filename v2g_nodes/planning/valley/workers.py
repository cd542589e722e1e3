"""Where the blocks of a fleet are worked on: threads of this process, or workers of a Dask cluster.

Both run the same functions on the same blocks and add up in the order of the blocks, so both give the same bits.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Any, Protocol, TypeVar

import numpy as np

from v2g_nodes.core.errors import InputError
from v2g_nodes.core.types import FloatArray
from v2g_nodes.planning.valley.block import Block
from v2g_nodes.planning.valley.ramps import Ramps

Result = TypeVar("Result")
Self = TypeVar("Self", bound="ThreadWorkers")
CONNECT_S = 10.0
AHEAD = 4  # blocks per worker whose results are waited for at a time


class Workers(Protocol):
    """Blocks of a fleet and who works on them."""

    name: str

    def demand(self, price: FloatArray) -> FloatArray:
        """Let all blocks answer a price, shape (slots,); their power, shape (slots,) [kW]."""

    def each(self, job: Callable[..., Result], *arguments: object) -> Iterator[Result]:
        """`job(block, *arguments)` of every block, in their order; a few at a time, so that results need no memory."""


class ThreadWorkers:
    """Threads of this process; numpy lets go of the interpreter lock while it computes.

    Args:
        blocks: of the fleet.
        threads: how many; default one per usable core.
    """

    def __init__(self, blocks: Sequence[Block], threads: int | None = None) -> None:
        self.threads = threads or len(os.sched_getaffinity(0))
        self.name = f"{self.threads} threads"
        self._blocks = list(blocks)
        self._pool = ThreadPoolExecutor(self.threads, thread_name_prefix="valley")

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def demand(self, price: FloatArray) -> FloatArray:
        """See `Workers`."""
        ramps = Ramps(price)
        self._blocks = list(self._pool.map(lambda block: block.answer(ramps), self._blocks))
        return _sum(block.demand_kw for block in self._blocks)

    def each(self, job: Callable[..., Result], *arguments: object) -> Iterator[Result]:
        """See `Workers`."""
        for first in range(0, len(self._blocks), AHEAD * self.threads):
            some = self._blocks[first : first + AHEAD * self.threads]
            yield from self._pool.map(lambda block: job(block, *arguments), some)


class DaskWorkers:
    """Workers of a Dask cluster, each block where its last answer was made.

    Args:
        blocks: of the fleet; sent to the workers once.
        scheduler: address such as tcp://host:8786.

    Raises:
        InputError: there is no scheduler.
    """

    def __init__(self, blocks: Sequence[Block], scheduler: str) -> None:
        import distributed

        connect: Any = distributed.Client  # untyped
        try:
            self._client: Any = connect(scheduler, timeout=CONNECT_S, set_as_default=False)
        except (OSError, ValueError) as error:
            raise InputError(f"--scheduler {scheduler}: {error or 'no answer'}, allowed is the address of a Dask "
                             "scheduler such as tcp://127.0.0.1:8786") from error  # fmt: skip
        count = len(self._client.scheduler_info(n_workers=-1)["workers"])
        if not count:
            self._client.close()
            raise InputError(f"--scheduler {scheduler}: it has no workers, allowed at least one")
        self._ahead = AHEAD * count
        self.name = f"{scheduler}, {count} workers"
        self._blocks = self._client.scatter(list(blocks), hash=False)

    def __enter__(self) -> DaskWorkers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def demand(self, price: FloatArray) -> FloatArray:
        """See `Workers`."""
        self._blocks = self._client.map(_answer, self._blocks, price=price, pure=False)
        return _sum(self._client.gather(self._client.map(_demand_of, self._blocks, pure=False)))

    def each(self, job: Callable[..., Result], *arguments: object) -> Iterator[Result]:
        """See `Workers`."""
        for first in range(0, len(self._blocks), self._ahead):
            some = self._blocks[first : first + self._ahead]
            yield from self._client.gather([self._client.submit(job, block, *arguments, pure=False) for block in some])


def _answer(block: Block, price: FloatArray) -> Block:
    return block.answer(Ramps(price))


def _demand_of(block: Block) -> FloatArray | None:
    return block.demand_kw


def _sum(demands: Iterable[FloatArray | None]) -> FloatArray:
    return np.asarray(np.sum([demand for demand in demands if demand is not None], axis=0))  # all have answered
