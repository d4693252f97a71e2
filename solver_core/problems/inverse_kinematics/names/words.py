# SPDX-License-Identifier: Apache-2.0
"""What the names of joints and markers say, whatever the habits of who wrote them: side, part of the body, number."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from solver_core.problems.inverse_kinematics.names import vocabulary

SIDES = (("left", "right"), ("lft", "rgt"), ("lt(?![a-z])", "rt(?![a-z])"), ("l", "r"), ("左", "右"))
TOKENS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_a-zA-Z]+")
COPY = re.compile(r"\.\d{3}$")  # Blender's name for a second one of the same name
COMMON = 0.5  # a word that begins or ends more names than this says nothing of them
# Words that say what a bone is for or what made it, not where it is.
DECORATION = {"jnt", "jt", "joint", "bone", "def", "deform", "org", "bind", "skin", "sk", "fk", "stretch", "bend", "ctrl"}
IN_THE_MIDDLE = {"c", "x", "m", "mid", "middle", "centre", "center"}  # as the side of what has none
BODY = {word for table in (vocabulary.CENTRE, vocabulary.SIDED, vocabulary.FINGERS) for word in vocabulary.by_word(table)}
END_WORDS = {"end", "nub", "endsite", "site", "tip", "effector", "eff"}


class Word(NamedTuple):
    """What a name says.  side: "l", "r" or "".  core: words in lower case, joined, without decoration.

    digits: the first number.  is_end: whether it is the far end of what the core names, such as "HeadTop_End" or "Toe0Nub".
    """

    side: str
    core: str
    digits: str
    is_end: bool

    @property
    def number(self) -> int:
        """-1 without one."""
        return int(self.digits) if self.digits else -1


def read_names(names: Sequence[str]) -> dict[str, Word]:
    """A Word for each name, read among the others: prefixes and sides show by comparison."""
    bare = {name: _bare(name, names) for name in names}
    known = {name.lower() for name in bare.values()}
    sides = {name: _side(short, known) for name, short in bare.items()}
    tokens = {name: TOKENS.findall(rest) for name, (_, rest) in sides.items()}
    tokens = _without_common(_without_common(tokens, first=True), first=False)
    return {name: _word(sides[name][0], tokens[name]) for name in names}


def _bare(name: str, names: Sequence[str]) -> str:
    """Without namespaces and without the number of a copy."""
    if COPY.search(name) and COPY.sub("", name) not in names:
        name = COPY.sub("", name)
    return re.split(r"[:|]", name)[-1].strip()


def _side(name: str, known: set[str]) -> tuple[str, str]:
    """The side of a name and the rest of it.

    A letter or word is a side if the other one in its place gives another known name, or if it stands apart.
    """
    low = name.lower()
    for pair in SIDES:
        for side, word, other in (("l", *pair), ("r", *reversed(pair))):
            for found in re.finditer(word, low):
                first, last = found.span()
                if low[:first] + other.partition("(")[0] + low[last:] in known:
                    return side, f"{name[:first]} {name[last:]}"
    for side, words in (("l", "left|左"), ("r", "right|右")):
        apart = re.search(rf"(?i:{words})|(?<![a-zA-Z])({side.upper()}(?=[A-Z][a-z]|[^a-zA-Z0-9]|$)|{side}(?![a-z0-9]))", name)
        if apart:
            return side, f"{name[: apart.start()]} {name[apart.end() :]}"
    return "", name


def _without_common(tokens: dict[str, list[str]], first: bool) -> dict[str, list[str]]:
    """Without the tokens that begin, or end, most names, such as "mixamorig" or "Bip 001"."""
    place = 0 if first else -1
    while True:
        counts = Counter(words[place].lower() for words in tokens.values() if len(words) > 1)
        prefixes = [(word, count) for word, count in counts.items() if word not in BODY]  # hands have many fingers
        common, count = max(prefixes, key=lambda item: item[1], default=("", 0))
        if count <= COMMON * len(tokens) or count < 3:
            return tokens
        tokens = {
            name: (words[1:] if first else words[:-1]) if words and words[place].lower() == common else words
            for name, words in tokens.items()
        }


def _word(side: str, tokens: list[str]) -> Word:
    words = [token.lower() for token in tokens if not token.isdigit()]
    numbers = [token for token in tokens if token.isdigit()]
    beside = DECORATION if side else DECORATION | IN_THE_MIDDLE
    kept = [word for word in words if word not in beside] or words
    ends = next((count for count in range(len(kept)) if kept[len(kept) - 1 - count] not in END_WORDS), 0)
    return Word(side, "".join(kept[: len(kept) - ends]), numbers[0] if numbers else "", ends > 0)
