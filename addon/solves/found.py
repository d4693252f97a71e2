# SPDX-License-Identifier: GPL-3.0-or-later
"""What solves found, as numbers for other programs: the answers in the records of batch jobs, and their JSON Schema."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]
Matrix = tuple[Quaternion, Quaternion, Quaternion, Quaternion]


@dataclass(frozen=True)
class Intrinsics:
    """The camera of the picture's pixels: focal lengths and principal point, from the upper left corner of the picture."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float


@dataclass(frozen=True)
class FramePose:
    """A frame as it was measured in the solved scene.  a_from_b takes coordinates in b to those in a, without scale.
    matrix_world: Blender's own of all that was moved, with scale.  intrinsics: null for an orthographic camera.
    """

    frame: int
    verdict: Literal["good", "doubtful", "bad"]
    iou: float
    camera_from_object: Matrix
    world_from_object: Matrix
    world_from_camera: Matrix
    matrix_world: dict[str, Matrix]
    intrinsics: Intrinsics | None


@dataclass(frozen=True)
class FoundPose:
    """The answer of a pose.  convention: opengl, cameras look along -z, x right, y up.  Lengths are Blender's units."""

    convention: Literal["opengl"]
    metres_per_unit: float
    object: str
    camera: str
    frames: tuple[FramePose, ...]


@dataclass(frozen=True)
class FurtherLight:
    """Another light that was found beside the first, as it was solved; see FoundLight."""

    light: str
    kind: Literal["sun", "point"]
    direction_world: Vector | None
    position_world: Vector | None
    strength: Vector
    strength_unit: Literal["W/m2", "W"]
    uncertainty_deg: float
    verdict: Literal["good", "doubtful", "bad"]


@dataclass(frozen=True)
class FoundLight:
    """The answer of a lighting, as it was measured in the solved scene.  convention: opengl, cameras look along -z, x right,
    y up.  Directions: unit vectors towards the sun, null for a point light.  Positions: Blender's units, null for a sun.
    strength: linear RGB, in strength_unit.  ambient: radiance from all around, linear RGB; sky_above, sky_below: from either
    side of the horizon, null where no sky was looked for.  uncertainty_deg: the light is within this angle with a probability
    of 90 %.  further: the other lights of the picture.
    """

    convention: Literal["opengl"]
    metres_per_unit: float
    light: str
    kind: Literal["sun", "point"]
    camera: str
    direction_world: Vector | None
    direction_camera: Vector | None
    position_world: Vector | None
    position_camera: Vector | None
    strength: Vector
    strength_unit: Literal["W/m2", "W"]
    ambient: Vector
    sky_above: Vector | None
    sky_below: Vector | None
    uncertainty_deg: float
    world_from_camera: Matrix
    further: tuple[FurtherLight, ...]


@dataclass(frozen=True)
class FoundMotion:
    """The answer of an armature.  rotations: name of the file beside this record that holds the bones' rotations."""

    armature: str
    frame_start: int
    frame_end: int
    rotations: str


@dataclass(frozen=True)
class BoneMotion:
    """rotation_wxyz: a unit quaternion for each frame, from the bone at rest, in its own axes.  location: likewise, null where
    the solve does not move the bone.
    """

    rotation_wxyz: tuple[Quaternion, ...]
    location: tuple[Vector, ...] | None


@dataclass(frozen=True)
class FoundRotations:
    """What the bones of an armature are set to, as Blender's pose bones have it.  metres_per_unit: of the armature's units,
    which locations are in.
    """

    armature: str
    metres_per_unit: float
    frames_per_second: float
    frames: tuple[int, ...]
    bones: dict[str, BoneMotion]


def matrix(rows: np.ndarray) -> Matrix:
    """(4, 4), row by row."""
    return tuple(map(tuple, rows.tolist()))


def vector(values: np.ndarray) -> Vector:
    """(3,)."""
    return tuple(values.tolist())
