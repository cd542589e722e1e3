"""Where the files of `config/` are, in the source tree or installed."""

from __future__ import annotations

from pathlib import Path

from v2g_nodes.core.errors import StartupError


def config_path(name: str) -> Path:
    """A file or folder of `config/`, in the source tree or, installed, in `share/v2g_nodes/config`.

    Args:
        name: relative to `config/`.

    Raises:
        StartupError: it is missing.
    """
    for folder in Path(__file__).resolve().parents:
        for place in (folder / "config", folder / "share" / "v2g_nodes" / "config"):
            if (place / name).exists():
                return place / name
    raise StartupError(f"{name} found neither in the source tree nor in share/v2g_nodes/config; install again")
