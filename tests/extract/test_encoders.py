"""Which encoder `--clip` names, and families of other packages; `test_open_clip.py` tests the one of ours."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from camoe.extract import encoders
from camoe.extract.clip_encoder import ClipEncoder
from camoe.extract.clip_tokens import CLIP_TOKENS
from camoe.extract.encoders import (
    file_form,
    has_family,
    is_named,
    load_encoder,
    missing_family,
    register_encoder,
    tokens_of,
)
from camoe.pipeline.errors import CamoeError


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as pip would install a package with a family of encoders into."""
    monkeypatch.setattr(encoders, "_REGISTERED", {})
    monkeypatch.syspath_prepend(str(tmp_path))
    folder = tmp_path / "their_encoder-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: their-encoder\nVersion: 1.0\n")
    (folder / "entry_points.txt").write_text("[camoe.encoders]\ntheirs = their_encoder:load\nbroken = nowhere:load\n")
    (tmp_path / "their_encoder.py").write_text("def load(*arguments):\n    return arguments\n")
    return tmp_path


def test_an_installed_family_is_named_by_its_prefix(installed: Path) -> None:
    assert load_encoder("theirs:large/v2", "cpu", "bf16", installed) == ("large/v2", "cpu", "bf16", installed)
    assert has_family("theirs:large/v2")
    assert is_named("theirs:large/v2")
    assert not is_named("theirs:large/weights.pt")
    with pytest.raises(
        CamoeError, match=r"encoders broken \(nowhere:load\) cannot be loaded: No module named 'nowhere'"
    ):
        load_encoder("broken:x")


def test_what_is_of_no_family_is_openais(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoders, "_REGISTERED", {})
    assert isinstance(load_encoder("tiny", "cpu"), ClipEncoder)
    assert tokens_of("ViT-B/32") is CLIP_TOKENS
    assert is_named("ViT-B/32")
    assert not has_family("imported:SigLIP")
    assert [file_form(name) for name in ("mine.pt", "open_clip:ViT-B-32/mine.pt")] == [
        "FILE",
        "open_clip:ViT-B-32/FILE",
    ]
    with pytest.raises(CamoeError, match="--clip open_clip: neither a file nor a known model"):
        load_encoder("open_clip")
    for wrong, told in (
        ("nobody:large", "there is no family of encoders 'nobody'; there are .*open_clip"),
        ("open-clip:ViT-B-32/x.pt", "there is no family of encoders 'open-clip'; did you mean 'open_clip'"),
        ("open_clip:", "name a model after open_clip:"),
    ):
        with pytest.raises(CamoeError, match=f"--clip {wrong}: {told}"):
            load_encoder(wrong)
    assert [missing_family(name) for name in ("mine:colours", "ViT-B/32", "open_clip:ViT-B-32/x")] == [
        "mine",
        None,
        None,
    ]


def test_a_family_is_given_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoders, "_REGISTERED", {})
    register_encoder("mine", load_encoder)
    register_encoder("mine", load_encoder)
    for taken in ("mine", "open_clip"):
        with pytest.raises(CamoeError, match=f"there is a family of encoders '{taken}' already"):
            register_encoder(taken, lambda *_: load_encoder("tiny"))


def test_without_open_clip_one_sentence_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [
        name for name in sys.modules if name.split(".")[0] == "open_clip" or name.endswith("open_clip_weights")
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(CamoeError, match=r"--clip open_clip:ViT-B-32/openai needs open_clip, .* 'camoe\[open-clip\]'"):
        load_encoder("open_clip:ViT-B-32/openai", "cpu")
