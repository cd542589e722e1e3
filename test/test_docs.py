"""The documentation site: it builds without a warning, is whole, leads nowhere wrong, asks the network for nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from v2g_nodes.cli.docs import docs
from v2g_nodes.cli.main import COMMANDS
from v2g_nodes.core.errors import InputError

from .docs_pages import Page, link_faults, read_pages, requests
from .docs_words import ROOT, command_lines, fault_of, python_blocks, quoted_lines

DOCS = ROOT / "docs"
EXTERNAL = re.compile(r"https://[\w.-]+\.[a-z]+(/[\w./#?=&%~+-]*)?")


# ---- the built site ------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "v2g_nodes.cli.main", "docs", "--output", str(folder)]
    ended = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1] == str(folder / "index.html")
    return folder


@pytest.fixture(scope="module")
def pages(folder: Path) -> dict[str, Page]:
    return read_pages(folder)


def test_every_link_within_the_site_leads_somewhere(folder: Path, pages: dict[str, Page]) -> None:
    assert sum(len(page.links) for page in pages.values()) > 1000
    assert link_faults(folder, pages) == []


def test_links_out_of_it_are_well_formed(pages: dict[str, Page]) -> None:
    outside = {link for page in pages.values() for link in page.links if "//" in link}
    assert [link for link in sorted(outside) if not EXTERNAL.fullmatch(link)] == []


def test_it_asks_the_network_for_nothing(folder: Path, pages: dict[str, Page]) -> None:
    assert requests(folder, pages) == []


def test_every_page_in_the_source_is_in_the_site(pages: dict[str, Page]) -> None:
    sources = {path.relative_to(DOCS).with_suffix(".html").as_posix() for path in DOCS.rglob("*.md")
               if not path.is_relative_to(DOCS / "_build")}  # fmt: skip
    assert sources <= pages.keys()
    assert {f"decisions/{path.stem}.html" for path in (DOCS / "decisions").glob("*.md")} <= sources


def test_every_node_has_a_page_with_its_topics_and_parameters(pages: dict[str, Page]) -> None:
    from dataclasses import fields

    from v2g_nodes.cli.node_topics import IN, OUT
    from v2g_nodes.nodes.host import KINDS

    for kind, node in KINDS.items():
        text = pages[f"generated/reference/nodes/{kind}.html"].text
        shared = pages["parameters.html"].text
        assert [field.name for field in fields(node.PARAMETERS) if field.name not in text + shared] == [], kind
        streams = [*OUT.get(kind, ()), *IN.get(kind, ())]
        assert [stream.topic for stream in streams if stream.topic not in text] == [], kind
        assert [stream.message.__name__ for stream in streams if stream.message.__name__ not in text] == [], kind


def test_every_stream_is_in_the_table_of_topics(pages: dict[str, Page]) -> None:
    from v2g_nodes.nodes import streams
    from v2g_nodes.nodes.streams import Stream

    listed = [stream for stream in vars(streams).values() if isinstance(stream, Stream)]
    text = pages["generated/reference/topics.html"].text
    assert len(listed) > 10
    assert [stream.topic for stream in listed if stream.topic.lstrip("~") not in text] == []
    assert [stream.rate for stream in listed if stream.rate not in text] == []


def test_every_message_has_a_page_with_its_fields(pages: dict[str, Page]) -> None:
    for path in (ROOT / "msg").glob("*.msg"):
        text = pages[f"generated/reference/messages/{path.stem}.html"].text
        lines = [line.partition("#")[0].split() for line in path.read_text(encoding="utf-8").splitlines()]
        names = [words[1].partition("=")[0] for words in lines if words]
        assert names, path
        assert [name for name in names if name not in text] == [], path


def test_every_command_has_a_page_with_its_options(pages: dict[str, Page]) -> None:
    from .docs_words import commands

    for command in COMMANDS:
        page = pages[f"generated/reference/commands/{command.name.replace(' ', '_')}.html"]
        assert f"v2g {command.name}" in page.text
        for parameter in commands().parameters_of(command):
            assert all(word in page.text for word in (*parameter.spellings, parameter.value)), command.name


def test_every_key_of_the_station_file_is_on_its_page(pages: dict[str, Page]) -> None:
    text = pages["generated/reference/station_file.html"].text
    for line in (ROOT / "config" / "station.yaml").read_text(encoding="utf-8").splitlines():
        key = re.match(r"[ #]*(\w+):", line)
        assert key is None or key[1] in text, line


def test_formulas_are_mathml_and_figures_are_drawn(folder: Path, pages: dict[str, Page]) -> None:
    algorithms = [page for name, page in pages.items() if name.startswith("algorithms/") and "index" not in name]
    assert sum(page.formulas for page in algorithms) > 100
    assert [name for name, page in pages.items() if "$$" in page.text] == []
    drawn = {path.stem for path in (folder / "_images").glob("*.svg")}
    assert drawn == {path.stem for path in (DOCS / "figures").glob("*.py")}, "each figure is on a page"
    assert all("<svg" in path.read_text(encoding="utf-8") for path in (folder / "_images").glob("*.svg"))


# ---- what must not pass --------------------------------------------------------------------------------------------
def build(folder: Path, page: str) -> str:
    """Warnings of a site of one page, made as `v2g docs` makes the real one."""
    (folder / "index.md").write_text(f"# Title\n\n{page}\n", encoding="utf-8")
    (folder / "conf.py").write_text(
        f"import sys\nsys.path.insert(0, {str(DOCS / '_ext')!r})\nextensions = ['myst_parser', 'mathml']\n"
        "myst_enable_extensions = ['dollarmath']\nhtml_math_renderer = 'mathml'\nmyst_heading_anchors = 4\n",
        encoding="utf-8",
    )
    words = [sys.executable, "-m", "sphinx", "-b", "html", "-E", "-q", "-W", "--keep-going"]
    ended = subprocess.run([*words, folder, folder / "out"], capture_output=True, text=True, check=False)
    assert bool(ended.returncode) == bool(ended.stderr)
    return ended.stderr


def test_wrong_pages_are_found(tmp_path: Path) -> None:
    told = build(tmp_path, "[a](nowhere.md) [b](#nothing) $\\nonsense$ $\\bar p_i$\n\n$$\n\\overline{p}_i + 1\n$$")
    assert "nowhere.md" in told
    assert "nothing" in told
    assert told.count("formula") == 3
    assert told.count("an index behind an accent") == 2


def test_formulas_that_the_converter_reads_wrongly_are_put_right(tmp_path: Path) -> None:
    assert build(tmp_path, "$\\tfrac12 x + \\big(y\\big) + z_1, \\dots$") == ""
    page = "".join((tmp_path / "out" / "index.html").read_text(encoding="utf-8").split())
    assert re.search(r"<mfrac[^>]*><mn>1</mn><mn>2</mn></mfrac><mi>x</mi>", page)
    assert "…" in page


@pytest.mark.parametrize(("link", "fault"), [
    ("other.html", ""), ("other.html#here", ""), ("#there", ""), ("other.html#there", "no anchor"),
    ("third.html", "no such file"), ("#gone", "no anchor"),
])  # fmt: skip
def test_a_link_that_leads_nowhere_is_found(tmp_path: Path, link: str, fault: str) -> None:
    (tmp_path / "index.html").write_text(f'<p id="there"><a href="{link}">x</a></p>', encoding="utf-8")
    (tmp_path / "other.html").write_text('<p id="here"></p>', encoding="utf-8")
    found = link_faults(tmp_path, read_pages(tmp_path))
    assert len(found) == bool(fault)
    assert all(fault in words for words in found)


@pytest.mark.parametrize("text", [
    '<script src="https://cdn.example.org/a.js"></script>', '<link rel="stylesheet" href="//fonts.example.org/a.css">',
    '<img src="http://example.org/a.png">', '<style>@import "https://example.org/a.css";</style>',
    '<p style="background:url(https://example.org/a.png)"></p>',
])  # fmt: skip
def test_a_request_to_the_network_is_found(tmp_path: Path, text: str) -> None:
    (tmp_path / "index.html").write_text(text, encoding="utf-8")
    assert len(requests(tmp_path, read_pages(tmp_path))) == 1


# ---- the command -------------------------------------------------------------------------------------------------
def test_it_needs_a_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("v2g_nodes.cli.docs.ROOT", tmp_path)
    with pytest.raises(InputError, match="needs a checkout"):
        docs()


def test_it_names_the_package_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match="no package sphinx"):
        docs()


# ---- command lines and code in the pages ---------------------------------------------------------------------------
def written() -> Iterator[tuple[str, str]]:
    """Name and text of the pages that are written by hand."""
    for path in (ROOT / "README.md", *sorted(DOCS.rglob("*.md"))):
        if not any(path.is_relative_to(DOCS / made) for made in ("_build", "generated")):
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


def test_every_command_line_in_the_pages_is_one_that_the_commands_take() -> None:
    found = [(name, line) for name, text in written() for line in command_lines(text)]
    assert sum(name.startswith("docs/tutorial/") for name, _ in found) > 40
    assert sum(name == "README.md" for name, _ in found) > 40
    assert [f"{name}: {line}: {fault}" for name, line in found if (fault := fault_of(line))] == []


def test_every_command_line_within_a_sentence_names_what_there_is() -> None:
    found = [(name, line) for name, text in written() for line in quoted_lines(text)]
    assert len(found) > 10
    assert [f"{name}: {line}: {fault}" for name, line in found if (fault := fault_of(line, whole=False))] == []


@pytest.mark.parametrize(("line", "fault"), [
    ("./v2g up --duration 60 --headless", ""),
    ("v2g plan valley --vehicles 10   # a comment", ""),
    ("./v2g up --nonsense 3", "no option --nonsense"),
    ("./v2g up --duration", "--duration without a value"),
    ("./v2g up 60", "one word too many: 60"),
    ("./v2g fly", "no command"),
    ("./v2g plan", "no command"),
    ("./v2g replay -o x.csv", "1 word is missing"),
    ("./v2g scenario all --figure all.png", ""),
    ("./v2g up --headless=3", "--headless takes no value"),
    ("ros2 launch v2g_nodes rig.launch.py station:=rig.yaml max_kw:=0.5", ""),
    ("ros2 launch v2g_nodes rig.launch.py power:=1", "no argument power of rig.launch.py"),
    ("ros2 launch v2g_nodes moon.launch.py", "no launch file"),
    ("ros2 param set /ek3_03/optimizer trial_loss 0.2", ""),
    ("ros2 param set /ek3_03/optimizer p_max_kw 2", "p_max_kw of optimizer can't be set while it runs"),
    ("ros2 param set /ek3_03/optimizer gain 2", "no parameter gain"),
])  # fmt: skip
def test_a_command_line_that_would_be_refused_is_found(line: str, fault: str) -> None:
    told = fault_of(next(command_lines(f"```sh\n{line}\n```")))
    assert bool(told) == bool(fault)
    assert fault in told


def test_lines_are_taken_from_blocks_and_from_words_in_back_quotes() -> None:
    text = "Run `./v2g up --speed 2` or\n```sh\n./v2g up \\\n  --modules 3  # x\n$ ls\n```\n```text\n./v2g no\n```\n"
    assert [*command_lines(text)] == ["./v2g up --modules 3"]
    assert [*quoted_lines(text)] == ["./v2g up --speed 2"]


def test_the_algorithm_of_the_guide_agrees_on_the_optimum(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, object] = {"__name__": "guide"}
    for block in python_blocks(DOCS / "guides" / "add_an_algorithm.md"):
        exec(block, names)
    assert isinstance(names["gap"], float)
    assert isinstance(names["balance"], float)
    assert 0.0 <= names["gap"] < 1e-3
    assert names["balance"] < 1e-3
    assert "above the optimum" in capsys.readouterr().out


def test_the_backend_of_the_guide_does_what_the_protocol_asks() -> None:
    from v2g_nodes.nodes.backend import Backend, BackendError

    names: dict[str, object] = {"__name__": "guide"}
    for block in python_blocks(DOCS / "guides" / "add_a_backend.md"):
        exec(block, names)
    made = names["BenchSupply"]
    assert isinstance(made, type)
    assert {name for name in vars(Backend) if not name.startswith("_")} <= vars(made).keys()

    class Line:
        sent: list[str] = []  # noqa: RUF012 - one line only
        word: tuple[float, str] | None = (-1.5, "")

        def send(self, text: str) -> None:
            self.sent.append(text)

        def latest(self) -> tuple[float, str] | None:
            return self.word

        def close(self) -> None:
            self.sent.append("closed")

    line = Line()
    supply = made(line, 3.3, 60.0)
    heard = supply.step(-2.0, 3600.0, False)
    assert (heard.power_kw, heard.reference_kw, heard.charged_kwh) == (-1.5, -2.0, 0.0)
    assert supply.step(None, 1.0, False).charged_kwh == pytest.approx(1.5)
    assert supply.problem() == ""
    line.word = None
    assert supply.problem()
    with pytest.raises(BackendError):
        supply.reset_fault()
    supply.close()
    assert line.sent == ["P -2.0000 0", "RESET", "P 0 0", "closed"]


def test_the_planner_of_the_guide_delivers_what_is_due() -> None:
    import numpy as np

    from v2g_nodes.planning.station.vehicles import Horizon, ParkedVehicle, stays_of

    names: dict[str, object] = {"__name__": "guide"}
    for block in python_blocks(DOCS / "guides" / "add_a_planner.md"):
        exec(block, names)
    horizon = Horizon(900.0, np.full(96, 0.2), np.zeros(96))
    vehicle = ParkedVehicle("a", 900.0, 4.5 * 3600.0, 6.0, 20.0, 0.0, 3.3, 1e-3, 0.0)
    by_even = names["by_even"]
    assert callable(by_even)
    base_kw = by_even(stays_of([vehicle], horizon), horizon)
    assert base_kw.shape == (96,)
    assert base_kw.sum() * 0.25 == pytest.approx(-6.0)
    assert np.flatnonzero(base_kw).tolist() == [*range(1, 18)]
