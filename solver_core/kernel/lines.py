# SPDX-License-Identifier: Apache-2.0
"""Points of a mesh that are seen on its outline, and where along lines across it an image shows the outline.

An edge of the mesh is on the outline if all faces at it lie on one side of it in the image, what is beside it on the other is
background, and no such edge lies just outside; so points of the outline are known exactly from a small silhouette.  Drawing
that needs no faces: where a row of pixels crosses an edge, so many more faces cover it as lie on the edge's right than on its
left, and most edges have as many on both.  A line across
the outline runs from object to background, and how likely each pixel is to be object tells where it leaves the object (as RBOT,
Tjaden et al. 2018, and SRT3D, Stoiber et al. 2022).
"""

from __future__ import annotations

import ctypes
from typing import NamedTuple

import numpy as np

from solver_core.frames import project, rays
from solver_core.kernel import loader
from solver_core.kernel.contour import ContourPoints, jacobian_of_points
from solver_core.kernel.raster import SUBPIXELS, clamped_to_guard, first_centre, snap
from solver_core.mesh import Mesh

SIDE_STEP = 0.75  # pixels beside an edge that are looked at: the centre of that pixel is outside, too
SAME_WAY = 0.8  # cosine between the normals of edges of which one may lie just outside of the other
OUTSIDE_BY, OUTSIDE_UP_TO = 0.1, 1.5  # pixels: an edge that another one lies farther out than by so much is inside
BESIDE_BY = 0.6  # spacings along the edge within which there is a point of the other one
AT_A_TIME = 512  # points that are compared with all others
MOST_SAMPLES = 128  # of a line
NEAR_END = 1.0  # samples from the end of a line: an outline there is none, the line shows only one side
LONGEST_EDGE = 65536.0  # pixels
LEAST_CURVATURE = 1e-3  # of the largest, for directions of which lines tell nothing
NUM_COLOURS = 32768


class MeshEdges(NamedTuple):
    """Edges of a mesh, each once, and the corners that lie opposite to it in the faces at it.

    vertices: (V, 3) float32.  ends: (E, 2) int32.  first_wing: (E + 1,) int32, from where on the corners of an edge stand in
    wings (K,) int32.
    """

    vertices: np.ndarray
    ends: np.ndarray
    first_wing: np.ndarray
    wings: np.ndarray


class Lines(NamedTuple):
    """How lines are sampled, and how steps follow from them.

    step_px: pixels between samples.  num_samples: of a line, at most MOST_SAMPLES, half of them outside.  robust_px: scale of a
    residual, as Geman and McClure 1985 weigh it: what is off by far more has no say.  damping: of the Hessian's diagonal.
    settled_px: a step that moves the outline by less is the last.
    """

    step_px: float
    num_samples: int
    robust_px: float
    damping: float
    settled_px: float


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
    edges: MeshEdges, camera_from_object: np.ndarray, intrinsics: np.ndarray, size: tuple[int, int], spacing_px: float
) -> tuple[np.ndarray, np.ndarray]:
    """(N, 6) points that are seen on the outline against the background, and the outward normals there, in the object's frame;
    and (H, W) bool the silhouette in which they are.

    camera_from_object: (4, 4).  intrinsics: (4,).  size: H and W of the silhouette, which may be small.  spacing_px: of its
    pixels along the outline, between two points.  Nothing is seen unless all of the mesh lies before the camera.
    """
    loader.check_shapes(camera_from_object=(camera_from_object, (4, 4)), intrinsics=(intrinsics, (4,)))
    loader.check_shapes(first_wing=(edges.first_wing, (len(edges.ends) + 1,)))
    loader.check_image_size(*size)
    matrix, intrinsics = (np.ascontiguousarray(one, np.float64) for one in (camera_from_object, intrinsics))
    library = loader.library()
    if library is None:
        return _outline_points_in_numpy(edges, matrix, intrinsics, size, spacing_px)
    return _outline_points_in_c(library, edges, matrix, intrinsics, size, spacing_px)


def follow_lines(
    points: np.ndarray,
    camera_from_object: np.ndarray,
    intrinsics: np.ndarray,
    image: np.ndarray,
    log_odds: np.ndarray,
    lines: Lines,
    num_steps: int,
) -> tuple[np.ndarray, ContourPoints, float]:
    """(4, 4) camera_from_object after Gauss-Newton steps to where an image shows an outline, how far that is off then, and by
    how many pixels the steps moved it, in all.

    points: (N, 6) as outline_points gives them.  camera_from_object: (4, 4).  intrinsics: (4,) of the image.  image: (H, W)
    uint8.  log_odds: (256,) that a pixel of each value is object.  num_steps: at most.
    Lines along which no outline is seen, as something hides it, have no say in the steps.  A residual is positive where the
    outline lies outside of the image's, and a weight is 1 where the place is certain; both are 0 where a part of the line is
    not in the image.
    """
    loader.check_shapes(
        points=(points, (len(points), 6)),
        camera_from_object=(camera_from_object, (4, 4)),
        intrinsics=(intrinsics, (4,)),
        log_odds=(log_odds, (256,)),
    )
    loader.check_image_size(*image.shape)
    lines = lines._replace(num_samples=min(lines.num_samples, MOST_SAMPLES))
    matrix, intrinsics = np.array(camera_from_object, np.float64), np.ascontiguousarray(intrinsics, np.float64)
    library = loader.library()
    if library is None:
        matrix, numbers, moved_px = _follow_lines_in_numpy(points, matrix, intrinsics, image, log_odds, lines, num_steps)
    else:
        numbers = np.empty(len(points), loader.CONTOUR_POINT)
        moved_px = library.solver_core_follow_lines(
            *(len(points), np.ascontiguousarray(points, np.float64), intrinsics, *image.shape),
            *(np.ascontiguousarray(image, np.uint8), np.ascontiguousarray(log_odds, np.float32)),
            *(*lines, num_steps, matrix, numbers),
        )
    return matrix, ContourPoints(np.zeros(len(points), np.int64), numbers), moved_px


def look_up_colours(colours: np.ndarray, table: np.ndarray) -> np.ndarray:
    """(H, W) uint8, what a table (32768,) uint8 of 32 x 32 x 32 colours holds for pixels (H, W, 3) uint8."""
    loader.check_shapes(colours=(colours, (*colours.shape[:2], 3)), table=(table, (NUM_COLOURS,)))
    library = loader.library()
    if library is None:
        return table[colour_index(colours)]
    if colours.dtype != np.uint8 or colours.strides[1:] != (3, 1) or colours.strides[0] < 0:
        colours = np.ascontiguousarray(colours, np.uint8)
    values = np.empty(colours.shape[:2], np.uint8)
    library.solver_core_look_up(*colours.shape[:2], colours.strides[0], colours.ctypes.data, table, values)
    return values


def colour_index(colours: np.ndarray) -> np.ndarray:
    """(...) where colours (..., 3) uint8 stand in a table of 32 x 32 x 32."""
    red, green, blue = np.moveaxis(colours.astype(np.int32) >> 3, -1, 0)
    return red << 10 | green << 5 | blue


def _outline_points_in_c(
    library: ctypes.CDLL,
    edges: MeshEdges,
    matrix: np.ndarray,
    intrinsics: np.ndarray,
    size: tuple[int, int],
    spacing_px: float,
) -> tuple[np.ndarray, np.ndarray]:
    """As outline_points."""
    capacity = 8 * sum(size)  # most outlines are shorter; longer ones take a second call
    num_vertices, num_edges = len(edges.vertices), len(edges.ends)
    seen, grid, sides = np.empty((num_vertices, 3)), np.empty((num_vertices, 2), np.int32), np.empty(num_edges, np.int8)
    counts, is_seen = np.empty(size, np.int32), np.empty(size, bool)
    while True:
        points, in_image, next_in_cell = np.empty((capacity, 6)), np.empty((capacity, 4)), np.empty(capacity, np.int32)
        found = library.solver_core_outline_points(
            *(num_vertices, edges.vertices, num_edges, edges.ends, edges.first_wing, len(edges.wings), edges.wings),
            *(matrix, intrinsics, *size, spacing_px),
            *(seen, grid, sides, capacity, in_image, counts, next_in_cell, is_seen, points),
        )
        if found < 0:
            raise IndexError(f"edges and what is opposite to them must be of the {num_vertices} vertices")
        if found <= capacity:
            return points[:found], is_seen
        capacity = found


def _outline_points_in_numpy(
    edges: MeshEdges, matrix: np.ndarray, intrinsics: np.ndarray, size: tuple[int, int], spacing_px: float
) -> tuple[np.ndarray, np.ndarray]:
    """As outline_points."""
    x, y, z = edges.vertices.astype(np.float64).T
    camera = np.stack([m[0] * x + m[1] * y + m[2] * z + m[3] for m in matrix[:3]], axis=1)  # BLAS adds in an order of its own
    if not (camera[:, 2] < 0).all():
        return np.zeros((0, 6)), np.zeros(size, bool)
    seen = intrinsics[2:] + intrinsics[:2] * [1, -1] * camera[:, :2] * (-1 / camera[:, 2:])
    grid = snap(clamped_to_guard(seen))
    right, left = _faces_beside(edges, grid)
    is_seen = _silhouette(edges, grid, right - left, size)
    a, along = seen[edges.ends[:, 0]], np.diff(seen[edges.ends], axis=1)[:, 0]
    length = np.sqrt(along[:, 0] ** 2 + along[:, 1] ** 2)
    chosen = np.flatnonzero(((right > 0) != (left > 0)) & (length < LONGEST_EDGE))
    a, along, length = a[chosen], along[chosen], length[chosen]
    normal = np.where(right[chosen] > 0, 1.0, -1.0)[:, None] * along[:, ::-1] * [1, -1] / length[:, None]

    last = np.cumsum(length)  # points stand at equal distances on all edges in a row
    number = np.ceil(np.r_[0.0, last] / spacing_px - 0.5).astype(np.int64).clip(0)
    edge = np.repeat(np.arange(len(chosen)), np.diff(number))
    t = ((np.arange(len(edge)) + 0.5) * spacing_px - (last - length)[edge]) / length[edge]
    place, normal = a[edge] + t[:, None] * along[edge], normal[edge]
    ends_depth = -camera[edges.ends[chosen[edge]], 2]
    far = 1 / ((1 - t) / ends_depth[:, 0] + t / ends_depth[:, 1])

    kept = ~_is_covered(is_seen, place + SIDE_STEP * normal)
    place, normal, far = place[kept], normal[kept], far[kept]
    kept = _is_outermost(place, normal, spacing_px, size)
    place, normal, far = place[kept], normal[kept], far[kept]
    ray = rays(place[:, 0], place[:, 1], intrinsics)
    plane = normal * intrinsics[:2] * [1, -1]
    plane = np.column_stack([plane, np.sum(plane * ray[:, :2], axis=1)])
    plane /= np.linalg.norm(plane, axis=1, keepdims=True)
    points = np.concatenate([(ray * far[:, None] - matrix[:3, 3]) @ matrix[:3, :3], plane @ matrix[:3, :3]], axis=1)
    return points, is_seen


def _faces_beside(edges: MeshEdges, grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(E,) each, how many faces lie right and left of the edges, with vertices at grid points (V, 2).

    One that is seen edge-on lies on neither side.
    """
    owner = np.repeat(np.arange(len(edges.ends)), np.diff(edges.first_wing))
    a, b = grid[edges.ends[owner, 0]], grid[edges.ends[owner, 1]]
    along, wing = b - a, grid[edges.wings] - a
    area = along[:, 0] * wing[:, 1] - along[:, 1] * wing[:, 0]
    right, left = (np.bincount(owner[is_there], minlength=len(edges.ends)) for is_there in (area > 0, area < 0))
    return right, left


def _silhouette(edges: MeshEdges, grid: np.ndarray, more: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool whether faces cover pixels, from how many more of them (E,) lie right of the edges than left."""
    height, width = size
    edge = np.flatnonzero(more)
    ends = grid[edges.ends[edge]]  # (K, 2, 2) column and row, the upper end first
    is_upwards = ends[:, 0, 1] > ends[:, 1, 1]
    ends = np.where(is_upwards[:, None, None], ends[:, ::-1], ends)
    more = np.where(is_upwards, -more[edge], more[edge])
    first, end = (first_centre(ends[:, i, 1]).clip(0, height) for i in range(2))
    owner = np.repeat(np.arange(len(edge)), end - first)
    row = first[owner] + np.arange(len(owner)) - np.repeat(np.cumsum(end - first) - (end - first), end - first)
    (column, top), (across, down) = ends[owner, 0].T, np.diff(ends, axis=1)[owner, 0].T
    part = (row * SUBPIXELS + SUBPIXELS // 2 - top) * across
    column = first_centre(column - (-part // down)).clip(0)
    counts = np.zeros((height, width + 1), np.int64)
    np.subtract.at(counts, (row, column.clip(max=width)), more[owner])
    return np.cumsum(counts, axis=1)[:, :width] > 0


def _is_outermost(place: np.ndarray, normal: np.ndarray, spacing_px: float, size: tuple[int, ...]) -> np.ndarray:
    """(N,) bool whether points at places (N, 2) of an image (height, width) have no other one just outside.

    At the resolution of the silhouette both would border the background.
    """
    is_in = ((place >= 0) & (place < size[::-1])).all(axis=1)
    others, their_normal = place[is_in], normal[is_in]
    kept = np.ones(len(place), bool)
    for first in range(0, len(place), AT_A_TIME):
        some = slice(first, first + AT_A_TIME)
        column, row = np.moveaxis(others - place[some, None], -1, 0)  # (n, M)
        cosine = normal[some] @ their_normal.T
        aside = np.abs(column * normal[some, 1:] - row * normal[some, :1])
        is_beside = (cosine > SAME_WAY) & (aside <= BESIDE_BY * spacing_px)
        out = (column * their_normal[:, 0] + row * their_normal[:, 1]) / np.where(is_beside, cosine, 1)
        kept[some] = ~(is_beside & (out > OUTSIDE_BY) & (out < OUTSIDE_UP_TO)).any(axis=1) | ~is_in[some]
    return kept


def _is_covered(is_seen: np.ndarray, place: np.ndarray) -> np.ndarray:
    """(N,) bool whether places (N, 2) show the mesh, by its silhouette (H, W)."""
    column, row = place.T
    height, width = is_seen.shape
    is_in = (column >= 0) & (row >= 0) & (column < width) & (row < height)
    found = np.zeros(len(place), bool)
    found[is_in] = is_seen[row[is_in].astype(np.int64), column[is_in].astype(np.int64)]
    return found


def _follow_lines_in_numpy(
    points: np.ndarray,
    matrix: np.ndarray,
    intrinsics: np.ndarray,
    image: np.ndarray,
    log_odds: np.ndarray,
    lines: Lines,
    num_steps: int,
) -> tuple[np.ndarray, np.ndarray, float]:
    """As follow_lines."""
    moved_px, taken = 0.0, 0
    while True:
        numbers = _match_lines_in_numpy(points, matrix, intrinsics, image, log_odds, lines.step_px, lines.num_samples)
        if taken >= num_steps or len(points) == 0:
            return matrix, numbers, moved_px
        taken += 1
        residual, weight, jacobian = numbers[:, 0], numbers[:, 1], numbers[:, 2:]
        shows = np.abs(residual) <= (0.5 * lines.num_samples - NEAR_END) * lines.step_px
        weighted = jacobian * (shows * weight / (1 + (residual / lines.robust_px) ** 2) ** 2)[:, None]
        hessian = weighted.T @ jacobian
        diagonal = np.diag(hessian)
        hessian = hessian + np.diag(lines.damping * (diagonal + LEAST_CURVATURE * diagonal.max()) + 1e-12)
        step = -np.linalg.solve(hessian, weighted.T @ residual)
        matrix = _retracted(matrix, step)
        moved = float(np.sqrt(np.mean((jacobian @ step) ** 2)))
        moved_px += moved
        if moved < lines.settled_px:
            num_steps = 0


def _retracted(matrix: np.ndarray, step: np.ndarray) -> np.ndarray:
    """(4, 4) after an SE3 step (6,), as manifolds.py says."""
    x, y, z = step[:3]
    spin = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.sqrt(x * x + y * y + z * z)
    sine, bend = (np.sin(angle) / angle, (1 - np.cos(angle)) / angle**2) if angle > 1e-9 else (1.0, 0.5)
    turn = np.eye(3) + sine * spin + bend * spin @ spin  # Rodrigues
    depth = -matrix[2, 3]
    farther = depth * np.exp(step[5])
    moved = matrix.copy()
    moved[:3, :3] = turn @ matrix[:3, :3]
    moved[:3, 3] = [*((matrix[:2, 3] / depth + step[3:5]) * farther), -farther]
    return moved


def _match_lines_in_numpy(
    points: np.ndarray,
    matrix: np.ndarray,
    intrinsics: np.ndarray,
    image: np.ndarray,
    log_odds: np.ndarray,
    step_px: float,
    num_samples: int,
) -> np.ndarray:
    """(N, 8) how far points are off: residuals, weights and jacobians, as follow_lines gives them."""
    centre = np.broadcast_to(matrix[:3, 3], (len(points), 3))
    camera = points[:, :3] @ matrix[:3, :3].T + centre
    plane = points[:, 3:] @ matrix[:3, :3].T
    normal = plane[:, :2] / intrinsics[:2] * [1, -1]
    size = np.linalg.norm(normal, axis=1)
    usable = (camera[:, 2] < 0) & (size > 0)
    camera, normal, centre = camera[usable], normal[usable] / size[usable, None], centre[usable]
    first = (0.5 - 0.5 * num_samples) * step_px
    value, is_in = _sampled(image, project(camera, intrinsics) + first * normal, step_px * normal, num_samples)
    odds = log_odds.astype(np.float32)[value]
    sums = np.concatenate([np.zeros((len(odds), 1)), np.cumsum(odds, axis=1, dtype=np.float64)], axis=1)
    weight = np.exp(sums - sums.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    where = np.arange(num_samples + 1) - 0.5 * num_samples
    mean = weight @ where
    variance = np.maximum(weight @ where**2 - mean**2, 0)
    numbers = np.zeros((len(points), 8))
    jacobian = jacobian_of_points(camera, centre, normal, np.tile(intrinsics, (len(camera), 1)))
    known = np.where(is_in, [-step_px * mean, 1 / (1 + variance)], 0)
    numbers[usable] = np.column_stack([*known, jacobian])
    return numbers


def _sampled(image: np.ndarray, place: np.ndarray, step: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """(N, S) values along lines from places (N, 2) in steps (N, 2), in pixels, and (N,) whether they are in the image."""
    height, width = image.shape
    grid = snap(clamped_to_guard(place - 0.5))[:, None] + np.arange(count)[:, None] * snap(clamped_to_guard(step))[:, None]
    column, row = np.moveaxis(grid, -1, 0)
    left, top = column // SUBPIXELS, row // SUBPIXELS
    is_in = ((left >= 0) & (top >= 0) & (left < width - 1) & (top < height - 1)).all(axis=1)
    left, top = (np.where(is_in[:, None], one, 0) for one in (left, top))
    across, down = column // 16 % 256, row // 16 % 256  # of 256
    right, below = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)  # of images of a single pixel
    pixels = image.astype(np.int64)
    upper, lower = (256 * pixels[row, left] + across * (pixels[row, right] - pixels[row, left]) for row in (top, below))
    return (256 * upper + down * (lower - upper) + 32768) // 65536, is_in
