"""The model card: `MODEL_CARD.md` in a run folder, all that is known of the run on a page, and what is not."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..pipeline.atomic import write_atomic
from ..pipeline.markdown import block, plain, table
from ..pipeline.regular import read_regular
from ..pipeline.store import describe_shortfall
from ..pipeline.too_few import too_few
from ..pipeline.wording import counted
from .config import TrainConfig
from .reproduce import train_command

CARD = "MODEL_CARD.md"
YOURS = "<!-- yours: what stands below this line is kept when the card is written anew -->"
LICENCE = """

## Licence and use

Not known here: the licences of CLIP's weights, of the videos and of the captions, and what they mean for this model. If
you pass the model on, write them here, and say what it is meant for and what it is not meant for.
"""


@dataclass(frozen=True)
class Numbers:
    """What an evaluation adds: its numbers, a row a re-ranking and the raw one first; notes; the command."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]
    command: str


@dataclass(frozen=True)
class CardFacts:
    """What a card is about. `title` is what tables call the model, `record` the values of `run.json`; `searching` are
    rows of what a search costs, where that is known."""

    name: str
    title: str
    config: TrainConfig
    record: dict[str, Any]
    numbers: tuple[Numbers, ...] = ()
    searching: tuple[tuple[str, str], ...] = ()


def write_card(folder: Path, facts: CardFacts) -> str | None:
    """Write the card anew, all but what the user wrote below its line.

    Returns what to say where a file of that name is not one of ours any more and is left alone.
    """
    path, own = folder / CARD, LICENCE
    if path.exists() or path.is_symlink():
        kept = None
        with suppress(OSError, UnicodeDecodeError):
            _, line, kept = read_regular(path).decode("utf-8").partition(YOURS)
            kept = kept if line else None
        if kept is None:
            return f"{path} has no line {YOURS!r} any more and is left as it is"
        own = kept
    write_atomic(path, card(facts) + YOURS + own)
    return None


def card(facts: CardFacts) -> str:
    """The page down to the line from which on it is the user's."""
    config = facts.config
    parts = [
        f"# {plain(facts.name)}",
        f"A {plain(facts.title)} head for video-text retrieval on frozen CLIP features, trained by camoe. "
        "camoe-train and camoe-evaluate write this page from `run.json` and `evaluation/`.",
        "## Model\n\n" + _pairs(_model(facts)),
        "## Data\n\n" + _pairs(_data(facts.record, config)),
        "## Numbers\n\n" + "\n\n".join(_numbers(facts)),
        "## Cost\n\n" + _pairs([*_cost(facts.record), *facts.searching]),
        "## Made by\n\n" + _made_by(facts),
        "## What is not known\n\n" + "\n".join(f"- {line}" for line in _unknown(facts)),
    ]
    return "\n\n".join(parts) + "\n\n"


def _pairs(rows: Sequence[tuple[str, object]]) -> str:
    return table(("", ""), rows, labels=2)


def _model(facts: CardFacts) -> list[tuple[str, object]]:
    config, record = facts.config, facts.record
    loss = config.loss + (f" at temperature {config.loss_temperature:g}" if config.loss == "dsl" else "")
    rows: list[tuple[str, object]] = [
        ("model", facts.title),
        ("parameters that are learnt", f"{record['parameters']:,}"),
    ]
    if config.facts.trains:
        rows += [("loss", loss), ("seed", config.seed)]
    rows.append(("streams", ", ".join(f"{stream} ({strategy})" for stream, strategy in config.strategies.items())))
    if record["start"]:
        rows.append(
            ("starts from", "CLIP's text layers" if record["start"] == "clip" else "parameters drawn at random")
        )
    if config.tags:
        rows.append(("tags", ", ".join(config.tags)))
    return rows


def _data(record: dict[str, Any], config: TrainConfig) -> list[tuple[str, object]]:
    store, counts = record["store"], record["counts"]
    made = {"precision": "", "sampling": "", "fps": " frames a second", "max_frames": " frames at most", "tagger": ""}
    sampled = ", ".join(f"{store[name]}{unit}" for name, unit in made.items() if store[name] is not None)
    rows: list[tuple[str, object]] = [
        ("store", ", ".join(config.features)),
        ("its content hash", store["content_hash"]),
        ("CLIP", f"{store['clip_model']}, SHA-256 {store['clip_sha256']}"),
        ("made with", sampled or "not recorded"),
        ("protocol", record["protocol"]),
        *(
            (name, f"{counted(count['captions'], 'caption')} of {counted(count['videos'], 'video')}")
            for name, count in counts.items()
        ),
    ]
    if held_out := record["held_out_videos"]:
        rows.append(
            ("val is", f"{counted(len(held_out), 'training video')} held out, as the protocol has no val captions")
        )
    if missing := record["missing_captions"]:
        rows.append(("left out", f"{counted(missing, 'caption')} without features of the video"))
    short = ", ".join(describe_shortfall(record["shortfall"]))
    rows.append(("INCOMPLETE" if short else "shortfall", f"this copy has {short}" if short else "none recorded"))
    return rows


def _numbers(facts: CardFacts) -> list[str]:
    """What chose the epoch, then every evaluation."""
    best, record = facts.record["selection"], facts.record
    parts = []
    if "R@1" in best:
        chosen = f"Epoch {best['epoch']} of {record['epochs']} is the best on val (the choice flatters these numbers)"
        told = f"R@1 {best['t2v_R@1']:.1f} text to video, {best['v2t_R@1']:.1f} video to text."
        few = too_few(record["counts"]["val"]["videos"], "val videos")
        parts.append(f"{chosen}: {told}" + (f" {few}." if few else ""))
    for numbers in facts.numbers:
        lines = [f"### {plain(numbers.title)}", "", table(numbers.head, numbers.rows), ""]
        parts.append("\n".join([*lines, *(f"- {plain(note)}" for note in numbers.notes)]))
    if not facts.numbers:
        parts.append("Not evaluated on test yet; `camoe-evaluate` adds its numbers here.")
    return parts


def _cost(record: dict[str, Any]) -> list[tuple[str, object]]:
    memory, speed = record["peak_memory_mb"], record["examples_per_second"]
    threads = f", {counted(record['threads'], 'thread')}" if record["device"] == "cpu" else ""
    rows: list[tuple[str, object]] = [
        ("training", f"{record['train_seconds']:.1f} s on {record['device']}{threads}"),
        ("peak memory", ", ".join(f"{name} {size:,} MB" for name, size in memory.items())),
    ]
    return rows if speed is None else [*rows, ("examples a second", f"{speed:,.0f}")]


def _made_by(facts: CardFacts) -> str:
    commands = [train_command(facts.config, facts.record["protocol"]), *(one.command for one in facts.numbers)]
    bits = "On a CPU the same command and versions give the same bits." if facts.record["device"] == "cpu" else ""
    versions = ", ".join(f"{name} {version}" for name, version in facts.record["versions"].items())
    told = f"Versions: {plain(versions) or 'not recorded'}. {bits}".rstrip()
    return "\n\n".join([block("\n".join(dict.fromkeys(commands)), "sh"), told])


def _unknown(facts: CardFacts) -> list[str]:
    record = facts.record
    lines = ["Whether CLIP saw these videos or captions in its own training, and what biases it brings."]
    if facts.config.facts.trains:
        lines.append(
            f"What other seeds would give: this run has seed {facts.config.seed} only (`camoe-sweep` trains several)."
        )
    if not facts.numbers:
        lines.append("Any number on test.")
    lines.append("How well it works on videos and texts that are unlike those named here.")
    if not record["shortfall"]:
        lines.append(
            "Whether the data is complete: nothing is recorded as missing, but own captions have no published counts."
        )
    if unrecorded := [
        name.replace("_", " ") for name, value in record["store"].items() if value is None and name != "tagger"
    ]:
        lines.append(f"About the store, what was not recorded or does not apply: {plain(', '.join(unrecorded))}.")
    return lines
