# SPDX-License-Identifier: Apache-2.0
"""Triangle meshes as the solver takes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from solver_core.errors import SetupError
from solver_core.frames import matrix_from_pose, pose_from_matrix

LARGEST = 1e15  # coordinates; squares of what is larger, or of its inverse, leave float32


@dataclass(frozen=True, eq=False)
class Mesh:
    """A triangle mesh in its own frame.

    vertices: (V, 3) float32.  faces: (F, 3) int32 indices into vertices, any winding.  Both C-contiguous.
    """

    vertices: np.ndarray
    faces: np.ndarray

    @classmethod
    def checked(cls, vertices: np.ndarray, faces: np.ndarray) -> Mesh:
        """Mesh from a user's arrays.  Raises SetupError with one sentence if they are no triangle mesh."""
        try:
            vertices, faces = np.asarray(vertices), np.asarray(faces)
        except (OverflowError, TypeError, ValueError) as error:  # rows of different length
            raise SetupError(
                "mesh vertices and faces must be arrays of rows of three numbers; triangulate the mesh first"
            ) from error
        if vertices.ndim != 2 or vertices.shape[1] != 3 or vertices.dtype.kind not in "fiu":
            raise SetupError(f"mesh vertices must be (V, 3) numbers, got shape {vertices.shape} of {vertices.dtype}")
        if faces.ndim != 2 or faces.shape[1:] != (3,) or not np.issubdtype(faces.dtype, np.integer):
            raise SetupError(
                f"mesh faces must be (F, 3) integers, got shape {faces.shape} of {faces.dtype}; triangulate the mesh first"
            )
        if len(faces) == 0:
            raise SetupError("the mesh has no faces; a silhouette needs surfaces, not only vertices or edges")
        is_usable = (vertices >= -LARGEST) & (vertices <= LARGEST)  # NaN is neither
        if not is_usable.all():
            raise SetupError(
                f"mesh vertices must be finite, {np.sum(~is_usable)} coordinates are NaN, infinite or above {LARGEST:g}"
            )
        if faces.min() < 0 or faces.max() >= len(vertices):
            raise SetupError(
                f"mesh faces must index the {len(vertices)} vertices from 0, got indices from {faces.min()} to {faces.max()}"
            )
        return cls(np.ascontiguousarray(vertices, np.float32), np.ascontiguousarray(faces, np.int32))

    @property
    def bounds(self) -> np.ndarray:
        """(2, 3) lowest and highest corner of the vertices that faces use."""
        return _bounds(self.vertices, self.faces)

    def compact(self) -> Mesh:
        """The mesh without vertices that no face uses; itself if there are none."""
        used, faces = np.unique(self.faces, return_inverse=True)
        if len(used) == len(self.vertices):
            return self
        return Mesh(self.vertices[used], faces.reshape(self.faces.shape).astype(np.int32))

    def unit(self) -> UnitMesh:
        """The mesh centred on its bounding box and scaled to a diagonal of 1.  Raises SetupError if it has no extent."""
        return _unit_mesh(self.vertices.astype(np.float64), self.faces)


class UnitMesh(NamedTuple):
    """mesh: the unit mesh.  A vertex of the original is centre + diagonal * vertex; centre (3,), diagonal in metres."""

    mesh: Mesh
    centre: np.ndarray
    diagonal: float

    @classmethod
    def checked(cls, vertices: np.ndarray, faces: np.ndarray) -> UnitMesh:
        """Unit mesh of a user's arrays; centred before they become float32, so that it may lie far from the origin.

        Raises SetupError as Mesh.checked and Mesh.unit do.
        """
        mesh = Mesh.checked(vertices, faces)
        return _unit_mesh(np.asarray(vertices, np.float64), mesh.faces)

    def unit_pose(self, camera_from_object: np.ndarray) -> np.ndarray:
        """(7,) pose of the unit mesh for (4, 4) of the original."""
        pose = pose_from_matrix(camera_from_object)
        pose[4:] = (camera_from_object[:3, :3] @ self.centre + pose[4:]) / self.diagonal
        return pose

    def original_matrix(self, unit_pose: np.ndarray) -> np.ndarray:
        """(4, 4) of the original for a pose (7,) of the unit mesh."""
        matrix = matrix_from_pose(unit_pose)
        matrix[:3, 3] = unit_pose[4:] * self.diagonal - matrix[:3, :3] @ self.centre
        return matrix


def _unit_mesh(vertices: np.ndarray, faces: np.ndarray) -> UnitMesh:
    low, high = _bounds(vertices, faces)
    centre, diagonal = (low + high) / 2, float(np.linalg.norm(high - low))
    if diagonal < 1 / LARGEST:
        raise SetupError("the mesh is a single point; its faces must span a surface")
    return UnitMesh(Mesh(((vertices - centre) / diagonal).astype(np.float32), faces), centre, diagonal)


def _bounds(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """(2, 3) lowest and highest corner of the vertices that faces use."""
    is_used = np.zeros(len(vertices), dtype=bool)
    is_used[faces] = True
    used = vertices[is_used].T.copy()  # (3, V): NumPy reduces long rows faster than short ones
    return np.stack([used.min(axis=1), used.max(axis=1)])
