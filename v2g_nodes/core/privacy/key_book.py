"""Public keys go round: each module floods its own and those it hears, so every two members come to share a secret.

A module makes its key when it starts and says since when it lives; of two keys of one module the later one counts. Who
hears an other one under its own name with a stamp that is not older outbids it, as after a clock that was set back.
Each message carries a checksum over the sender's whole book: while a neighbour's differs, keys go out as fast as link
reports, otherwise one a second.

Keys are not signed. Who can forge messages of others (not only listen) can put its own key in their place; against
that stand the keys of DDS-Security and of the bus.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

PUBLIC_BYTES = 32
CALM_NS = 1_000_000_000  # pause between two keys while all neighbours have the same
NEWS_COPIES = 3  # as of link reports (core/membership.py)
PER_GO = 4  # while books differ a key more goes out at a time for each so many known
STAMP_MAX = 2**64 - 1


class KeyPair(Protocol):
    """A module's key of one life; X25519 (RFC 7748) in nodes/key_pair.py."""

    @property
    def public(self) -> bytes:
        """The public part, 32 bytes."""
        ...

    def secret(self, public: bytes) -> bytes:
        """What this key and the public part of another one have in common, the same at both."""
        ...


@dataclass(frozen=True)
class KeyReport:
    """A public key, its owner's or passed on (see msg/MaskKey.msg).

    Args:
        sender: module id of the sender.
        origin: whose key.
        stamp: start of the origin's life, larger for later ones; 0 to 2^64 - 1.
        public: the key.
        book: checksum of all keys of the sender.
    """

    sender: int
    origin: int
    stamp: int
    public: bytes
    book: int


class KeyBook:
    """One module's keys of all modules.

    Args:
        module_id: own id.
        ids: modules of the station.
        pair: own key.
        stamp: start of the own life, see KeyReport.
        pace_ns: pause between two keys while a neighbour has others than this module [ns].
        slow_ns: the same once that has lasted for patience_ns [ns].
        patience_ns: see slow_ns [ns].
    """

    def __init__(
        self,
        module_id: int,
        ids: Iterable[int],
        pair: KeyPair,
        stamp: int,
        pace_ns: int,
        slow_ns: int,
        patience_ns: int,
    ) -> None:
        self._module_id, self._ids, self._pair = module_id, frozenset(ids), pair
        self._pace_ns, self._slow_ns, self._patience_ns = pace_ns, slow_ns, patience_ns
        self._keys = {module_id: (stamp % (STAMP_MAX + 1), pair.public)}
        self._secrets: dict[bytes, bytes] = {}  # by public key
        self._books: dict[int, int] = {}  # as neighbours told last
        self._news: deque[int] = deque([module_id] * NEWS_COPIES)
        self._turns: deque[int] = deque([module_id])
        self._sent_ns = self._unrest_ns = -(1 << 62)
        self.version = 0  # changes with the content
        self._book = self._checksum()

    def take(self, report: KeyReport, now_ns: int) -> None:
        """Take in a key that a neighbour sent or passed on; those of strangers are ignored."""
        if self._books.get(report.sender) != report.book:
            self._books[report.sender], self._unrest_ns = report.book, now_ns
        if report.origin not in self._ids:
            return
        known = self._keys.get(report.origin)
        heard = (report.stamp, report.public)
        if report.origin == self._module_id:
            if known is not None and heard != known and heard >= known:
                self._store(report.origin, (min(report.stamp + 1, STAMP_MAX), self._pair.public), now_ns)
        elif known is None or heard > known:
            self._store(report.origin, heard, now_ns)

    def stirred(self, now_ns: int) -> None:
        """The group has changed: neighbours may lack keys."""
        self._unrest_ns = now_ns

    def due(self, neighbours: Sequence[int], most: int, now_ns: int) -> list[KeyReport]:
        """Keys to send now.

        Args:
            neighbours: those that are heard.
            most: at a time.
            now_ns: steady time [ns].
        """
        level = all(self._books.get(k) == self._book for k in neighbours) and not self._news
        patient = now_ns - self._unrest_ns < self._patience_ns
        if now_ns - self._sent_ns < (CALM_NS if level else self._pace_ns if patient else self._slow_ns):
            return []
        self._sent_ns = now_ns
        copies = 1 if level or not patient else min(1 + len(self._keys) // PER_GO, most)
        return [self._next() for _ in range(copies)]

    def lacking(self, members: Iterable[int]) -> list[int]:
        """Those whose key is not in hand."""
        return [k for k in members if k not in self._keys]

    def digest(self, members: Iterable[int]) -> bytes:
        """Names the members' keys, all in hand."""
        return hashlib.blake2b(b"".join(self._keys[k][1] for k in members), digest_size=32).digest()

    def secrets(self, members: Iterable[int]) -> dict[int, bytes]:
        """What this module shares with each of the other members, 32 bytes each; all keys in hand."""
        return {k: self._secret(self._keys[k][1]) for k in members if k != self._module_id}

    def _secret(self, public: bytes) -> bytes:
        if public not in self._secrets:
            ends = b"".join(sorted((self._pair.public, public)))
            shared = self._pair.secret(public)
            self._secrets[public] = hashlib.blake2b(shared + ends, digest_size=32, person=b"v2g pair secret").digest()
        return self._secrets[public]

    def _store(self, origin: int, key: tuple[int, bytes], now_ns: int) -> None:
        if origin in self._keys and origin != self._module_id:
            self._secrets.pop(self._keys[origin][1], None)
        self._keys[origin] = key
        self.version += 1
        self._book = self._checksum()
        self._unrest_ns = now_ns
        for queue in (self._news, self._turns):
            while origin in queue:
                queue.remove(origin)
        self._turns.append(origin)
        for place in range(NEWS_COPIES):  # in turn with other news
            self._news.insert(2 * place, origin)

    def _next(self) -> KeyReport:
        if self._news:
            origin = self._news.popleft()
        else:
            origin = self._turns[0]
            self._turns.rotate(-1)
        stamp, public = self._keys[origin]
        return KeyReport(self._module_id, origin, stamp, public, self._book)

    def _checksum(self) -> int:
        known = sorted(self._keys.items())
        return zlib.crc32(b"".join(struct.pack("<BQ", k, stamp) + public for k, (stamp, public) in known))
