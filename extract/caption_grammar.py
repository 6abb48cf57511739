"""Coarse tags from the tagger's fine ones, with a few rules for how captions are written.

Captions are short, lower-case, often without a finite verb (*a man highfiving a dog*) and without apostrophes
(*it s a man s hand*); a tagger trained on books and newspapers errs in a few systematic ways there.
"""

from __future__ import annotations

NOUN, VERB, AUX, ADJ, OTHER = TAGS = ("NOUN", "VERB", "AUX", "ADJ", "OTHER")


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_BE = _set("be am is are was were been being 'm 're isn't aren't wasn't weren't ain't")
_MODALS = _set(
    "can could may might must shall should will would 'll 'd can't cannot couldn't mustn't shouldn't won't wouldn't "
    "needn't mightn't"
)
_BARE_CLITICS = _set("s re ve ll m t d")
_SUBJECTS = _set("it he she that there here what who where how this they you we i one let")
_DETERMINERS = _set("a an the his her their its my your our some another this these those each")
_OBJECTS = _DETERMINERS | _set("him them it himself herself themselves itself someone something how what")
_NOUNS_IN_ING = _set(
    "building ceiling clothing thing string spring morning evening wedding pudding icing sibling railing painting "
    "drawing stocking earring lightning swing frosting dumpling duckling topping seasoning dressing"
)
_BODY_ADJECTIVES = _set("haired skinned eyed legged sized")


def coarse_tags(words: list[str], fine: list[str]) -> list[str]:
    """Coarse tags from C5 tags, with what captions need on top; `words` are lower-case."""
    coarse = [_coarse(word, tag) for word, tag in zip(words, fine, strict=True)]
    for place, word in enumerate(words):
        if word in _BARE_CLITICS or word == "'s":
            coarse[place] = _clitic(words, place)
        elif word == "doing":
            coarse[place] = VERB
        elif fine[place][:2] in ("VH", "VD") and coarse[place] != AUX:
            coarse[place] = AUX if _is_auxiliary(words, fine, place) else VERB
        elif coarse[place] in (NOUN, ADJ) and (
            _is_participle(words, fine, coarse, place) or _is_third_person(words, coarse, place)
        ):
            coarse[place] = VERB
        elif coarse[place] == ADJ and _is_head_noun(words, fine, place):
            coarse[place] = NOUN
    return coarse


def _coarse(word: str, tag: str) -> str:
    if word in _BE or word in _MODALS or tag.startswith("VB") or tag == "VM0":
        return AUX
    if not any(letter.isalpha() for letter in word):
        return OTHER
    if word in _BODY_ADJECTIVES:
        return ADJ
    if tag.startswith(("NN", "NP")) or tag == "UNC":
        return NOUN
    if tag.startswith("V"):
        return VERB
    return ADJ if tag.startswith("AJ") else OTHER


def _clitic(words: list[str], place: int) -> str:
    """`it s`, `they re`, `i m` are auxiliaries, the possessive `s` is nothing; none is an entity or an action."""
    follows_subject = place > 0 and words[place - 1] in _SUBJECTS
    return AUX if follows_subject and words[place] != "t" else OTHER


def _next_word(fine: list[str], place: int) -> int:
    """The first place after `place` that is no adverb and no negation."""
    after = place + 1
    while after < len(fine) and fine[after] in ("AV0", "XX0"):
        after += 1
    return after


def _is_auxiliary(words: list[str], fine: list[str], place: int) -> bool:
    """*have* before a participle and *do* before an infinitive."""
    if words[place].endswith("n't"):
        return True
    after = _next_word(fine, place)
    following = fine[after] if after < len(fine) else ""
    if fine[place].startswith("VH"):
        return following in ("VVN", "VVD", "VBN", "VHN", "VDN")
    return following in ("VVI", "VBI", "VHI", "VDI", "VVB") and fine[place] != "VDG"


def _is_participle(words: list[str], fine: list[str], coarse: list[str], place: int) -> bool:
    """A word in -ing that the model took for a noun or adjective: *is (slowly) kickboxing*, *is ice fishing*, and, as
    the first verb of a caption, *a man highfiving a dog*."""
    word = words[place]
    if len(word) < 5 or not word.endswith("ing") or word in _NOUNS_IN_ING:
        return False
    before = place - 1
    while before >= 0 and fine[before] in ("AV0", "XX0"):
        before -= 1
    if before >= 0 and coarse[before] == AUX:
        return True
    if before < 0 or before != place - 1 or coarse[before] != NOUN:
        return False
    ends_phrase = place + 1 == len(words) or coarse[place + 1] not in (NOUN, ADJ)
    compound = before > 0 and words[before - 1] in _BE and ends_phrase
    return compound or not any(tag in (VERB, AUX) for tag in coarse[:place])


def _is_third_person(words: list[str], coarse: list[str], place: int) -> bool:
    """A word in -s between a noun and an object, as the first verb of a caption: *a guy scores a goal*; and *talks*."""
    if not words[place].endswith("s") or place == 0 or coarse[place] != NOUN:
        return False
    after = words[place + 1] if place + 1 < len(words) else ""
    if words[place] == "talks" and (coarse[place - 1] == NOUN or after in ("about", "to", "with", "on")):
        return True
    if coarse[place - 1] != NOUN:
        return False
    return after in _OBJECTS and not any(tag in (VERB, AUX) for tag in coarse[:place])


def _is_head_noun(words: list[str], fine: list[str], place: int) -> bool:
    """*a machete*, *a commercial for shoes*: what the model took for an adjective, but no noun follows."""
    after = fine[place + 1] if place + 1 < len(fine) else "PRP"
    return place > 0 and words[place - 1] in _DETERMINERS and words[place] != "other" and after in ("PRP", "PRF")
