# SPDX-License-Identifier: Apache-2.0
"""Points on rendered outlines, and the sums of a Gauss-Newton step over them.

Where the render changes from object to background between two neighbouring pixels, the surface point seen there should
lie on the observed contour, that is where the signed distance of the mask is zero.
"""

from __future__ import annotations

import ctypes
from typing import NamedTuple

import numpy as np

from solver_core.frames import rays
from solver_core.kernel import loader


class ContourPoints(NamedTuple):
    """Points on rendered outlines, all instances in one list.

    instance: (P,) which instance a point belongs to.  numbers: (P, 8) residual, weight and jacobian.
    """

    instance: np.ndarray
    numbers: np.ndarray

    @property
    def residual(self) -> np.ndarray:
        """(P,) signed distance to the observed contour in pixels."""
        return self.numbers[:, 0]

    @property
    def weight(self) -> np.ndarray:
        """(P,) length of outline in pixels that the point stands for."""
        return self.numbers[:, 1]

    @property
    def jacobian(self) -> np.ndarray:
        """(P, 6) derivative of the residual by an SE3 step."""
        return self.numbers[:, 2:]


def contour_points(
    positions: np.ndarray, depth: np.ndarray, distance: np.ndarray, evidence: np.ndarray, intrinsics: np.ndarray
) -> ContourPoints:
    """Outline of renders, compared with the observed signed distance.

    positions: (B, 3) of the objects.  depth: (B, H, W), infinite beside the object.  distance: (B, H, W).  evidence:
    (B, H, W) bool, where a pixel counts.  intrinsics: (B, 4).
    """
    images = (len(positions), *depth.shape[1:])
    loader.check_image_size(*images[1:])
    loader.check_shapes(
        positions=(positions, (len(positions), 3)),
        depth=(depth, images),
        distance=(distance, images),
        evidence=(evidence, images),
        intrinsics=(intrinsics, (len(positions), 4)),
    )
    library = loader.library()
    if library is None:
        return _contour_points_in_numpy(positions, depth, distance, evidence, intrinsics)
    return _contour_points_in_c(library, positions, depth, distance, evidence, intrinsics)


def normal_equations(points: ContourPoints, robust_px: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hessian (B, 6, 6) and gradient (B, 6) of half the weighted squared residuals, over the points of each instance.

    robust_px: (B,) residuals beyond this many pixels lose influence (Cauchy weights).
    """
    loader.check_shapes(numbers=(points.numbers, (len(points.instance), 8)), robust_px=(robust_px, (len(robust_px),)))
    library = loader.library()
    if library is None:
        return _normal_equations_in_numpy(points, robust_px)
    return _normal_equations_in_c(library, points, robust_px)


def misfit_sums(
    depth: np.ndarray, distance: np.ndarray, evidence: np.ndarray, coverage: np.ndarray, cut_px: float
) -> np.ndarray:
    """(B, 5) how renders differ from masks, over the pixels with evidence; arrays as in contour_points, coverage: (B, H, W).

    The distances of the rendered outline, cut at cut_px and in units of it; the outline's length; the coverage that is
    rendered; the number of pixels rendered; all coverage.
    """
    loader.check_image_size(*depth.shape[1:])
    masks = {"distance": distance, "evidence": evidence, "coverage": coverage}
    loader.check_shapes(**{name: (image, depth.shape) for name, image in masks.items()})
    library = loader.library()
    if library is None:
        return _misfit_sums_in_numpy(depth, distance, evidence, coverage, cut_px)
    is_shared = len(depth) > 1 and all(image.strides[0] == 0 for image in masks.values())
    given = [image[:1] if is_shared else image for image in masks.values()]
    images = [np.ascontiguousarray(image, dtype) for image, dtype in zip((depth, *given), ("f4", "f4", "?", "f4"), strict=True)]
    sums = np.empty((len(depth), 5))
    library.solver_core_misfit(*depth.shape, *images, is_shared, cut_px, *_scratch(depth.shape[2]), sums)
    return sums


def _misfit_sums_in_numpy(
    depth: np.ndarray, distance: np.ndarray, evidence: np.ndarray, coverage: np.ndarray, cut_px: float
) -> np.ndarray:
    """As misfit_sums."""
    count = len(depth)
    points = _contour_points_in_numpy(np.zeros((count, 3)), depth, distance, evidence, np.ones((count, 4)))
    cut = np.minimum(np.abs(points.residual) / cut_px, 1)
    outline = sum_by_instance(np.stack([points.weight * cut, points.weight]), points.instance, count)
    seen = np.isfinite(depth) & evidence
    areas = [np.sum(image, axis=(1, 2), dtype=np.float64) for image in (seen * coverage, seen, evidence * coverage)]
    return np.column_stack([outline, *areas])


def _scratch(width: int) -> tuple[np.ndarray, np.ndarray]:
    """Room in which C finds the outlines of a row."""
    return np.empty((2, width + 8), np.uint8), np.empty(2 * width, loader.OUTLINE)


def sum_by_instance(values: np.ndarray, instance: np.ndarray, num_instances: int) -> np.ndarray:
    """(B, K) sums of values (K, P) over the points of each instance."""
    return np.stack([np.bincount(instance, weights=row, minlength=num_instances) for row in values], axis=1)


def _contour_points_in_c(
    library: ctypes.CDLL,
    positions: np.ndarray,
    depth: np.ndarray,
    distance: np.ndarray,
    evidence: np.ndarray,
    intrinsics: np.ndarray,
) -> ContourPoints:
    """As contour_points."""
    count, height, width = depth.shape
    images = [
        np.ascontiguousarray(array, dtype) for array, dtype in ((depth, np.float32), (distance, np.float32), (evidence, bool))
    ]
    cameras = [np.ascontiguousarray(array, np.float64) for array in (positions, intrinsics)]
    capacity = 8 * count * (height + width)  # most outlines are shorter; longer ones take a second call
    while True:
        numbers, instance = np.empty(capacity, loader.CONTOUR_POINT), np.empty(capacity, np.int64)
        found = library.solver_core_contour_points(
            *(count, height, width, *images, *cameras, *_scratch(width), capacity, numbers, instance)
        )
        if found <= capacity:
            return ContourPoints(instance[:found], numbers[:found])
        capacity = found


def _normal_equations_in_c(library: ctypes.CDLL, points: ContourPoints, robust_px: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As normal_equations."""
    instance, numbers = np.ascontiguousarray(points.instance, np.int64), np.ascontiguousarray(points.numbers, np.float64)
    robust = np.ascontiguousarray(robust_px, np.float64)
    hessian, gradient = np.zeros((len(robust), 6, 6)), np.zeros((len(robust), 6))
    failed = library.solver_core_normal_equations(len(numbers), numbers, instance, len(robust), robust, hessian, gradient)
    if failed >= 0:
        raise IndexError(f"point {failed} belongs to instance {instance[failed]}, but there are {len(robust)}")
    return hessian, gradient


def _contour_points_in_numpy(
    positions: np.ndarray, depth: np.ndarray, distance: np.ndarray, evidence: np.ndarray, intrinsics: np.ndarray
) -> ContourPoints:
    """As contour_points."""
    is_object = np.isfinite(depth)
    parts = [_pairs(is_object, evidence, axis) for axis in (1, 2)]
    instance, row_in, column_in, row_out, column_out, along_rows = (
        np.concatenate(columns) for columns in zip(*parts, strict=True)
    )
    inside, outside = (instance, row_in, column_in), (instance, row_out, column_out)
    residual = 0.5 * (distance[inside] + distance[outside])
    gradient = 0.5 * (_gradient(distance, *inside) + _gradient(distance, *outside))  # (P, 2) by column and row
    length = np.linalg.norm(gradient, axis=1)
    gradient /= np.maximum(length, 0.1)[:, None]  # on the medial axis the distance has no slope; 0.1 keeps it finite
    # A slanted outline crosses more pixel pairs per length than an upright one.
    weight = np.where(along_rows, np.abs(gradient[:, 1]), np.abs(gradient[:, 0])).astype(np.float64)
    rows_between = 0.5 * (row_in + row_out) + 0.5
    columns_between = 0.5 * (column_in + column_out) + 0.5
    points = rays(columns_between, rows_between, intrinsics[instance]) * depth[inside][:, None]  # (P, 3)
    jacobian = jacobian_of_points(points, positions[instance], gradient, intrinsics[instance])
    return ContourPoints(instance, np.column_stack([residual, weight, jacobian]))


def _normal_equations_in_numpy(points: ContourPoints, robust_px: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As normal_equations."""
    num_instances = len(robust_px)
    weight = points.weight / (1 + (points.residual / robust_px[points.instance]) ** 2)
    jacobian = points.jacobian.T.copy()  # (6, P): long rows are summed faster
    weighted = jacobian * weight
    i, j = np.triu_indices(6)
    values = np.concatenate([weighted[i] * jacobian[j], weighted * points.residual])
    sums = sum_by_instance(values, points.instance, num_instances)
    hessian = np.empty((num_instances, 6, 6))
    hessian[:, i, j] = hessian[:, j, i] = sums[:, :21]
    return hessian, sums[:, 21:]


def _pairs(is_object: np.ndarray, evidence: np.ndarray, axis: int) -> tuple[np.ndarray, ...]:
    """Neighbouring pixels along an image axis of which one is object: instance, both pixels, and whether axis is rows."""
    before = tuple(slice(0, -1) if a == axis else slice(None) for a in range(3))
    after = tuple(slice(1, None) if a == axis else slice(None) for a in range(3))
    changes = (is_object[before] != is_object[after]) & evidence[before] & evidence[after]
    instance, row, column = np.nonzero(changes)
    first_is_inside = is_object[before][instance, row, column]
    next_row, next_column = (row + 1, column) if axis == 1 else (row, column + 1)
    row_in, row_out = np.where(first_is_inside, row, next_row), np.where(first_is_inside, next_row, row)
    column_in = np.where(first_is_inside, column, next_column)
    column_out = np.where(first_is_inside, next_column, column)
    return instance, row_in, column_in, row_out, column_out, np.full(len(instance), axis == 1)


def _gradient(distance: np.ndarray, instance: np.ndarray, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """(P, 2) central differences of the distance by column and by row, one-sided at the border, 0 across a single pixel."""
    height, width = distance.shape[1:]
    left, right = np.maximum(column - 1, 0), np.minimum(column + 1, width - 1)
    above, below = np.maximum(row - 1, 0), np.minimum(row + 1, height - 1)
    by_column = (distance[instance, row, right] - distance[instance, row, left]) / np.maximum(right - left, 1)
    by_row = (distance[instance, below, column] - distance[instance, above, column]) / np.maximum(below - above, 1)
    return np.stack([by_column, by_row], axis=1)


def jacobian_of_points(points: np.ndarray, centre: np.ndarray, gradient: np.ndarray, intrinsics: np.ndarray) -> np.ndarray:
    """(P, 6) derivative of the signed distance at the image of surface points by an SE3 step.

    centre: (P, 3) position of the object.
    """
    depth = -points[:, 2]
    image_x, image_y = points[:, 0] / depth, points[:, 1] / depth
    by_x = gradient[:, 0] * intrinsics[:, 0]  # distance by image_x
    by_y = -gradient[:, 1] * intrinsics[:, 1]
    by_point = np.stack([by_x, by_y, image_x * by_x + image_y * by_y], axis=1) / depth[:, None]  # (P, 3)
    arm = points - centre
    by_rotation = np.cross(arm, by_point)  # by_point . (w x arm) = w . (arm x by_point)
    by_shift = by_point[:, :2] * -centre[:, 2:]
    by_log_depth = np.sum(by_point * centre, axis=1, keepdims=True)
    return np.concatenate([by_rotation, by_shift, by_log_depth], axis=1)
