# SPDX-License-Identifier: GPL-3.0-or-later
"""Where objects are: the rigid part of their world matrix, and how to write it back."""

from __future__ import annotations

from typing import NamedTuple

import bpy
import numpy as np
from mathutils import Euler, Matrix, Quaternion

from solver_core.errors import SetupError

SAME_SCALE = 1e-3  # relative; matrices are float32 and parents may be many
CHANNELS = ("location", "rotation_quaternion", "rotation_euler", "rotation_axis_angle", "scale")


class Placement(NamedTuple):
    """What stays while an object moves.  world_from_parent: (4, 4), all that acts after the object's own transform.

    shape: (3, 3) the object's scale, shear and mirroring as seen in the world; scale: (3,) of its own transform.
    """

    world_from_parent: np.ndarray
    shape: np.ndarray
    scale: np.ndarray


AT_ORIGIN = Placement(np.eye(4), np.eye(3), np.ones(3))  # of an object that was just made


def world_matrix(depsgraph: bpy.types.Depsgraph, thing: bpy.types.Object) -> np.ndarray:
    """(4, 4) float64 of the evaluated object."""
    return np.array(thing.evaluated_get(depsgraph).matrix_world)


def split_rigid(matrix: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """World matrix as a rigid (4, 4) after a shape (3, 3), which is symmetric but for mirroring.

    Raises SetupError if the scale is zero.
    """
    left, stretch, right = np.linalg.svd(matrix[:3, :3])
    if stretch[-1] <= 1e-9 * max(stretch[0], 1e-9):
        raise SetupError(f"'{name}' has a scale of zero: give it an extent along every axis.")
    left[:, -1] *= np.linalg.det(left) * np.linalg.det(right)
    rigid = matrix.copy()
    rigid[:3, :3] = left @ right
    return rigid, rigid[:3, :3].T @ matrix[:3, :3]


def read_placement(depsgraph: bpy.types.Depsgraph, thing: bpy.types.Object) -> Placement:
    """Placement of an object that is to be moved.  Raises SetupError if moving it rigidly is not possible."""
    holding = next((c for c in thing.constraints if c.enabled and c.influence > 0), None)
    if holding is not None:
        raise SetupError(f"'{thing.name}' is held by its constraint '{holding.name}': apply, disable or remove it.")
    drivers = thing.animation_data.drivers if thing.animation_data else ()
    driven = next((d.data_path for d in drivers if d.data_path in ("location", rotation_channel(thing)) and not d.mute), None)
    if driven is not None:
        raise SetupError(
            f"'{thing.name}' has a driver on its {driven.partition('_')[0]}, which would undo a move: remove or mute it."
        )
    evaluated = thing.evaluated_get(depsgraph)
    world, basis = np.array(evaluated.matrix_world), np.array(evaluated.matrix_basis)
    _, shape = split_rigid(world, thing.name)
    world_from_parent = world @ np.linalg.inv(basis)
    stretch = np.linalg.svd(world_from_parent[:3, :3])[1]
    if stretch[-1] < (1 - SAME_SCALE) * stretch[0]:
        raise SetupError(
            f"A parent of '{thing.name}' is scaled differently along its axes, so turning '{thing.name}' would distort it: "
            "apply the parent's scale."
        )
    return Placement(world_from_parent, shape, np.array(evaluated.scale) * np.array(evaluated.delta_scale))


def animation_notices(thing: bpy.types.Object) -> list[str]:
    """A sentence where keyframes will take back, at the next frame, what a solve without a range does to a thing."""
    if thing.animation_data is None or thing.animation_data.action is None:
        return []
    return [
        f"'{thing.name}' is animated: its keyframes take the result back at the next frame. Insert a keyframe or solve a range."
    ]


def place(thing: bpy.types.Object, placement: Placement, world_from_thing: np.ndarray) -> None:
    """Moves an object to a rigid (4, 4); its scale stays as it is."""
    world = world_from_thing.copy()
    world[:3, :3] = world[:3, :3] @ placement.shape
    basis = np.linalg.solve(placement.world_from_parent, world)
    thing.location = basis[:3, 3] - np.array(thing.delta_location)
    delta = Matrix.Identity(3)
    if thing.rotation_mode == "QUATERNION":
        delta = thing.delta_rotation_quaternion.to_matrix()
    elif thing.rotation_mode != "AXIS_ANGLE":
        delta = thing.delta_rotation_euler.to_matrix()
    set_rotation(thing, np.array(delta).T @ (basis[:3, :3] / placement.scale))


def set_rotation(thing: bpy.types.Object | bpy.types.PoseBone, rotation: np.ndarray) -> None:
    """Writes a rotation (3, 3) in the rotation mode of an object or bone, as near to its present numbers as can be."""
    wxyz = np.array(Matrix(rotation).to_quaternion())
    setattr(thing, rotation_channel(thing), rotation_values(thing, wxyz[None])[0])


def rotation_values(thing: bpy.types.Object | bpy.types.PoseBone, wxyz: np.ndarray) -> np.ndarray:
    """(F, C) numbers of a thing's rotation channel for rotations (F, 4) that follow each other.

    Each is as near as can be to the one before, the first to the thing's present numbers.
    """
    mode, values = thing.rotation_mode, [tuple(getattr(thing, rotation_channel(thing)))]
    for quaternion in map(Quaternion, wxyz.tolist()):
        before = values[-1]
        if mode == "QUATERNION":
            quaternion.make_compatible(Quaternion(before))
            values.append(tuple(quaternion))
        elif mode == "AXIS_ANGLE":
            axis, angle = quaternion.to_axis_angle()
            sign = -1 if np.dot(axis, before[1:]) < 0 else 1
            values.append((sign * angle, *(sign * axis)))
        else:
            values.append(tuple(quaternion.to_euler(mode, Euler(before, mode))))
    return np.array(values[1:])


def rotation_channel(thing: bpy.types.Object | bpy.types.PoseBone) -> str:
    """Name of the property that holds the rotation."""
    if thing.rotation_mode == "QUATERNION":
        return "rotation_quaternion"
    return "rotation_axis_angle" if thing.rotation_mode == "AXIS_ANGLE" else "rotation_euler"


def read_channels(thing: bpy.types.Object | bpy.types.PoseBone) -> dict[str, tuple[float, ...]]:
    """Location, rotation and scale of an object or bone as they are stored."""
    return {name: tuple(getattr(thing, name)) for name in CHANNELS}


def write_channels(thing: bpy.types.Object | bpy.types.PoseBone, channels: dict[str, tuple[float, ...]]) -> None:
    for name, values in channels.items():
        setattr(thing, name, values)
