"""`v2g docs`: build the documentation site."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from v2g_nodes.cli.folders import prepare_folder
from v2g_nodes.cli.progress import telling
from v2g_nodes.core.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
OUTPUT = "docs/_build/html"


def docs(
    output: Annotated[
        str | None, typer.Option("--output", "-o", metavar="DIR", help=f"Folder of the site. [default: {OUTPUT}]")
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Build the documentation site and print where its first page is.

    Concepts, a tutorial, every node, message and command, algorithms with their mathematics. Figures and reference
    pages are made from the code at each build. The site needs no network and no server: open its index.html.

    Exit code 1 where something is wrong with a page: a link that leads nowhere, a formula that can't be shown.
    """
    if not (ROOT / "docs" / "conf.py").is_file():
        raise InputError(f"no docs in {ROOT}: `v2g docs` needs a checkout of the repository, not an installed package")
    missing = [name for name in ("sphinx", "myst_parser", "furo") if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(f"no package {missing[0]}: `v2g docs` needs those under documentation in requirements.txt")
    folder = prepare_folder(str(ROOT / OUTPUT) if output is None else output, "--output")
    options = ["-b", "html", "-E", "-q", "-W", "--keep-going"]
    words = [sys.executable, "-m", "sphinx", *options, str(ROOT / "docs"), str(folder)]
    with telling("figures and pages"):
        built = subprocess.run(words, stdin=subprocess.DEVNULL, check=False)
    if built.returncode:
        raise typer.Exit(1)
    first = folder.resolve() / "index.html"
    print(first)
    if show:
        webbrowser.open(first.as_uri())
