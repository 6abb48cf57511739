"""Tags of captions: literal sentences, the rules one by one, HanTa's own search as the slow version."""

from __future__ import annotations

import pytest
import regex
from camoe.extract.hanta import Hanta
from camoe.extract.words import TAGS, Tagger, load_tagger, split_words, tag_all, word_spans
from camoe.pipeline.errors import CamoeError
from hypothesis import given, settings
from hypothesis import strategies as st

LABELLED = [
    "a/O young/A woman/N is/X riding/V a/O brown/A horse/N along/O the/O beach/N",
    "two/O men/N are/X slowly/O chopping/V onions/N in/O a/O kitchen/N",
    "someone/O pours/V olive/* oil/N into/O a/O frying/* pan/N",
    "a/O man/N has/X been/X kickboxing/V",
    "the/O cat/N has/V a/O toy/N",
    "they/O do/X not/O have/V a/O ball/N",
    "a/O girl/N can/X swim/V",
    "it/O s/X a/O dog/N s/O bowl/N",
    "they/O re/X doing/V push/* ups/N",
    "a/O boy/N petting/V a/O goat/N",
    "a/O player/N scores/V a/O goal/N",
    "a/O reporter/N talks/V about/O the/O storm/N",
    "a/O grey/A haired/A man/N sings/V",
    "women/N are/X ice/N fishing/V",
    "a/O man/N was/X being/X chased/V by/O bees/N",
    "a/O person/N stirs/V rice/N pudding/N",
    "a/O man/N swings/V a/O machete/N",
    "two/O dogs/N chase/V each/O other/A",
    "mario/N jumps/V over/O a/O turtle/N",
    "there/O is/X a/O wrestling/* match/N in/O a/O stadium/N",
]
BE_AND_MODALS = "be am is are was were been being can could will would must should might may"
TAGGED_AUX = BE_AND_MODALS.split()
LETTERS = {"N": "NOUN", "V": "VERB", "X": "AUX", "A": "ADJ", "O": "OTHER"}


@pytest.fixture(scope="module")
def tagger() -> Tagger:
    return Tagger()


@pytest.mark.parametrize("line", LABELLED)
def test_labelled_captions(tagger: Tagger, line: str) -> None:
    pairs = [item.rsplit("/", 1) for item in line.split()]
    tags = tagger.tag([word for word, _ in pairs])
    assert [(word, tag) for (word, letter), tag in zip(pairs, tags, strict=True) if letter != "*"] == [
        (word, LETTERS[letter]) for word, letter in pairs if letter != "*"
    ]


def test_be_and_modals_are_never_actions(tagger: Tagger) -> None:
    for word in [
        "be",
        "am",
        "is",
        "are",
        "was",
        "were",
        "been",
        "being",
        "can",
        "could",
        "will",
        "would",
        "must",
        "should",
        "might",
        "may",
    ]:
        for tokens in (["the", "man", word], [word, "the", "man"], ["a", "dog", word, "eating"], [word]):
            assert tagger.tag(tokens)[tokens.index(word)] == "AUX"


def test_contractions(tagger: Tagger) -> None:
    words = split_words("The man's dog isn't barking, they don't know it's John's")
    assert words == [
        "The",
        "man",
        "'s",
        "dog",
        "isn't",
        "barking",
        ",",
        "they",
        "don't",
        "know",
        "it",
        "'s",
        "John",
        "'s",
    ]
    assert dict(zip(words, tagger.tag(words), strict=True)) | {"'s": "*"} == {
        **dict.fromkeys(["The", ",", "they", "it"], "OTHER"),
        **dict.fromkeys(["man", "dog", "John"], "NOUN"),
        **dict.fromkeys(["isn't", "don't"], "AUX"),
        **dict.fromkeys(["barking", "know"], "VERB"),
        "'s": "*",
    }
    assert tagger.tag(["don’t"]) == ["AUX"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a t-shirt, o'clock!", ["a", "t-shirt", ",", "o'clock", "!"]),
        ("rock'n'roll 3d 1990s", ["rock'n'roll", "3d", "1990s"]),
        ("wow!!! 😀😀 ok", ["wow", "!!!", "😀😀", "ok"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("they're he'll 'tis", ["they", "'re", "he", "'ll", "'", "tis"]),
        ("  ", []),
    ],
)
def test_split_words(text: str, words: list[str]) -> None:
    assert split_words(text) == words


@given(st.text(max_size=60))
def test_words_cover_everything_but_white_space(text: str) -> None:
    assert "".join(text[start:end] for start, end in word_spans(text)) == regex.sub(r"\s", "", text)


@given(st.lists(st.text(max_size=12), max_size=12))
@settings(max_examples=200, deadline=None)
def test_any_tokens_get_one_tag_each(tokens: list[str]) -> None:
    tags = TAGGER.tag(tokens)
    assert len(tags) == len(tokens)
    assert set(tags) <= set(TAGS)


TAGGER = Tagger()
SENTENCE = "a the man dog is was are cutting plays play fast red in with talks xyzzyq Maria 3 , ! running her has done"
WORDS = SENTENCE.split()


@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=14))
@settings(max_examples=300, deadline=None)
def test_fast_search_equals_hanta(words: list[str]) -> None:
    hanta: Hanta = TAGGER._model
    assert hanta.tag(words) == hanta._model.tag_sent(words, taglevel=0)


def test_case_of_titles_is_ignored(tagger: Tagger) -> None:
    assert tagger.tag(["A", "Man", "Is", "Riding", "A", "Horse"]) == tagger.tag(
        ["a", "man", "is", "riding", "a", "horse"]
    )
    assert tagger.tag(["A", "MAN", "RIDES", "A", "HORSE"]) == tagger.tag(["a", "man", "rides", "a", "horse"])


def test_very_long_word_takes_no_time(tagger: Tagger) -> None:
    assert len(tagger.tag(["a" * 100_000, "dog"])) == 2


def test_no_letters_is_other(tagger: Tagger) -> None:
    assert tagger.tag(["2", "!!!", "😀", "—", ""]) == ["OTHER"] * 5
    assert tagger.tag([]) == []


def test_model_in_the_working_folder_is_not_loaded(tmp_path, monkeypatch) -> None:
    (tmp_path / "morphmodel_en.pgz").write_bytes(b"not a model")
    monkeypatch.chdir(tmp_path)
    assert Tagger().tag(["dog"]) == ["NOUN"]


def test_tag_all_keeps_order_in_processes() -> None:
    texts = [f"a man {verb} {number} dogs" for number in range(700) for verb in ("walks", "feeds")]
    alone = tag_all(texts)
    assert alone == tag_all(texts, workers=2)
    assert alone[0] == ["OTHER", "NOUN", "VERB", "OTHER", "NOUN"]


def test_names() -> None:
    assert load_tagger("hanta").name == "hanta-1.2.1+rules-1"
    with pytest.raises(CamoeError, match="'treetagger' does not exist; choose hanta or spacy:MODEL"):
        load_tagger("treetagger")
    with pytest.raises(
        CamoeError, match=r"needs spacy, .* pip install 'camoe\[spacy\]'|python -m spacy download no_such_model"
    ):
        load_tagger("spacy:no_such_model")


def test_spacy_model_of_the_user(tmp_path) -> None:
    spacy = pytest.importorskip("spacy")
    pipeline = spacy.blank("en")
    ruler = pipeline.add_pipe("attribute_ruler")
    for word, tag in (("man", "NOUN"), ("Bob", "PROPN"), ("is", "AUX"), ("riding", "VERB"), ("red", "ADJ")):
        ruler.add([[{"ORTH": word}]], {"POS": tag})
    pipeline.to_disk(tmp_path / "model")
    tagger = load_tagger(f"spacy:{tmp_path / 'model'}")
    assert tagger.tag(["a", "man", "is", "riding", "", "Bob", "red"]) == [
        "OTHER",
        "NOUN",
        "AUX",
        "VERB",
        "OTHER",
        "NOUN",
        "ADJ",
    ]
