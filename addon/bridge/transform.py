# SPDX-License-Identifier: GPL-3.0-or-later
"""Where objects are: the rigid part of their world matrix, and how to write it back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import bpy
import numpy as np
from mathutils import Euler, Matrix, Quaternion

from solver_core.errors import SetupError
from solver_core.rotations import wxyz_from_matrix

CHANNELS = ("location", "rotation_quaternion", "rotation_euler", "rotation_axis_angle", "scale")


class Placement(NamedTuple):
    """Where an object is, and what stays while it moves.  world_from_thing: rigid (4, 4).

    world_from_parent: (4, 4), all that acts after the object's own transform.  shape: (3, 3) the object's scale, shear and
    mirroring as seen in the world; scale: (3,) of its own transform.
    """

    world_from_thing: np.ndarray
    world_from_parent: np.ndarray
    shape: np.ndarray
    scale: np.ndarray


class Local(NamedTuple):
    """An object's own transform without what always stays.  location: (3,).  rotation: (4,) wxyz."""

    location: np.ndarray
    rotation: np.ndarray


AT_ORIGIN = Placement(np.eye(4), np.eye(4), np.eye(3), np.ones(3))  # of an object that was just made


def float64(values: Sequence[float] | Sequence[Sequence[float]]) -> np.ndarray:
    """An array of one of Blender's vectors or matrices; since 5.0 NumPy by itself makes float32 of them."""
    return np.array(values, np.float64)


def world_matrix(depsgraph: bpy.types.Depsgraph, thing: bpy.types.Object) -> np.ndarray:
    """(4, 4) float64 of the evaluated object."""
    return float64(thing.evaluated_get(depsgraph).matrix_world)


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
    """Placement of an object.  Raises SetupError if it has no extent along an axis."""
    evaluated = thing.evaluated_get(depsgraph)
    world, basis = float64(evaluated.matrix_world), float64(evaluated.matrix_basis)
    rigid, shape = split_rigid(world, thing.name)
    return Placement(rigid, world @ np.linalg.inv(basis), shape, float64(evaluated.scale) * float64(evaluated.delta_scale))


def local_transform(thing: bpy.types.Object, placement: Placement, world_from_thing: np.ndarray) -> Local:
    """What moves an object to a rigid (4, 4) while its scale stays.

    A parent that is scaled differently along its axes would skew a turned object; then the rotation is the nearest one.
    """
    world = world_from_thing.copy()
    world[:3, :3] = world[:3, :3] @ placement.shape
    basis = np.linalg.solve(placement.world_from_parent, world)
    delta = Matrix.Identity(3)
    if thing.rotation_mode == "QUATERNION":
        delta = thing.delta_rotation_quaternion.to_matrix()
    elif thing.rotation_mode != "AXIS_ANGLE":
        delta = thing.delta_rotation_euler.to_matrix()
    left, _, right = np.linalg.svd(float64(delta).T @ (basis[:3, :3] / placement.scale))
    rotation = left @ np.diag([1, 1, np.linalg.det(left) * np.linalg.det(right)]) @ right
    return Local(basis[:3, 3] - float64(thing.delta_location), wxyz_from_matrix(rotation))


def place(thing: bpy.types.Object, placement: Placement, world_from_thing: np.ndarray) -> None:
    """Moves an object to a rigid (4, 4); its scale and its locked channels stay as they are."""
    write_local(thing, local_transform(thing, placement, world_from_thing))


def write_local(thing: bpy.types.Object, local: Local) -> None:
    """Sets location and rotation but for the channels that are locked."""
    rotation = rotation_channel(thing)
    for channel, values in (("location", local.location), (rotation, rotation_values(thing, local.rotation[None])[0])):
        target = getattr(thing, channel)
        for index in free_components(thing, channel):
            target[index] = values[index]


def free_components(thing: bpy.types.Object, channel: str) -> list[int]:
    """Numbers of the components of the location or rotation that are not locked; a quaternion is locked as a whole."""
    if channel == "location":
        return [index for index in range(3) if not thing.lock_location[index]]
    if channel == "rotation_euler":
        return [index for index in range(3) if not thing.lock_rotation[index]]
    return [] if any(thing.lock_rotation) else [0, 1, 2, 3]


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
