"""`pip install .`: the same CMake build as colcon's, run into a staging folder and shipped as a wheel.

Python sources and generated messages go into the package; shared libraries and ROS resources go to `lib/` and `share/`
of the environment as data files. `pip install -e .` does not build the messages: use `./v2g` in a checkout.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
RUNTIME = (
    "ros-jazzy-rclpy[fastrtps]", "ros-std-msgs", "ros-diagnostic-msgs",
    "numpy", "scipy", "pydantic", "annotated-types", "typer", "rich", "pyyaml", "matplotlib",
    "python-can", "msgpack", "cantools", "cryptography", "clarabel", "highspy", "dask",
    "distributed", "pyarrow",
)  # fmt: skip


def pinned(names: tuple[str, ...]) -> list[str]:
    """Lines of requirements.txt, without comments, for these names."""
    lines = [line.partition("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines()]
    pins = {line.partition("==")[0]: line for line in lines if line}
    return [pins[name] for name in names]


def version() -> str:
    """Version in package.xml, the only place that has it besides the package itself."""
    match = re.search(r"<version>(.+?)</version>", (ROOT / "package.xml").read_text())
    if match is None:
        raise SystemExit("package.xml has no <version>")
    return match.group(1)


def run_cmake(build: Path, stage: Path) -> None:
    """Build everything with the ROS packages of this environment and install it below `stage`."""
    import ament_package  # of the build environment, which need not be the one that pip installs into

    prefix = Path(ament_package.__file__).resolve().parents[4]
    libraries = [prefix / "lib", *prefix.glob("lib/python3.*/site-packages/ros_*.libs")]
    environment = os.environ | {
        "AMENT_PREFIX_PATH": str(prefix),
        "CMAKE_PREFIX_PATH": str(prefix),
        "LD_LIBRARY_PATH": os.pathsep.join(map(str, libraries)),
        "PATH": f"{prefix / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "_ROS_WHEELS_BOOTSTRAP_COMPLETE": "1",
    }
    options = [f"-DCMAKE_INSTALL_PREFIX={stage}", f"-DPython3_EXECUTABLE={sys.executable}", "-DBUILD_TESTING=OFF"]
    subprocess.run(["cmake", "-S", ROOT, "-B", build, "-G", "Ninja", *options], env=environment, check=True)
    subprocess.run(["cmake", "--build", build, "--target", "install"], env=environment, check=True)


class BuildWithMessages(build_py):
    """Replaces the copying of sources by the CMake build, which installs sources and messages together."""

    def run(self) -> None:
        """Build, then hand packages to setuptools and everything else over as data files."""
        work = Path(self.get_finalized_command("build").build_temp).resolve()
        stage = work / "stage"
        for stale in (work, Path(self.build_lib) / "v2g_nodes"):  # pip's build environment has a new path each time
            shutil.rmtree(stale, ignore_errors=True)
        run_cmake(work / "cmake", stage)
        (package,) = stage.glob("lib/python3.*/site-packages/v2g_nodes")
        shutil.copytree(package, Path(self.build_lib) / "v2g_nodes", dirs_exist_ok=True)
        files = [path for top in ("lib", "share") for path in (stage / top).rglob("*") if path.is_file()]
        self.distribution.data_files = [
            (str(path.parent.relative_to(stage)), [str(path)])
            for path in files
            if not path.is_relative_to(package.parent)
        ]


class PlatformDistribution(Distribution):
    """A distribution whose wheel is for one platform and Python version: the messages are compiled."""

    def has_ext_modules(self) -> bool:
        """Say so to setuptools."""
        return True


setup(
    name="v2g_nodes",
    version=version(),
    description="Control stack for vehicle-to-grid charging stations made of EK3 power modules",
    python_requires=">=3.10,<3.14",
    packages=["v2g_nodes"],
    install_requires=pinned(RUNTIME),
    entry_points={"console_scripts": ["v2g = v2g_nodes.cli.main:main"]},
    cmdclass={"build_py": BuildWithMessages},
    distclass=PlatformDistribution,
)
