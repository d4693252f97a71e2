# SPDX-License-Identifier: Apache-2.0
"""Objects that the image's border cuts off: which turns of them only what lies out of the image would tell.

A pose is turned about the mesh's axes through the middle of what is seen, and moved until it fits again.  Poses found so that
explain what is seen about as well as the pose itself widen its interval, and where they are far off, it is one or the other.
"""

from __future__ import annotations

import numpy as np

from solver_core import rotations
from solver_core.frames import Camera, project
from solver_core.manifolds import SE3
from solver_core.mesh import Mesh
from solver_core.problems.pose.confidence import Confidence, PoseInterval
from solver_core.problems.pose.symmetry import Symmetries
from solver_core.problems.pose.verdict import note_on_turns

CUT = 0.02  # share of the mesh's vertices beyond the border, from which on the image cuts the object off
TURNS_DEG = -30.0, -15.0, 15.0, 30.0  # about each axis of the mesh
RIGHT_DEG, EVEN_ODDS = 5.0, 0.5  # where poses that differ by more are about as likely, it is one or the other


def is_cut_off(pose: np.ndarray, mesh: Mesh, camera: Camera) -> bool:
    """Whether a part of the mesh at a pose (7,) lies beyond the image's border."""
    return float(1 - _are_in_image(_vertices_camera(pose, mesh), camera).mean()) > CUT


def turned_poses(pose: np.ndarray, mesh: Mesh, camera: Camera) -> np.ndarray:
    """(B, 7) a pose (7,) turned about the axes of the mesh, through the middle of what is seen of it."""
    points = _vertices_camera(pose, mesh)
    is_seen = _are_in_image(points, camera)
    middle = points[is_seen].mean(axis=0) if is_seen.any() else pose[4:]
    axes = np.repeat(rotations.rotate(pose[:4], np.eye(3)), len(TURNS_DEG), axis=0)
    turns = rotations.wxyz_from_rotvec(np.radians(np.tile(TURNS_DEG, 3))[:, None] * axes)
    places = rotations.rotate(turns, np.broadcast_to(pose[4:] - middle, (len(turns), 3))) + middle
    turned = np.concatenate([rotations.multiply(turns, np.broadcast_to(pose[:4], turns.shape)), places], axis=1)
    return turned[turned[:, 6] < 0]


def in_doubt(sure: Confidence, pose: np.ndarray, likely: np.ndarray, symmetries: Symmetries) -> tuple[Confidence, list[str]]:
    """How sure a pose (7,) is where poses (B, 7) are about as likely, B >= 0, and what there is to note of it."""
    reach = _reach(pose, likely, symmetries)
    sure = sure._replace(interval=PoseInterval(*np.maximum(sure.interval, reach).tolist()))
    if reach.rotation_deg <= RIGHT_DEG:
        return sure, []
    return sure._replace(probability=min(sure.probability, EVEN_ODDS)), [note_on_turns(reach.rotation_deg)]


def _reach(pose: np.ndarray, others: np.ndarray, symmetries: Symmetries) -> PoseInterval:
    """How far other poses (B, 7), or what looks the same, are from a pose (7,) at most, in diagonals."""
    same = np.stack([pose, *(symmetries.nearest(one, pose[:4]) for one in others)])
    steps = np.abs(SE3().difference(np.broadcast_to(pose, same.shape), same))
    turn, across, along = (np.linalg.norm(steps[:, part], axis=1).max() for part in (slice(3), slice(3, 5), slice(5, 6)))
    return PoseInterval(float(np.degrees(turn)), float(-pose[6] * across), float(-pose[6] * along))


def _vertices_camera(pose: np.ndarray, mesh: Mesh) -> np.ndarray:
    return rotations.rotate(pose[:4], mesh.vertices.astype(np.float64)) + pose[4:]


def _are_in_image(points_camera: np.ndarray, camera: Camera) -> np.ndarray:
    """(V,) bool; points behind the camera are not."""
    are_in = points_camera[:, 2] < 0
    pixels = project(points_camera[are_in], camera.intrinsics)
    are_in[are_in] = ((pixels >= 0) & (pixels < [camera.width, camera.height])).all(axis=1)
    return are_in
