# SPDX-License-Identifier: Apache-2.0
"""Which node stands for which part of a human body, by the shape of the skeleton at rest alone.

A human is two equal legs below a spine that two equal arms and a head grow from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton

ALIKE = 0.05  # two limbs are a pair if their lengths differ by less than this part
UPRIGHT = -0.5  # cosine between spine and legs; those of animals on four feet are across
ARM_TO_LEG = (0.4, 1.6)  # ratio of lengths
SPINE_TO_LEG = (0.2, 1.2)


class _Limb(NamedTuple):
    """A chain of nodes, the longest way down from a branch, and its length."""

    nodes: list[int]
    length: float


def parts_by_shape(skeleton: Skeleton) -> dict[str, str]:
    """Nodes of the human -> nodes of the skeleton; empty for what has not the shape of an upright human."""
    shape = _Shape(skeleton)
    for hips in shape.top_down:
        legs = shape.pair_below(hips)
        if legs is None:
            continue
        spines = [child for child in shape.children(hips) if child not in (legs[0].nodes[0], legs[1].nodes[0])]
        for chest in (node for child in spines for node in shape.below(child)):
            arms = shape.pair_below(chest)
            if arms is not None and shape.is_human(hips, chest, legs, arms):
                return shape.name_parts(hips, chest, legs, arms)
    return {}


class _Shape:
    """A skeleton's tree and rest pose."""

    def __init__(self, skeleton: Skeleton) -> None:
        self.skeleton = skeleton
        self.rest = skeleton.rest_positions()
        self.top_down = [skeleton.root, *(int(node) for level in skeleton.levels for node in level.nodes)]

    def children(self, node: int) -> list[int]:
        return [int(child) for child in np.flatnonzero(self.skeleton.parents == node)]

    def below(self, node: int) -> list[int]:
        """The node and all below it."""
        found = [node]
        for one in found:
            found += self.children(one)
        return found

    def limb(self, node: int) -> _Limb:
        """The longest chain that begins at a node; its length counts from there."""
        longest = _Limb([node], 0.0)
        for child in self.children(node):
            limb = self.limb(child)
            length = limb.length + float(self.skeleton.bone_lengths[child])
            if length > longest.length:
                longest = _Limb([node, *limb.nodes], length)
        return longest

    def pair_below(self, node: int) -> tuple[_Limb, _Limb] | None:
        """The longest two equal limbs that begin at children of a node and have two long bones."""
        limbs = sorted((self.limb(child) for child in self.children(node)), key=lambda limb: -limb.length)
        for one, other in zip(limbs, limbs[1:], strict=False):
            is_pair = one.length - other.length < ALIKE * one.length and len(one.nodes) == len(other.nodes)
            if is_pair and len(one.nodes) >= 3:
                return one, other
        return None

    def is_human(self, hips: int, chest: int, legs: tuple[_Limb, _Limb], arms: tuple[_Limb, _Limb]) -> bool:
        spine = self.rest[chest] - self.rest[hips]
        down = sum(self.rest[leg.nodes[-1]] - self.rest[leg.nodes[0]] for leg in legs)
        lengths = np.linalg.norm(spine), np.linalg.norm(down)
        if min(lengths) < 1e-9 or spine @ down > UPRIGHT * lengths[0] * lengths[1]:
            return False
        ratios = (arms[0].length / legs[0].length, lengths[0] / legs[0].length)
        return all(low < ratio < high for ratio, (low, high) in zip(ratios, (ARM_TO_LEG, SPINE_TO_LEG), strict=True))

    def name_parts(self, hips: int, chest: int, legs: tuple[_Limb, _Limb], arms: tuple[_Limb, _Limb]) -> dict[str, str]:
        nodes = {"hip": hips, "chest": chest}
        spine = self._way(hips, chest)
        if len(spine) > 1:
            nodes["abdomen"] = spine[0]
        heads = [child for child in self.children(chest) if child not in (arms[0].nodes[0], arms[1].nodes[0])]
        if heads:
            head = max((self.limb(child) for child in heads), key=lambda limb: limb.length).nodes
            has_ends = len(arms[0].nodes) > self._first_long_bone(arms[0].nodes) + 3  # nodes below the hand, so below the head
            joints = head[:-1] if has_ends and len(head) > 1 else head
            nodes |= {"neck": joints[0], "head": joints[1]} if len(joints) > 1 else {"head": joints[0]}
        left = self._left(hips, chest, legs)
        for pair, parts in ((legs, ("Thigh", "Shin", "Foot", "Foot_end")), (arms, ("Shldr", "ForeArm", "Hand"))):
            for side, limb in zip("lr", sorted(pair, key=lambda limb: -float(self.rest[limb.nodes[-1]] @ left)), strict=True):
                first = self._first_long_bone(limb.nodes)
                nodes |= {side + part: node for part, node in zip(parts, limb.nodes[first:], strict=False)}
                if pair is arms and first > 0:
                    nodes[side + "Collar"] = limb.nodes[first - 1]
        return {part: self.skeleton.names[node] for part, node in nodes.items()}

    def _way(self, top: int, node: int) -> list[int]:
        """Nodes from below `top` down to a node."""
        way: list[int] = []
        while node != top:
            way.insert(0, node)
            node = int(self.skeleton.parents[node])
        return way

    def _first_long_bone(self, nodes: Sequence[int]) -> int:
        """Where in a limb the two long bones begin that follow each other, such as those of arm and forearm."""
        bones = [float(self.skeleton.bone_lengths[node]) for node in nodes[1:]]
        return int(np.argmax([min(pair) for pair in zip(bones, bones[1:], strict=False)]))

    def _left(self, hips: int, chest: int, legs: tuple[_Limb, _Limb]) -> np.ndarray:
        """(3,) direction of the left side: toes point forwards; without feet the body faces +z, as most files have it."""
        across = self.rest[legs[0].nodes[0]] - self.rest[legs[1].nodes[0]]
        up = self.rest[chest] - self.rest[hips]
        forward = np.zeros(3)
        for leg in legs:
            toes = leg.nodes[self._first_long_bone(leg.nodes) + 2 :]
            if len(toes) > 1:
                forward += self.rest[toes[-1]] - self.rest[toes[0]]
        forward -= (forward @ up) / (up @ up) * up
        left = np.cross(up, forward)
        if abs(left @ across) < 1e-6 * max(np.linalg.norm(up) ** 2 * np.linalg.norm(across), 1e-12):
            left = np.array([1.0, 0, 0])
        return left
