# SPDX-License-Identifier: Apache-2.0
"""Neural mesh renderer (Kato et al. 2018) for silhouettes: our rasteriser forward, the paper's hand-made gradient backward.

The paper lets the edge of a face move along a row or a column of pixels.  A pixel that it would pass changes from one colour
to the other; that change, spread evenly over the way there, is the pixel's derivative by the edge's position (sec. 3.2).
So the edge of a drawn face is pulled out to every empty pixel that should be full, and pushed in over every pixel that the
face fills and that should be empty if there is nothing behind the edge, with the inverse of its distance.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from solver_core import render
from solver_core.frames import matrix_from_pose
from solver_core.images import block_mean
from solver_core.mesh import Mesh
from solver_core.rotations import normalized
from training.paper.baselines.silhouette import pose_gradient, project_mesh, soft_overlap

NEAREST = 1e-4  # half image widths; pixels on the edge itself count as this far off, as in the authors' code


class _Crossings(NamedTuple):
    """Where edges of drawn faces cross lines of pixel centres, all (C,).

    face: index.  first, second: vertices of the edge.  share: of the second at the crossing, 0 to 1.  line: row or column.
    place: position along it, in pixels from the first centre.  inner, outer: the pixels beside it.  outwards: 1 or -1.
    """

    face: np.ndarray
    first: np.ndarray
    second: np.ndarray
    share: np.ndarray
    line: np.ndarray
    place: np.ndarray
    inner: np.ndarray
    outer: np.ndarray
    outwards: np.ndarray

    def where(self, chosen: np.ndarray) -> _Crossings:
        return _Crossings(*(array[chosen] for array in self))


def hard_silhouette(mesh: Mesh, pose: np.ndarray, intrinsics: np.ndarray, height: int, width: int, finer: int) -> np.ndarray:
    """(H, W) share of finer x finer samples in each pixel that a mesh at a pose (7,) covers."""
    return _averaged(_face_index(mesh, pose, intrinsics, height, width, finer) >= 0, finer)


def hard_overlap_slope(
    mesh: Mesh, pose: np.ndarray, intrinsics: np.ndarray, observed: np.ndarray, finer: int
) -> tuple[float, np.ndarray]:
    """1 - IoU with a mask (H, W), and its hand-made gradient (7,) by the pose.  finer: as in hard_silhouette."""
    height, width = observed.shape
    face_index = _face_index(mesh, pose, intrinsics, height, width, finer)
    overlap = soft_overlap(_averaged(face_index >= 0, finer), observed)
    by_sample = np.kron(overlap.by_pixel, np.full((finer, finer), 1 / finer**2))
    projected = project_mesh(mesh, pose, intrinsics)
    by_vertices = finer * pixel_gradient(mesh.faces, finer * projected.pixels, face_index, by_sample)
    return overlap.value, pose_gradient(by_vertices, projected, pose, intrinsics)


def pixel_gradient(faces: np.ndarray, pixels: np.ndarray, face_index: np.ndarray, by_pixel: np.ndarray) -> np.ndarray:
    """(V, 2) gradient by the vertices' places in the image, of an objective whose gradient by the mask is by_pixel (H, W).

    pixels: (V, 2) column and row.  face_index: (H, W), -1 where nothing is drawn.
    """
    drawn = np.unique(face_index)
    drawn = drawn[drawn >= 0]
    gradient = np.zeros(pixels.shape)
    for axis in (0, 1):  # edges move along rows, that is in x, then along columns
        across = face_index.T if axis else face_index  # lines first
        crossings = _crossings(faces, drawn, pixels[:, [1 - axis, axis]].astype(np.float64) - 0.5, across.shape)
        pull = _pull(crossings, across, by_pixel.T if axis else by_pixel)
        gradient[:, axis] += np.bincount(crossings.first, (1 - crossings.share) * pull, len(pixels))
        gradient[:, axis] += np.bincount(crossings.second, crossings.share * pull, len(pixels))
    return gradient


def _face_index(mesh: Mesh, pose: np.ndarray, intrinsics: np.ndarray, height: int, width: int, finer: int) -> np.ndarray:
    """(finer H, finer W)."""
    matrix = matrix_from_pose(np.concatenate([normalized(pose[:4]), pose[4:]]).astype(np.float64))
    return render.rasterize([mesh], matrix[None], finer * intrinsics[None], finer * height, finer * width).face_index[0]


def _averaged(mask: np.ndarray, finer: int) -> np.ndarray:
    return block_mean(mask[None], finer)[0]


def _crossings(faces: np.ndarray, drawn: np.ndarray, places: np.ndarray, shape: tuple[int, ...]) -> _Crossings:
    """places: (V, 2) of vertices, across and along lines, in pixels from the first centre.  shape: (lines, their length)."""
    corners = faces[drawn]
    first, second, third = (np.roll(corners, -k, axis=1).ravel() for k in range(3))  # edges and the corners opposite
    face = np.repeat(drawn, 3)
    low, high = np.sort(np.stack([places[first, 0], places[second, 0]]), axis=0)
    start = np.ceil(np.maximum(low, 0)).astype(np.int64)
    count = np.maximum(np.floor(np.minimum(high, shape[0] - 1)).astype(np.int64) - start + 1, 0)
    count[low == high] = 0  # an edge along the line moves nowhere
    edge = np.repeat(np.arange(len(face)), count)
    line = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count - start, count)
    face, first, second, third = face[edge], first[edge], second[edge], third[edge]
    (across, along), (next_across, next_along) = places[first].T, places[second].T
    slope = (next_along - along) / (next_across - across)
    place = along + (line - across) * slope
    outwards = np.where(places[third, 1] > along + (places[third, 0] - across) * slope, -1, 1)
    inner = np.where(outwards > 0, np.floor(place), np.ceil(place)).astype(np.int64)
    share = (line - across) / (next_across - across)
    crossings = _Crossings(face, first, second, share, line, place, inner, inner + outwards, outwards)
    return crossings.where((np.minimum(inner, crossings.outer) >= 0) & (np.maximum(inner, crossings.outer) < shape[1]))


def _pull(crossings: _Crossings, face_index: np.ndarray, by_pixel: np.ndarray) -> np.ndarray:
    """(C,) derivative of the objective by the places of crossings along their lines.  face_index, by_pixel: lines first."""
    length = face_index.shape[1]
    nearest = NEAREST * length / 2
    is_drawn = face_index >= 0
    pull = np.zeros(len(crossings.face))

    wanted_line, wanted = np.nonzero(~is_drawn & (by_pixel < 0))  # sorted by line and place
    key = wanted_line * length + wanted
    visible = np.flatnonzero(face_index[crossings.line, crossings.inner] == crossings.face)
    line_start, outer = crossings.line[visible] * length, crossings.outer[visible]
    is_right = crossings.outwards[visible] > 0
    start = np.searchsorted(key, np.where(is_right, line_start + outer, line_start))
    stop = np.searchsorted(key, np.where(is_right, line_start + length, line_start + outer + 1))
    which, found = _ranges(start, stop)
    crossing = visible[which]
    distance = np.abs(wanted[found] - crossings.place[crossing]) + nearest
    force = by_pixel[wanted_line[found], wanted[found]] / distance
    pull += np.bincount(crossing, force * crossings.outwards[crossing], len(pull))

    filled_line, filled = np.nonzero(is_drawn & (by_pixel > 0))
    owner = face_index[filled_line, filled].astype(np.int64) * len(face_index) + filled_line  # a face on a line
    order = np.argsort(owner, kind="stable")
    filled_line, filled, owner = filled_line[order], filled[order], owner[order]
    free = np.flatnonzero(~is_drawn[crossings.line, crossings.outer])
    key = crossings.face[free].astype(np.int64) * len(face_index) + crossings.line[free]
    which, found = _ranges(np.searchsorted(owner, key), np.searchsorted(owner, key, side="right"))
    crossing = free[which]
    distance = np.abs(filled[found] - crossings.place[crossing]) + nearest
    force = by_pixel[filled_line[found], filled[found]] / distance
    return pull + np.bincount(crossing, force * crossings.outwards[crossing], len(pull))


def _ranges(start: np.ndarray, stop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every pair of a range's number and a member of it, for ranges start .. stop (R,)."""
    count = np.maximum(stop - start, 0)
    which = np.repeat(np.arange(len(count)), count)
    return which, np.arange(len(which)) - np.repeat(np.cumsum(count) - count - start, count)
