# SPDX-License-Identifier: Apache-2.0
"""The points of known geometry at which an image is compared with what a light would make of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from solver_core.mesh import Mesh
from solver_core.problem import take
from solver_core.render.gbuffer import GBuffer

BORDER_WEIGHT = 0.2  # of a pixel at an outline against one inside: its colour may be mixed with what is beside it


class Surface(NamedTuple):
    """P points on each of B objects, in camera axes about `LitScene.centre` and in units of `LitScene.scale`.

    cell: (B, P) where on a grid of square cells a point is, row by row.  position, normal: (B, P, 3).  albedo: (B, P, 3)
    linear.  weight: (B, P) how far the image can be trusted there, 0 for points that only fill up an instance.
    object_index: (B, P) which of the meshes a point is on.
    """

    cell: np.ndarray
    position: np.ndarray
    normal: np.ndarray
    albedo: np.ndarray
    weight: np.ndarray
    object_index: np.ndarray


class LitScene(NamedTuple):
    """What light falls on: its visible points, and everything that may throw a shadow on them, B of each.

    centre: (B, 3) in the camera's frame and scale: (B,) metres, of the visible points' bounding box.
    """

    casters: Sequence[Mesh]
    surface: Surface
    centre: np.ndarray
    scale: np.ndarray

    def of(self, rows: np.ndarray) -> LitScene:
        """The given instances, which may repeat."""
        casters = [self.casters[row] for row in rows]
        return LitScene(casters, take(self.surface, rows), self.centre[rows], self.scale[rows])


class Pixels(NamedTuple):
    """Chosen pixels of one image: cell (P,) on the grid, row and column (P,) in the image."""

    cell: np.ndarray
    row: np.ndarray
    column: np.ndarray


def choose_pixels(usable: np.ndarray, grid_size: int) -> Pixels:
    """The usable pixels (H, W) bool nearest to the cell centres of a square grid around them; there must be one.

    A grid finer than the pixels leaves the cells beside it empty instead of showing a pixel twice.
    """
    rows, columns = np.flatnonzero(usable.any(axis=1)), np.flatnonzero(usable.any(axis=0))
    span = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
    step = max(1.0, span / grid_size)
    offsets = np.floor((np.arange(grid_size) + 0.5) * step).astype(int)
    middle = [(index[0] + index[-1] + 1) / 2 for index in (rows, columns)]
    row, column = (np.floor(m - grid_size * step / 2).astype(int) + offsets for m in middle)
    row, column = np.meshgrid(row, column, indexing="ij")
    is_inside = (row >= 0) & (row < usable.shape[0]) & (column >= 0) & (column < usable.shape[1])
    cell = np.flatnonzero(is_inside)
    row, column = row.ravel()[cell], column.ravel()[cell]
    is_usable = usable[row, column]
    if not is_usable.any():  # a few scattered pixels that the grid passes by
        row, column = (index[:1] for index in np.nonzero(usable))
        return Pixels(np.array([grid_size * grid_size // 2]), row, column)
    return Pixels(cell[is_usable], row[is_usable], column[is_usable])


def lit_scene(casters: Sequence[Mesh], buffer: GBuffer, pixels: Sequence[Pixels]) -> LitScene:
    """Scene of B objects as their G-buffers show them at the chosen pixels, which lie in the mask.

    casters: in the camera's frame.  Centre and scale are those of the whole mask, whatever was chosen from it.
    """
    count, length = len(casters), max(len(chosen.cell) for chosen in pixels)
    cell = np.zeros((count, length), np.int64)
    position, normal, albedo = (np.zeros((count, length, 3), np.float32) for _ in range(3))
    weight, object_index = np.zeros((count, length), np.float32), np.zeros((count, length), np.int16)
    inside = is_inside(buffer)
    for index, chosen in enumerate(pixels):
        used = len(chosen.cell)
        # Padding repeats points of the instance at weight zero, so it changes neither extent nor picture.
        filled = np.arange(length) % used
        at = (index, chosen.row[filled], chosen.column[filled])
        cell[index] = chosen.cell[filled]
        position[index], normal[index], albedo[index] = buffer.position[at], buffer.normal[at], buffer.albedo[at]
        object_index[index] = buffer.object_index[at]
        weight[index, :used] = np.where(inside[at], 1, BORDER_WEIGHT)[:used]
    low = np.min(buffer.position, axis=(1, 2), where=buffer.mask[..., None], initial=np.inf)
    high = np.max(buffer.position, axis=(1, 2), where=buffer.mask[..., None], initial=-np.inf)
    centre = ((low + high) / 2).astype(np.float32)
    scale = np.maximum(np.linalg.norm(high - low, axis=1), np.finfo(np.float32).tiny)
    position = (position - centre[:, None]) / scale[:, None, None]
    unit = [Mesh((mesh.vertices - c) / s, mesh.faces) for mesh, c, s in zip(casters, centre, scale, strict=True)]
    return LitScene(unit, Surface(cell, position, normal, albedo, weight, object_index), centre, scale)


def is_inside(buffer: GBuffer) -> np.ndarray:
    """(B, H, W) bool: pixels of a surface whose four neighbours show it too."""
    mask = np.pad(buffer.mask, ((0, 0), (1, 1), (1, 1)))
    inner = mask[:, 1:-1, 1:-1]
    return inner & mask[:, 2:, 1:-1] & mask[:, :-2, 1:-1] & mask[:, 1:-1, 2:] & mask[:, 1:-1, :-2]
