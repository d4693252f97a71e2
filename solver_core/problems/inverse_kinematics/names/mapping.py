# SPDX-License-Identifier: Apache-2.0
"""Which joint is which: a skeleton's among those of the human that networks know, and targets among those of a skeleton."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from solver_core.errors import SetupError
from solver_core.problems.inverse_kinematics.files.bodies import human
from solver_core.problems.inverse_kinematics.files.targets import NamedTargets
from solver_core.problems.inverse_kinematics.names.recognise import Parts, recognise
from solver_core.problems.inverse_kinematics.names.shape import parts_by_shape
from solver_core.problems.inverse_kinematics.names.words import Word, read_names
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton, check_names

SAME = 0.9  # of the names of points that a camera sees: so many are the skeleton's only if they are its own
SIMILAR = 0.85  # ratio of difflib from which a name passes for a misspelt other one
PAIR_OF = {"hip": "Thigh", "chest": "Shldr", "neck": "Shldr"}  # what says more than a point between them that is no joint
LIMBS = {
    "left arm": ("lForeArm", "lHand"),
    "right arm": ("rForeArm", "rHand"),
    "left leg": ("lShin", "lFoot"),
    "right leg": ("rShin", "rFoot"),
}
LISTED = 8  # names in a sentence; the rest is counted


class BodyMap(NamedTuple):
    """Nodes of the human -> nodes of a skeleton.  is_guessed: by the shape, because the names say nothing."""

    node_of: dict[str, str]
    is_guessed: bool


class Matching(NamedTuple):
    """Which targets are those of which nodes of a skeleton.

    targets: nodes -> target names, several mean the middle of them.  guessed: nodes that were matched by the shape of the
    skeleton or by a similar name.  left_out: targets that belong to no node.  without_target: joints that none belongs to.
    missing_parts: of "hips", "left arm", "right arm", "left leg" and "right leg" those without any; empty for other bodies.
    """

    targets: dict[str, tuple[str, ...]]
    guessed: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    without_target: tuple[str, ...] = ()
    missing_parts: tuple[str, ...] = ()

    @property
    def notices(self) -> tuple[str, ...]:
        """What a user should know of it, in sentences."""
        said = []
        if self.guessed:
            said.append(f"guessed which target is that of {_listed(self.guessed)}; give a map if that is wrong")
        if self.left_out:
            said.append(f"left out the targets {_listed(self.left_out)}, which match no joint of the skeleton")
        if self.without_target:
            said.append(f"no target for the joints {_listed(self.without_target)}")
        return tuple(said)


@functools.lru_cache(maxsize=32)
def body_map(skeleton: Skeleton) -> BodyMap | None:
    """Which of a skeleton's nodes are the human's: by their names or else by its shape; None for non-human skeletons."""
    known = human().skeleton
    equal = {name: name for name in known.names if name in skeleton.names}
    by_name = _single(recognise(skeleton.names))
    by_name = equal if len(equal) > len(by_name) else by_name
    if Parts({node: (own,) for node, own in by_name.items()}, frozenset()).has_limbs:
        return BodyMap(_with_ends(_with_hips(by_name, skeleton), skeleton), False)
    by_shape = parts_by_shape(skeleton)
    return BodyMap(_with_ends(by_shape, skeleton), True) if by_shape else None


def match_targets(names: Sequence[str], skeleton: Skeleton, parents: Sequence[int] | None = None) -> Matching:
    """Which of the named targets belong to which nodes of a skeleton.

    Equal names count where they mean the same part of the body, then parts of the body, then words without prefixes and
    similar names; far ends of bones are matched by their place.

    Args:
        names: of the targets.
        skeleton: that is solved.
        parents: (M,) number of each target's parent, -1 = none, if they are joints of a skeleton.

    Raises:
        SetupError: if nothing matches.
    """
    parts, body = recognise(names), body_map(skeleton)
    node_of = {} if body is None else body.node_of
    part_of_node = {own: part for part, own in node_of.items()}
    part_of_name = {one: part for part, several in parts.names_of.items() for one in several}
    equal = [name for name in names if name in skeleton.names]
    is_same = len(equal) > (SAME if parts.beside else 0.5) * len(names)
    matched: dict[str, tuple[str, ...]] = {
        name: (name,) for name in equal if is_same or part_of_name.get(name) == part_of_node.get(name)
    }
    of_parts = {own: parts.names_of[part] for part, own in node_of.items() if part in parts.names_of and own not in matched}
    guessed = list(of_parts) if body is not None and body.is_guessed else []
    matched |= of_parts
    for part in parts.beside & node_of.keys():
        if _is_said_better(part, parts, node_of):
            matched.pop(node_of[part], None)
    unknown = [name for name in names if name not in part_of_name or body is None]
    _match_words(matched, unknown, skeleton)
    guessed += _match_similar(matched, unknown, skeleton)
    _match_ends(matched, names, skeleton, parents)
    if not matched:
        raise SetupError(
            f"none of the targets ({', '.join(names[:4])}, ...) matches a joint of the skeleton "
            f"({', '.join(skeleton.names[:4])}, ...); give a map"
        )
    used = {name for several in matched.values() for name in several}
    joints = node_of.values() if node_of else skeleton.joint_names
    return Matching(
        targets={node: matched[node] for node in skeleton.names if node in matched},
        guessed=tuple(guessed),
        left_out=tuple(name for name in names if name not in used),
        without_target=tuple(joint for joint in joints if joint not in matched),
        missing_parts=_missing_parts(matched.keys(), node_of),
    )


def match_by_map(targets: Mapping[str, str | Sequence[str]], names: Sequence[str], skeleton: Skeleton) -> Matching:
    """The Matching that a user's map says: nodes of the skeleton -> one or several of the targets' names.

    Raises SetupError for a name that is not there.
    """
    check_names(targets.keys(), skeleton.names, "the skeleton")
    matched = {node: (given,) if isinstance(given, str) else tuple(given) for node, given in targets.items()}
    check_names([name for several in matched.values() for name in several], names, "the targets file")
    return Matching(matched)


def targets_of_skeleton(targets: NamedTargets, matching: Matching, skeleton: Skeleton) -> np.ndarray:
    """(F, N, 3) for the nodes of a skeleton, nan where none is given; of several targets the middle."""
    positions = np.full((len(targets.positions), skeleton.num_nodes, 3), np.nan)
    for node, names in matching.targets.items():
        columns = [targets.names.index(name) for name in names]
        positions[:, skeleton.index(node)] = targets.positions[:, columns].mean(axis=1)
    return positions


def _single(parts: Parts) -> dict[str, str]:
    """Those parts that one name stands for, which is a joint's."""
    return {node: names[0] for node, names in parts.names_of.items() if len(names) == 1 and node not in parts.beside}


def _with_hips(node_of: dict[str, str], skeleton: Skeleton) -> dict[str, str]:
    """The hips are what legs and spine hang from, if what has their name is not above both."""
    below = [node_of[part] for part in ("lThigh", "rThigh", "lShin", "rShin", "chest", "lShldr") if part in node_of]
    lineages = [_lineage(skeleton, name) for name in below]
    shared = [name for name in lineages[0] if all(name in lineage for lineage in lineages)]
    if node_of["hip"] in shared or not shared:
        return node_of
    return node_of | {"hip": shared[0]}


def _with_ends(node_of: dict[str, str], skeleton: Skeleton) -> dict[str, str]:
    """With the human's end sites, which are known by their place: the only node below a joint that is known."""
    known = human().skeleton
    found = dict(node_of)
    for node, parent in zip(known.names, known.parents, strict=True):
        above = known.names[parent]
        if node not in found and above in node_of and known.joint_of_node[known.index(node)] < 0:
            children = np.flatnonzero(skeleton.parents == skeleton.index(node_of[above]))
            if len(children) == 1 and skeleton.names[children[0]] not in found.values():
                found[node] = skeleton.names[children[0]]
    return found


def _lineage(skeleton: Skeleton, name: str) -> list[str]:
    """What is above a node, the nearest first."""
    node, lineage = int(skeleton.parents[skeleton.index(name)]), []
    while node >= 0:
        lineage.append(skeleton.names[node])
        node = int(skeleton.parents[node])
    return lineage


def _is_said_better(part: str, parts: Parts, node_of: dict[str, str]) -> bool:
    """Whether a target is no joint, and left and right of it are given: the middle of the hips is no bone's head."""
    return part == "head" or all(side + PAIR_OF[part] in parts.names_of and side + PAIR_OF[part] in node_of for side in "lr")


def _match_words(matched: dict[str, tuple[str, ...]], names: Sequence[str], skeleton: Skeleton) -> None:
    """Adds nodes whose name says the same as a target's, whatever prefix and spelling."""
    of_targets, of_nodes = _unique_words(names), _unique_words(skeleton.names)
    used = {name for several in matched.values() for name in several}
    for word, node in of_nodes.items():
        if node not in matched and word in of_targets and of_targets[word] not in used:
            matched[node] = (of_targets[word],)


def _unique_words(names: Sequence[str]) -> dict[Word, str]:
    words = read_names(names)
    return {word: name for name, word in words.items() if word.core and list(words.values()).count(word) == 1}


def _match_similar(matched: dict[str, tuple[str, ...]], names: Sequence[str], skeleton: Skeleton) -> list[str]:
    """Adds joints whose name is nearly a target's of the same side, and returns them."""
    used = {name for several in matched.values() for name in several}
    of_targets, of_nodes = read_names(names), read_names(skeleton.names)
    found = []
    for node in skeleton.joint_names:
        free = [name for name in names if name not in used and of_targets[name].side == of_nodes[node].side]
        free = [name for name in free if of_targets[name].digits == of_nodes[node].digits]
        near = difflib.get_close_matches(node, free, n=1, cutoff=SIMILAR) if node not in matched else []
        if near:
            matched[node] = (near[0],)
            used.add(near[0])
            found.append(node)
    return found


def _match_ends(
    matched: dict[str, tuple[str, ...]], names: Sequence[str], skeleton: Skeleton, parents: Sequence[int] | None
) -> None:
    """Adds far ends of bones, "X_Nub" to "X_end", by their place: the only one of their kind below the same joint."""
    words = read_names(names)
    used = {name for several in matched.values() for name in several}
    for node in np.flatnonzero(skeleton.joint_of_node < 0):
        name, above = skeleton.names[node], skeleton.names[skeleton.parents[node]]
        siblings = np.flatnonzero(skeleton.parents == skeleton.parents[node])
        if name in matched or len(siblings) > 1 or len(matched.get(above, ())) != 1:
            continue
        target = matched[above][0]
        if parents is None:
            ends = [one for one in names if words[one].is_end and words[one][:3] == words[target][:3]]
        else:
            ends = [one for one, parent in zip(names, parents, strict=True) if parent >= 0 and names[parent] == target]
        if len(ends) == 1 and ends[0] not in used:
            matched[name] = (ends[0],)
            used.add(ends[0])


def _missing_parts(matched: Iterable[str], node_of: dict[str, str]) -> tuple[str, ...]:
    """Hips and limbs of a human that no target says anything of."""
    if not node_of:
        return ()
    given = {part for part, own in node_of.items() if own in matched}
    missing = [] if "hip" in given or {"lThigh", "rThigh"} <= given else ["hips"]
    for limb, ends in LIMBS.items():
        if not given.intersection(ends):
            missing.append(limb)
    return tuple(missing)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED} more" if len(names) > LISTED else "")
