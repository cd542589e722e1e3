"""Folders of a run: a temporary one that is gone afterwards, and those that results go to."""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from v2g_nodes.core.errors import InputError

PREFIX = "v2g_run_"
LOCK = "lock"


@contextmanager
def run_folder(parent: Path | None = None) -> Iterator[Path]:
    """A folder for state and series of one run, removed at the end. One that a killed run left is removed too.

    Args:
        parent: where; default the system's folder for temporary files.
    """
    where = Path(tempfile.gettempdir()) if parent is None else parent
    for left in where.glob(f"{PREFIX}*"):
        _remove_if_dead(left)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=where))
    with (folder / LOCK).open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # held as long as this process lives
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _remove_if_dead(folder: Path) -> None:
    with suppress(OSError), (folder / LOCK).open("rb") as lock:  # somebody else's, in use, or just being made
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)


def prepare_folder(path: str, option: str) -> Path:
    """Make a folder that results go to, before a run whose results would be lost.

    Args:
        path: as given.
        option: that gave it.

    Raises:
        InputError: it can't be made or written to.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(f"{option} {path}: {error.strerror}, allowed is a folder that can be written to") from error
    return folder


def new_folder(path: str | None, option: str) -> str:
    """Full path of a folder that will be made, checked before a run whose results would be lost.

    Args:
        path: as given; None gives an empty text.
        option: that gave it.

    Raises:
        InputError: it is there already, or can't be made.
    """
    if path is None:
        return ""
    folder = Path(path).resolve()
    if folder.exists():
        raise InputError(f"{option} {path}: is there already, allowed is a new folder")
    prepare_folder(str(folder), option)
    folder.rmdir()
    return str(folder)
