# SPDX-License-Identifier: GPL-3.0-or-later
"""Armatures as skeletons and back, and the places that their joints should take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import bpy
import numpy as np
from mathutils import Matrix

from solver_core.errors import ObservationError, SetupError
from solver_core.problems.inverse_kinematics.files.bvh_text import END_SITE

from .transform import rotation_channel, set_rotation

FREE = (-np.inf, np.inf)


class RestBone(NamedTuple):
    """A bone at rest in the armature's space.  parent: "" for a root.  rest: (4, 4) its frame at the head.  tail: (3,).

    offset: (3,) by which its pose moves its head.  is_fixed: whether the head cannot be moved.
    """

    name: str
    parent: str
    rest: np.ndarray
    tail: np.ndarray
    offset: np.ndarray
    is_fixed: bool

    @property
    def head(self) -> np.ndarray:
        return self.rest[:3, 3]


def check_armature(armature: bpy.types.Object) -> None:
    """Raises SetupError if an object is no armature whose pose can be written."""
    if armature.type != "ARMATURE":
        raise SetupError(f"'{armature.name}' is not an armature: choose one.")
    if armature.mode == "EDIT":
        raise SetupError(f"The armature '{armature.name}' is in Edit Mode: leave it, so that its bones can be posed.")
    if armature.data.pose_position == "REST":
        raise SetupError(f"The armature '{armature.name}' shows its rest position: switch it to Pose Position.")
    if not armature.data.bones:
        raise SetupError(f"The armature '{armature.name}' has no bones.")


def read_rest(armature: bpy.types.Object) -> dict[str, RestBone]:
    """Every bone by its name, parents before their children."""
    bones = {}
    for bone in armature.data.bones:
        posed = armature.pose.bones[bone.name]
        rest, offset = np.array(bone.matrix_local), np.array(posed.location)
        bones[bone.name] = RestBone(
            bone.name,
            bone.parent.name if bone.parent else "",
            rest,
            np.array(bone.tail_local),
            np.zeros(3) if bone.use_connect else rest[:3, :3] @ offset if bone.use_local_location else offset,
            bone.use_connect or all(posed.lock_location),
        )
    return bones


def read_pose_matrix(depsgraph: bpy.types.Depsgraph, armature: bpy.types.Object, bone: str) -> np.ndarray:
    """(4, 4) of a posed bone in the armature's space."""
    return np.array(armature.evaluated_get(depsgraph).pose.bones[bone].matrix)


def read_limits(armature: bpy.types.Object, name: str) -> np.ndarray:
    """(3, 2) lowest and highest angle of a bone about its x, y and z, radians: where locked, its present angle.

    Locks of the pose and of inverse kinematics, limits of inverse kinematics and Limit Rotation constraints in local space
    hold together.
    """
    bone = armature.pose.bones[name]
    ranges = np.tile(FREE, (3, 1))
    present = bone.matrix_basis.to_euler("XYZ")
    for axis, letter in enumerate("xyz"):
        if getattr(bone, f"use_ik_limit_{letter}"):
            _narrow_inplace(ranges[axis], getattr(bone, f"ik_min_{letter}"), getattr(bone, f"ik_max_{letter}"))
        for constraint in _rotation_limits(bone):
            if getattr(constraint, f"use_limit_{letter}"):
                _narrow_inplace(ranges[axis], getattr(constraint, f"min_{letter}"), getattr(constraint, f"max_{letter}"))
        if bone.lock_rotation[axis] or getattr(bone, f"lock_ik_{letter}"):
            ranges[axis] = present[axis]
    return ranges


def _rotation_limits(bone: bpy.types.PoseBone) -> list[bpy.types.Constraint]:
    return [c for c in bone.constraints if c.type == "LIMIT_ROTATION" and c.enabled and c.owner_space == "LOCAL"]


def _narrow_inplace(ends: np.ndarray, lowest: float, highest: float) -> None:
    """Cuts a range to another; ranges apart meet at the end that is nearest."""
    ends[0] = min(max(ends[0], lowest), ends[1])
    ends[1] = max(min(ends[1], highest), ends[0])


def pulling_bones(armature: bpy.types.Object, names: Sequence[str]) -> list[str]:
    """Bones below the given ones whose inverse kinematics may turn them."""
    return [
        bone.name
        for bone in armature.pose.bones
        if bone.name not in names
        and any(constraint.type in {"IK", "SPLINE_IK"} for constraint in bone.constraints)
        and any(parent.name in names for parent in bone.parent_recursive)
    ]


def mute_constraints(armature: bpy.types.Object, names: Sequence[str]) -> list[tuple[str, str]]:
    """Switches off all constraints of bones; (bone, constraint) of those that were on."""
    muted = []
    for name in names:
        for constraint in armature.pose.bones[name].constraints:
            if not constraint.mute:
                constraint.mute = True
                muted.append((name, constraint.name))
    return muted


def unmute_constraints(armature: bpy.types.Object, muted: Sequence[tuple[str, str]]) -> None:
    """Undoes mute_constraints; what is gone is skipped."""
    for bone, constraint in muted:
        found = armature.pose.bones[bone].constraints.get(constraint) if bone in armature.pose.bones else None
        if found is not None:
            found.mute = False


def write_pose(
    armature: bpy.types.Object, pose: dict[str, np.ndarray], parent_pose: np.ndarray, root: str, is_root_moved: bool
) -> None:
    """Poses bones: name -> (4, 4) in the armature's space, parents first, the root first of all.

    parent_pose: (4, 4) of the root's parent.  is_root_moved: write the root's location as well.
    """
    for name, matrix in pose.items():
        bone = armature.pose.bones[name]
        basis = Matrix(matrix)
        if bone.parent is not None:
            parent = parent_pose if name == root else pose[bone.parent.name]
            basis = bone.bone.convert_local_to_pose(
                basis,
                bone.bone.matrix_local,
                parent_matrix=Matrix(parent),
                parent_matrix_local=bone.parent.bone.matrix_local,
                invert=True,
            )
        else:
            basis = bone.bone.convert_local_to_pose(basis, bone.bone.matrix_local, invert=True)
        set_rotation(bone, np.array(basis.to_3x3().normalized()))
        if name == root and is_root_moved:
            bone.location = basis.translation


def key_pose(armature: bpy.types.Object, names: Sequence[str], moved: str, frame: int) -> None:
    """Keyframes the rotations of bones, and the location of the one that is moved, if any."""
    for name in names:
        bone = armature.pose.bones[name]
        bone.keyframe_insert(rotation_channel(bone), frame=frame)
        if name == moved:
            bone.keyframe_insert("location", frame=frame)


def read_collection(depsgraph: bpy.types.Depsgraph, collection: bpy.types.Collection) -> dict[str, np.ndarray]:
    """(3,) in the world of every object of a collection by its name."""
    return {one.name: np.array(one.evaluated_get(depsgraph).matrix_world.translation) for one in collection.all_objects}


def read_joints(depsgraph: bpy.types.Depsgraph, armature: bpy.types.Object) -> dict[str, np.ndarray]:
    """(3,) in the world of every head of a posed armature by the bone's name, and of the tails of its last bones."""
    evaluated = armature.evaluated_get(depsgraph)
    world, points = evaluated.matrix_world, {}
    for bone in evaluated.pose.bones:
        points[bone.name] = np.array(world @ bone.head)
        if not bone.children:
            points[bone.name + END_SITE] = np.array(world @ bone.tail)
    return points


def find_collection(name: str) -> bpy.types.Collection:
    collection = bpy.data.collections.get(name)
    if collection is None:
        raise SetupError(f"Choose a collection of targets: there is none with the name '{name}'.")
    if not collection.all_objects:
        raise ObservationError(f"The collection '{name}' is empty: put an empty into it for every joint.")
    return collection
