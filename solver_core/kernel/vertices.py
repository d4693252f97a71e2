# SPDX-License-Identifier: Apache-2.0
"""Vertices of many meshes, each transformed by a matrix, centred and scaled to one size."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from solver_core.kernel import loader
from solver_core.kernel.raster import mesh_arrays
from solver_core.kernel.threads import for_each_chunk
from solver_core.mesh import Mesh


def unit_meshes(meshes: Sequence[Mesh], matrices: np.ndarray) -> tuple[list[Mesh], np.ndarray]:
    """Meshes transformed by matrices (B, 3, 3), then centred on the box of all their vertices and scaled to its diagonal.

    The meshes are as Mesh says, and no matrix makes one a point; faces are shared with the originals.  Also gives the boxes
    (B, 4): centre and diagonal after the matrix, so that a point goes to (matrix point - centre) / diagonal.
    """
    loader.check_shapes(matrices=(matrices, (len(meshes), 3, 3)))
    starts = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes)])
    vertices, boxes = np.empty((starts[-1], 3), np.float32), np.empty((len(meshes), 4))
    matrices = np.ascontiguousarray(matrices, np.float64)
    parts = [vertices[start:end] for start, end in pairwise(starts)]
    library = loader.library()
    if library is None:
        for mesh, matrix, part, box in zip(meshes, matrices, parts, boxes, strict=True):
            _fill_in_numpy(mesh.vertices, matrix, part, box)
    else:

        def fill_chunk(part: slice) -> None:
            chunk, filled = meshes[part], vertices[starts[part.start] : starts[part.stop]]
            library.solver_core_unit_vertices(len(chunk), mesh_arrays(chunk), matrices[part], filled, boxes[part])

        for_each_chunk(fill_chunk, len(meshes))
    return [Mesh(part, mesh.faces) for mesh, part in zip(meshes, parts, strict=True)], boxes


def _fill_in_numpy(given: np.ndarray, matrix: np.ndarray, vertices: np.ndarray, box: np.ndarray) -> None:
    """Fills vertices (V, 3) and box (4,)."""
    moved = given.astype(np.float64) @ matrix.T
    low, high = moved.min(axis=0), moved.max(axis=0)
    box[:3], box[3] = 0.5 * (low + high), np.linalg.norm(high - low)
    vertices[:] = (moved - box[:3]) / box[3]
