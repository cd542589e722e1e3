"""An algorithm written as a sequence of rounds, and the agent that plays it over a network that loses frames.

An algorithm is a generator: it yields what the module broadcasts in a round, receives what its neighbours broadcast
in the same round, and returns the result. Losses, repeats and order of frames are the exchange's business
(core/exchange.py), so they cost rounds and never change a result.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass

from v2g_nodes.core.dispatch.agent import Group, LocalProblem
from v2g_nodes.core.dispatch.price_grid import WarmStart
from v2g_nodes.core.exchange import Exchange, exchange_tag
from v2g_nodes.core.types import Agreement, Frame

COLD = 0  # bracket tag of the whole price range

Words = tuple[int, ...]
#: yields (int16 words, common exponent of two), receives the neighbours' words in the order of the links used
Rounds = Generator[tuple[Words, int], list[Words], "Result"]


@dataclass(frozen=True)
class Result:
    """What an algorithm ends with.

    Args:
        lambda_eur_per_kwh: dual price [EUR/kWh].
        power_kw: own power [kW].
        clipped_target_kw: target inside the summed boxes [kW].
        warm_start: memory for the next epoch, if the algorithm has one.
    """

    lambda_eur_per_kwh: float
    power_kw: float
    clipped_target_kw: float
    warm_start: WarmStart | None = None


class LockstepAgent:
    """One module's side of one epoch; see core/dispatch/agent.py for `step` and `agreement`.

    An algorithm is a subclass with its recursion in `_rounds`, which begins to run with the first step.

    Args:
        problem: own part of the allocation.
        group: who takes part.
        links: neighbours whose rounds are waited for.
        resend_ns: pause before a waiting member repeats its frame [ns].
        warm: what the last agreed epoch left, or None for a cold start.
    """

    def __init__(
        self,
        problem: LocalProblem,
        group: Group,
        links: Sequence[int],
        resend_ns: int,
        warm: WarmStart | None = None,
    ) -> None:
        self._problem = problem
        self.links = tuple(links)
        #: per neighbour the power that its own frames make it agree to, and how exact that is [kW]; empty if unknown
        self.powers_of_neighbours_kw: dict[int, tuple[float, float]] = {}
        self._members = len(group.members)
        self._rating_kw = group.total_rating_kw
        tag = exchange_tag(problem.epoch, group.fingerprint)
        self._exchange = Exchange(problem.module_id, links, tag, resend_ns)
        self._agreement: Agreement | None = None
        self.warm_start: WarmStart | None = None
        self._begin(warm)

    @property
    def agreement(self) -> Agreement | None:
        """The result, or None while the exchange runs."""
        return self._agreement

    @property
    def resends(self) -> int:
        """Frames sent again so far."""
        return self._exchange.resends

    @property
    def bracket(self) -> int:
        """Tag of the price grid in use; 0 is the whole range."""
        return self._exchange.bracket

    def step(self, inbox: Sequence[Frame], now_ns: int) -> list[Frame]:
        """See Agent.step; returns at most one frame."""
        for frame in inbox:
            if not self._exchange.addressed(frame):
                continue
            if frame.bracket == self._exchange.bracket:
                if self._plausible(frame):
                    self._exchange.take(frame)
            elif self._exchange.bracket != COLD and self._agreement is None:
                # Two members remember different epochs: all fall back to what needs no memory.
                self._begin(None)
                if frame.bracket == COLD:
                    self._exchange.take(frame)
        posted = self._advance(now_ns)
        again = posted or self._exchange.repeat(now_ns)
        return [again] if again else []

    def _begin(self, warm: WarmStart | None) -> None:
        """(Re)start; without memory, or with that of the epoch that the warm start names."""
        self._exchange.restart(warm.tag if warm else COLD)
        self.trace_kw: list[float] = []  # own power after each iteration, one for each answer to the group
        self._algorithm = self._rounds(warm)
        self._started = False

    def _rounds(self, warm: WarmStart | None) -> Rounds:
        """The algorithm."""
        raise NotImplementedError

    def _plausible(self, frame: Frame) -> bool:
        """Whether the algorithm can make anything of these words."""
        return True

    def _advance(self, now_ns: int) -> Frame | None:
        """Do all rounds that the frames in hand allow; the frame of the last one, if any."""
        latest = None
        while self._agreement is None:
            try:
                if self._started:
                    received = self._exchange.complete()
                    if received is None:
                        break
                    words, exponent = self._algorithm.send(received)
                else:
                    self._started = True
                    words, exponent = next(self._algorithm)
            except StopIteration as end:
                self._finish(end.value)
                break
            latest = self._exchange.post(words, exponent, now_ns)
        return latest

    def _finish(self, result: Result) -> None:
        self._exchange.finished = True
        self.warm_start = result.warm_start
        self._agreement = Agreement(
            lambda_eur_per_kwh=result.lambda_eur_per_kwh,
            power_kw=self._problem.box.clip(result.power_kw),
            target_kw=self._problem.target_kw,
            clipped_target_kw=result.clipped_target_kw,
            rounds=self._exchange.round + 1,
            cold=self._exchange.bracket == COLD,
            iterations=len(self.trace_kw),
        )
