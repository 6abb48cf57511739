"""`camoe-extract`: videos and captions become a feature store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from ..pipeline.command import camoe_command, options_from, say
from ..pipeline.errors import CamoeError
from ..pipeline.wording import counted
from .config import ExtractConfig
from .progress import Bars

if TYPE_CHECKING:
    from .audit import Preview
    from .run import Extraction

_SHOWN = 3


@camoe_command("camoe-extract", go_on="the same command goes on where this one stopped")
@options_from(ExtractConfig)
@click.option(
    "--preview", "preview_count", type=click.IntRange(1), help="Only show how each strategy reads this many captions."
)
@click.option(
    "--dry-run", is_flag=True, help="Only say what would be done, and estimate from a small sample what it takes."
)
@click.option(
    "--within",
    metavar="TIME",
    help="With --dry-run: how many machines it takes to finish within this time (2h, 1h30m, 45m).",
)
def main(config: ExtractConfig, preview_count: int | None, dry_run: bool, within: str | None) -> int:
    """Run a frozen CLIP over the frames of videos and over their captions, and keep the features in HDF5.

    To continue an interrupted run, give the same command again. Exit status: 0 all done; 1 could not go on, finished
    shards are intact; 2 wrong use or refused, nothing written; 3 finished, some videos could not be read whole (see
    failures.csv); 130 interrupted.
    """
    from .run import extract, preview_captions  # loads torch, which --help does without

    if preview_count is not None:
        click.echo("\n\n".join(map(_coloured, preview_captions(config, preview_count))))
        return 0
    if dry_run or within is not None:
        if not dry_run:
            raise CamoeError("--within belongs to --dry-run; give both")
        from .estimate import describe_estimate, estimate, parse_duration

        _ = parse_duration(within) if within is not None else None
        say("\n".join(describe_estimate(estimate(config), within)))
        return 0
    done = extract(config, Bars())
    say(report(done))
    return done.exit_status


def _coloured(shown: Preview) -> str:
    from .audit import KEPT, MASKED, NOTE, PLAIN

    styles: dict[str, dict[str, Any]] = {
        KEPT: {"fg": "green", "bold": True},
        MASKED: {"dim": True},
        PLAIN: {},
        NOTE: {"fg": "yellow"},
    }
    width = max(len(line.label) for line in shown.lines)
    tags = " ".join(f"{word}/{tag}" if tag != "OTHER" else word for word, tag in shown.tags)
    lines = [click.style(shown.caption, bold=True), f"{'tags':<{width}}  {tags}"]
    for line in shown.lines:
        lines.append(
            f"{line.label:<{width}}  " + "".join(click.style(text, **styles[kind]) for text, kind in line.spans)
        )
    return "\n".join(lines)


def report(done: Extraction) -> str:
    """What lies in the store after a run, and what does not."""
    from ..pipeline.store.info import describe_tokens

    store = done.features
    if store is None:
        return _part_line(done)
    lines = [f"{done.store}: {counted(len(store.video_ids), 'video')}"]
    if store.video_ids:
        new = len(store.video_ids) - done.kept + len(done.lost)
        if not done.kept or done.part is not None:
            new = done.frames.ok + done.frames.damaged - len(done.replaced)
        lines[0] += f" ({new} new), {counted(int(store.frame_count.sum()), 'frame')}"
    if store.has_captions:
        lines[0] += f", {counted(len(store.caption_ids), 'caption')}"
        lines.append("texts: " + ", ".join("/".join(name) for name in store.text_names))
        if store.has_word_tokens:
            lines.append(f"word tokens: {describe_tokens(store.word_tokens)}")
        for protocol, codes in store.protocols.items():
            train, val, test = (int((codes == code).sum()) for code in (1, 2, 3))
            short = " (incomplete)" if store.shortfall.get(protocol) else ""
            lines.append(f"protocol {protocol}: {train} train, {val} val, {test} test captions{short}")
        without = int((store.caption_videos < 0).sum()) if store.video_ids else 0
        if without:
            lines.append(f"captions without frames of their video in the store, which cannot be used: {without}")
    lines += done.changes
    if done.replaced:
        lines.append(f"videos replaced, since their files had changed: {_named(done.replaced)}")
    if done.lost:
        lines.append(f"videos taken out, since their files had changed and cannot be read now: {_named(done.lost)}")
    if done.without_captions:
        lines.append(f"videos without a caption: {done.without_captions}")
    lines += [f"captions left out: {count} ({reason})" for reason, count in done.skipped_captions.items()]
    if done.failed or done.damaged:
        lines.append(f"videos that could not be read: {done.failed}, read in part: {done.damaged}; see {done.failures}")
    if done.part is not None:
        if done.part.others_failed:
            lines.append(
                f"videos of other parts that could not be read, or not whole, so far: {done.part.others_failed}"
            )
        lines.append(_part_line(done))
    return "\n".join(lines)


def _named(names: Sequence[str]) -> str:
    """How many, and the first of them by name."""
    return f"{len(names)} ({', '.join(names[:_SHOWN])}{', …' if len(names) > _SHOWN else ''})"


def _part_line(done: Extraction) -> str:
    """What a part did, and what is left to the others."""
    part = done.part
    assert part is not None
    if not part.chunks:
        return f"part {part.part} of {done.store}: nothing is left to make"
    line = f"part {part.part} of {done.store}: {part.own} of {part.chunks} chunks are its own"
    if done.frames.elsewhere:
        line += f" ({done.frames.elsewhere} videos of them are left to another run that has begun them)"
    if part.left:
        return f"{line}; {part.left} chunks are still to be made"
    rest = "; all chunks are made"
    return line + rest + (": run once without --part to make the file of them" if not part.can_be_opened else "")
