from __future__ import annotations

import re

from camoe.pipeline.markdown import block, plain, table
from hypothesis import given, settings
from hypothesis import strategies as st

ACTIVE = re.compile(r"(?<!\\)(?:\\\\)*[*_\[\]#<>|~`$]")


def test_a_text_shows_as_it_is() -> None:
    assert plain("a|b *c* <b>d</b> `e` \\ f_g [h](i) #") == (
        "a&#124;b \\*c\\* &#60;b&#62;d&#60;/b&#62; &#96;e&#96; \\\\ f\\_g \\[h\\](i) \\#"
    )
    assert plain("two\nlines\tand\x1b[31m") == "two lines and\\\\u001b\\[31m"
    assert plain(90.5) == "90.5"


@given(st.text("ab \\*_[]#<>&|~`$\n\x1b", max_size=12))
@settings(max_examples=50)
def test_nothing_in_a_text_is_markdown(text: str) -> None:
    shown = re.sub(r"&#\d+;", "", plain(text))
    assert not ACTIVE.search(shown)
    assert "\n" not in shown


def test_a_block_ends_where_it_should() -> None:
    assert block("a\n```\nb", "sh") == "````sh\na\n```\nb\n````"


def test_a_table() -> None:
    assert table(("", "R@1"), [("a|b", 1.5)]) == "|  | R@1 |\n| :-- | --: |\n| a&#124;b | 1.5 |"
