# SPDX-License-Identifier: Apache-2.0
"""Points of a mesh that are seen on its outline, and where along lines across it an image shows the outline.

An edge of the mesh is on the outline if all faces at it lie on one side of it in the image and what is beside it on the other
side is background; so points of the outline are known exactly from a small render.  A line across the outline runs from
object to background, and how likely each pixel is to be object tells where it leaves the object (as RBOT, Tjaden et al. 2018,
and SRT3D, Stoiber et al. 2022).
"""

from __future__ import annotations

import ctypes
from typing import NamedTuple

import numpy as np

from solver_core.frames import project, rays
from solver_core.kernel import loader
from solver_core.kernel.contour import ContourPoints, jacobian_of_points
from solver_core.mesh import Mesh

SIDE_STEP = 0.75  # pixels beside an edge that are looked at: the centre of that pixel is outside, too
HIDDEN_BY = 8.0  # pixels: what lies nearer by the length that they have there hides an edge
MOST_SAMPLES = 128  # of a line
LONGEST_EDGE = 65536.0  # pixels


class MeshEdges(NamedTuple):
    """Edges of a mesh, each once, and the corners that lie opposite to it in the faces at it.

    vertices: (V, 3) float32.  ends: (E, 2) int32.  first_wing: (E + 1,) int32, from where on the corners of an edge stand in
    wings (K,) int32.
    """

    vertices: np.ndarray
    ends: np.ndarray
    first_wing: np.ndarray
    wings: np.ndarray


def edges_of(mesh: Mesh) -> MeshEdges:
    """Edges of a mesh; vertices at the same place count as one, so that its parts are closed where they look so."""
    places, at = np.unique(mesh.vertices, axis=0, return_inverse=True)
    faces = at.reshape(-1)[mesh.faces].astype(np.int64)
    corners = np.stack([faces[:, [0, 1, 2]], faces[:, [1, 2, 0]], faces[:, [2, 0, 1]]], axis=1).reshape(-1, 3)
    corners[:, :2].sort(axis=1)
    corners = corners[corners[:, 0] != corners[:, 1]]
    corners = corners[np.lexsort(corners.T[[1, 0]])]
    is_first = np.r_[True, np.any(np.diff(corners[:, :2], axis=0) != 0, axis=1)]
    first = np.r_[np.flatnonzero(is_first), len(corners)] if len(corners) else np.zeros(1)
    ends, wings = corners[is_first[: len(corners)], :2], corners[:, 2]
    return MeshEdges(places, *(np.ascontiguousarray(one, np.int32) for one in (ends, first, wings)))


def outline_points(
    edges: MeshEdges, camera_from_object: np.ndarray, intrinsics: np.ndarray, depth: np.ndarray, spacing_px: float
) -> np.ndarray:
    """(N, 6) points that are seen on the outline against the background, and the outward normals there, in the object's frame.

    camera_from_object: (4, 4).  intrinsics: (4,).  depth: (H, W) of the mesh rendered so, infinite beside it; it may be small.
    spacing_px: pixels of outline, of that image, between two points.
    """
    loader.check_shapes(camera_from_object=(camera_from_object, (4, 4)), intrinsics=(intrinsics, (4,)))
    loader.check_shapes(first_wing=(edges.first_wing, (len(edges.ends) + 1,)))
    loader.check_image_size(*depth.shape)
    matrix, intrinsics = (np.ascontiguousarray(one, np.float64) for one in (camera_from_object, intrinsics))
    library = loader.library()
    if library is None:
        return _outline_points_in_numpy(edges, matrix, intrinsics, depth, spacing_px)
    return _outline_points_in_c(library, edges, matrix, intrinsics, depth, spacing_px)


def match_lines(
    points: np.ndarray,
    camera_from_object: np.ndarray,
    intrinsics: np.ndarray,
    image: np.ndarray,
    log_odds: np.ndarray,
    step_px: float,
    num_samples: int,
) -> ContourPoints:
    """How far points of the outline are from where an image shows it, each along its own line, as points of one instance.

    points: (N, 6) as outline_points gives them.  camera_from_object: (4, 4).  intrinsics: (4,) of the image.  image: (H, W)
    uint8.  log_odds: (256,) that a pixel of each value is object.  step_px: pixels between samples.  num_samples: of a line, at
    most MOST_SAMPLES, half of them outside.
    A residual is positive where the outline lies outside of the image's, and a weight is 1 where the place is certain, and 0
    where a part of the line is not in the image.
    """
    loader.check_shapes(
        points=(points, (len(points), 6)),
        camera_from_object=(camera_from_object, (4, 4)),
        intrinsics=(intrinsics, (4,)),
        log_odds=(log_odds, (256,)),
    )
    loader.check_image_size(*image.shape)
    num_samples = min(num_samples, MOST_SAMPLES)
    matrix, intrinsics = (np.ascontiguousarray(one, np.float64) for one in (camera_from_object, intrinsics))
    library = loader.library()
    if library is None:
        numbers = _match_lines_in_numpy(points, matrix, intrinsics, image, log_odds, step_px, num_samples)
    else:
        numbers = np.empty(len(points), loader.CONTOUR_POINT)
        library.solver_core_match_lines(
            *(len(points), np.ascontiguousarray(points, np.float64), matrix, intrinsics, *image.shape),
            *(np.ascontiguousarray(image, np.uint8), np.ascontiguousarray(log_odds, np.float32), step_px, num_samples),
            numbers,
        )
    return ContourPoints(np.zeros(len(points), np.int64), numbers)


def _outline_points_in_c(
    library: ctypes.CDLL, edges: MeshEdges, matrix: np.ndarray, intrinsics: np.ndarray, depth: np.ndarray, spacing_px: float
) -> np.ndarray:
    """As outline_points."""
    capacity = 8 * sum(depth.shape)  # most outlines are shorter; longer ones take a second call
    seen = np.empty((len(edges.vertices), 3))
    while True:
        points = np.empty((capacity, 6))
        found = library.solver_core_outline_points(
            *(
                len(edges.vertices),
                edges.vertices,
                len(edges.ends),
                edges.ends,
                edges.first_wing,
                len(edges.wings),
                edges.wings,
            ),
            *(matrix, intrinsics, *depth.shape, np.ascontiguousarray(depth, np.float32), spacing_px, seen, capacity, points),
        )
        if found < 0:
            raise IndexError(f"edges and what is opposite to them must be of the {len(edges.vertices)} vertices")
        if found <= capacity:
            return points[:found]
        capacity = found


def _outline_points_in_numpy(
    edges: MeshEdges, matrix: np.ndarray, intrinsics: np.ndarray, depth: np.ndarray, spacing_px: float
) -> np.ndarray:
    """As outline_points."""
    camera = edges.vertices.astype(np.float64) @ matrix[:3, :3].T + matrix[:3, 3]
    with np.errstate(all="ignore"):  # vertices in the camera's plane
        seen = project(camera, intrinsics)
    a, b = (seen[edges.ends[:, end]] for end in (0, 1))
    owner = np.repeat(np.arange(len(edges.ends)), np.diff(edges.first_wing))
    with np.errstate(all="ignore"):
        along, wing = b - a, seen[edges.wings] - a[owner]
        side = along[owner, 0] * wing[:, 1] - along[owner, 1] * wing[:, 0]
        length = np.sqrt(along[:, 0] ** 2 + along[:, 1] ** 2)
    has_left, has_right = (np.bincount(owner, weights=is_there, minlength=len(a)) > 0 for is_there in (side < 0, side > 0))
    is_before = (camera[:, 2] < 0)[edges.ends].all(axis=1)
    chosen = np.flatnonzero((has_left != has_right) & is_before & (length < LONGEST_EDGE))
    a, along, length = a[chosen], along[chosen], length[chosen]
    normal = np.where(has_right[chosen], 1.0, -1.0)[:, None] * along[:, ::-1] * [1, -1] / length[:, None]

    last = np.cumsum(length)  # points stand at equal distances on all edges in a row
    number = np.ceil(np.r_[0.0, last] / spacing_px - 0.5).astype(np.int64).clip(0)
    edge = np.repeat(np.arange(len(chosen)), np.diff(number))
    t = ((np.arange(len(edge)) + 0.5) * spacing_px - (last - length)[edge]) / length[edge]
    place, normal = a[edge] + t[:, None] * along[edge], normal[edge]
    ends_depth = -camera[edges.ends[chosen[edge]], 2]
    far = 1 / ((1 - t) / ends_depth[:, 0] + t / ends_depth[:, 1])

    outside, inside = (_depth_at(depth, place + side * SIDE_STEP * normal) for side in (1, -1))
    kept = np.isinf(outside) & (inside >= far * (1 - HIDDEN_BY / intrinsics[0]))
    place, normal, far = place[kept], normal[kept], far[kept]
    ray = rays(place[:, 0], place[:, 1], intrinsics)
    plane = normal * intrinsics[:2] * [1, -1]
    plane = np.column_stack([plane, np.sum(plane * ray[:, :2], axis=1)])
    plane /= np.linalg.norm(plane, axis=1, keepdims=True)
    return np.concatenate([(ray * far[:, None] - matrix[:3, 3]) @ matrix[:3, :3], plane @ matrix[:3, :3]], axis=1)


def _depth_at(depth: np.ndarray, place: np.ndarray) -> np.ndarray:
    """(N,) depth of the pixels at places (N, 2), infinite beside the image."""
    column, row = place.T
    height, width = depth.shape
    is_in = (column >= 0) & (row >= 0) & (column < width) & (row < height)
    found = np.full(len(place), np.inf)
    found[is_in] = depth[row[is_in].astype(np.int64), column[is_in].astype(np.int64)]
    return found


def _match_lines_in_numpy(
    points: np.ndarray,
    matrix: np.ndarray,
    intrinsics: np.ndarray,
    image: np.ndarray,
    log_odds: np.ndarray,
    step_px: float,
    num_samples: int,
) -> np.ndarray:
    """(N, 8) residuals, weights and jacobians, as match_lines gives them."""
    centre = np.broadcast_to(matrix[:3, 3], (len(points), 3))
    camera = points[:, :3] @ matrix[:3, :3].T + centre
    plane = points[:, 3:] @ matrix[:3, :3].T
    normal = plane[:, :2] / intrinsics[:2] * [1, -1]
    size = np.linalg.norm(normal, axis=1)
    usable = (camera[:, 2] < 0) & (size > 0)
    camera, normal, centre = camera[usable], normal[usable] / size[usable, None], centre[usable]
    out = (np.arange(num_samples) + 0.5 - 0.5 * num_samples) * step_px
    place = project(camera, intrinsics)[:, None] + out[:, None] * normal[:, None]  # (N, S, 2)
    value, is_in = _values_at(image, place)
    odds = np.where(is_in, log_odds.astype(np.float32)[value], 0)
    sums = np.concatenate([np.zeros((len(odds), 1)), np.cumsum(odds, axis=1, dtype=np.float64)], axis=1)
    weight = np.exp(sums - sums.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    where = np.arange(num_samples + 1) - 0.5 * num_samples
    mean = weight @ where
    variance = np.maximum(weight @ where**2 - mean**2, 0)
    numbers = np.zeros((len(points), 8))
    jacobian = jacobian_of_points(camera, centre, normal, np.tile(intrinsics, (len(camera), 1)))
    numbers[usable] = np.column_stack([-step_px * mean, np.where(is_in.all(axis=1), 1 / (1 + variance), 0), jacobian])
    return numbers


def _values_at(image: np.ndarray, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values between pixels (N, S) at places (N, S, 2), rounded, and whether they are in the image."""
    height, width = image.shape
    x, y = np.moveaxis(place - 0.5, -1, 0)
    is_in = (x >= 0) & (y >= 0) & (x < width - 1) & (y < height - 1)
    x, y = np.where(is_in, x, 0), np.where(is_in, y, 0)
    left, top = x.astype(np.int64), y.astype(np.int64)
    right, below = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)  # of images of a single pixel
    across, down = x - left, y - top
    upper, lower = (
        image[row, left] + across * (image[row, right].astype(np.float64) - image[row, left]) for row in (top, below)
    )
    return (upper + down * (lower - upper) + 0.5).astype(np.int64), is_in
