"""A keystore of SROS2: authority, one enclave per process with its certificate, signed rules and permissions.

Layout and file names are those of `ros2 security create_keystore` and `create_enclave` of Jazzy, which can read and go
on with it; formats are those of OMG DDS-Security 1.1 (9.3 certificates, 9.4 governance and permissions).
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs7

from v2g_nodes.cli.node_topics import Rights

VALID_DAYS = 3650
AUTHORITY = "v2g_nodes authority"
TIME_FORMAT = "%Y-%m-%dT%H:%M:%S"
SCHEMA = "http://www.omg.org/spec/DDS-SECURITY/20170901/omg_shared_ca_{}.xsd"
SECRET_FILE, SECRET_FOLDER = 0o600, 0o700


def make_keystore(folder: Path, enclaves: Mapping[str, Rights], domain: int) -> None:
    """Write a keystore, or renew one: authority and keys that are there stay, rules and permissions are made anew.

    Args:
        folder: of the keystore.
        enclaves: rights by name of the enclave, such as /v2g/ek3_01.
        domain: ROS domain they are for.

    Raises:
        OSError: it can't be written.
    """
    public, private, places = (folder / name for name in ("public", "private", "enclaves"))
    for path in (public, private, places):
        path.mkdir(parents=True, exist_ok=True)
    private.chmod(SECRET_FOLDER)
    if not (private / "ca.key.pem").exists():
        _write_authority(public, private)
    for name in ("identity_ca", "permissions_ca"):
        _link(public / f"{name}.cert.pem", "ca.cert.pem")
        _link(private / f"{name}.key.pem", "ca.key.pem")
    authority = x509.load_pem_x509_certificate((public / "ca.cert.pem").read_bytes())
    key = _load_key(private / "ca.key.pem")
    _write_signed(places / "governance", governance_xml(domain), authority, key)
    for name, rights in enclaves.items():
        _write_enclave(places, name, permissions_xml(name, rights, domain), authority, key)


def governance_xml(domain: int) -> str:
    """Rules of the domain: nobody without a certificate, all topics under access control, everything encrypted.

    Args:
        domain: ROS domain.
    """
    rule = _Document("governance", "domain_access_rules", "domain_rule")
    _domains(rule.leaf, domain)
    for name, text in (("allow_unauthenticated_participants", "false"), ("enable_join_access_control", "true"),
                       ("discovery_protection_kind", "ENCRYPT"), ("liveliness_protection_kind", "ENCRYPT"),
                       ("rtps_protection_kind", "ENCRYPT")):
        _add(rule.leaf, name, text)
    topic = _add(_add(rule.leaf, "topic_access_rules"), "topic_rule")
    for name, text in (("topic_expression", "*"), ("enable_discovery_protection", "true"),
                       ("enable_liveliness_protection", "true"), ("enable_read_access_control", "true"),
                       ("enable_write_access_control", "true"), ("metadata_protection_kind", "ENCRYPT"),
                       ("data_protection_kind", "ENCRYPT")):
        _add(topic, name, text)
    return rule.text()


def permissions_xml(enclave: str, rights: Rights, domain: int) -> str:
    """What an enclave may do; everything else is denied.

    Args:
        enclave: its name.
        rights: topics.
        domain: ROS domain.
    """
    grant = _Document("permissions", "permissions", "grant")
    grant.leaf.set("name", enclave)
    _add(grant.leaf, "subject_name", f"CN={enclave}")
    validity = _add(grant.leaf, "validity")
    now = datetime.now(timezone.utc)
    _add(validity, "not_before", now.strftime(TIME_FORMAT))
    _add(validity, "not_after", (now + timedelta(days=VALID_DAYS)).strftime(TIME_FORMAT))
    allow = _add(grant.leaf, "allow_rule")
    _domains(allow, domain)
    for verb, topics in (("publish", rights.publish), ("subscribe", rights.subscribe)):
        _topics(_add(allow, verb), topics)
    _add(grant.leaf, "default", "DENY")
    return grant.text()


class _Document:
    """An XML document with a way down to the element that has to be filled."""

    def __init__(self, kind: str, *names: str) -> None:
        self._root = ElementTree.Element("dds", {
            "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
            "xsi:noNamespaceSchemaLocation": SCHEMA.format(kind)})
        self.leaf = self._root
        for name in names:
            self.leaf = _add(self.leaf, name)

    def text(self) -> str:
        """The document."""
        ElementTree.indent(self._root)
        return ElementTree.tostring(self._root, encoding="unicode", xml_declaration=True) + "\n"


def _add(element: ElementTree.Element, name: str, text: str | None = None) -> ElementTree.Element:
    child = ElementTree.SubElement(element, name)
    child.text = text
    return child


def _domains(element: ElementTree.Element, domain: int) -> None:
    _add(_add(element, "domains"), "id", str(domain))


def _topics(element: ElementTree.Element, topics: Iterable[str]) -> None:
    listed = _add(element, "topics")
    for topic in sorted(topics):
        _add(listed, "topic", topic)


def _write_authority(public: Path, private: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())  # prime256v1, DDS-Security 9.3.1
    certificate = _certificate(AUTHORITY, key, None, key)
    _write_key(private / "ca.key.pem", key)
    (public / "ca.cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _certificate(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: x509.Certificate | None, signed_by: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(timezone.utc)
    builder = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(issuer.subject if issuer else subject)
        .serial_number(x509.random_serial_number()).public_key(key.public_key())
        .not_valid_before(now).not_valid_after(now + timedelta(days=VALID_DAYS))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None if issuer else 1), critical=True)
    )  # fmt: skip
    return builder.sign(signed_by, hashes.SHA256())


def _write_enclave(
    places: Path, name: str, permissions: str, authority: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> None:
    folder = places / name.strip("/")
    folder.mkdir(parents=True, exist_ok=True)
    up = "/".join([".."] * len(Path(name.strip("/")).parts))
    for authority_of in ("identity_ca", "permissions_ca"):
        _link(folder / f"{authority_of}.cert.pem", f"{up}/../public/{authority_of}.cert.pem")
    _link(folder / "governance.p7s", f"{up}/governance.p7s")
    if not (folder / "key.pem").exists():
        own = ec.generate_private_key(ec.SECP256R1())
        _write_key(folder / "key.pem", own)
        certificate = _certificate(name, own, authority, key)
        (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    _write_signed(folder / "permissions", permissions, authority, key)


def _write_signed(
    path: Path, text: str, authority: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> None:
    """The document as .xml and, as S/MIME with its signature, as .p7s."""
    path.with_suffix(".xml").write_text(text, encoding="utf-8")
    builder = pkcs7.PKCS7SignatureBuilder().set_data(text.encode()).add_signer(authority, key, hashes.SHA256())
    options = [pkcs7.PKCS7Options.Text, pkcs7.PKCS7Options.DetachedSignature]
    path.with_suffix(".p7s").write_bytes(builder.sign(serialization.Encoding.SMIME, options))


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    path.touch(SECRET_FILE)
    path.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                       serialization.NoEncryption()))  # fmt: skip


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise OSError(f"{path} is no elliptic-curve key")
    return key


def _link(path: Path, target: str) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(target)
