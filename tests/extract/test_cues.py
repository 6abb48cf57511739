"""Cues: what subtitle files of all kinds say, without what is not said, and joined."""

from __future__ import annotations

import pytest
from camoe.extract.cues import Cue, joined, parse_cues, rolled, said
from hypothesis import given, settings
from hypothesis import strategies as st

SRT = """1
00:00:01,500 --> 00:00:02,000 X1:10 X2:20
- Hello
{\\an8}<i>there</i> &amp; <font color="red">you</font>

2
00:00:00.000 --> 00:00:01.000
first
"""
VTT = """WEBVTT - a title
Kind: captions

STYLE
::cue { color: red }

NOTE 00:00:05.000 --> 00:00:06.000 is no cue

intro
00:01.500 --> 00:02.000 align:start position:0%
- Hello
<v Roger>there &amp; <c.red>you</c>

00:00:00.000 --> 00:00:01.000
<00:00:00.100>fi<00:00:00.200>rst
"""


@pytest.mark.parametrize("text", [SRT, VTT, "\ufeff" + VTT, SRT.replace("\n", "\r\n"), VTT.replace("\n", "\r")])
def test_both_formats(text: str) -> None:
    found = [said(cue) for cue in parse_cues(text)]
    assert found == [Cue(0.0, 1.0, ("first",)), Cue(1.5, 2.0, ("Hello", "there & you"))]


def test_subrip_without_numbers() -> None:
    text = "00:00:01,000 --> 00:00:02,000\none\n1984\n\n 00:00:03.500 -->  00:00:04,000\ntwo\n"
    text += " 7 \n0:0:5,000 --> 0:0:6,000\nthree"
    assert parse_cues(text) == [Cue(1, 2, ("one", "1984")), Cue(3.5, 4, ("two",)), Cue(5, 6, ("three",))]


@pytest.mark.parametrize("text", ["", "\n\n", "WEBVTT", "nothing", "1\n2\n3", "WEBVTT\n\nNOTE x", "00:00:01,000 -->"])
def test_texts_without_a_cue(text: str) -> None:
    assert parse_cues(text) == []


@settings(max_examples=50, deadline=None)
@given(st.text(st.sampled_from("WEBVT\n\r 0123:.,-><ab")) | st.text())
def test_any_text_has_cues_or_none(text: str) -> None:
    for cue in joined(rolled(map(said, parse_cues("WEBVTT\n\n" + text))), 10):
        assert cue.lines


@pytest.mark.parametrize(
    ("line", "spoken"),
    [
        ("JOHN: Hello", "Hello"),
        ("[JOHN] Hello", "Hello"),
        (">> MARY ANN: So: what?", "So: what?"),
        ("Remember: be kind", "Remember: be kind"),
        ("ÉMILE:\xa0oui", "oui"),
        ("♪ la la ♪ (laughs) hm", "la la hm"),
        ("It is 12:30", "It is 12:30"),
        ("well-known, - and so on", "well-known, - and so on"),
        ("[music", "[music"),
    ],
)
def test_what_is_said_of_a_line(line: str, spoken: str) -> None:
    assert said(Cue(0, 1, (line,))).text == spoken


def test_nothing_is_said() -> None:
    assert said(Cue(0, 1, ("[door", "slams]", "(…)", "♪♪", "...", "--"))).lines == ()


def test_lines_that_roll_up_are_told_once() -> None:
    shown = [
        Cue(0, 2, ("hello everyone",)),
        Cue(2, 2.01, ("hello everyone",)),
        Cue(2.01, 4, ("hello everyone", "welcome to")),
        Cue(4, 6, ("welcome to", "my channel")),
        Cue(20, 21, ("my channel",)),
    ]
    assert [cue.text for cue in rolled(shown)] == ["hello everyone", "welcome to", "my channel", "my channel"]


def cues(*parts: tuple[float, float, str]) -> list[Cue]:
    return [Cue(start, end, (text,)) for start, end, text in parts]


def test_neighbours_are_joined_until_the_time_is_full() -> None:
    talk = cues((0, 3, "we take"), (3, 6, "the eggs"), (6.5, 9.5, "and beat"), (9.5, 12, "them"), (12, 13, "well"))
    assert list(joined(talk, 10)) == [Cue(0, 9.5, ("we take", "the eggs", "and beat")), Cue(9.5, 13, ("them", "well"))]
    assert list(joined(talk, 0)) == talk
    assert [cue.text for cue in joined(talk, 3600)] == ["we take the eggs and beat them well"]


def test_what_ends_a_caption() -> None:
    """A pause; a sentence, unless it is shorter than half of the time. A cue that is longer than allowed stays one."""
    assert len(list(joined(cues((0, 3, "we take"), (5.1, 6, "the eggs")), 10))) == 2
    assert len(list(joined(cues((0, 5, "We take eggs."), (5, 6, "Then beat")), 10))) == 2
    assert len(list(joined(cues((0, 4, "We take eggs."), (4, 6, "Then beat")), 10))) == 1
    assert list(joined(cues((0, 60, "la"), (1, 2, "la la")), 10)) == cues((0, 60, "la"), (1, 2, "la la"))
    assert list(joined(cues((0, 4, "one"), (2, 3, "two")), 10)) == [Cue(0, 4, ("one", "two"))]
