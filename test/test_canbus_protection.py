"""Check and proof of origin, against published vectors."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from v2g_nodes.canbus.crc32p4 import crc32p4
from v2g_nodes.canbus.protection import Protection, read_key
from v2g_nodes.core.errors import InputError

KEY = bytes.fromhex("2b7e151628aed2a6abf7158809cf4f3c")  # RFC 4493, section 4
RFC_4493 = {
    "6bc1bee22e409f96e93d7e117393172a": "070a16b46b4d4144f79bdd9dd04a287c",
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411":
        "dfa66747de9ae63030ca32611497c827",
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
    "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710": "51f0bebf7e3b9d92fc49741779363cfe",
}  # fmt: skip
PROTECTIONS = [Protection(), Protection(KEY)]


def test_crc_has_the_check_value_of_autosar() -> None:
    assert crc32p4(b"123456789") == 0x1697D06A  # Specification of CRC Routines, 7.2.4


def test_crc_vectors_of_autosar() -> None:
    """Specification of CRC Routines, 7.2.4.1."""
    assert crc32p4(bytes(4)) == 0x6FB32240
    assert crc32p4(bytes.fromhex("f20183")) == 0x4F721A25
    assert crc32p4(bytes.fromhex("0faa0055")) == 0x20662DF8
    assert crc32p4(bytes.fromhex("00ff5511")) == 0x9BD7996E
    assert crc32p4(bytes.fromhex("332255aabbccddeeff")) == 0xA65A343D
    assert crc32p4(bytes.fromhex("926b55")) == 0xEE688A78
    assert crc32p4(bytes.fromhex("ffffffff")) == 0xFFFFFFFF


def test_trailer_is_that_of_profile_4() -> None:
    """E2E Protocol Specification, example of Profile 4: data id 0x0a0b0c0d, counter 0, four bytes of zeros."""
    payload = Protection().seal(0x0A0B0C0D, bytes(4))
    assert payload[-8:] == (0x862B0556).to_bytes(4, "little") + (16).to_bytes(2, "little") + bytes(2)


def test_the_counter_of_profile_4_is_the_sequence() -> None:
    body = bytes.fromhex("01 00000000 3412 00") + bytes(8)
    expected = crc32p4((28).to_bytes(2, "big") + (0x1234).to_bytes(2, "big") + (7).to_bytes(4, "big") + body)
    assert Protection().seal(7, body)[-8:-4] == expected.to_bytes(4, "little")


@pytest.mark.parametrize(("message", "mac"), RFC_4493.items())
def test_mac_is_that_of_rfc_4493(message: str, mac: str) -> None:
    text = bytes.fromhex(message)  # identifier, body, nonce
    identifier, nonce = int.from_bytes(text[:4], "little"), int.from_bytes(text[-4:], "little")
    assert Protection(KEY).seal(identifier, text[4:-4], nonce)[-8:] == bytes.fromhex(mac)[:8]


@pytest.mark.parametrize("protection", PROTECTIONS, ids=["crc", "mac"])
@given(body=st.binary(min_size=16, max_size=56), identifier=st.integers(0, (1 << 29) - 1), data=st.data())
def test_one_or_two_changed_bits_are_found(
    protection: Protection, body: bytes, identifier: int, data: st.DataObject
) -> None:
    payload = protection.seal(identifier, body, 5)
    assert protection.genuine(identifier, payload, 5)
    bits = data.draw(st.sets(st.integers(0, len(payload) * 8 + 28), min_size=1, max_size=2))
    flipped = sum(1 << bit for bit in bits)
    changed_payload = int.from_bytes(payload, "little") ^ (flipped & ((1 << len(payload) * 8) - 1))
    changed_identifier = identifier ^ (flipped >> len(payload) * 8)
    assert not protection.genuine(changed_identifier, changed_payload.to_bytes(len(payload), "little"), 5)


def test_a_key_needs_its_nonce_and_itself() -> None:
    body = bytes(16)
    payload = Protection(KEY).seal(1, body, 77)
    assert Protection(KEY).genuine(1, payload, 77)
    assert not Protection(KEY).genuine(1, payload, 78)
    assert not Protection(KEY).genuine(1, payload)
    assert not Protection(bytes(16)).genuine(1, payload, 77)
    assert not Protection().genuine(1, payload)


def test_a_cut_payload_is_not_genuine() -> None:
    for protection in PROTECTIONS:
        payload = protection.seal(1, bytes(range(40)))
        assert not any(protection.genuine(1, payload[:length]) for length in range(len(payload)))


def key_file(folder: Path, text: str, mode: int = 0o600) -> Path:
    file = folder / "bus.key"
    file.write_text(text, encoding="latin-1")
    file.chmod(mode)
    return file


def test_key_file(tmp_path: Path) -> None:
    assert read_key(key_file(tmp_path, KEY.hex() + "\n")) == KEY


@pytest.mark.parametrize(
    ("text", "mode", "line"),
    [
        (KEY.hex(), 0o640, "has mode 0640, allowed 0400 or 0600"),
        (KEY.hex(), 0o604, "has mode 0604, allowed 0400 or 0600"),
        (KEY.hex()[1:], 0o600, "allowed are 32 hex digits"),
        (KEY.hex() + "00", 0o600, "allowed are 32 hex digits"),
        ("x" * 32, 0o600, "allowed are 32 hex digits"),
        ("00 " * 10 + "00", 0o600, "allowed are 32 hex digits"),
        ("\xff" * 32, 0o600, "allowed are 32 hex digits"),
        ("", 0o600, "allowed are 32 hex digits"),
    ],
)
def test_a_bad_key_file_is_refused_in_one_line_without_its_content(
    tmp_path: Path, text: str, mode: int, line: str
) -> None:
    with pytest.raises(InputError, match=line) as caught:
        read_key(key_file(tmp_path, text, mode))
    assert "\n" not in str(caught.value)
    assert not text or text not in str(caught.value)


def test_a_missing_key_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.key: can't be read \(No such file or directory\)"):
        read_key(tmp_path / "none.key")
