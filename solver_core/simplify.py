# SPDX-License-Identifier: Apache-2.0
"""Meshes with fewer faces whose silhouettes are about the same, for poses that are looked at in few pixels."""

from __future__ import annotations

import numpy as np

from solver_core.mesh import Mesh

FEW_FACES = 1500  # of which there is nothing to save
WORTH = 0.7  # of the faces; a mesh that keeps more is left as it is


def simplified(mesh: Mesh, cell: float) -> Mesh:
    """A mesh whose vertices of one cell become their mean (Rossignac and Borrel 1993), or the mesh itself if that saves little.

    Vertices whose normals point into other octants stay apart, so that both sides of a thin plate are kept.

    Args:
        mesh: to simplify.
        cell: side of a cube, in the mesh's unit; no vertex moves farther than its diagonal.
    """
    if len(mesh.faces) <= FEW_FACES:
        return mesh
    low, high = mesh.bounds
    cells = np.floor((mesh.vertices - low) / cell).astype(np.int64)
    octant = (_normals(mesh) > 0) @ [1, 2, 4]
    sizes = np.floor((high - low) / cell).astype(np.int64) + 1
    if np.prod(sizes.astype(np.float64)) > 2**59 or (cells < 0).any() or (cells >= sizes).any():
        return mesh  # vertices that no face uses lie outside; cells are too small to count
    number = ((cells[:, 0] * sizes[1] + cells[:, 1]) * sizes[2] + cells[:, 2]) * 8 + octant
    _, group = np.unique(number, return_inverse=True)
    faces = group[mesh.faces]
    faces = np.sort(faces[(faces != np.roll(faces, 1, axis=1)).all(axis=1)], axis=1)  # silhouettes have no winding
    count = int(group.max()) + 1
    faces = np.unique((faces[:, 0] * count + faces[:, 1]) * count + faces[:, 2]) if count < 2**20 else None
    if faces is None or len(faces) == 0 or len(faces) > WORTH * len(mesh.faces):
        return mesh
    members = np.bincount(group)
    means = [np.bincount(group, axis) / members for axis in mesh.vertices.T]
    corners = np.stack([faces // count**2, faces // count % count, faces % count], axis=1)
    return Mesh(np.stack(means, axis=1).astype(np.float32), corners.astype(np.int32))


def _normals(mesh: Mesh) -> np.ndarray:
    """(V, 3) normals of vertices, the same for all at one place, as long as twice the area of the faces there."""
    corners = mesh.vertices[mesh.faces]
    of_faces = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    x, y, z = np.ascontiguousarray(mesh.vertices + np.float32(0)).view(np.uint32).astype(np.uint64).T  # without -0
    _, place = np.unique(x * np.uint64(73856093) ^ y << np.uint64(20) ^ z << np.uint64(41), return_inverse=True)
    at = place[mesh.faces].ravel()
    sums = [np.bincount(at, np.repeat(axis, 3), len(mesh.vertices)) for axis in of_faces.T]
    return np.stack(sums, axis=1)[place]
