"""Masks of one exchange: pseudorandom words that every two members share, one of them adding and the other taking away.

    y_i = v_i + sum_{j > i} F(k_ij, l) - sum_{j < i} F(k_ij, l)   mod 2^16,      sum_i y_i = sum_i v_i   mod 2^16,

with k_ij a secret of members i and j, F a pseudorandom function and l the label of the vector v: which exchange,
between whom, with which keys, on which price grid, in which pass. Masks join all pairs of members. Those between
neighbours alone would not do: the one neighbour of a leaf would know all that hides it.

Whoever knows neither k_ij nor v can't tell the y_i of two members from uniform words of the same sum. So a coalition of
members learns from the masked words what its own curves and the sum over all tell anyway, and nothing else.
That holds once per label: two vectors under one label reveal their difference. A label comes from here only through
`Labels`, which never gives one twice.

Source: Acs, Castelluccia, "I have a DREAM! Differentially private smart metering", IH 2011; Bonawitz et al., "Practical
secure aggregation for privacy-preserving machine learning", CCS 2017. F: keyed BLAKE2b (RFC 7693).
"""

from __future__ import annotations

import hashlib
import struct
from collections import deque
from collections.abc import Callable, Mapping

from v2g_nodes.core.target import caution
from v2g_nodes.core.types import EpochId

NONE, MASKS = "none", "masks"
PRIVACIES = (NONE, MASKS)

WORDS = 10  # of one vector
REMEMBERED = 1024  # labels: half an hour of epochs, or the storm of the day
_WORDS = struct.Struct(f"<{WORDS}H")
_PLACE = struct.Struct("<BB")

#: words to add to the own vector of a price grid (its bracket tag) and a pass, modulo 2^16
MaskOf = Callable[[int, int], tuple[int, ...]]


class ExchangeMasks:
    """One member's masks for one exchange.

    Args:
        member: own id.
        secrets: shared with each of the other members, 32 bytes each.
        label: names the exchange; never used before with these secrets (see Labels).
    """

    def __init__(self, member: int, secrets: Mapping[int, bytes], label: bytes) -> None:
        self._secrets = [(1 if member < k else -1, secret) for k, secret in sorted(secrets.items())]
        self._label = label

    def __call__(self, bracket: int, iteration: int) -> tuple[int, ...]:
        """Words for one vector.

        Args:
            bracket: tag of the price grid.
            iteration: pass over it, from 1.
        """
        total = [0] * WORDS
        place = self._label + _PLACE.pack(bracket, iteration)
        for sign, secret in self._secrets:
            digest = hashlib.blake2b(place, key=secret, digest_size=_WORDS.size, person=b"v2g curve mask").digest()
            total = [word + sign * mask for word, mask in zip(total, _WORDS.unpack(digest), strict=True)]
        return tuple(total)


class Labels:
    """Names of a module's exchanges, none of them twice.

    Whoever begins again under the same name, as after a pause that nobody else noticed, might do so with another curve.
    Such an exchange gets no label, and its module has to change the group's name first.
    """

    def __init__(self) -> None:
        self._last: tuple[bytes, EpochId, float] | None = None
        self._used: deque[bytes] = deque(maxlen=REMEMBERED)

    def take(self, group: bytes, epoch: EpochId, target_kw: float) -> bytes | None:
        """Label of an exchange that is about to begin; None if it may not begin under this name.

        Within one group a newer epoch is a new name, and in an epoch a smaller target. What is neither may have been
        before, so it counts as if it had. A group's name may come back too: a key of a life that is over hides the new
        one until that outbids it. Such names are told by memory.

        Args:
            group: what names members, their link reports and keys.
            epoch: of the signal.
            target_kw: of the station [kW].
        """
        if self._last is not None and self._last[0] == group:
            _, last, last_kw = self._last
            if not (epoch.newer_than(last) or (epoch == last and caution(target_kw) < caution(last_kw))):
                return None
        label = hashlib.blake2b(group + struct.pack("<IHBd", *epoch, target_kw), digest_size=32).digest()
        if label in self._used:
            return None
        self._last = group, epoch, target_kw
        self._used.append(label)
        return label
