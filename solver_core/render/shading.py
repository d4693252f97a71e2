# SPDX-License-Identifier: Apache-2.0
"""Lambert shading with cast shadows, by a depth map from the light.

A depth map covers what receives light and nothing else, so that its resolution goes where it is needed.  Before a point
is looked up it moves along its normal, by as much as the surface rises over the neighbouring texels: just enough that a
surface does not shadow itself.  The four texels around it are compared one by one and averaged, which softens the edges.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from solver_core import render
from solver_core.kernel.tree import cross
from solver_core.mesh import Mesh

MAP_SIZE = 192  # texels along a side of a depth map; the edge of a shadow is off by about one of them
MARGIN = 2.0  # texels around the receivers: one for the neighbours of a lookup, one for the move along the normal
NEIGHBOUR = 1.5  # texels from a point to the farthest of the four that are compared, a little more than sqrt(2)
ROUNDING = 1e-4  # of the receivers' extent: what float32 loses on the way, times ten
SIDES = np.array(  # of a cube around the light: rotations of the frame that looks along -z
    [
        np.eye(3),
        [[0, 0, 1], [0, 1, 0], [-1, 0, 0]],
        [[0, 0, -1], [0, 1, 0], [1, 0, 0]],
        [[1, 0, 0], [0, 0, 1], [0, -1, 0]],
        [[1, 0, 0], [0, 0, -1], [0, 1, 0]],
        [[-1, 0, 0], [0, 1, 0], [0, 0, -1]],
    ],
    dtype=np.float32,
)


def sun_shading(
    casters: Sequence[Mesh], points: np.ndarray, normals: np.ndarray, directions: np.ndarray, map_size: int = MAP_SIZE
) -> np.ndarray:
    """Irradiance by suns of 1 W/m2: the cosine between normal and sun, 0 in shadow.

    Args:
        casters: B meshes that cast shadows, all in one frame with the rest.
        points: (B, P, 3) where.
        normals: (B, P, 3) unit, of the surfaces there.
        directions: (B, 3) unit, towards the suns.
        map_size: texels along a side of the shadow map.

    Returns:
        (B, P) in [0, 1].
    """
    directions = directions.astype(np.float32)
    rotation = _frames(directions)  # (B, 3, 3) light from scene
    seen, turned = _turned(rotation, points), _turned(rotation, normals)  # (B, 3, P)
    low, high = seen[:, :2].min(axis=2), seen[:, :2].max(axis=2)
    intrinsics = _window(low, high, map_size)
    maps = render.render_depth_orthographic(casters, _matrices(rotation), intrinsics, map_size, map_size)
    texel = (1 / intrinsics[:, :2].min(axis=1)).astype(np.float32)
    seen += _along_normal(turned, texel[:, None])
    tolerance = ROUNDING * (high - low).max(axis=1)
    lit = _lit_fraction(maps, *_texels(seen, intrinsics, np.float32(1)), -seen[:, 2] - tolerance[:, None])
    return np.maximum(turned[:, 2], 0) * lit


def point_light_shading(
    casters: Sequence[Mesh], points: np.ndarray, normals: np.ndarray, positions: np.ndarray, map_size: int = MAP_SIZE
) -> np.ndarray:
    """Irradiance by lights of 1 W/sr: the cosine between normal and light over the squared distance, 0 in shadow.

    A light inside the scene sees it on six sides.

    Args:
        casters: B meshes that cast shadows, all in one frame with the rest.
        points: (B, P, 3) where.
        normals: (B, P, 3) unit, of the surfaces there.
        positions: (B, 3) of the lights.
        map_size: texels along a side of a shadow map.

    Returns:
        (B, P) at least 0.
    """
    positions = positions.astype(np.float32)
    back = positions - points.mean(axis=1)
    distance = np.linalg.norm(back, axis=1, keepdims=True)
    rotation = _frames(np.where(distance > 0, back, [0, 0, 1]) / np.where(distance > 0, distance, 1))
    seen, turned = _turned(rotation, points - positions[:, None]), _turned(rotation, normals)  # (B, 3, P)
    squared = np.maximum(_dot(seen, seen), np.finfo(np.float32).eps)
    cosine = -_dot(turned, seen) / np.sqrt(squared)
    side = np.where(cosine > 0, _side(seen), -1)
    lit = np.ones(cosine.shape, np.float32)
    for index, turn in enumerate(SIDES):
        is_here = side == index
        rows = np.flatnonzero(is_here.any(axis=1))
        if len(rows):
            there = _lit_from_side(
                [casters[int(row)] for row in rows],
                turn @ seen[rows],
                turn @ turned[rows],
                is_here[rows],
                _matrices(turn @ rotation[rows], positions[rows]),
                map_size,
            )
            lit[rows] = np.where(is_here[rows], there, lit[rows])
    return np.maximum(cosine, 0) / squared * lit


def _lit_from_side(
    casters: Sequence[Mesh],
    seen: np.ndarray,
    normals: np.ndarray,
    is_here: np.ndarray,
    light_from_scene: np.ndarray,
    map_size: int,
) -> np.ndarray:
    """(B, P) lit fraction of the points that are on this side of the cube; seen, normals: (B, 3, P) in its frame."""
    depth = np.where(is_here, -seen[:, 2], 1)
    on_image = seen[:, :2] / depth[:, None]
    low = np.where(is_here[:, None], on_image, np.inf).min(axis=2)
    high = np.where(is_here[:, None], on_image, -np.inf).max(axis=2)
    intrinsics = _window(low, high, map_size)
    maps = render.render_depth(casters, light_from_scene, intrinsics, map_size, map_size)
    texel = depth / intrinsics[:, :2].min(axis=1, keepdims=True).astype(np.float32)
    moved = seen + _along_normal(normals, texel)
    moved_depth = np.where(is_here, -moved[:, 2], 1)
    return _lit_fraction(maps, *_texels(moved, intrinsics, moved_depth), moved_depth * (1 - ROUNDING))


def _turned(rotation: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """(B, 3, P) of vectors (B, P, 3) turned by (B, 3, 3): one coordinate after the other, which is quicker from here on."""
    return rotation @ vectors.transpose(0, 2, 1)


def _dot(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(B, P) of vectors (B, 3, P)."""
    return np.einsum("bkp,bkp->bp", a, b)


def _frames(backwards: np.ndarray) -> np.ndarray:
    """(B, 3, 3) rotations into frames whose z axis is the given unit vector (B, 3)."""
    helper = np.where(np.abs(backwards[:, 1:2]) < 0.9, [0, 1, 0], [1, 0, 0]).astype(np.float32)
    right = cross(helper, backwards)
    right /= np.linalg.norm(right, axis=1, keepdims=True)
    return np.stack([right, cross(backwards, right), backwards], axis=1).astype(np.float32)


def _matrices(rotation: np.ndarray, origin: np.ndarray | None = None) -> np.ndarray:
    """(B, 4, 4) light_from_scene of a rotation (B, 3, 3) about an origin (B, 3)."""
    matrices = np.tile(np.eye(4), (len(rotation), 1, 1))
    matrices[:, :3, :3] = rotation
    if origin is not None:
        matrices[:, :3, 3] = -np.einsum("bij,bj->bi", matrices[:, :3, :3], origin)
    return matrices


def _window(low: np.ndarray, high: np.ndarray, map_size: int) -> np.ndarray:
    """(B, 4) intrinsics of a square map that covers [low, high] (B, 2), x and y up, with a margin."""
    extent = np.maximum(high - low, 1e-3 * np.maximum((high - low).max(axis=1, keepdims=True), 1e-6)).astype(np.float64)
    focal = (map_size - 2 * MARGIN) / extent
    centre = (low + high) / 2
    cx, cy = map_size / 2 - focal[:, 0] * centre[:, 0], map_size / 2 + focal[:, 1] * centre[:, 1]
    return np.stack([focal[:, 0], focal[:, 1], cx, cy], axis=1)


def _along_normal(normals: np.ndarray, texel: np.ndarray) -> np.ndarray:
    """(B, 3, P) the move that keeps a surface from shadowing itself, all in the frame of the map.

    texel: (B, 1) or (B, P), its size at the point.  The part of the normal across the map's axis says how fast a surface
    rises from texel to texel; a plane moved by that much lies over its neighbours, in parallel and in perspective maps.
    """
    across = np.hypot(normals[:, 0], normals[:, 1])
    return normals * (NEIGHBOUR * texel * across)[:, None]


def _texels(seen: np.ndarray, intrinsics: np.ndarray, depth: np.ndarray | np.float32) -> tuple[np.ndarray, np.ndarray]:
    """(B, P) columns and rows of points (B, 3, P) in the light's frame."""
    fx, fy, cx, cy = intrinsics.astype(np.float32).T[:, :, None]
    return cx + fx * seen[:, 0] / depth, cy - fy * seen[:, 1] / depth


def _side(seen: np.ndarray) -> np.ndarray:
    """(B, P) which of SIDES a point is seen on, in the frame of the first; seen: (B, 3, P)."""
    x, y, z = np.moveaxis(seen, 1, 0)
    return np.argmax(np.stack([-z, x, -x, y, -y, z]), axis=0)


def _lit_fraction(maps: np.ndarray, columns: np.ndarray, rows: np.ndarray, depth: np.ndarray) -> np.ndarray:
    """(B, P) share of the four texels around each lookup that are not nearer to the light than the point."""
    size = maps.shape[1]
    column, row = columns - 0.5, rows - 0.5
    left = np.clip(np.floor(column), 0, size - 2)
    top = np.clip(np.floor(row), 0, size - 2)
    across, down = np.clip(column - left, 0, 1), np.clip(row - top, 0, 1)
    first = (np.arange(len(maps))[:, None] * size + top.astype(np.int64)) * size + left.astype(np.int64)
    flat = maps.reshape(-1)
    upper = (1 - across) * (flat[first] >= depth) + across * (flat[first + 1] >= depth)
    lower = (1 - across) * (flat[first + size] >= depth) + across * (flat[first + size + 1] >= depth)
    return ((1 - down) * upper + down * lower).astype(np.float32)
