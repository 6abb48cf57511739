"""The model card: what is known of a run, and the command that makes it again."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from camoe.train.card import CARD, YOURS
from camoe.train.cli import main as camoe_train
from camoe.train.config import TrainConfig
from camoe.train.reproduce import train_command
from camoe.train.run import fit
from camoe.train.run_folder import load_run

Quick = Callable[..., TrainConfig]


def test_a_run_has_a_card(quick: Quick, tmp_path: Path) -> None:
    run = load_run(fit(quick(out=tmp_path / "a|b", tags=("<i>",), loss="dsl")))
    text = (run.path / CARD).read_text()
    store, best = run.record["store"], run.record["selection"]
    for line in (
        "# a&#124;b\n",
        "| loss | dsl at temperature 1000 |",
        "| tags | &#60;i&#62; |",
        f"| its content hash | {store['content_hash']} |",
        f"| CLIP | made-up, SHA-256 {store['clip_sha256']} |",
        "| train | 320 captions of 160 videos |",
        f"Epoch {best['epoch']} of 3 is the best on val",
        f"R@1 {best['t2v_R@1']:.1f} text to video, {best['v2t_R@1']:.1f} video to text. TOO FEW: 40 val videos",
        "Not evaluated on test yet",
        "- Any number on test.\n",
        f"Versions: camoe {run.record['versions']['camoe']}, python",
    ):
        assert line in text
    assert text.partition(YOURS)[2].lstrip().startswith("## Licence and use\n\nNot known here")


def test_held_out_videos_and_a_shortfall_are_told(quick: Quick, store_maker: Callable) -> None:
    folder = fit(quick(features=store_maker(subsets={"train": 50, "test": 10}), validation_fraction=0.2))
    assert (
        "| val is | 10 training videos held out, as the protocol has no val captions |" in (folder / CARD).read_text()
    )


def test_the_cards_command_trains_the_same_bits(quick: Quick, tmp_path: Path) -> None:
    folder = fit(quick(captions_per_video=2, stream_weights=(2, 1, 1), dropout=0))
    commands = (folder / CARD).read_text().partition("```sh\n")[2].partition("\n```")[0].splitlines()
    program, *words = shlex.split(commands[0])
    assert program == "camoe-train"
    assert camoe_train([*words, "--out", str(tmp_path / "again")], standalone_mode=False) == 0
    files = [(path / "model.safetensors").read_bytes() for path in (folder, tmp_path / "again")]
    assert files[0] == files[1]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, "camoe-train --features s.h5 --protocol p"),
        ({"features": ("a b.h5", "c.h5")}, "camoe-train --features 'a b.h5' --features c.h5 --protocol p"),
        ({"emcl": True, "patience": 3}, "camoe-train --features s.h5 --protocol p --emcl --patience 3"),
        ({"out": "x", "device": "cpu", "log": "wandb", "tags": "t"}, "camoe-train --features s.h5 --protocol p"),
    ],
)
def test_a_command_names_what_is_not_the_default(changes: dict, told: str) -> None:
    assert train_command(TrainConfig(**({"features": "s.h5"} | changes)), "p") == told
