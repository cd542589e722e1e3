"""`./v2g` on machines that lack something, and what it repeats: with a stand-in for Python that installs nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("v2g", "requirements.txt", "constraints.txt", "package.xml", "CMakeLists.txt", "v2g_nodes/__init__.py", "msg")
BASE_TOOLS = (
    "bash", "env", "readlink", "uname", "sha256sum", "tail", "sed", "sleep", "mkdir", "rm", "cat", "ln", "flock"
)  # fmt: skip

# Answers as Python, pip and cmake do, writes each step down, and fails where FAIL says so.
FAKE_PYTHON = f"""#!/bin/bash
case "$*" in
  -) exec {sys.executable} -c "
import sys
sys.version_info = type('Version', (tuple,), dict(major=3, minor=$MINOR))((3, $MINOR, 0))
exec(sys.stdin.read())" ;;
  -V) echo Python 3.$MINOR.0 ;;
  "-m venv "*) echo venv >>"$STEPS"; mkdir -p "$3/bin"; ln -s "$0" "$3/bin/python"; ln -s "$0" "$3/bin/cmake" ;;
  "-m pip "*) echo pip >>"$STEPS"; sleep "$PIP_TAKES"; [ "$FAIL" != pip ] || {{ echo no route to host; exit 1; }} ;;
  *get_path*) mkdir -p "${{0%/*}}/../site"; echo "${{0%/*}}/../site" ;;
  -S*) echo configure >>"$STEPS"; [ "$FAIL" != cmake ] || {{ echo syntax error; exit 1; }} ;;
  --build*) echo build >>"$STEPS" ;;
  "-m v2g_nodes.cli.main"*) echo "started: ${{*:3}} | $ROS_AUTOMATIC_DISCOVERY_RANGE | ${{AMENT_PREFIX_PATH:-clean}}" ;;
  *) echo "unexpected: $*" >&2; exit 99 ;;
esac
"""


@dataclass
class Machine:
    """A made-up machine: a checkout and the tools on its PATH."""

    folder: Path

    @property
    def checkout(self) -> Path:
        return self.folder / "a checkout"

    @property
    def steps(self) -> list[str]:
        """What was done so far, in order."""
        file = self.folder / "steps"
        return file.read_text().split() if file.exists() else []

    def put(self, name: str, text: str) -> None:
        """Add or replace a tool."""
        tool = self.folder / "bin" / name
        tool.unlink(missing_ok=True)
        tool.write_text(text)
        tool.chmod(0o755)

    def remove(self, *names: str) -> None:
        for name in names:
            (self.folder / "bin" / name).unlink()

    def environment(self, **changes: str) -> dict[str, str]:
        return {
            "PATH": str(self.folder / "bin"), "STEPS": str(self.folder / "steps"),
            "MINOR": "11", "FAIL": "", "PIP_TAKES": "0", **changes,
        }  # fmt: skip

    def start(self, *arguments: str, script: Path | None = None, **changes: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [script or self.checkout / "v2g", *arguments],
            env=self.environment(**changes), cwd="/", text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self, *arguments: str, script: Path | None = None, **changes: str) -> tuple[int, str, str]:
        """Exit code, standard output, and the last line of standard error."""
        process = self.start(*arguments, script=script, **changes)
        output, errors = process.communicate(timeout=60)
        return process.returncode, output, (errors.splitlines() or [""])[-1]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    (tmp_path / "bin").mkdir()
    for name in BASE_TOOLS:
        path = shutil.which(name)
        assert path is not None
        (tmp_path / "bin" / name).symlink_to(path)
    for name in ("python3", "c++", "cc"):
        made.put(name, FAKE_PYTHON)
    for name in COPIED:
        (made.checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, made.checkout / name)
    return made


def test_the_first_start_sets_up_and_the_second_does_not(machine: Machine) -> None:
    code, output, last = machine.run("up", "--modules", "8")
    assert (code, output) == (0, "started: up --modules 8 | LOCALHOST | clean\n")
    assert "using .venv" in last
    assert machine.steps == ["venv", "pip", "configure", "build"]
    assert machine.run()[0] == 0
    assert machine.steps == ["venv", "pip", "configure", "build"]


def test_it_starts_through_a_link_and_leaves_a_chosen_range(machine: Machine) -> None:
    link = machine.folder / "v2g"
    link.symlink_to(machine.checkout / "v2g")
    _, output, _ = machine.run(script=link, ROS_AUTOMATIC_DISCOVERY_RANGE="SUBNET")
    assert output == "started:  | SUBNET | clean\n"


def test_remains_of_another_ros_are_scrubbed(machine: Machine) -> None:
    code, output, _ = machine.run(ROS_DISTRO="humble", AMENT_PREFIX_PATH="/opt/ros/humble")
    assert (code, output.split("| ")[-1]) == (0, "clean\n")


@pytest.mark.parametrize(
    ("file", "repeated"),
    [
        ("msg/Curve.msg", ["configure", "build"]),
        ("CMakeLists.txt", ["configure", "build"]),
        ("requirements.txt", ["pip", "configure", "build"]),
    ],
)
def test_a_change_repeats_only_what_depends_on_it(machine: Machine, file: str, repeated: list[str]) -> None:
    machine.run()
    with (machine.checkout / file).open("a") as stream:
        stream.write("# changed\n")
    assert machine.run()[0] == 0
    assert machine.steps[4:] == repeated


def test_a_moved_checkout_is_set_up_again(machine: Machine) -> None:
    machine.run()
    machine.checkout.rename(machine.folder / "moved")
    assert machine.run(script=machine.folder / "moved" / "v2g")[0] == 0
    assert machine.steps[4:] == ["venv", "pip", "configure", "build"]


def test_two_first_starts_at_once_set_up_once(machine: Machine) -> None:
    processes = [machine.start(PIP_TAKES="0.3") for _ in range(3)]
    results = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], results
    assert machine.steps == ["venv", "pip", "configure", "build"]


def test_after_a_failed_install_the_next_start_goes_on(machine: Machine) -> None:
    code, _, last = machine.run(FAIL="pip")
    assert code == 1
    assert last.startswith(f"v2g: error: pip failed, see {machine.checkout}/.venv/pip.log. It needs the network")
    assert "no route to host" in (machine.checkout / ".venv" / "pip.log").read_text()
    assert machine.run()[0] == 0
    assert machine.steps == ["venv", "pip", "pip", "configure", "build"]


def test_a_failed_message_build_names_its_log(machine: Machine) -> None:
    code, _, last = machine.run(FAIL="cmake")
    assert code == 1
    assert last == f"v2g: error: building the messages failed, see {machine.checkout}/.venv/messages.log"


def test_a_set_up_killed_half_way_is_taken_up_again(machine: Machine) -> None:
    process = machine.start(PIP_TAKES="0.5")
    while "pip" not in machine.steps:
        assert process.poll() is None
    process.kill()
    process.communicate(timeout=60)
    assert machine.run()[0] == 0
    assert machine.steps == ["venv", "pip", "pip", "configure", "build"]


def test_no_compiler(machine: Machine) -> None:
    machine.remove("c++")
    code, _, last = machine.run()
    assert (code, machine.steps) == (1, [])
    assert last.startswith("v2g: error: no C++ compiler found. Install one: sudo apt install g++")


@pytest.mark.parametrize("minor", ["9", "14"])
def test_a_python_too_old_or_too_new(machine: Machine, minor: str) -> None:
    code, _, last = machine.run(MINOR=minor)
    assert (code, machine.steps) == (1, [])
    assert last.startswith("v2g: error: no usable Python 3.10 to 3.13; python3: it is cpython 3.")


def test_no_python_at_all(machine: Machine) -> None:
    machine.remove("python3")
    code, _, last = machine.run()
    assert code == 1
    assert last.startswith("v2g: error: no usable Python 3.10 to 3.13; none found. Install one")


def test_another_python_is_taken_when_the_first_is_of_no_use(machine: Machine) -> None:
    machine.put("python3", "#!/bin/bash\nexit 127\n")
    machine.put("python3.12", FAKE_PYTHON)
    assert machine.run()[0] == 0


def test_a_python_without_venv(machine: Machine) -> None:
    machine.put("python3", FAKE_PYTHON.replace("exec(", "sys.modules['ensurepip'] = None; exec("))
    code, _, last = machine.run()
    assert (code, machine.steps) == (1, [])
    assert "it has no venv: sudo apt install python3.11-venv" in last


def test_another_platform(machine: Machine) -> None:
    machine.put("uname", "#!/bin/bash\necho Linux aarch64\n")
    code, _, last = machine.run()
    assert (code, machine.steps) == (1, [])
    assert last.startswith("v2g: error: found Linux aarch64, but ROS 2 wheels exist for Linux x86_64 only.")


def test_a_venv_of_the_users_own_is_not_touched(machine: Machine) -> None:
    (machine.checkout / ".venv").mkdir()
    code, _, last = machine.run()
    assert (code, machine.steps) == (1, [])
    assert last.endswith("/.venv exists but was not made by ./v2g. Move it away")


def test_an_incomplete_jazzy_is_named_and_not_used(machine: Machine) -> None:
    machine.put("python3", FAKE_PYTHON.replace("exec(", "sys.modules['rclpy'] = None; exec("))
    process = machine.start(ROS_DISTRO="jazzy")
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "ROS 2 Jazzy is sourced but not complete, it lacks: rclpy" in errors
    assert "using .venv" in errors
    assert output.startswith("started: ")


def test_a_complete_jazzy_is_used_as_it_is(machine: Machine) -> None:
    machine.put("python3", '#!/bin/bash\n[ "$1" != - ] || exit 0\necho "run by jazzy: ${*:3} $PYTHONPATH"\n')
    code, output, last = machine.run("up", ROS_DISTRO="jazzy", PYTHONPATH="/opt/ros/jazzy")
    assert (code, machine.steps) == (0, [])
    assert output == f"run by jazzy: up {machine.checkout}:/opt/ros/jazzy\n"
    assert last.startswith("v2g: using the sourced ROS 2 Jazzy")


def test_the_pins_of_the_wheel_build_are_those_of_the_requirements() -> None:
    requirements = [line.split("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines()]
    build = (ROOT / "pyproject.toml").read_text().partition("requires = [")[2].partition("\n]")[0]
    pins = [line.strip(' ",') for line in build.splitlines() if "==" in line]
    assert len(pins) > 10
    assert [pin for pin in pins if pin not in requirements] == []


def test_every_requirement_is_pinned_exactly() -> None:
    for name in ("requirements.txt", "constraints.txt"):
        lines = [line.partition("#")[0].strip() for line in (ROOT / name).read_text().splitlines()]
        assert [line for line in lines if line and "==" not in line] == []
