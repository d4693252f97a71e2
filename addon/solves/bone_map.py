# SPDX-License-Identifier: GPL-3.0-or-later
"""Which target belongs to which bone."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence
from dataclasses import replace

import bpy
import numpy as np

from solver_core.errors import SetupError
from solver_core.problems.inverse_kinematics.files.bvh_text import END_SITE
from solver_core.problems.inverse_kinematics.names.mapping import Matching, match_targets

from ..bridge.armature import check_armature, followed, node_names, read_rest
from ..bridge.scene import find_object
from .armature_chain import Chain, nodes_below, skeleton_of
from .armature_source import TargetSource
from .armature_task import ArmatureTask, BoneTarget


def match_bones(scene: bpy.types.Scene, task: ArmatureTask) -> Matching:
    """Which targets of a task belong to which bones, by their names.  Raises SolverError if none does."""
    armature = find_object(scene, task.armature, "armature")
    check_armature(armature)
    names = TargetSource.open(scene, task).names(scene)
    bones = read_rest(armature)
    found = Matching({})
    for top in (bone for bone in bones.values() if not bone.parent):
        nodes = nodes_below(bones, top.name)
        if len(nodes) < 2:
            continue
        with contextlib.suppress(SetupError):  # none of these bones has a target
            found = max(found, match_targets(names, skeleton_of(nodes, 1.0)), key=lambda matching: len(matching.targets))
    if not found.targets:
        raise SetupError(
            f"No target has the name of a bone of '{armature.name}': fill in the list of bones by hand, or rename the targets."
        )
    return found


def rows_of(matching: Matching) -> tuple[BoneTarget, ...]:
    """The same as lines of the bone map."""
    return tuple(BoneTarget(target, bone) for bone, targets in matching.targets.items() for target in targets)


def control_rows(
    armature: bpy.types.Object, rows: Sequence[BoneTarget]
) -> tuple[bpy.types.Object, dict[str, str], tuple[BoneTarget, ...]]:
    """What is posed so that bones come to their targets: the bones, or those of one armature whose transforms they copy.

    Returns the armature, the node of the given one by the name of the posed node, and the rows for posed nodes.
    """
    bones = {row.bone: armature.pose.bones[row.bone.removesuffix(END_SITE)] for row in rows}
    copied = {node: followed(bone) for node, bone in bones.items()}
    rigs = {bone.id_data for bone in copied.values()}
    if len(rigs) > 1 or all(copied[node] == bone for node, bone in bones.items()):
        return armature, {node: node for node in bones}, tuple(rows)
    rig = rigs.pop()
    nodes = {node: bone.name + (END_SITE if node.endswith(END_SITE) else "") for node, bone in copied.items()}
    posed = tuple(replace(row, bone=nodes[row.bone]) for row in rows if nodes[row.bone] in node_names(rig))
    return rig, {nodes[node]: node for node in bones}, posed


def check_rows(rows: Sequence[BoneTarget], nodes: Collection[str], targets: Collection[str], task: ArmatureTask) -> None:
    """Raises SetupError for a row that names what is not there, or if no row counts."""
    for row in rows:
        if row.bone not in nodes:
            raise SetupError(f"The armature '{task.armature}' has no bone '{row.bone}' for the target '{row.target}'.")
        if row.target not in targets:
            raise SetupError(f"There is no target '{row.target}' for the bone '{row.bone}'.")
        if not 0 <= row.weight < np.inf:
            raise SetupError(f"The weight of the target '{row.target}' must be a number of at least 0.")
    if not any(row.weight > 0 for row in rows):
        raise SetupError("All targets have a weight of 0: give at least one of them more.")


def targets_of_nodes(chain: Chain, rows: Sequence[BoneTarget]) -> dict[int, list[str]]:
    """Names of the targets of each node that has any, by its number."""
    given = {row.bone for row in rows if row.weight > 0}
    return {chain.skeleton.index(node): [row.target for row in rows if row.bone == node] for node in given}


def node_targets(chain: Chain, names: dict[int, list[str]], points: dict[str, np.ndarray]) -> np.ndarray:
    """(N, 3) in the world, nan where none is given: the middle of a node's targets, whose names are given."""
    targets = np.full((chain.skeleton.num_nodes, 3), np.nan)
    for node, several in names.items():
        targets[node] = sum(points[name] for name in several) / len(several)
    return targets


def node_weights(chain: Chain, rows: Sequence[BoneTarget]) -> np.ndarray:
    """(N,) mean weight of a node's targets, 0 without."""
    weights = np.zeros(chain.skeleton.num_nodes)
    for node in {row.bone for row in rows}:
        weights[chain.skeleton.index(node)] = np.mean([row.weight for row in rows if row.bone == node])
    return weights


def single_targets(rows: Sequence[BoneTarget], targets: Collection[str], nodes: Collection[str]) -> dict[str, str]:
    """Targets -> nodes, of those nodes that have one target only; only names that are among the given ones."""
    of_node = [row.bone for row in rows]
    return {
        row.target: row.bone for row in rows if of_node.count(row.bone) == 1 and row.target in targets and row.bone in nodes
    }
