# SPDX-License-Identifier: GPL-3.0-or-later
"""Where an object is in a picture: what counts as it, and what is seen of a mesh.  Only the part that holds it is looked at."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple, Self

import numpy as np

from solver_core import render
from solver_core.frames import Camera, project
from solver_core.mesh import Mesh

MOST_PX = 512  # across the object: of larger ones every second, third, ... pixel counts
Part = tuple[slice, slice]


class Observed(NamedTuple):
    """What counts as the object in a picture.

    size: width and height of the whole picture.  every: one pixel in so many counts, each way.  part: rows and columns of these
    pixels that the object is in.  bits: of that part, a bit for each of these pixels.
    """

    size: tuple[int, int]
    every: int
    part: Part
    bits: np.ndarray

    @classmethod
    def of(cls, coverage: np.ndarray, size: tuple[int, int]) -> Self:
        """The pixels of a mask (H, W), bool or coverage, that the object covers by half."""
        is_object = coverage if coverage.dtype == bool else coverage >= 0.5
        every = max(1, math.ceil(max(one.stop - one.start for one in extent(is_object)) / MOST_PX))
        is_object = is_object[every // 2 :: every, every // 2 :: every]
        part = extent(is_object)
        return cls(size, every, part, np.packbits(is_object[part]))

    @property
    def is_object(self) -> np.ndarray:
        """(h, w) bool, of the part."""
        height, width = (one.stop - one.start for one in self.part)
        return np.unpackbits(self.bits, count=height * width).reshape(height, width).astype(bool)

    def iou(self, mesh: Mesh, camera_from_mesh: np.ndarray, camera: Camera) -> float:
        """Overlap with a mesh.  camera: that sees what counts of the picture."""
        part, is_seen = seen_part(mesh, camera_from_mesh, _sampled(camera, self.every))
        is_object = self.is_object
        both = 0
        inner = [slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(part, self.part, strict=True)]
        if all(one.start < one.stop for one in inner):
            both = np.count_nonzero(is_seen[_within(inner, part)] & is_object[_within(inner, self.part)])
        return both / max(np.count_nonzero(is_seen) + np.count_nonzero(is_object) - both, 1)


def extent(mask: np.ndarray) -> Part:
    """The rows and columns between which a mask (H, W) bool is not empty."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)) if len(rows) else (slice(0, 0), slice(0, 0))


def seen_part(mesh: Mesh, camera_from_mesh: np.ndarray, camera: Camera) -> tuple[Part, np.ndarray]:
    """Rows and columns around what a camera sees of a mesh, and (h, w) bool where in them it is seen."""
    points = mesh.vertices @ camera_from_mesh[:3, :3].T + camera_from_mesh[:3, 3]
    low, high = np.zeros(2, int), np.array([camera.width, camera.height])
    if (points[:, 2] < 0).all():  # else it may be anywhere
        places = project(points, camera.intrinsics)
        low, high = (limit.clip(0, high).astype(int) for limit in (np.floor(places.min(axis=0)), np.ceil(places.max(axis=0))))
    (left, top), (width, height) = low, high - low
    part = slice(top, top + height), slice(left, left + width)
    if not width or not height:
        return part, np.zeros((height, width), bool)
    window = camera.window(left, top, width, height)
    return part, np.isfinite(render.render_depth([mesh], camera_from_mesh[None], window.intrinsics, height, width)[0])


def _sampled(camera: Camera, every: int) -> Camera:
    """The camera whose pixels have their middles where those have that an Observed counts."""
    first = every // 2
    width, height = (len(range(first, size, every)) for size in (camera.width, camera.height))
    offset = first + 0.5 - every / 2  # from the corner of its first pixel to that of the picture's
    shifted = replace(camera, cx=camera.cx - offset, cy=camera.cy - offset)
    return shifted.scaled(1 / every, width, height)


def _within(inner: list[slice], outer: Part) -> Part:
    """A part of a part, counted from its first pixel on."""
    return tuple(slice(a.start - b.start, a.stop - b.start) for a, b in zip(inner, outer, strict=True))
