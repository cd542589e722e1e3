"""Ball sums of int16 words that wrap round: for addends that are spread over all 65536 values.

The recursion of core/averaging/ball_sum.py has integer coefficients, so it holds modulo 2^16, whatever size the addends
have. A sum that is known to fit int16 comes out exactly, as it is the only one of its class.

Even rings. There the plain sum halves the last two balls taken together, which modulo 2^16 loses the highest bit. The
missing member's word is found instead. With a and b the neighbours, A(r) the word of the member r hops away through a,

    A(0) = own,   A(1) = S_a(0),   A(r) = S_a(r-1) - S_a(r-2) - B(r-2),      total = S(n/2 - 1) + A(n/2),

because the ball around a grows by one member on each side, and on the side of b that is B(r-2).
(DERIVED. It also shows that a ball sum hides nothing by itself: on a ring each member learns every word.)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from v2g_nodes.core.averaging.ball_sum import BallSum, SumPlan

WORD_BITS = 16
_HALF, _ALL = 1 << (WORD_BITS - 1), 1 << WORD_BITS

Words = tuple[int, ...]


def wrap(values: Iterable[int]) -> Words:
    """The int16 of the same class modulo 2^16, of each."""
    return tuple((value + _HALF) % _ALL - _HALF for value in values)


class WrappedSum(BallSum):
    """One member's side of one sum modulo 2^16; see BallSum.

    Args:
        plan: the group's plan.
        member: own id.
        values: own integers, of any size.
    """

    def __init__(self, plan: SumPlan, member: int, values: Sequence[int]) -> None:
        super().__init__(plan, member, wrap(values))
        own = self._ball
        nothing = (0,) * len(own)
        self._balls = (nothing, nothing)  # last ones of either neighbour, on an even ring
        self._arms = [(own, own)]  # words of the members so many hops away, through either neighbour

    def advance(self, received: Iterable[Sequence[int]]) -> None:
        """End a round; see BallSum."""
        balls = [tuple(ball) for ball in received]
        if self._plan.even_ring:
            self._reach((balls[0], balls[1]))
        super().advance(balls)
        self._ball = wrap(self._ball)

    def _reach(self, balls: tuple[Words, Words]) -> None:
        """The two members one hop further."""
        before, self._balls = self._balls, balls
        a, b = (_less(now, then) for now, then in zip(balls, before, strict=True))
        if len(self._arms) > 1:
            inner_a, inner_b = self._arms[-2]
            a, b = _less(a, inner_b), _less(b, inner_a)
        self._arms.append((a, b))

    @property
    def total(self) -> Words:
        """Sum over all members modulo 2^16; meaningful once `done`."""
        if self._plan.even_ring:
            opposite = self._arms[-1][0]
            return wrap(a + b for a, b in zip(self._ball_before, opposite, strict=True))
        return self._ball


def _less(these: Sequence[int], those: Sequence[int]) -> Words:
    return wrap(a - b for a, b in zip(these, those, strict=True))
