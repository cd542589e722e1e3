"""A module's key for the masks of core/privacy: X25519 (RFC 7748), new at every start and kept in memory alone."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey


class X25519KeyPair:
    """A KeyPair.

    Args:
        seed: private key, 32 bytes, for trials that can be repeated; None = drawn by the operating system.
    """

    def __init__(self, seed: bytes | None = None) -> None:
        self._private = X25519PrivateKey.generate() if seed is None else X25519PrivateKey.from_private_bytes(seed)
        self.public = self._private.public_key().public_bytes_raw()

    def secret(self, public: bytes) -> bytes:
        """Shared with the owner of a public key.

        A public key made so that it shares the same with everybody (RFC 7748, section 6.1) gives nothing: whatever its
        owner shares with this module is known to all, which is its own loss.
        """
        try:
            return self._private.exchange(X25519PublicKey.from_public_bytes(public))
        except ValueError:
            return b""
