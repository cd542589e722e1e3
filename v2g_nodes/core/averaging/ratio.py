"""Average that survives lost, repeated and reordered frames and waits for nobody: ratio consensus on running sums.

Recursion. A member holds a mass of values x and a mass of weight w, at first its values and 1. To broadcast it divides
both into equal shares, one for itself and one for each hearer, adds a share to its running sums and sends only these;
one frame serves all. A hearer takes what the sums have grown by since the last frame it has of that sender:

    share = (x, w) / (1 + hearers),   sums += share,   (x, w) -= hearers share;      (x, w) += sums_j - heard_j.

Mean: x / w. What a lost frame carried comes with the next one; a repeated frame brings nothing; an older one has a
smaller running weight and is ignored.

Convergence. x / w tends to the mean at every member if the directed links that deliver again and again join the group
strongly; geometrically fast if none fails for ever longer. No round is waited for, and no number of rounds is known:
a member stops by another rule. All mass, held and under way, adds up to the first at any time.

Knows: how many hear it, nothing else. That number must be right, as a share nobody fetches is lost to the mean (so is
what a link that dies for good should have brought), and may not change: a new hearer would take the whole running sums.
A change of the group starts a new average, and frames must tell to which one they belong.

Precision. Running sums grow without bound, by about |mean| / (1 + hearers) and 1 / (1 + hearers) per round, and a
share is only as fine as their last bit: after k rounds the mean has an error of about k 2**-53 / w. As the sender
gives up what its sums have really grown by, not what it meant them to, the masses still add up. A member that hears
nothing halves its weight each round; below 2**-10 it keeps what it has, or its mass would shrink to that last bit and
x / w to noise. Measured on a ring of 8, largest error of any member after 10**7 rounds: 8e-10 of the mean, 1e-8 under
20 % loss; after 10**9 rounds, four months at 100 per second: 7e-8 and 1e-6.

Source: push-sum by Kempe, Dobra, Gehrke, FOCS 2003; running sums by Hadjicostis, Vaidya, Dominguez-Garcia, "Robust
distributed average consensus via exchange of running sums", IEEE Trans. Autom. Control 61, 2016.
"""

from __future__ import annotations

from collections.abc import Sequence

LEAST_WEIGHT = 2.0**-10  # below any a member settles at, 2 / n or more, up to 2000 members


class RatioAverage:
    """One member's side.

    Args:
        hearers: how many members hear this one's broadcasts.
        values: own part.
    """

    def __init__(self, hearers: int, values: Sequence[float]) -> None:
        self._hearers = hearers
        self._mass = (*values, 1.0)
        self._sums = (0.0,) * len(self._mass)
        self._heard: dict[int, tuple[float, ...]] = {}

    def broadcast(self) -> tuple[float, ...]:
        """Divide the mass; the running sums of values and, last, weight, to be sent to all hearers."""
        if self._mass[-1] < LEAST_WEIGHT:
            return self._sums
        before = self._sums
        self._sums = tuple(s + mass / (1 + self._hearers) for s, mass in zip(before, self._mass, strict=True))
        self._mass = tuple(
            mass - self._hearers * (s - b) for mass, s, b in zip(self._mass, self._sums, before, strict=True)
        )
        return self._sums

    def receive(self, sender: int, cumulative: Sequence[float]) -> None:
        """Take the mass that a frame brings.

        Args:
            sender: id of its sender.
            cumulative: the running sums in it.
        """
        heard = self._heard.get(sender, (0.0,) * len(self._mass))
        if cumulative[-1] <= heard[-1]:
            return
        self._mass = tuple(mass + s - h for mass, s, h in zip(self._mass, cumulative, heard, strict=True))
        self._heard[sender] = tuple(cumulative)

    @property
    def mass(self) -> tuple[float, ...]:
        """Mass of values and, last, weight now held."""
        return self._mass

    @property
    def mean(self) -> tuple[float, ...]:
        """Own estimate of the mean over all members."""
        *values, weight = self._mass
        return tuple(value / weight for value in values)
