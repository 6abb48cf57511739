"""What the pages show is what happens: their marked examples are run, on a small rendered world.

`<!-- run -->` on the line before a fence marks it. A `console` fence holds commands (`$ …`) and what they print, a
`python` fence code, and a `text` fence right after it what that prints. `<!-- file: NAME -->` keeps a fence as a file
that later ones import. `…` stands for what differs between machines: within a line for anything, alone on a line for
any lines; after `<!-- run; numbers may differ -->` the words must be those shown, and numbers stand where they stand.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import re
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
from camoe.pipeline.demo.dataset import write_dataset
from camoe.train import names

ROOT = Path(__file__).parents[1]
MARK = re.compile(r"<!-- (?:run|file:).* -->")
FENCE = re.compile(
    r"<!-- (?:run(; numbers may differ)?|file: (\S+)) -->\n```(console|python)\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?",
    re.DOTALL | re.MULTILINE,
)
NUMBER = re.compile(r"\b[0-9a-f]{8}\b|-?\d[\d.,]*")
FIRST = "docs/quickstart.md"
"""Makes what the other pages go on with."""


@dataclass(frozen=True)
class Example:
    """A marked fence: whether numbers may differ, the file that it is, its kind, its text, and what code prints."""

    loose: bool
    file: str | None
    kind: str
    text: str
    printed: str
    line: int


def examples(page: str) -> list[Example]:
    text = (ROOT / page).read_text(encoding="utf-8")
    found = [
        Example(m[1] is not None, m[2], m[3], m[4], m[5] or "", text[: m.start()].count("\n") + 2)
        for m in FENCE.finditer(text)
    ]
    assert len(found) == len(MARK.findall(text)), f"{page}: a mark stands before something else than a fence"
    return found


PAGES = [
    str(path.relative_to(ROOT))
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if "<!-- run" in path.read_text(encoding="utf-8")
]


def matches(expected: str, printed: str, *, loose: bool = False) -> bool:
    if loose:
        expected, printed = (re.sub(" +", " ", NUMBER.sub("#", text)) for text in (expected, printed))
    pattern = ""
    for line in expected.strip().splitlines():
        parts = [re.escape(part) for part in line.rstrip().split("…")]
        pattern += "(?:.*\n)*?" if line.strip() == "…" else "[^\n]*".join(parts) + " *\n"
    return re.fullmatch(pattern, printed.strip() + "\n") is not None


def test_the_marks_mean_what_they_say() -> None:
    assert matches("a\nb…d\n…\nz", "a\nb c d\n1\n2\nz")
    assert matches("…\nz", "z\n")
    assert not matches("a\nb", "a\nb\nc")
    assert not matches("a…", "b\na")
    assert matches("R@1  70.5 (0a1b2c3d)", "R@1 100.0 (99999999)", loose=True)
    assert not matches("R@1 70.5", "R@1 none", loose=True)


def run_page(page: str) -> None:
    scope: dict[str, Any] = {"__name__": "__main__"}
    for example in examples(page):
        where = f"{page}:{example.line}"
        if example.file:
            Path(example.file).write_text(example.text, encoding="utf-8")
        elif example.kind == "console":
            for command, expected in commands(example.text):
                printed = run_command(command)
                assert matches(expected, printed, loose=example.loose), f"{where}: {command} printed\n{printed}"
        else:
            shown = io.StringIO()
            with contextlib.redirect_stdout(shown):
                exec(compile(example.text, where, "exec"), scope)
            if example.printed:
                printed = shown.getvalue()
                assert matches(example.printed, printed, loose=example.loose), f"{where} printed\n{printed}"


def commands(text: str) -> Iterator[tuple[str, str]]:
    for part in ("\n" + text).split("\n$ ")[1:]:
        command, _, printed = part.partition("\n")
        yield command, printed


def run_command(line: str) -> str:
    """Ours in this process, which saves the imports, others by the shell; progress is left out, a mistake is not."""
    name, *words = shlex.split(line, comments=True)
    shown, told = io.StringIO(), io.StringIO()
    if not name.startswith("camoe"):
        done = subprocess.run(line, shell=True, capture_output=True, text=True, timeout=60)
        return done.stdout + done.stderr
    (command,) = entry_points(group="console_scripts", name=name)
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(told), pytest.raises(SystemExit):
        command.load()(words)
    return shown.getvalue() or told.getvalue()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder that the quick start was run in."""
    folder = tmp_path_factory.mktemp("docs")
    write_dataset(folder, "small", workers=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(str(folder))  # as Python does for a script that lies there
        run_page(FIRST)
        yield folder


@pytest.mark.parametrize("page", PAGES)
def test_examples_print_what_they_show(page: str, world: Path) -> None:
    before = set(names.MODELS)
    try:
        if page != FIRST:
            run_page(page)
    finally:
        for name in set(names.MODELS) - before:
            del names.MODELS[name]


def test_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cells one after the other, as a kernel would; in git it holds no outputs."""
    import matplotlib.pyplot as plt

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    plt.switch_backend("agg")
    scope: dict[str, Any] = {"__name__": "__main__"}
    pictures = 0
    for number, cell in enumerate(json.loads((ROOT / "docs" / "notebook.ipynb").read_text(encoding="utf-8"))["cells"]):
        if cell["cell_type"] == "code":
            assert (cell["outputs"], cell["execution_count"]) == ([], None)
            exec(compile("".join(cell["source"]), f"notebook cell {number}", "exec"), scope)
            pictures += len(plt.get_fignums())
            plt.close("all")
    assert pictures == 5


def messages() -> set[str]:
    """Every text in the code, with `…` for what is put into it."""
    found = set()
    for part in ("pipeline", "extract", "train", "evaluate"):
        for path in (ROOT / part).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    found.add("".join(str(v.value) if isinstance(v, ast.Constant) else "…" for v in node.values))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.add(node.value)
    return found


def test_error_messages_are_those_of_the_code() -> None:
    text = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    told = re.findall(r"^## `(.+)`$", text, re.MULTILINE)
    assert len(told) > 10
    said = messages()
    gone = [line for line in told if not any(line.strip("… ") in re.sub(r"\s+", " ", text) for text in said)]
    assert gone == []


def test_links_on_disk_lead_somewhere() -> None:
    lost = []
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
            if "://" not in target and not (page.parent / target).exists():
                lost.append(f"{page.name}: {target}")
    assert lost == []
