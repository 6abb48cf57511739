"""A caption's words beside the tokens that the encoder's tokenizer makes of them."""

from __future__ import annotations

from .caption_grammar import OTHER
from .clip_tokens import CLIP_TOKENS
from .text_tokens import Caption, Piece, Tokens, Word
from .words import WordTagger, word_spans


def analyse(text: str, tagger: WordTagger | None, tokens: Tokens = CLIP_TOKENS) -> Caption:
    """Clean a caption as the tokenizer does, split it into words, and give each its tag and tokens.

    A piece of the tokenizer's belongs to the word in which it begins. Without a tagger every tag is `OTHER`.
    """
    clean, written = tokens.clean(text)
    spans = word_spans(clean)
    tags = tagger.tag([written[start:end] for start, end in spans]) if tagger else [OTHER] * len(spans)
    pieces: list[list[Piece]] = [[] for _ in spans]
    place = 0
    for piece in tokens.pieces(clean):
        while place + 1 < len(spans) and piece.start >= spans[place][1]:
            place += 1
        pieces[place].append(piece)
    words = [
        Word(clean[inside[0].start : inside[-1].end], tag, tuple(token for piece in inside for token in piece.tokens))
        for tag, inside in zip(tags, pieces, strict=True)
        if inside
    ]
    return Caption(clean, words, tokens)
