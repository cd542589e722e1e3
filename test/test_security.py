"""`v2g security init`: signatures verify, every process may do what its nodes need, and what can't be done is said."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from cryptography import x509

from v2g_nodes.bringup import process_plan
from v2g_nodes.bringup_launch import launch_node, security_environment
from v2g_nodes.cli import security
from v2g_nodes.cli.keystore import make_keystore
from v2g_nodes.cli.main import main
from v2g_nodes.cli.node_topics import Rights, node_rights, operator_rights
from v2g_nodes.cli.security import station_enclaves
from v2g_nodes.station import default_station

RIGHTS = Rights(frozenset({"rt/b", "rt/a"}), frozenset({"rt/c"}))


@pytest.fixture
def keystore(tmp_path: Path) -> Path:
    make_keystore(tmp_path / "keys", {"/v2g/one": RIGHTS, "/v2g/two": RIGHTS}, 7)
    return tmp_path / "keys"


def openssl(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["openssl", *words], capture_output=True, text=True, check=False)


def test_the_layout_is_that_of_sros2(keystore: Path) -> None:
    assert sorted(path.name for path in (keystore / "enclaves" / "v2g" / "one").iterdir()) == [
        "cert.pem", "governance.p7s", "identity_ca.cert.pem", "key.pem", "permissions.p7s", "permissions.xml",
        "permissions_ca.cert.pem"]
    for path in keystore.rglob("*"):
        assert path.exists(), f"{path} leads nowhere"
    for key in keystore.rglob("*key.pem"):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600, key
    assert stat.S_IMODE((keystore / "private").stat().st_mode) == 0o700


def test_what_is_signed_verifies_and_a_changed_letter_does_not(keystore: Path) -> None:
    place = keystore / "enclaves" / "v2g" / "one"
    for name in ("permissions", "governance"):
        words = ("smime", "-verify", "-text", "-CAfile", str(place / "permissions_ca.cert.pem"), "-in")
        found = openssl(*words, str(place / f"{name}.p7s"))
        assert "Verification successful" in found.stderr
        xml = keystore / "enclaves" / (f"v2g/one/{name}.xml" if name == "permissions" else f"{name}.xml")
        assert found.stdout.replace("\r\n", "\n") == xml.read_text()
        forged = keystore / "forged.p7s"
        forged.write_text((place / f"{name}.p7s").read_text().replace("<id>7</id>", "<id>8</id>"))
        assert openssl(*words, str(forged)).returncode != 0
    identity = ("verify", "-CAfile", str(place / "identity_ca.cert.pem"), str(place / "cert.pem"))
    assert openssl(*identity).returncode == 0


def test_permissions_list_these_topics_and_deny_the_rest(keystore: Path) -> None:
    root = ElementTree.parse(keystore / "enclaves" / "v2g" / "one" / "permissions.xml").getroot()
    subject = x509.load_pem_x509_certificate((keystore / "enclaves" / "v2g" / "one" / "cert.pem").read_bytes()).subject
    assert root.findtext(".//subject_name") == subject.rfc4514_string() == "CN=/v2g/one"
    assert [e.text for e in root.findall(".//allow_rule/publish/topics/topic")] == ["rt/a", "rt/b"]
    assert [e.text for e in root.findall(".//allow_rule/subscribe/topics/topic")] == ["rt/c"]
    assert [e.text for e in root.findall(".//allow_rule/domains/id")] == ["7"]
    assert root.findtext(".//default") == "DENY"


def test_renewing_keeps_authority_and_keys_and_takes_new_rights(keystore: Path) -> None:
    before = {path: path.read_bytes() for path in keystore.rglob("*.pem")}
    make_keystore(keystore, {"/v2g/one": Rights(frozenset({"rt/new"}), frozenset())}, 7)
    assert {path: path.read_bytes() for path in before} == before
    assert "rt/new" in (keystore / "enclaves" / "v2g" / "one" / "permissions.p7s").read_text()


def test_every_process_has_an_enclave_and_the_spare_may_do_what_any_may() -> None:
    plan = process_plan(default_station(2))
    enclaves = station_enclaves([plan])
    for process in plan.processes:
        rights = enclaves[f"/v2g/{process.name}"]
        for node in process.nodes:
            assert node_rights(node).publish <= rights.publish
            assert node_rights(node).subscribe <= rights.subscribe
        strangers = {topic for topic in rights.publish if topic.startswith(("rt/ek3", "rr/ek3"))}
        assert all(any(node.namespace in topic for node in process.nodes) for topic in strangers)
        assert rights.publish <= enclaves["/v2g/spare"].publish
    assert {"/v2g/operator", "/v2g/recorder"} <= {*enclaves}


@pytest.mark.parametrize(("reason", "code"), [("", 0), ("no security libraries", 1)])
def test_the_command_says_whether_it_is_in_force(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, reason: str, code: int
) -> None:
    monkeypatch.setattr(security, "why_no_security", lambda keystore: reason)
    assert main(["security", "init", "--modules", "1", "-o", str(tmp_path / "k"), "--json", "-"]) == code
    out = capsys.readouterr()
    told = json.loads(out.out)
    assert told["supported"] is (code == 0)
    assert "/v2g/ek3_01" in told["enclaves"]
    assert ("ROS_SECURITY_KEYSTORE" in out.err) is (code == 0)
    assert ("not in force here: no security libraries; keep the station to itself" in out.err) is (code == 1)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert main(["security", "init", "--modules", "1", "-o", str(tmp_path / "file")]) == 2
    assert f"--output {tmp_path / 'file'}: Not a directory, allowed is a folder" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["security", "init", "-o", "unmade"], ["up", "--duration", "1", "--headless"]])
def test_a_bad_ros_domain_is_named_before_anything_is_made(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROS_DOMAIN_ID", "abc")
    assert main([*command, "--modules", "1"]) == 2
    assert "ROS_DOMAIN_ID is 'abc', allowed 0 to 232" in capsys.readouterr().err
    assert not [*tmp_path.iterdir()]


@pytest.mark.usefixtures("ros_domain_id")
def test_the_middleware_is_asked_and_not_guessed(keystore: Path) -> None:
    """Without security libraries, as in the wheels, it says so itself; one that has them joins."""
    make_keystore(keystore, {"/v2g/operator": operator_rights([1])}, int(os.environ["ROS_DOMAIN_ID"]))
    reason = security.why_no_security(keystore)
    assert not reason or "doesn't have the security libraries" in reason


@pytest.mark.parametrize(("environment", "expected"), [
    ({}, {}),
    ({"ROS_SECURITY_ENABLE": "false"}, {}),
    ({"ROS_SECURITY_ENABLE": "true"}, {"ROS_SECURITY_ENCLAVE_OVERRIDE": "/v2g/ek3_01"}),
    ({"ROS_SECURITY_ENABLE": "true", "ROS_SECURITY_ENCLAVE_OVERRIDE": "/mine"}, {}),
])  # fmt: skip
def test_with_security_on_every_process_takes_its_enclave(
    environment: dict[str, str], expected: dict[str, str]
) -> None:
    assert security_environment("ek3_01", environment) == expected


def test_launch_gives_every_process_its_enclave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROS_SECURITY_ENABLE", "true")
    monkeypatch.delenv("ROS_SECURITY_ENCLAVE_OVERRIDE", raising=False)
    process = process_plan(default_station(1)).processes[0]
    told = launch_node(process, 0.0, {})
    assert told["additional_env"] == {"ROS_SECURITY_ENCLAVE_OVERRIDE": f"/v2g/{process.name}"}
