"""What the automatic cut-off of a search keeps and what it refuses, in the demo's world, where what is right is known.

    python benchmarks/search_cutoff.py camoe-demo [--run zero-shot-0 --run camoe-0]

`camoe-demo` is the folder that the command of that name wrote. Sensible queries of one to three words name a shape, a
colour, a motion or a place that clips show (`a red star`, `hearts`, `a spinning moon`, `the beach`): counted is how
many keep a clip that shows it, and what share of all such clips they keep. Nonsense is the shipped list of unlikely
sentences, and thirty short and ten long queries about things that are not in this world; some share a word with it
(`a green dress`). Counted is how many have no hit, and how many have five or fewer. Each line is printed for the
cut-off of whole captions alone, whatever the query's length, and for that which `auto` takes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from camoe.evaluate.search.cutoff import UNLIKELY
from camoe.evaluate.search.searcher import Searcher
from camoe.pipeline.demo.captions import PLACES, VERBS
from camoe.pipeline.demo.world import BACKGROUNDS, COLOURS, SHAPES, Clip, make_clips

FEW = 5
SHORT_NONSENSE = (
    *("a lighthouse", "tax law", "asdf", "two dogs", "a zebra", "pension fund", "a piano", "an elephant", "a church"),
    *(
        "the parliament",
        "a wedding cake",
        "playing guitar",
        "a steam train",
        "an old man",
        "cooking onions",
    ),
    *("a red bicycle", "a green dress", "blue jeans", "an orange cat", "the president speaks", "a kitchen"),
    *("a car crash", "snowboarding", "newspaper", "mathematics", "an angry crowd", "a yellow submarine"),
    *("football", "quarterly report", "xyzzy plugh"),
)
LONG_NONSENSE = (
    "a man in a suit talks about the stock market",
    "two dogs run along the river",
    "a football player scores a goal",
    "the parliament debates",
    "a woman is slicing onions in a kitchen",
    "children play the violin in a church",
    "a chef explains a recipe to the camera",
    "an old car drives through the city at night",
    "a cat sleeps on a keyboard",
    "a red bicycle leans against a wall",
)
NONSENSE = {
    "unlikely": tuple(UNLIKELY.read_text(encoding="utf-8").splitlines()),
    "short": SHORT_NONSENSE,
    "long": LONG_NONSENSE,
}


def sensible() -> Iterator[tuple[str, Callable[[Clip], bool]]]:
    """Queries, and which clips show it."""
    for shape in SHAPES:
        plural = f"{shape}es" if shape == "cross" else f"{shape}s"
        yield f"a {shape}", lambda clip, shape=shape: has(clip, shape)  # type: ignore[misc]
        yield plural, lambda clip, shape=shape: has(clip, shape)  # type: ignore[misc]
        for colour in COLOURS:
            article = "an" if colour[0] in "aeiou" else "a"
            yield f"{article} {colour} {shape}", lambda clip, both=(shape, colour): has(clip, *both)  # type: ignore[misc]
        for place in BACKGROUNDS:
            yield f"{shape} on {place}", lambda clip, both=(shape, place): shows(clip, both)  # type: ignore[misc]
        for motion in ("spin", "rise", "flash", "bounce"):
            moving = VERBS[motion][0][1]
            yield f"a {moving} {shape}", lambda clip, both=(shape, motion): shows(clip, both)  # type: ignore[misc]
    for place, words in PLACES.items():
        for word in words:
            yield word, lambda clip, place=place: shows(clip, (place,))  # type: ignore[misc]
            yield f"the {word}", lambda clip, place=place: shows(clip, (place,))  # type: ignore[misc]
    for colour in COLOURS:
        yield f"something {colour}", lambda clip, colour=colour: shows(clip, (colour,))  # type: ignore[misc]


def has(clip: Clip, shape: str, colour: str | None = None) -> bool:
    pairs = [(clip.combination.shape, clip.combination.colour), *([clip.other] if clip.other else [])]
    return any(found == shape and colour in (None, painted) for found, painted in pairs)


def shows(clip: Clip, wanted: tuple[str, ...]) -> bool:
    what = clip.combination
    return set(wanted) <= {what.shape, what.colour, what.background, what.motion}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("demo", type=Path)
    parser.add_argument("--run", action="append", metavar="NAME", help="of a run in its folder runs")
    options = parser.parse_args()
    columns = "".join(f"{f'{name}: none':>17}{f'≤ {FEW}':>6}" for name in NONSENSE)
    print(f"{'':28}{'kept':>6}{'of all':>8}{columns}")
    for name in options.run or ["zero-shot-0", "camoe-0"]:
        searcher = Searcher.open(options.demo / "runs" / name, device="cpu")
        whole = searcher.cutoff.at()
        show(f"{name}, captions", searcher, lambda query, whole=whole: whole)
        show(f"{name}, auto", searcher, searcher.auto_cutoff)


def show(title: str, searcher: Searcher, cutoff_of: Callable) -> None:
    clips = {clip.video_id: clip for clip in make_clips("default")}

    def kept(text: str) -> np.ndarray:
        """`(N,)` bool."""
        query = searcher.query(text)
        return searcher.mix(searcher.wanted_score(query)) >= cutoff_of(query)

    found, shares = [], []
    for text, is_right in sensible():
        right = np.array([is_right(clips[video]) for video in searcher.gallery.ids])
        if right.any():
            found.append((kept(text) & right).any())
            shares.append(kept(text)[right].mean())
    hits = {name: np.array([kept(text).sum() for text in texts]) for name, texts in NONSENSE.items()}
    columns = "".join(f"{np.mean(each == 0):17.0%}{np.mean(each <= FEW):6.0%}" for each in hits.values())
    print(f"{title:28}{np.mean(found):6.0%}{np.mean(shares):8.0%}{columns}", flush=True)


if __name__ == "__main__":
    main()
