# SPDX-License-Identifier: Apache-2.0
"""Soft rasteriser (Liu et al. 2019) for silhouettes, in NumPy with its analytic gradient.

Every face covers every pixel near it a little: D = sigmoid(+-d^2 / sigma), with d the distance from the pixel's centre to
the face's nearest edge, + inside and - outside (eq. 1); a pixel is covered by 1 - prod(1 - D) (eq. 8).  Where D would be
below 1e-4 outside it counts as none, as in the authors' code, so each face is tried on the pixels of its padded box only.
Boxes are worked on in pieces that stay in the cache.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from solver_core.mesh import Mesh
from training.paper.baselines.silhouette import pose_gradient, project_mesh, soft_overlap

CUT_OFF = float(np.log(1e4 - 1))  # d^2 / sigma at which D is 1e-4 outside: the authors' dist_eps
PAIRS_AT_ONCE = 1 << 14
NEGLIGIBLE = 1e-6  # of the largest derivative by a pixel: what is below does not show in the gradient
NEXT = np.array([1, 2, 0])  # edge k of a face goes from corner k to corner NEXT[k]
TINY = 1e-12  # pixels


class _Boxes(NamedTuple):
    """Faces on the image, turned anticlockwise in (column, row), and the boxes of pixels they may reach.

    vertices: (F, 3) indices.  corners: (F, 3, 2) pixels.  left, top, width, height: (F,) pixels.
    """

    vertices: np.ndarray
    corners: np.ndarray
    left: np.ndarray
    top: np.ndarray
    width: np.ndarray
    height: np.ndarray

    def of(self, rows: np.ndarray | slice) -> _Boxes:
        return _Boxes(*(array[rows] for array in self))

    def pieces(self) -> Iterator[tuple[slice, _Boxes]]:
        """Faces to work on at once, about PAIRS_AT_ONCE pixels each."""
        total = np.cumsum(self.width * self.height)
        if len(total) == 0:
            return
        ends = np.searchsorted(total, np.arange(PAIRS_AT_ONCE, total[-1], PAIRS_AT_ONCE)) + 1
        bounds = np.unique([0, *ends, len(total)])
        for start, stop in zip(bounds[:-1], bounds[1:], strict=True):
            yield slice(start, stop), self.of(slice(start, stop))


class _Pairs(NamedTuple):
    """Faces and pixels near each other, all (P,).

    face: row in the boxes.  x, y: of the pixel, from the box's first one.  pixel: flat index.
    """

    face: np.ndarray
    x: np.ndarray
    y: np.ndarray
    pixel: np.ndarray

    def where(self, chosen: np.ndarray) -> _Pairs:
        return _Pairs(*(array[chosen] for array in self))


class _Edges(NamedTuple):
    """Edges of faces, all (3, F): unit direction; the box's first pixel along them and beside them, inwards; length."""

    unit_x: np.ndarray
    unit_y: np.ndarray
    along: np.ndarray
    beside: np.ndarray
    length: np.ndarray


class _Distances(NamedTuple):
    """squared: (P,) of pixels to their face's nearest edge, negative outside.  edge: (P,) which one."""

    squared: np.ndarray
    edge: np.ndarray


def soft_silhouette(
    mesh: Mesh, pose: np.ndarray, intrinsics: np.ndarray, height: int, width: int, sigma_px: float
) -> np.ndarray:
    """(H, W) coverage by a mesh at a pose (7,), in the pose's precision.  sigma_px: sigma in squared pixels."""
    boxes = _boxes(mesh, project_mesh(mesh, pose, intrinsics).pixels, height, width, sigma_px)
    return 1 - np.exp(-_opacity(boxes, height, width, sigma_px))


def soft_overlap_slope(
    mesh: Mesh, pose: np.ndarray, intrinsics: np.ndarray, observed: np.ndarray, sigma_px: float
) -> tuple[float, np.ndarray]:
    """1 - soft IoU with a mask (H, W), and its gradient (7,) by the pose."""
    projected = project_mesh(mesh, pose, intrinsics)
    height, width = observed.shape
    boxes = _boxes(mesh, projected.pixels, height, width, sigma_px)
    transparency = np.exp(-_opacity(boxes, height, width, sigma_px))
    overlap = soft_overlap(1 - transparency, observed)
    by_opacity = (overlap.by_pixel * transparency).astype(pose.dtype)
    vertices, by_corners = _by_corners(boxes, by_opacity, sigma_px)
    by_vertices = [np.bincount(vertices.ravel(), by_corners[..., k].ravel(), len(projected.pixels)) for k in (0, 1)]
    return overlap.value, pose_gradient(np.stack(by_vertices, axis=1), projected, pose, intrinsics)


def _boxes(mesh: Mesh, pixels: np.ndarray, height: int, width: int, sigma_px: float) -> _Boxes:
    corners = pixels[mesh.faces]
    reach = np.sqrt(CUT_OFF * sigma_px)
    first = np.ceil(np.maximum(corners.min(axis=1) - reach - 0.5, 0))
    last = np.floor(np.minimum(corners.max(axis=1) + reach - 0.5, (width - 1, height - 1)))
    seen = np.flatnonzero((first <= last).all(axis=1))
    corners, first, size = corners[seen], first[seen].astype(np.int32), (last - first + 1)[seen].astype(np.int32)
    (ax, ay), (bx, by) = (corners[:, 1] - corners[:, 0]).T, (corners[:, 2] - corners[:, 0]).T
    order = np.where((ax * by < ay * bx)[:, None], [0, 2, 1], [0, 1, 2])
    corners = np.take_along_axis(corners, order[..., None], axis=1)
    return _Boxes(np.take_along_axis(mesh.faces[seen], order, axis=1), corners, *first.T, *size.T)


def _pairs(boxes: _Boxes, image_width: int) -> _Pairs:
    count = boxes.width * boxes.height
    face = np.repeat(np.arange(len(count)), count)
    within = np.arange(len(face), dtype=np.int32) - np.repeat(np.cumsum(count, dtype=np.int32) - count, count)
    row = within // boxes.width[face]
    column = within - row * boxes.width[face]
    pixel = row * image_width + column + (boxes.top * image_width + boxes.left)[face]
    return _Pairs(face, column.astype(boxes.corners.dtype), row.astype(boxes.corners.dtype), pixel)


def _edges(boxes: _Boxes) -> _Edges:
    corners = boxes.corners - np.stack([boxes.left + 0.5, boxes.top + 0.5], axis=1)[:, None].astype(boxes.corners.dtype)
    x, y = np.moveaxis(corners, (2, 1), (0, 1))  # (3, F)
    span_x, span_y = x[NEXT] - x, y[NEXT] - y
    length = np.sqrt(span_x**2 + span_y**2)
    per_length = 1 / np.maximum(length, TINY)
    unit_x, unit_y = np.where(length > 0, span_x * per_length, 1), span_y * per_length
    return _Edges(unit_x, unit_y, -(unit_x * x + unit_y * y), unit_y * x - unit_x * y, length)


def _distances(edges: _Edges, pairs: _Pairs) -> _Distances:
    squared, inside = np.full_like(pairs.x, np.inf), np.ones(len(pairs.x), dtype=bool)
    edge = np.zeros(len(pairs.x), dtype=np.int8)
    for k in range(3):
        unit_x, unit_y, along, beside, length = (array[k].take(pairs.face) for array in edges)
        along += unit_x * pairs.x
        along += unit_y * pairs.y
        beside += unit_x * pairs.y
        beside -= unit_y * pairs.x
        inside &= beside > 0
        length -= along
        beyond = np.minimum(np.minimum(along, length), 0)  # how far the foot lies beyond the edge's ends
        distance = beside * beside
        distance += beyond * beyond
        edge[distance < squared] = k
        np.minimum(squared, distance, out=squared)
    return _Distances(np.where(inside, squared, -squared), edge)


def _opacity(boxes: _Boxes, height: int, width: int, sigma_px: float) -> np.ndarray:
    """(H, W) -log(1 - coverage): the sum over faces of -log(1 - D) = softplus(+-d^2 / sigma)."""
    total = np.zeros(height * width)
    for _, part in boxes.pieces():
        pairs = _pairs(part, width)
        exponent = _distances(_edges(part), pairs).squared / part.corners.dtype.type(sigma_px)
        near = exponent > -CUT_OFF
        exponent, pixel = exponent[near], pairs.pixel[near]
        softplus = np.maximum(exponent, 0) + np.log1p(np.exp(-np.abs(exponent)))
        total += np.bincount(pixel, softplus, len(total))
    return total.reshape(height, width)


def _by_corners(boxes: _Boxes, by_opacity: np.ndarray, sigma_px: float) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (F, 3) of the faces near pixels that matter, and the gradient (F, 3, 2) by their corners."""
    is_live = np.abs(by_opacity) > NEGLIGIBLE * np.abs(by_opacity).max()
    boxes = boxes.of(_count(is_live, boxes) > 0)
    is_live, weight = is_live.ravel(), by_opacity.ravel()
    result = np.zeros_like(boxes.corners)
    for rows, part in boxes.pieces():
        edges = _edges(part)
        pairs = _pairs(part, by_opacity.shape[1])
        pairs = pairs.where(is_live[pairs.pixel])
        squared, edge = _distances(edges, pairs)
        near = squared > -CUT_OFF * sigma_px
        pairs, squared, edge = pairs.where(near), squared[near], edge[near]
        unit_x, unit_y, along, beside, length = (array[edge, pairs.face] for array in edges)
        along += unit_x * pairs.x + unit_y * pairs.y
        beside += unit_x * pairs.y - unit_y * pairs.x
        foot = np.clip(along, 0, length)  # the nearest point; that it slides along the edge changes no distance
        along -= foot
        offset_x, offset_y = along * unit_x - beside * unit_y, along * unit_y + beside * unit_x  # from there to the pixel
        share = foot / np.maximum(length, TINY)
        # The derivative of softplus is D; that of +-d^2 by the nearest point is -+2 times the offset.
        pull = weight[pairs.pixel] / (1 + np.exp(-squared / sigma_px)) * np.where(squared > 0, -2, 2) / sigma_px
        corner = np.concatenate([3 * pairs.face + edge, 3 * pairs.face + NEXT[edge]])
        for axis, offset in enumerate((pull * offset_x, pull * offset_y)):
            sums = np.bincount(corner, np.concatenate([offset * (1 - share), offset * share]), 3 * len(part.left))
            result[rows, :, axis] = sums.reshape(-1, 3)
    return boxes.vertices, result


def _count(is_live: np.ndarray, boxes: _Boxes) -> np.ndarray:
    """(F,) live pixels in each box."""
    table = np.zeros((is_live.shape[0] + 1, is_live.shape[1] + 1), np.int32)
    table[1:, 1:] = is_live.cumsum(axis=0).cumsum(axis=1)
    right, bottom = boxes.left + boxes.width, boxes.top + boxes.height
    return table[bottom, right] - table[boxes.top, right] - table[bottom, boxes.left] + table[boxes.top, boxes.left]
