# SPDX-License-Identifier: GPL-3.0-or-later
"""Armatures as skeletons and back, and the places that their joints should take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import bpy
import numpy as np
from mathutils import Matrix

from solver_core import rotations
from solver_core.errors import ObservationError, SetupError
from solver_core.problems.inverse_kinematics.files.bvh_text import END_SITE

from .holds import holding_constraints
from .keyframes import set_keys
from .transform import float64, rotation_channel, rotation_values

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
        rest, offset = float64(bone.matrix_local), float64(posed.location)
        bones[bone.name] = RestBone(
            bone.name,
            bone.parent.name if bone.parent else "",
            rest,
            float64(bone.tail_local),
            np.zeros(3) if bone.use_connect else rest[:3, :3] @ offset if bone.use_local_location else offset,
            bone.use_connect or all(posed.lock_location),
        )
    return bones


def node_names(armature: bpy.types.Object) -> set[str]:
    """The names of all heads, which are those of the bones, and of the tails of bones without children."""
    return {
        name for bone in armature.data.bones for name in ([bone.name] if bone.children else [bone.name, bone.name + END_SITE])
    }


def read_pose_matrix(depsgraph: bpy.types.Depsgraph, armature: bpy.types.Object, bone: str) -> np.ndarray:
    """(4, 4) of a posed bone in the armature's space."""
    return float64(armature.evaluated_get(depsgraph).pose.bones[bone].matrix)


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


class Muted(NamedTuple):
    """A constraint of a bone, or a driver with its path and component, that was switched off.  is_holding: whether it decides
    how its bone is posed, and does not merely limit it.
    """

    bone: str
    constraint: str
    driver: tuple[str, int] | None
    is_holding: bool


def mute(armature: bpy.types.Object, names: Sequence[str]) -> list[Muted]:
    """Switches off all constraints of bones and the drivers of their rotations and locations; what was on."""
    muted = []
    for bone in (armature.pose.bones[name] for name in names):
        holding = [constraint.name for constraint in holding_constraints(bone)]
        for constraint in (constraint for constraint in bone.constraints if not constraint.mute):
            constraint.mute = True
            muted.append(Muted(bone.name, constraint.name, None, constraint.name in holding))
        paths = [bone.path_from_id(channel) for channel in ("location", rotation_channel(bone))]
        for driver in armature.animation_data.drivers if armature.animation_data else ():
            if driver.data_path in paths and not driver.mute:
                driver.mute = True
                muted.append(Muted(bone.name, "", (driver.data_path, driver.array_index), True))
    return muted


def unmute(armature: bpy.types.Object, muted: Sequence[Muted]) -> None:
    """Undoes mute; what is gone is skipped."""
    for one in muted:
        if one.driver is not None:
            path, index = one.driver
            found = armature.animation_data.drivers.find(path, index=index) if armature.animation_data else None
        else:
            found = armature.pose.bones[one.bone].constraints.get(one.constraint) if one.bone in armature.pose.bones else None
        if found is not None:
            found.mute = False


def followed(bone: bpy.types.PoseBone) -> bpy.types.PoseBone:
    """The bone, of the same or another armature, whose transform a bone copies whole; itself if it copies none."""
    seen = []
    while bone not in seen:
        seen.append(bone)
        last = next(reversed(holding_constraints(bone)), None)
        copies = last is not None and last.type == "COPY_TRANSFORMS" and last.mix_mode == "REPLACE" and last.influence == 1
        if copies and last.owner_space == last.target_space and last.target.type == "ARMATURE" and last.subtarget:
            bone = last.target.pose.bones[last.subtarget]
    return bone


class LocalPose(NamedTuple):
    """What bones are set to at F frames.  rotations: name -> (F, 4) wxyz.  locations: name -> (F, 3) of those that move."""

    rotations: dict[str, np.ndarray]
    locations: dict[str, np.ndarray]


def local_pose(
    armature: bpy.types.Object, pose: dict[str, np.ndarray], parent_pose: np.ndarray, is_root_moved: bool
) -> LocalPose:
    """What bones have to be set to for a pose: name -> (F, 4, 4) in the armature's space, the root first, parents first.

    parent_pose: (F, 4, 4) of the root's parent.  is_root_moved: whether the root's location is set as well.
    """
    bones = armature.data.bones
    (root, root_pose), *others = pose.items()
    basis = local_basis(bones[root], root_pose, parent_pose if bones[root].parent else None)
    turns = {root: rotation_of(basis)}
    for name, matrix in others:
        rest = float64(bones[name].matrix_local)
        if bones[name].use_inherit_rotation:
            parent = bones[name].parent
            rest = pose[parent.name] @ np.linalg.solve(float64(parent.matrix_local), rest)
        turns[name] = rotation_of(np.linalg.solve(rest, matrix))
    return LocalPose(turns, {root: basis[:, :3, 3]} if is_root_moved else {})


def local_basis(bone: bpy.types.Bone, pose: np.ndarray, parent_pose: np.ndarray | None) -> np.ndarray:
    """(F, 4, 4) from poses (F, 4, 4), by Blender's own rules for what a bone takes over from its parent."""
    basis = []
    for number, matrix in enumerate(pose):
        above = {}
        if parent_pose is not None:
            above = {"parent_matrix": Matrix(parent_pose[number]), "parent_matrix_local": bone.parent.matrix_local}
        basis.append(bone.convert_local_to_pose(Matrix(matrix), bone.matrix_local, invert=True, **above))
    return np.array(basis, np.float64)


def rotation_of(matrix: np.ndarray) -> np.ndarray:
    """(F, 4) wxyz of matrices (F, 4, 4), whose scale is left out."""
    turn = matrix[:, :3, :3]
    return rotations.wxyz_from_matrix(turn / np.linalg.norm(turn, axis=1, keepdims=True))


def write_pose(armature: bpy.types.Object, pose: LocalPose) -> None:
    """Poses bones as in the first frame."""
    for name, wxyz in pose.rotations.items():
        bone = armature.pose.bones[name]
        setattr(bone, rotation_channel(bone), rotation_values(bone, wxyz[:1])[0])
    for name, location in pose.locations.items():
        armature.pose.bones[name].location = location[0]


def key_pose(armature: bpy.types.Object, frames: Sequence[int], pose: LocalPose) -> None:
    """Keyframes what a pose sets.  Raises SetupError if that cannot be."""
    for name, wxyz in pose.rotations.items():
        bone = armature.pose.bones[name]
        set_keys(bone, rotation_channel(bone), frames, rotation_values(bone, wxyz))
    for name, location in pose.locations.items():
        set_keys(armature.pose.bones[name], "location", frames, location)


def read_collection(depsgraph: bpy.types.Depsgraph, collection: bpy.types.Collection) -> dict[str, np.ndarray]:
    """(3,) in the world of every object of a collection by its name."""
    return {one.name: float64(one.evaluated_get(depsgraph).matrix_world.translation) for one in collection.all_objects}


def read_joints(depsgraph: bpy.types.Depsgraph, armature: bpy.types.Object) -> dict[str, np.ndarray]:
    """(3,) in the world of every head of a posed armature by the bone's name, and of the tails of its last bones."""
    evaluated = armature.evaluated_get(depsgraph)
    world, points = evaluated.matrix_world, {}
    for bone in evaluated.pose.bones:
        points[bone.name] = float64(world @ bone.head)
        if not bone.children:
            points[bone.name + END_SITE] = float64(world @ bone.tail)
    return points


def read_turns(depsgraph: bpy.types.Depsgraph, armature: bpy.types.Object) -> dict[str, np.ndarray]:
    """(3, 3) by the bone's name: how each bone of a posed armature is turned in the world from how it is at rest."""
    evaluated = armature.evaluated_get(depsgraph)
    world = evaluated.matrix_world
    return {
        bone.name: float64((world @ bone.matrix).to_quaternion().to_matrix())
        @ float64(bone.bone.matrix_local.to_quaternion().to_matrix()).T
        for bone in evaluated.pose.bones
    }


def find_collection(name: str) -> bpy.types.Collection:
    collection = bpy.data.collections.get(name)
    if collection is None:
        raise SetupError(f"Choose a collection of targets: there is none with the name '{name}'.")
    if not collection.all_objects:
        raise ObservationError(f"The collection '{name}' is empty: put an empty into it for every joint.")
    return collection
