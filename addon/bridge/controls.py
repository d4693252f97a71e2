# SPDX-License-Identifier: GPL-3.0-or-later
"""Controls that hold the bones of a rig by inverse kinematics, and how they have to be posed for the bones to be as solved."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import bpy
import numpy as np

from .armature import LocalPose, local_basis, rotation_of
from .holds import active_constraints, driven_channels, holding_constraints


class Control(NamedTuple):
    """A bone at whose head the tail of another one is held.  turns: a bone that takes over its rotation.

    pole, top, angle: the bone that a chain bends towards, the chain's topmost bone, and by how much that is turned; pole "" for
    a chain that bends freely.
    """

    name: str
    end: str
    turns: str
    pole: str
    top: str
    angle: float

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name, self.pole) if self.pole else (self.name,)


def find_controls(armature: bpy.types.Object, names: Collection[str]) -> list[Control]:
    """The controls that can be posed so that bones are where they are solved to be; none where something else holds them."""
    controls, turned = [], {}
    for bone in (armature.pose.bones[name] for name in names):
        if any(True for _ in driven_channels(bone)):
            return []
        for constraint in holding_constraints(bone):
            if not _is_from(constraint, armature, names):
                return []
            if constraint.type == "COPY_ROTATION" and constraint.mix_mode == "REPLACE" and _copies_all(constraint):
                turned[constraint.subtarget] = bone.name
            elif constraint.type == "IK" and constraint.use_tail and not constraint.use_rotation:
                chain = [bone, *bone.parent_recursive][: constraint.chain_count or None]
                pole = constraint.pole_subtarget if constraint.pole_target else ""
                controls.append(Control(constraint.subtarget, bone.name, "", pole, chain[-1].name, constraint.pole_angle))
            else:
                return []
    controls = [control._replace(turns=turned.pop(control.name, "")) for control in controls]
    are_free = all(_is_free(armature.pose.bones[name]) for control in controls for name in control.names)
    are_bent = all(control.top in names for control in controls if control.pole)
    return controls if are_free and are_bent and not turned else []


def pose_controls(
    armature: bpy.types.Object, controls: list[Control], pose: dict[str, np.ndarray], above: dict[str, np.ndarray]
) -> LocalPose:
    """What controls have to be set to for a pose: name -> (F, 4, 4) in the armature's space.

    above: (F, 4, 4) of the parents of controls that are not in the pose.
    """
    bones, pose, rotations, locations = armature.data.bones, pose | above, {}, {}
    for control in controls:
        end = pose[control.end]
        goal = end[:, :3, 3] + bones[control.end].length * end[:, :3, 1]
        places = {control.name: _at(goal)}
        if control.turns:
            places[control.name][:, :3, :3] = pose[control.turns][:, :3, :3]
        if control.pole:
            places[control.pole] = _at(_pole(control, pose[control.top], goal))
        for name, matrix in places.items():
            parent = bones[name].parent
            basis = local_basis(bones[name], matrix, None if parent is None else pose[parent.name])
            locations[name] = basis[:, :3, 3]
            if name == control.name and control.turns:
                rotations[name] = rotation_of(basis)
    return LocalPose(rotations, locations)


def _pole(control: Control, top: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """(F, 3) where the pole bends the chain as it is solved: Blender turns the top bone's x by the angle towards the pole."""
    head, across = top[:, :3, 3], np.cos(control.angle) * top[:, :3, 0] + np.sin(control.angle) * top[:, :3, 2]
    along = goal - head
    reach = np.linalg.norm(along, axis=1, keepdims=True)
    across = across - along * (across * along).sum(axis=1, keepdims=True) / reach**2
    return head + along / 2 + reach * across / np.linalg.norm(across, axis=1, keepdims=True)


def _at(places: np.ndarray) -> np.ndarray:
    """(F, 4, 4) of frames at places (F, 3)."""
    matrix = np.tile(np.eye(4), (len(places), 1, 1))
    matrix[:, :3, 3] = places
    return matrix


def _is_from(constraint: bpy.types.Constraint, armature: bpy.types.Object, names: Collection[str]) -> bool:
    """Whether a constraint follows, as a whole, bones of the armature that are not solved."""
    targets = [(getattr(constraint, "target", None), getattr(constraint, "subtarget", ""))]
    if constraint.type == "IK" and constraint.pole_target is not None:
        targets.append((constraint.pole_target, constraint.pole_subtarget))
    return constraint.influence == 1 and all(
        target == armature and bone in armature.pose.bones and bone not in names for target, bone in targets
    )


def _copies_all(constraint: bpy.types.Constraint) -> bool:
    is_inverted = constraint.invert_x or constraint.invert_y or constraint.invert_z
    is_all = constraint.use_x and constraint.use_y and constraint.use_z
    return is_all and not is_inverted and constraint.owner_space == constraint.target_space


def _is_free(bone: bpy.types.PoseBone) -> bool:
    """Whether nothing keeps a control from being moved."""
    is_held = active_constraints(bone) or any(True for _ in driven_channels(bone))
    return not bone.bone.use_connect and not any(bone.lock_location) and not is_held
