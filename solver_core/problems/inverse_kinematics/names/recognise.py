# SPDX-License-Identifier: Apache-2.0
"""Which name stands for which part of a human body, by the words in it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from solver_core.problems.inverse_kinematics.names import vocabulary
from solver_core.problems.inverse_kinematics.names.words import Word, read_names

CENTRE, SIDED = vocabulary.by_word(vocabulary.CENTRE), vocabulary.by_word(vocabulary.SIDED)
MARKERS, FINGERS = vocabulary.by_word(vocabulary.MARKERS), vocabulary.by_word(vocabulary.FINGERS)
PELVIS = set(vocabulary.PELVIS_MARKERS.split())
BIPED_FINGERS = tuple(vocabulary.FINGERS)  # "Finger0" is the thumb, "Finger01" its second joint
NUMBERED_SIDES = {1: "r", 2: "l"}  # of "knee1" and "knee2", in sets that have no other sides
FIRST_VERTEBRA = {"l": 5, "t": 17, "c": 24}  # counted upwards from L5 = 0: L5 ... L1, T12 ... T1, C7 ... C1


class Parts(NamedTuple):
    """names_of: nodes of the human -> the names that stand for them; several mean the middle of them.

    beside: nodes whose names stand for a point of the body that is no joint, such as the middle of the hips or ears.
    """

    names_of: dict[str, tuple[str, ...]]
    beside: frozenset[str]

    @property
    def has_limbs(self) -> bool:
        """Whether the hips and all four limbs are there, which nothing but a human has."""
        limbs = all(side + node in self.names_of for side in "lr" for node in ("ForeArm", "Hand", "Shin", "Foot"))
        return limbs and "hip" in self.names_of


def recognise(names: Sequence[str]) -> Parts:
    """The parts of the body that names stand for, those that are found."""
    words = _with_numbered_sides(read_names(names))
    if any(word.side and word.core in PELVIS for word in words.values()):
        return _of_markers(words)
    centre, sided = _by_part(words, CENTRE), {side: _by_part(words, SIDED, side) for side in "lr"}
    found = _trunk(words, centre)
    for side in "lr":
        limbs = _limbs(sided[side]) | _fingers(words, side)
        found |= {side + node: names_of for node, names_of in limbs.items()}
    beside = set()
    is_seen = {"nose", "forehead"} & centre.keys() or "ear" in sided["l"] or ("headtop" in centre and "spine" not in centre)
    if is_seen and "lCollar" not in found:  # what cameras see of a body, not its bones
        beside = {"hip", "chest", "neck", "head"} & found.keys()
    for node, pair in (("hip", "Thigh"), ("neck", "Shldr")):
        if node not in found and "l" + pair in found and "r" + pair in found:
            found[node] = (*found["l" + pair], *found["r" + pair])
            beside.add(node)
    if "head" not in found and "ear" in sided["l"] and "ear" in sided["r"]:
        found["head"] = (sided["l"]["ear"][0], sided["r"]["ear"][0])
        beside.add("head")
    return Parts(found, frozenset(beside))


def _with_numbered_sides(words: dict[str, Word]) -> dict[str, Word]:
    if any(word.side for word in words.values()):
        return words
    pairs = {word.core for word in words.values() if word.core in SIDED and word.number == 2}
    return {
        name: Word(NUMBERED_SIDES[word.number], word.core, "", word.is_end)
        if word.core in pairs and word.number in NUMBERED_SIDES
        else word
        for name, word in words.items()
    }


def _by_part(words: dict[str, Word], table: dict[str, tuple[str, int]], side: str = "") -> dict[str, list[str]]:
    """Part of the body -> names for it on a side, by certainty of the word, number and order."""
    found = defaultdict(list)
    for order, (name, word) in enumerate(words.items()):
        if word.side == side and word.core in table and not word.is_end:
            part, place = table[word.core]
            found[part].append((place, word.number, order, name))
    return {part: [name for *_, name in sorted(entries)] for part, entries in found.items()}


def _limbs(found: dict[str, list[str]]) -> dict[str, tuple[str, ...]]:
    """Nodes of an arm and a leg, without their side.

    "Shoulder" is the collar bone where there is an arm as well; "leg" is the shin below a thigh, and the thigh above a knee;
    "foot" is the ball of a foot that has an ankle; "hip" is where the thigh begins.
    """

    def first(*parts: str) -> tuple[str, ...]:
        return next(((found[part][0],) for part in parts if part in found), ())

    toes = found.get("toe", [])
    is_pair = len(toes) == 2 and "small" in "".join(toes).lower()
    has_thigh = "thigh" in found or "hip" in found
    nodes = {
        "Collar": first("collar", "shoulder") if "arm" in found else first("collar"),
        "Shldr": first("arm", "shoulder"),
        "ForeArm": first("forearm"),
        "Hand": first("wrist", "hand"),
        "Buttock": first("buttock"),
        "Thigh": first("thigh", "hip") or (first("leg") if "shin" in found else ()),
        "Shin": first("shin") or (first("leg") if has_thigh else ()),
        "Foot": first("ankle", "foot"),
        "Foot_end": tuple(toes) if is_pair else first("toe") or (first("foot") if "ankle" in found else ()),
    }
    return {node: names for node, names in nodes.items() if names}


def _fingers(words: dict[str, Word], side: str) -> dict[str, tuple[str, ...]]:
    """Two joints a finger: those nearest to the hand, but for the thumb's first, which hardly moves."""
    joints: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for name, word in words.items():
        if word.side != side or word.is_end:
            continue
        core, digits = word.core, word.digits
        for phalanx, number in vocabulary.PHALANGES.items():
            if core.endswith(phalanx):
                core, digits = core.removesuffix(phalanx), number
        if core in ("finger", "fingers") and digits and digits[0] in "01234":
            joints[BIPED_FINGERS[int(digits[0])]].append((int(digits[1:] or 0) + 1, name))
        elif core in FINGERS and digits:
            joints[FINGERS[core][0]].append((int(digits), name))
    found = {}
    for finger, numbered in joints.items():
        ordered = [name for _, name in sorted(numbered)]
        chosen = ordered[1:3] if finger == "Thumb" and len(ordered) > 2 else ordered[:2]
        found |= {f"{finger}{joint}": (name,) for joint, name in enumerate(chosen, start=1)}
    return found


def _trunk(words: dict[str, Word], found: dict[str, list[str]]) -> dict[str, tuple[str, ...]]:
    """hip, abdomen, chest, neck and head: the lowest and the highest bone of a spine of any number."""
    spine = _spine(words)
    hips, neck, head = found.get("hips", []), found.get("neck", []) or found.get("neckbase", []), found.get("head", [])
    if not hips and not neck and not head and len(spine) > 4:  # Rigify calls all of them spine: 004 begins the neck
        hips, *spine, head = [spine[0]], *spine[1:-1], [spine[-1]]
        neck = [name for name in spine if words[name].number > 3][:1]
        spine = [name for name in spine if words[name].number <= 3]
    if not hips and len(spine) > 1 and words[spine[0]].core == "waist":
        hips, spine = spine[:1], spine[1:]
    nodes = {
        "hip": hips[:1],
        "abdomen": spine[:1] if len(spine) > 1 else [],
        "chest": spine[-1:],
        "neck": neck[-1:],
        "head": head[:1],
    }
    return {node: tuple(names) for node, names in nodes.items() if names}


def _spine(words: dict[str, Word]) -> list[str]:
    """Bones between hips and neck, upwards."""
    heights = {}
    for order, (name, word) in enumerate(words.items()):
        if word.side or word.is_end:
            continue
        if word.core in FIRST_VERTEBRA and word.number > 0:
            heights[name] = ("vertebra", FIRST_VERTEBRA[word.core] - word.number, order)
        elif CENTRE.get(word.core, ("", 0))[0] == "spine":
            heights[name] = (word.core, word.number, order)
    cores = list(vocabulary.CENTRE["spine"].split())
    place = {core: number for number, core in enumerate(cores)} | {"vertebra": 0}
    spine = sorted(heights, key=lambda name: (place[heights[name][0]], *heights[name][1:]))
    in_file = sorted(spine, key=lambda name: heights[name][2])
    is_one_word = len({heights[name][0] for name in spine}) == 1
    return in_file if is_one_word and in_file == spine[::-1] else spine  # some rigs count downwards from the neck


def _of_markers(words: dict[str, Word]) -> Parts:
    """The same of markers on the skin: several around a joint mean the middle of them."""
    found: dict[str, tuple[str, ...]] = {}
    node_of = {"arm": "Shldr", "forearm": "ForeArm", "wrist": "Hand", "shin": "Shin", "ankle": "Foot", "toe": "Foot_end"}
    around: dict[str, list[str]] = defaultdict(list)
    for name, word in words.items():
        if word.side and word.core in PELVIS:
            around["hip"].append(name)
        elif word.side and word.core in MARKERS:
            part, _ = MARKERS[word.core]
            around["head" if part == "skull" else word.side + node_of[part]].append(name)
    found = {node: tuple(names) for node, names in around.items()}
    return Parts(found, frozenset({"hip", "head"} & found.keys()))
