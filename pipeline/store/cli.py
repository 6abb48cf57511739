"""`camoe-store`: look at feature stores, check, join, thin out, export and import them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..command import camoe_group, say
from ..config import SettingError
from ..errors import CamoeError
from ..regular import read_regular
from ..wording import counted
from ..writable import check_writable

# Each command imports what it needs: h5py and pyarrow take longer than `--help` should.
if TYPE_CHECKING:
    from .imports import Imported
    from .reader import FeatureStore

OPTIONS = {name: "--" + name.replace("_", "-") for name in ("max_frames", "fps", "precision", "clip_model", "out")}
"""The options of `import` that a message may speak of."""
PATHS = click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH…")


def _out(help_text: str) -> Callable[[Callable], Callable]:
    return click.option("--out", required=True, type=click.Path(path_type=Path), metavar="PATH", help=help_text)


@camoe_group("camoe-store")
def main() -> None:
    """Look at feature stores, check, join, thin out, export and import them.

    A store is a file, several, a glob, or a folder of shards. Exit status: 0 done; 1 damaged, or could not go on; 2
    wrong use or refused, nothing written; 3 imported, but for some videos (see failures.csv).
    """


@main.command()
@PATHS
def info(paths: tuple[Path, ...]) -> None:
    """Settings, counts, protocols, texts and the content hash of a store."""
    from .info import describe
    from .reader import FeatureStore

    for line in describe(FeatureStore.open(paths)):
        say(line)


@main.command()
@PATHS
def verify(paths: tuple[Path, ...]) -> int:
    """Compare each shard with its checksum, then read all of its data.

    Names the shard and the data set of a flipped byte, and the line of a damaged plan. Shards that are planned but not
    made yet are named too; they are no damage. Exit status: 0 sound; 1 damaged.
    """
    from .reader import FeatureStore, find_shards
    from .verify import is_listed, unfinished, verify_store

    told: set[str] = set()

    def show(shard: Path, problems: list[str]) -> None:
        told.update(problems)
        note = "" if is_listed(shard) else " (no checksum is listed for it)"
        say(f"{shard}: {'DAMAGED' if problems else 'sound'}{note}")
        for problem in problems:
            say(f"  {problem}")

    problems = verify_store(paths, show)
    for line in [*(problem for problem in problems if problem not in told), *unfinished(paths)]:
        say(line)
    if not problems:
        say(f"sound: {counted(len(find_shards(paths)), 'shard')}, content {FeatureStore.open(paths).content_hash}")
        return 0
    lines = " and their lines in SHA256SUMS" if any(path.is_dir() for path in paths) else ""
    remedy = f"restore the damaged shards, or delete them{lines} and run camoe-extract again"
    say(f"camoe-store: {counted(len(problems), 'problem')}; {remedy}", err=True)
    return 1


@main.command()
@PATHS
@_out("The joined store: a new FILE.h5 or folder.")
def merge(paths: tuple[Path, ...], out: Path) -> None:
    """Join shards, and captions extracted later with videos extracted earlier, into one store.

    Parts that were made with different settings are refused.
    """
    from .merge import merge_stores

    store = merge_stores(paths, out)
    say(f"{out}: {_counts(store)}, content {store.content_hash}")


@main.command()
@click.argument("store", type=click.Path(path_type=Path))
@click.argument("ids", nargs=-1, metavar="[ID…]")
@click.option(
    "--list", "listed", type=click.Path(path_type=Path), metavar="FILE", help="File with one id per line; - is stdin."
)
def drop(store: Path, ids: tuple[str, ...], listed: Path | None) -> None:
    """Take videos out of a store, with their captions.

    They stay out when the same camoe-extract command is given again. The shards of a folder still hold their data;
    camoe-store merge writes a store without it.
    """
    from .drop import drop_videos

    names = [*ids, *(_listed_ids(listed) if listed is not None else ())]
    if not names:
        raise CamoeError("there is nothing to drop; give ids of videos, or --list FILE")
    done = drop_videos(store, names)
    failed = f", {done.failed} that had failed" if done.failed else ""
    say(f"dropped {counted(done.videos, 'video')}{failed}, {counted(done.captions, 'caption')}")
    say(f"{store}: {_counts(done.store)}, content {done.store.content_hash}")


def _listed_ids(path: Path) -> list[str]:
    try:
        text = sys.stdin.buffer.read() if str(path) == "-" else read_regular(path)
        return [line for line in text.decode("utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise CamoeError(f"--list {path} cannot be read ({reason}); give a text file, one id a line") from None


@main.command()
@PATHS
@_out("NAME.npz, NAME.parquet for NAME.videos.parquet and NAME.captions.parquet, or NAME.faiss.")
@click.option(
    "--to", "form", type=click.Choice(["npz", "parquet", "faiss"]), help="Format; none: by the suffix of --out."
)
def export(paths: tuple[Path, ...], out: Path, form: str | None) -> None:
    """Write a store for other tools: NumPy (.npz, no pickles) or Parquet (a row for each video and each caption).

    Or write an index of its videos (.faiss), for camoe-search --index if the store is large.
    """
    from .export import export_store
    from .info import size_text
    from .reader import FeatureStore

    if out.exists():
        raise CamoeError(f"{out} exists already; give a new --out")
    if form is not None and out.suffix != f".{form}":
        raise CamoeError(
            f"--to {form} writes a .{form}, and {out} ends otherwise; give --out {out.with_suffix('.' + form)}"
        )
    check_writable(out)
    store = FeatureStore.open(paths)
    for path in export_store(store, out):
        say(f"{path}: {size_text(path.stat().st_size)}")


@main.command("import")
@click.argument("source", type=click.Path(path_type=Path))
@_out("The new store: FILE.h5 or a folder.")
@click.option("--clip-model", metavar="NAME", help="Which model made the features, for example ViT-B-16-SigLIP.")
@click.option("--logit-scale", type=float, metavar="NUMBER", help="What the model multiplies cosines by (CLIP: 100).")
@click.option(
    "--logit-bias", type=float, metavar="NUMBER", help="What the model adds to the product, if anything (SigLIP)."
)
@click.option(
    "--clip-sha256",
    metavar="HEX",
    help="SHA-256 of the model's weights, if known; without it, the model's name counts.",
)
@click.option(
    "--precision", default="imported", show_default=True, metavar="TEXT", help="Precision that the model ran in."
)
@click.option("--fps", type=float, metavar="NUMBER", help="Frames per second that were encoded, if known.")
@click.option(
    "--max-frames",
    type=int,
    default=12,
    show_default=True,
    metavar="INTEGER",
    help="Most frames per video; of longer ones, evenly spaced frames are kept.",
)
@click.option("--captions", type=click.Path(path_type=Path), metavar="FILE", help="Captions, read as by camoe-extract.")
@click.option(
    "--caption-columns", multiple=True, metavar="OURS=THEIRS,…", help="Names of its columns, for example caption=text."
)
@click.option(
    "--texts", multiple=True, metavar="[STRATEGY/STREAM=]FILE.npy", help="Embeddings of the captions, (M, D)."
)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    metavar="INTEGER",
    help="Seed of the split, for captions without one.",
)
@click.option(
    "--write-captions",
    type=click.Path(path_type=Path),
    metavar="FILE.csv",
    help="Write captions found in SOURCE to this file.",
)
def import_(
    source: Path,
    out: Path,
    clip_model: str | None,
    logit_scale: float | None,
    logit_bias: float | None,
    clip_sha256: str | None,
    precision: str,
    fps: float | None,
    max_frames: int,
    captions: Path | None,
    caption_columns: tuple[str, ...],
    texts: tuple[str, ...],
    seed: int,
    write_captions: Path | None,
) -> int:
    """Make a store from features that another tool computed, with any model.

    SOURCE is a folder of .npy, one (T, D) or (D,) a video (video_features, clip-video-encode); a .tar or folder of
    them (clip-video-encode's WebDataset); an .npz with ids, frames and frame_count; or an .npz that `export` wrote,
    which needs no options. With --captions and --texts the store is ready for camoe-train.
    """
    from ..captions.columns import Columns
    from .imports import ImportOptions, import_export, import_store, is_export, parse_texts

    if write_captions is not None and write_captions.exists():
        raise CamoeError(f"{write_captions} exists already; give a new --write-captions")
    check_writable(out, inside=out.is_dir())
    if write_captions is not None:
        check_writable(write_captions, remedy="give another --write-captions")
    if not source.exists():
        raise CamoeError(f"{source} does not exist; give a folder of .npy, an .npz or a .tar")
    if is_export(source):
        done = import_export(source, out)
    else:
        if clip_model is None or logit_scale is None:
            raise CamoeError("--clip-model and --logit-scale say which model made the features; give both")
        options = ImportOptions(
            *(clip_model, logit_scale, clip_sha256, precision, fps, max_frames, captions, parse_texts(texts), seed),
            logit_bias=logit_bias,
            columns=Columns.of(pair for given in caption_columns for pair in given.split(",")),
        )
        try:
            done = import_store(source, out, options)
        except SettingError as error:
            raise CamoeError(error.spelled(lambda name: OPTIONS.get(name, name))) from None
    if write_captions is not None:
        _write_captions(write_captions, done)
    for line in _report(done, max_frames, write_captions):
        say(line)
    return 3 if done.failed else 0


def _write_captions(path: Path, done: Imported) -> None:
    from ..atomic import write_atomic
    from ..csv_text import csv_text

    write_atomic(path, csv_text([("video_id", "caption"), *done.found_captions.items()]))


def _report(done: Imported, max_frames: int, captions: Path | None) -> list[str]:
    from .failures import failures_path
    from .reader import FeatureStore

    lines = [f"{done.store}: {_counts(FeatureStore.open(done.store))}"]
    lines += [f"captions left out: {count} ({reason})" for reason, count in done.skipped_captions.items()]
    if done.shortened:
        longer = counted(done.shortened, "video")
        lines.append(f"longer than {counted(max_frames, 'frame')}, and sampled evenly: {longer}")
    if done.found_captions and captions is not None:
        lines.append(f"{captions}: {counted(len(done.found_captions), 'caption')} found beside the features")
    elif done.found_captions:
        lines.append(
            f"{counted(len(done.found_captions), 'caption')} found beside the features, without embeddings: "
            "--write-captions FILE.csv saves them as a csv"
        )
    if done.failed:
        lines.append(f"{counted(done.failed, 'video')} could not be used: see {failures_path(done.store)}")
    return lines


def _counts(store: FeatureStore) -> str:
    captions = f", {counted(len(store.caption_ids), 'caption')}" if store.has_captions else ""
    return f"{counted(len(store.video_ids), 'video')}{captions}"


if __name__ == "__main__":
    main()
