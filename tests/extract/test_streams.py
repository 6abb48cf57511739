"""Strategies: literal readings, and each against a slow obvious version through CLIP's real text tower."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from camoe.extract.analyse import analyse
from camoe.extract.clip_encoder import ClipEncoder
from camoe.extract.clip_tokens import CLIP_TOKENS, CONTEXT_LENGTH
from camoe.extract.readings import build_texts
from camoe.extract.strategies import STRATEGIES, Reading, read_caption
from camoe.extract.streams import describe_streams, parse_streams, selectors, text_names
from camoe.extract.text_tokens import Caption, Word
from camoe.extract.words import Tagger
from camoe.pipeline.errors import CamoeError
from camoe.pipeline.store.notes import merge_notes
from hypothesis import given, settings
from hypothesis import strategies as st

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import clip
    from clip.model import CLIP

TAGGER = Tagger()
STREAMS = selectors(parse_streams())
LONG = "the old man and his small brown dog slowly walk along a very quiet street in the evening and " * 10


@pytest.fixture(scope="module")
def tower() -> Any:
    """CLIP's own model with a small random text tower; positions are made large enough to matter."""
    torch.manual_seed(0)
    model = CLIP(32, 32, 1, 64, 16, 77, 49408, 64, 1, 2).float().eval().requires_grad_(False)
    model.positional_embedding.mul_(30)
    model.token_embedding.weight.mul_(10)
    return model


@pytest.fixture(scope="module")
def encoder(tower: Any) -> ClipEncoder:
    return ClipEncoder(tower, None, torch.device("cpu"), "fp32")  # type: ignore[arg-type]


def read(text: str, strategy: str, stream: str = "entity") -> Reading:
    return read_caption(analyse(text, TAGGER), strategy, STREAMS[stream] if strategy != "full" else None)


def outputs(tower: Any, tokens: list[int], closed: list[int]) -> torch.Tensor:
    """All 77 outputs of CLIP's own transformer, projected, `(77, D)`, with attention to the places `closed` shut."""
    padded = torch.tensor([tokens + [0] * (77 - len(tokens))])
    mask = torch.full((77, 77), float("-inf")).triu(1)
    mask[:, closed] = float("-inf")
    mask.fill_diagonal_(0)
    x = (tower.token_embedding(padded) + tower.positional_embedding).permute(1, 0, 2)
    before = [block.attn_mask for block in tower.transformer.resblocks]
    for block in tower.transformer.resblocks:
        block.attn_mask = mask
    x = tower.ln_final(tower.transformer(x).permute(1, 0, 2))[0] @ tower.text_projection
    for block, kept in zip(tower.transformer.resblocks, before, strict=True):
        block.attn_mask = kept
    return x


# --- literal readings


@pytest.mark.parametrize(
    ("strategy", "stream", "sentence"),
    [
        ("full", "fusion", "a man's brown t-shirt is drying!"),
        ("rkw", "entity", "man t-shirt"),
        ("rkw", "action", "drying"),
        ("akwe", "entity", "a *man* 's brown *t-shirt* is drying !"),
        ("muw", "entity", "_ man _ _ t-shirt _ _ _"),
        ("muw", "action", "_ _ _ _ _ _ _ _ drying _"),
        ("muw-token", "entity", "_ man _ _ t-shirt _ _ _"),
    ],
)
def test_sentences(strategy: str, stream: str, sentence: str) -> None:
    caption = analyse("A man's  brown t-shirt is drying!", TAGGER)
    assert read_caption(caption, strategy, STREAMS.get(stream)).sentence == sentence


def test_muw_keeps_positions() -> None:
    start, end = 49406, 49407
    reading = read("a man is riding a horse", "muw")
    assert reading.sequence.tokens == (start, *CLIP_TOKENS.tokens_of("man"), *CLIP_TOKENS.tokens_of("horse"), end)
    assert reading.sequence.positions == (0, 2, 6, 7)
    assert reading.kept_words == ("man", "horse")
    assert read("a man is riding a horse", "muw", "action").sequence.positions == (0, 4, 7)


def test_muw_token_fills_places() -> None:
    filler = CLIP_TOKENS.tokens_of("_")
    assert len(filler) == 1
    reading = read("a dog runs", "muw-token")
    assert reading.sequence.tokens == (49406, *filler, *CLIP_TOKENS.tokens_of("dog"), *filler, 49407)
    assert reading.sequence.positions == (0, 1, 2, 3, 4)


def test_akwe_pools_every_token_of_a_split_word() -> None:
    pieces = CLIP_TOKENS.tokens_of("kaiserschmarrn")
    assert len(pieces) > 1
    reading = read("the kaiserschmarrn is eaten", "akwe")
    assert reading.sequence.pooled == tuple(range(2, 2 + len(pieces)))


@pytest.mark.parametrize("strategy", [name for name in STRATEGIES if name != "full"])
def test_a_caption_without_a_word_of_the_stream_is_read_whole(strategy: str) -> None:
    reading = read("two big red ones!", strategy, "action")
    assert reading.fell_back
    assert reading.kept_words == ()
    assert reading.sequence == read("two big red ones!", "full").sequence
    assert reading.sentence == "two big red ones!"


# --- against CLIP


AWKWARD = [
    "a man is riding a horse",
    "  A Man's T-SHIRT isn't  red!! ",
    "caf\u00e9 &amp; cr\u00eape &lt;3 \u201cquoted\u201d it\u2019s 12,345 \u20ac",
    "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467 emoji \u2764\ufe0f",
    "一个人在骑马, человек हिन्दी।",
    "\u00c3\u00a9t\u00c3\u00a9 mojibake",
    "under_score __ \\ *star* a_b",
    "",
    "...",
    "\u0130stanbul",
    LONG,
    "a" * 3000,
    "\U0001f600" * 100,
    "\U0001f602" * 700,
]


@pytest.mark.parametrize("text", AWKWARD)
def test_full_has_the_tokens_of_clip(text: str) -> None:
    reading = read(text, "full")
    expected = clip.tokenize(text, truncate=True)[0].tolist()
    count = len(reading.sequence.tokens)
    assert list(reading.sequence.tokens) == expected[:count]
    assert not any(expected[count:])
    assert reading.sequence.positions == tuple(range(count))
    assert reading.truncated == (count == 77 and len(clip.clip._tokenizer.encode(text)) > 75)


@given(st.text(max_size=80))
@settings(max_examples=300, deadline=None)
def test_full_has_the_tokens_of_clip_for_any_text(text: str) -> None:
    tokens = read_caption(analyse(text, None), "full", None).sequence.tokens
    expected = clip.tokenize(text, truncate=True)[0].tolist()
    assert list(tokens) == expected[: expected.index(49407) + 1]


def test_special_tokens_in_a_caption_end_it_as_for_clip(tower: Any, encoder: ClipEncoder) -> None:
    text = "a dog <|endoftext|> and a cat <|startoftext|>"
    sequence = read(text, "full").sequence
    assert sequence.tokens == (49406, 320, 1929, 49407)
    torch.testing.assert_close(
        encoder.encode_tokens([sequence]), tower.encode_text(clip.tokenize(text)), atol=1e-5, rtol=1e-4
    )


@pytest.mark.parametrize("stream", ["entity", "action"])
@pytest.mark.parametrize("text", [*AWKWARD[:5], "a woman in a red dress is slowly slicing some olives and sings"])
def test_muw_equals_closed_attention(tower: Any, encoder: ClipEncoder, text: str, stream: str) -> None:
    """The kept tokens at their own positions give what the whole caption gives with attention to the others shut."""
    caption = analyse(text, TAGGER)
    keep = STREAMS[stream](caption)
    if not any(keep):
        keep = [True] * len(keep)
    flags = [flag for word, flag in zip(caption.words, keep, strict=True) for _ in word.tokens]
    tokens = [49406, *(token for word in caption.words for token in word.tokens), 49407]
    closed = [place for place, flag in enumerate(flags, start=1) if not flag]
    slow = outputs(tower, tokens, closed)[len(tokens) - 1]
    fast = encoder.encode_tokens([read(text, "muw", stream).sequence])[0]
    torch.testing.assert_close(fast, slow, atol=1e-5, rtol=1e-4)
    if closed:
        assert (slow - outputs(tower, tokens, [])[len(tokens) - 1]).abs().max() > 1e-3


def test_akwe_is_the_mean_of_contextual_outputs(tower: Any, encoder: ClipEncoder) -> None:
    text = "a man is eating kaiserschmarrn in bed"
    tokens = clip.clip._tokenizer.encode(text)
    every = outputs(tower, [49406, *tokens, 49407], [])
    split = len(CLIP_TOKENS.tokens_of("kaiserschmarrn"))
    kept = [2, *range(5, 5 + split), 6 + split]
    key_words = {"man", "kaiserschmarrn", "bed"}
    reading = read_caption(analyse(text, None), "akwe", lambda caption: [w.text in key_words for w in caption.words])
    fast = encoder.encode_tokens([reading.sequence])[0]
    torch.testing.assert_close(fast, every[kept].mean(0), atol=1e-5, rtol=1e-4)


def test_rkw_and_muw_token_are_ordinary_sentences(tower: Any, encoder: ClipEncoder) -> None:
    text = "a man is riding a horse"
    for strategy, sentence in (("rkw", "man horse"), ("muw-token", "_ man _ _ _ horse")):
        fast = encoder.encode_tokens([read(text, strategy).sequence])
        torch.testing.assert_close(fast, tower.encode_text(clip.tokenize(sentence)), atol=1e-5, rtol=1e-4)


# --- the limit of 77 tokens


@pytest.mark.parametrize("strategy", list(STRATEGIES))
def test_long_captions_fit_and_are_counted(strategy: str) -> None:
    sequence = read(LONG, strategy).sequence
    assert len(sequence.tokens) <= CONTEXT_LENGTH
    assert max(sequence.positions) <= CONTEXT_LENGTH - 1
    assert list(sequence.positions) == sorted(set(sequence.positions))
    assert read(LONG, strategy).truncated == (strategy != "rkw")
    assert not read("a dog runs", strategy).truncated


def test_key_words_are_preferred_over_the_rest() -> None:
    """A noun after 100 other words still reaches CLIP; early words keep their places."""
    text = "a dog " + "very " * 100 + "near a horse"
    kept = (*CLIP_TOKENS.tokens_of("dog"), *CLIP_TOKENS.tokens_of("horse"))
    muw = read(text, "muw")
    assert muw.sequence.tokens[1:-1] == kept
    assert muw.sequence.positions == (0, 2, 75, 76)
    assert muw.sentence.count("_") == 73
    akwe = read(text, "akwe").sequence
    assert akwe.pooled is not None
    assert tuple(akwe.tokens[place] for place in akwe.pooled) == kept
    assert read(text, "rkw").sentence == "dog horse"


def test_more_key_words_than_fit() -> None:
    for strategy in STRATEGIES:
        reading = read("dog cat " * 60, strategy)
        assert len(reading.sequence.tokens) == CONTEXT_LENGTH
        assert reading.sequence.positions == tuple(range(CONTEXT_LENGTH))
        assert reading.truncated


# --- sentences are keys


WORDS = st.lists(
    st.tuples(st.sampled_from(["man", "dog's", "_", "*", "\\", "t-shirt", "!!", "a_b", "\\_"]), st.booleans()),
    min_size=1,
    max_size=6,
)


@given(WORDS, WORDS, st.sampled_from(list(STRATEGIES)))
@settings(max_examples=500, deadline=None)
def test_equal_sentences_have_equal_sequences(first: list, second: list, strategy: str) -> None:
    readings = []
    for chosen in (first, second):
        caption = analyse(" ".join(word for word, _ in chosen), None)
        flags = [flag for word, flag in chosen for _ in analyse(word, None).words]
        readings.append(read_caption(caption, strategy, lambda caption, flags=flags: flags[: len(caption.words)]))
    if readings[0].sentence == readings[1].sentence:
        assert readings[0].sequence == readings[1].sequence


def test_a_literal_underscore_is_no_mask() -> None:
    whole = read_caption(
        Caption("_ dog", [Word("_", "OTHER", (62 + 256,)), Word("dog", "NOUN", (1929,))], CLIP_TOKENS),
        "muw",
        None,
    )
    assert whole.sentence == "\\_ dog"


# --- streams


def test_parse_streams(tmp_path) -> None:
    words = tmp_path / "food.txt"
    words.write_text("# food\nApple\nice cream\n", encoding="utf-8")
    streams = parse_streams(["attribute=adj", f"food=@{words}", "entity=NOUN,ADJ", "scene=@scene"])
    assert streams == {
        "fusion": "everything",
        "entity": "NOUN,ADJ",
        "action": "VERB",
        "attribute": "ADJ",
        "food": f"@{words}",
        "scene": "@scene",
    }
    chosen = selectors(streams)
    caption = analyse("Two apples, some ice cream on the beaches", TAGGER)
    assert [w.text for w, k in zip(caption.words, chosen["food"](caption), strict=True) if k] == [
        "apples",
        "ice",
        "cream",
    ]
    assert [w.text for w, k in zip(caption.words, chosen["scene"](caption), strict=True) if k] == ["beaches"]
    described = describe_streams(streams)
    assert described["food"].startswith("@food.txt sha256:")
    assert described["entity"] == "NOUN,ADJ"
    words.write_text("pear\n", encoding="utf-8")
    assert describe_streams(streams)["food"] != described["food"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("entity", "is not NAME=TAG,TAG or NAME=@wordlist.txt"),
        ("=NOUN", "is not NAME=TAG,TAG"),
        ("a/b=NOUN", "is not NAME=TAG,TAG"),
        ("entity=NOUNS", "stream entity names the tag NOUNS; choose from NOUN, VERB, AUX, ADJ, OTHER"),
        ("fusion=NOUN", "fusion stream is the whole caption"),
        (
            "x=@no_such_file.txt",
            r"word list no_such_file.txt cannot be read; .* a shipped list \(@scene\)",
        ),
    ],
)
def test_bad_streams(spec: str, message: str) -> None:
    with pytest.raises(CamoeError, match=message):
        parse_streams([spec])


def test_bad_word_lists(tmp_path) -> None:
    path = tmp_path / "w.txt"
    path.write_text("# nothing\n")
    with pytest.raises(CamoeError, match="holds no words"):
        parse_streams([f"x=@{path}"])
    path.write_bytes(b"caf\xe9\n")
    with pytest.raises(CamoeError, match="is not UTF-8"):
        parse_streams([f"x=@{path}"])


# --- build_texts


CAPTIONS = ["a man runs", "a dog runs", "A man runs", "two red", "a man walks"]


def test_build_texts() -> None:
    tables = build_texts(CAPTIONS, ["muw"], parse_streams(), TAGGER)
    assert set(tables) == {("full", "fusion"), ("muw", "entity"), ("muw", "action")}
    entity = tables["muw", "entity"]
    assert entity.sentence == ["_ man _", "_ dog _", "two red"]
    assert entity.row.tolist() == [0, 1, 0, 2, 0]
    assert entity.row.dtype == np.int64
    assert entity.notes == {
        "captions": 5,
        "fell_back": 1,
        "truncated": 0,
        "kept_words": 4,
        "top_words": {"man": 3, "dog": 1},
    }
    assert tables["full", "fusion"].row.tolist() == [0, 1, 0, 2, 3]


def test_full_alone_needs_no_tagger() -> None:
    assert set(build_texts(CAPTIONS, ["full"], parse_streams(), None)) == {("full", "fusion")}


def test_processes_and_parts_change_nothing() -> None:
    captions = [f"a man {verb} dog number {n}" for n in range(1200) for verb in ("sees a", "walks the", "is", "red")]
    strategies, streams = list(STRATEGIES), parse_streams(["scene=@scene"])
    alone = build_texts(captions, strategies, streams, TAGGER)
    assert len(alone) == 1 + 4 * 3
    spread = build_texts(captions, strategies, streams, TAGGER, workers=2)
    halves = [build_texts(part, strategies, streams, TAGGER) for part in (captions[:1000], captions[1000:])]
    for name, table in alone.items():
        assert table.sentence == spread[name].sentence
        assert table.sequence == spread[name].sequence
        assert table.row.tolist() == spread[name].row.tolist()
        assert table.notes == spread[name].notes == merge_notes([half[name].notes for half in halves])
        rebuilt = [half[name].sentence[row] for half in halves for row in half[name].row.tolist()]
        assert rebuilt == [table.sentence[row] for row in table.row.tolist()]


def test_rows_reproduce_each_reading() -> None:
    for (strategy, stream), table in build_texts(CAPTIONS, list(STRATEGIES), parse_streams(), TAGGER).items():
        for caption, row in zip(CAPTIONS, table.row.tolist(), strict=True):
            assert table.sentence[row] == read(caption, strategy, stream if stream != "fusion" else "entity").sentence


def test_unknown_strategy() -> None:
    with pytest.raises(CamoeError, match="'mask' does not exist; choose from full, rkw, akwe, muw, muw-token"):
        build_texts(CAPTIONS, ["mask"], parse_streams(), TAGGER)


def test_no_captions() -> None:
    assert build_texts([], ["muw"], parse_streams(), TAGGER)["muw", "entity"].row.shape == (0,)


def test_which_texts_are_made() -> None:
    """One list for what is built, what is missing of a store, and what a preview shows."""
    assert text_names(["full"], STREAM_NAMES) == text_names([], STREAM_NAMES) == [("full", "fusion")]
    expected = [("full", "fusion"), ("muw", "entity"), ("muw", "action"), ("rkw", "entity"), ("rkw", "action")]
    assert text_names(["muw", "full", "rkw", "muw"], STREAM_NAMES) == expected
    assert list(build_texts(["a man runs"], ["muw", "rkw"], parse_streams(), TAGGER)) == expected


STREAM_NAMES = ("fusion", "entity", "action")
