"""What is not installed is asked for in one sentence, wherever it is first needed."""

from __future__ import annotations

import configparser
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from camoe.pipeline.errors import CamoeError
from camoe.pipeline.extras import needs_extra

ROOT = Path(__file__).parents[2]
EXTRA = re.compile(r"""needs_extra\(\s*["']([^"']+)["']""")


def _write_curves(folder: Path) -> None:
    from camoe.train.reporters import open_reporters

    open_reporters(["tensorboard"], folder, "run")


def _log_to_wandb(folder: Path) -> None:
    from camoe.train.reporters import open_reporters

    open_reporters(["wandb"], folder, "run")


def _serve(folder: Path) -> None:
    from camoe.evaluate.search.config import SearchConfig
    from camoe.evaluate.search.serve import serve

    serve(SearchConfig(features=(str(folder / "none.h5"),), serve=True), None, print)


def _index(folder: Path) -> None:
    from camoe.pipeline.store.video_index import _faiss

    _faiss()


def _tag(folder: Path) -> None:
    from camoe.extract.words import load_tagger

    load_tagger("spacy:en_core_web_sm")


def _join_cluster(folder: Path) -> None:
    from camoe.pipeline.engines.ray import RayEngine

    RayEngine()


def _search(folder: Path) -> None:
    from camoe.evaluate.sweep.config import SweepConfig
    from camoe.evaluate.sweep.run import sweep

    sweep(SweepConfig(features=(str(folder / "none.h5"),), search="field"))


@pytest.mark.parametrize(
    ("package", "use", "said"),
    [
        ("tensorboard", _write_curves, "--log tensorboard needs tensorboard, which is not installed; run: pip install"),
        ("wandb", _log_to_wandb, "--log wandb needs wandb, which is not installed; run: pip install 'camoe[wandb]'"),
        ("uvicorn", _serve, "--serve needs uvicorn, which is not installed; run: pip install 'camoe[search]'"),
        ("fastapi", _serve, "--serve needs fastapi, which is not installed; run: pip install 'camoe[search]'"),
        ("faiss", _index, "an index needs faiss, which is not installed; run: pip install 'camoe[faiss]'"),
        (
            "spacy",
            _tag,
            "--tagger spacy:en_core_web_sm needs spacy, which is not installed; run: pip install 'camoe[spacy]'",
        ),
        ("optuna", _search, "--search needs optuna, which is not installed; run: pip install 'camoe[optuna]'"),
        ("ray", _join_cluster, "--engine ray needs ray, which is not installed; run: pip install 'camoe[ray]'"),
    ],
)
def test_what_is_missing_is_told(
    package: str, use: Callable[[Path], None], said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for loaded in list(sys.modules):
        if loaded.startswith(("torch.utils.tensorboard", "camoe.evaluate.search.web", f"{package}.")):
            monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(CamoeError, match=re.escape(said)):
        use(tmp_path)


def test_a_fault_of_ours_is_not_told_as_a_missing_package() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_module"), needs_extra("search", "--serve"):
        import camoe.evaluate.no_such_module  # noqa: F401


def test_every_extra_that_is_named_exists() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    extras = dict(config["options.extras_require"])
    source = [path for part in ("pipeline", "extract", "train", "evaluate") for path in (ROOT / part).rglob("*.py")]
    named = {name for path in source for name in EXTRA.findall(path.read_text(encoding="utf-8"))}
    assert {"faiss", "ray", "search", "spacy", "tensorboard", "wandb"} <= named <= set(extras)
    users = extras["all"].strip().removeprefix("camoe[").removesuffix("]").split(",")
    assert set(users) == named, "the extra `all` holds every extra that a command asks for"
