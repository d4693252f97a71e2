# SPDX-License-Identifier: GPL-3.0-or-later
"""Blender's masks, the splines that are drawn in its image and clip editors, as coverage of pixels."""

from __future__ import annotations

from collections.abc import Callable

import bpy
import numpy as np

from solver_core import render
from solver_core.errors import ObservationError

from .image import Picture

SAMPLES = 16  # of a spline between two of its points
SUBROWS = 4  # of a pixel; along a row coverage is exact
FALLOFFS: dict[str, Callable[[np.ndarray], np.ndarray]] = {  # from 0 at the feather's outer end to 1 at the spline
    "SMOOTH": lambda t: t * t * (3 - 2 * t),
    "SPHERE": lambda t: np.sqrt(2 * t - t * t),
    "ROOT": np.sqrt,
    "INVERSE_SQUARE": lambda t: t * (2 - t),
    "SHARP": lambda t: t * t,
    "LINEAR": lambda t: t,
}
BLENDS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {  # what is below and a layer
    "MERGE_ADD": lambda below, layer: below + (1 - below) * layer,
    "MERGE_SUBTRACT": lambda below, layer: below * (1 - layer),
    "ADD": np.add,
    "SUBTRACT": np.subtract,
    "LIGHTEN": np.maximum,
    "DARKEN": np.minimum,
    "MUL": np.multiply,
    "REPLACE": lambda _, layer: layer,
    "DIFFERENCE": lambda below, layer: np.abs(below - layer),
}


def read_mask(mask: bpy.types.Mask, depsgraph: bpy.types.Depsgraph, width: int, height: int) -> Picture:
    """A mask at the frame of the evaluated scene, in all four channels of a picture.

    Its longer side has the mask's coordinates from 0 to 1, as Blender's compositor takes them.  Raises ObservationError if
    it covers nothing.
    """
    coverage = np.zeros((height, width), np.float32)
    for layer in mask.evaluated_get(depsgraph).layers:  # the last in the list lies on top
        if layer.hide_render:
            continue
        shown = layer.alpha * _layer(layer, width, height)
        shown = 1 - shown if layer.invert else shown
        coverage = np.clip(BLENDS[layer.blend](coverage, shown), 0, 1)
    if coverage.max() == 0:
        raise ObservationError(f"The mask '{mask.name}' covers nothing: draw a closed spline around the object.")
    return Picture(np.repeat(coverage[..., None], 4, axis=2), "Non-Color")


def _layer(layer: bpy.types.MaskLayer, width: int, height: int) -> np.ndarray:
    """(H, W) float32 in [0, 1]: what its closed splines cover, with their feather."""
    size, longer = np.array([width, height]), max(width, height)
    covered = np.zeros((height, width), np.float32)
    for spline in layer.splines:
        if not (spline.use_cyclic and spline.use_fill and len(spline.points) > 1):
            continue
        curve, feather = (
            (one - 0.5) * (longer, -longer) + size / 2 for one in _outlines(spline)
        )  # columns and rows, row 0 on top
        own = _polygon(curve, width, height)
        if np.abs(curve - feather).max() > 0:
            own = _feathered(own, _polygon(feather, width, height), FALLOFFS[layer.falloff])
        covered = covered + own - 2 * covered * own if layer.use_fill_holes else np.maximum(covered, own)
    return covered


def _outlines(spline: bpy.types.MaskSpline) -> tuple[np.ndarray, np.ndarray]:
    """(N, 2) points on a spline and as many on the outer end of its feather, in the coordinates of masks."""
    points = spline.points
    co, left, right = (
        np.array([getattr(point, name) for point in points], float) for name in ("co", "handle_left", "handle_right")
    )
    t = np.arange(SAMPLES)[:, None] / SAMPLES
    corners = np.stack([co, right, np.roll(left, -1, axis=0), np.roll(co, -1, axis=0)])[:, :, None]  # (4, P, 1, 2)
    weights = np.stack([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3])[:, None]
    slopes = np.stack([-((1 - t) ** 2), (1 - t) ** 2 - 2 * t * (1 - t), 2 * t * (1 - t) - t**2, t**2])[:, None]
    curve, tangent = (weights * corners).sum(axis=0).reshape(-1, 2), (slopes * corners).sum(axis=0).reshape(-1, 2)
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], axis=-1)
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-12)
    widths = np.concatenate([_widths(spline, index, t[:, 0]) for index in range(len(points))])
    return curve, curve + widths[:, None] * normal


def _widths(spline: bpy.types.MaskSpline, index: int, t: np.ndarray) -> np.ndarray:
    """(S,) width of the feather between a point and the next one."""
    point, following = spline.points[index], spline.points[(index + 1) % len(spline.points)]
    between = sorted((one.u, one.weight) for one in point.feather_points)
    places = np.array([0.0, *(u for u, _ in between), 1.0])
    weights = np.array([point.weight, *(weight for _, weight in between), following.weight])
    after = np.clip(np.searchsorted(places, t, side="right"), 1, len(places) - 1)
    share = (t - places[after - 1]) / np.maximum(places[after] - places[after - 1], 1e-12)
    if spline.weight_interpolation == "EASE":
        share = share * share * (3 - 2 * share)
    return weights[after - 1] + share * (weights[after] - weights[after - 1])


def _polygon(corners: np.ndarray, width: int, height: int) -> np.ndarray:
    """(H, W) float32: fraction of each pixel that a polygon (N, 2) of columns and rows covers."""
    ends = np.roll(corners, -1, axis=0)
    rows = (np.arange(height * SUBROWS) + 0.5) / SUBROWS
    winding = np.zeros((height, width + 2))
    for (x0, y0), (x1, y1) in zip(corners, ends, strict=True):
        crossed = np.arange(*np.searchsorted(rows, sorted((y0, y1))))
        if not len(crossed):
            continue
        across = np.clip(x0 + (rows[crossed] - y0) * (x1 - x0) / (y1 - y0), 0, width)
        column = across.astype(int)
        sign, right = np.sign(y1 - y0) / SUBROWS, across - column
        np.add.at(winding, (crossed // SUBROWS, column), sign * (1 - right))
        np.add.at(winding, (crossed // SUBROWS, column + 1), sign * right)
    return np.minimum(np.abs(np.cumsum(winding, axis=1)[:, :width]), 1).astype(np.float32)


def _feathered(inside: np.ndarray, outer: np.ndarray, falloff: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """(H, W) coverage that falls from a spline to the outer end of its feather, both (H, W) coverage of what they enclose."""
    if not (inside >= 0.5).any() or not (outer >= 0.5).any():
        return inside
    from_spline, from_end = render.signed_distance(np.stack([inside, outer]) >= 0.5)
    from_spline, from_end = np.clip(from_spline, 0, None), np.clip(-from_end, 0, None)
    share = from_end / np.maximum(from_spline + from_end, 1e-6)
    return np.maximum(inside, falloff(share.astype(np.float32)))
