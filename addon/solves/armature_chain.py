# SPDX-License-Identifier: GPL-3.0-or-later
"""The bones of an armature that take part in a solve, as a skeleton."""

from __future__ import annotations

from typing import NamedTuple

import bpy
import numpy as np

from solver_core.errors import SetupError
from solver_core.problems.inverse_kinematics.files.bvh_text import END_SITE
from solver_core.problems.inverse_kinematics.names.mapping import body_map
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton

from ..bridge.armature import RestBone
from ..bridge.scene import evaluate
from ..bridge.transform import world_matrix


class Chain(NamedTuple):
    """The bones that take part, as a skeleton whose nodes are heads and, with END_SITE, tails; in metres.

    root: the bone at its top; rest_parent: (4, 4) its parent at rest.  rest: (N, 3, 3) frames of the bones at rest.
    root_head: (3,) in the armature's space.  is_floating: whether the root's head moves.
    """

    skeleton: Skeleton
    root: RestBone
    rest_parent: np.ndarray
    rest: np.ndarray
    root_head: np.ndarray
    is_floating: bool

    @property
    def bones(self) -> tuple[str, ...]:
        """Those that turn, parents first."""
        return self.skeleton.joint_names


class _Node(NamedTuple):
    """A head or tail.  offset: (3,) from the parent's node at rest, in the armature's space.  rest: (3, 3) of the bone."""

    name: str
    parent: str
    offset: np.ndarray
    rest: np.ndarray


def nodes_below(bones: dict[str, RestBone], top: str) -> dict[str, _Node]:
    """The heads of a bone and of all below it, and the tails of those without children; parents first."""
    nodes: dict[str, _Node] = {}
    with_children = {bone.parent for bone in bones.values()}
    for bone in bones.values():
        if bone.name == top:
            nodes[top] = _Node(top, "", np.zeros(3), bone.rest[:3, :3])
        elif bone.parent in nodes:
            offset = bone.head - bones[bone.parent].head + bone.offset
            nodes[bone.name] = _Node(bone.name, bone.parent, offset, bone.rest[:3, :3])
    for bone in bones.values():
        if bone.name in nodes and bone.name not in with_children:
            name = bone.name + END_SITE
            nodes[name] = _Node(name, bone.name, bone.tail - bone.head, bone.rest[:3, :3])
    return nodes


def skeleton_of(nodes: dict[str, _Node], metres: float) -> Skeleton:
    number = {name: index for index, name in enumerate(nodes)}
    parents = [number.get(node.parent, -1) for node in nodes.values()]
    return Skeleton(tuple(nodes), parents, metres * np.stack([node.offset for node in nodes.values()]))


def _lineage(bones: dict[str, RestBone], node: str) -> list[str]:
    """The bone of a node and all above it, the topmost first."""
    name = node if node in bones else node.removesuffix(END_SITE)
    lineage = []
    while name:
        lineage.insert(0, name)
        name = bones[name].parent
    return lineage


def build_chain(bones: dict[str, RestBone], mapped: set[str], metres: float) -> Chain:
    """The bones between the mapped nodes, with what the networks for humans know.  Raises SetupError."""
    lineages = [_lineage(bones, node) for node in sorted(mapped)]
    tops = sorted({lineage[0] for lineage in lineages})
    if len(tops) > 1:
        raise SetupError(
            f"The bones of '{tops[0]}' and '{tops[1]}' belong to separate hierarchies: map the bones of one of them only."
        )
    whole = nodes_below(bones, tops[0])
    if len(whole) < 2:
        raise SetupError(f"The bone '{tops[0]}' has no bone below it, so there is nothing to bend.")
    found = body_map(skeleton_of(whole, 1.0))
    human = {} if found is None else found.node_of
    shared = [name for name, *others in zip(*lineages, strict=False) if all(other == name for other in others)]
    if human.get("hip") in shared:
        root = bones[human["hip"]]
    else:
        # The lowest bone above all mapped ones may move along, if it is one of them and free; else all hangs on the topmost.
        human = {}
        lowest = bones[shared[-1]]
        root = lowest if lowest.name in mapped and not lowest.is_fixed and len(mapped) > 1 else bones[tops[0]]
    below = nodes_below(bones, root.name)
    wanted = {node for node in (*mapped, *human.values()) if node in below}
    if human:
        wanted |= {name + END_SITE for name in wanted}  # so that hands, feet and the head turn as they do in motions
    kept = set(wanted).union(*(_lineage(bones, node) for node in wanted if node in below))
    nodes = {name: node for name, node in below.items() if name in kept}
    if len(nodes) < 2:
        raise SetupError(f"Only the bone '{root.name}' has a target: map one more bone below it.")
    return Chain(
        skeleton_of(nodes, metres),
        root,
        bones[root.parent].rest if root.parent else np.eye(4),
        np.stack([node.rest for node in nodes.values()]),
        root.head + root.offset,
        not root.is_fixed and (root.name in mapped or bool(human)),
    )


def metres_per_unit(scene: bpy.types.Scene, armature: bpy.types.Object) -> float:
    """Of a unit of the armature, by its mean scale in the world."""
    scale = abs(np.linalg.det(world_matrix(evaluate(scene), armature)[:3, :3])) ** (1 / 3)
    if scale < 1e-9:
        raise SetupError(f"'{armature.name}' has a scale of zero: give it an extent along every axis.")
    return scale * scene.unit_settings.scale_length
