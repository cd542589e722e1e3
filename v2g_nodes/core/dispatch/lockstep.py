"""An algorithm written as a sequence of rounds, and the agent that plays it over a network that loses frames.

An algorithm is a generator: it yields what the module broadcasts in a round, receives what its neighbours broadcast
in the same round, and returns the result. Losses, repeats and order of frames are the exchange's business
(core/exchange.py), so they cost rounds and never change a result.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from v2g_nodes.core.dispatch.agent import Group, LocalProblem
from v2g_nodes.core.dispatch.price_grid import WarmStart
from v2g_nodes.core.errors import MaskError
from v2g_nodes.core.exchange import Exchange, exchange_tag
from v2g_nodes.core.types import Agreement, Frame

Outcome = TypeVar("Outcome")

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


class RoundsAgent(Generic[Outcome]):
    """One member's side of an exchange in rounds; see core/dispatch/agent.py for `step`.

    An algorithm is a subclass with its recursion in `_rounds`, which begins to run with the first step.

    Args:
        member: own id.
        links: neighbours whose rounds are waited for.
        tag: names the exchange, the same at every member.
        resend_ns: pause before a waiting member repeats its frame [ns].
        warm: what the last exchange left, or None for a cold start.
    """

    def __init__(
        self, member: int, links: Sequence[int], tag: int, resend_ns: int, warm: WarmStart | None = None
    ) -> None:
        self.links = tuple(links)
        self.failed = ""  # why there will be no result, in words; neighbours are answered all the same
        self._exchange = Exchange(member, links, tag, resend_ns)
        self._outcome: Outcome | None = None
        self._begin(warm)

    @property
    def agreement(self) -> Outcome | None:
        """The result, or None while the exchange runs."""
        return self._outcome

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
            elif self._exchange.bracket != COLD and self._outcome is None:
                # Two members remember different epochs: all fall back to what needs no memory.
                self._begin(None)
                if frame.bracket == COLD:
                    self._exchange.take(frame)
        posted = self._advance(now_ns)
        again = posted or self._exchange.repeat(now_ns)
        return [again] if again else []

    def _begin(self, warm: WarmStart | None) -> None:
        """(Re)start; without memory, or with that of the exchange that the warm start names."""
        self._exchange.restart(warm.tag if warm else COLD)
        self.failed = ""
        self._algorithm = self._rounds(warm)
        self._started = False

    def _rounds(self, warm: WarmStart | None) -> Generator[tuple[Words, int], list[Words], Any]:
        """The algorithm; what it returns is given to `_concluded`."""
        raise NotImplementedError

    def _concluded(self, result: Any) -> Outcome:  # noqa: ANN401 - what the subclass's own `_rounds` returns
        """The outcome to tell."""
        raise NotImplementedError

    def _plausible(self, frame: Frame) -> bool:
        """Whether the algorithm can make anything of these words."""
        return True

    def _advance(self, now_ns: int) -> Frame | None:
        """Do all rounds that the frames in hand allow; the frame of the last one, if any."""
        latest = None
        while self._outcome is None and not self.failed:
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
                self._exchange.finished = True
                self._outcome = self._concluded(end.value)
                break
            except MaskError as error:
                self._exchange.finished = True
                self.failed = str(error)
                break
            latest = self._exchange.post(words, exponent, now_ns)
        return latest


class LockstepAgent(RoundsAgent[Agreement]):
    """One module's side of one epoch; see core/dispatch/agent.py for `step` and `agreement`.

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
        #: per neighbour the power that its own frames make it agree to, and how exact that is [kW]; empty if unknown
        self.powers_of_neighbours_kw: dict[int, tuple[float, float]] = {}
        self._members = len(group.members)
        self._rating_kw = group.total_rating_kw
        self.warm_start: WarmStart | None = None
        super().__init__(problem.module_id, links, exchange_tag(problem.epoch, group.fingerprint), resend_ns, warm)

    def _begin(self, warm: WarmStart | None) -> None:
        self.trace_kw: list[float] = []  # own power after each iteration, one for each answer to the group
        super()._begin(warm)

    def _rounds(self, warm: WarmStart | None) -> Rounds:
        """The algorithm."""
        raise NotImplementedError

    def _concluded(self, result: Result) -> Agreement:
        self.warm_start = result.warm_start
        return Agreement(
            lambda_eur_per_kwh=result.lambda_eur_per_kwh,
            power_kw=self._problem.box.clip(result.power_kw),
            target_kw=self._problem.target_kw,
            clipped_target_kw=result.clipped_target_kw,
            rounds=self._exchange.round + 1,
            cold=self._exchange.bracket == COLD,
            iterations=len(self.trace_kw),
        )
