"""The preview and the table of counts, in literal lines."""

from __future__ import annotations

from camoe.extract.audit import KEPT, MASKED, NOTE, preview
from camoe.extract.readings import build_texts
from camoe.extract.streams import parse_streams
from camoe.extract.words import Tagger
from camoe.pipeline.store.notes import format_notes

TAGGER = Tagger()


def test_preview() -> None:
    (shown,) = preview(["A man is riding a horse"], ["full", "rkw", "akwe", "muw"], parse_streams(), TAGGER)
    assert shown.caption == "a man is riding a horse"
    assert shown.tags[:4] == [("a", "OTHER"), ("man", "NOUN"), ("is", "AUX"), ("riding", "VERB")]
    assert {line.label: line.text for line in shown.lines} == {
        "full/fusion": "a man is riding a horse",
        "rkw/entity": "man horse",
        "rkw/action": "riding",
        "akwe/entity": "a *man* is riding a *horse*",
        "akwe/action": "a man is *riding* a horse",
        "muw/entity": "_ man _ _ _ horse",
        "muw/action": "_ _ _ riding _ _",
    }
    kinds = dict(span for span in shown.lines[3].spans if span[0] != " ")
    assert kinds == {"a": MASKED, "*man*": KEPT, "is": MASKED, "riding": MASKED, "*horse*": KEPT}


def test_preview_tells_of_fallbacks_and_cuts() -> None:
    first, second = preview(["two red", "a dog " + "very " * 100], ["muw"], parse_streams(), TAGGER)
    assert first.lines[0].spans[-1] == ("   (no word of the stream: the whole caption)", NOTE)
    assert second.lines[0].spans[-1] == ("   (too long for CLIP: cut)", NOTE)


def test_preview_is_spread_over_distinct_captions() -> None:
    captions = [f"dog {number // 2}" for number in range(20)]
    shown = preview(captions, ["full"], parse_streams(), TAGGER, n=5)
    assert [item.caption for item in shown] == ["dog 0", "dog 2", "dog 4", "dog 6", "dog 8"]
    assert len(preview(captions, ["full"], parse_streams(), TAGGER, n=99)) == 10
    assert preview([], ["full"], parse_streams(), TAGGER) == []


def test_notes_of_a_store() -> None:
    tables = build_texts(["a man runs", "a dog runs", "two red", "a man"], ["full", "muw"], parse_streams(), TAGGER)
    assert format_notes({"/".join(name): table.notes for name, table in tables.items()}) == [
        "texts        captions  kept words  whole caption  too long  most frequent",
        "full/fusion         4         all                        0",
        "muw/entity          4        0.75          25.0%         0  man 2, dog 1",
        "muw/action          4        0.50          50.0%         0  runs 2",
    ]
    assert format_notes({}) == []
