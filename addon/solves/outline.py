# SPDX-License-Identifier: GPL-3.0-or-later
"""Outlines of masks as line segments, for drawing."""

from __future__ import annotations

import numpy as np

from solver_core.frames import Camera
from solver_core.mesh import Mesh

from .observed import extent, seen_part

MAX_SIZE = 512  # pixels of the longer side: outlines to look at need no more

# Marching squares.  The sides of a cell of four pixel centres are top, right, bottom and left, their middles (x, y) below;
# bit k of a case is set if corner k (top left, top right, bottom right, bottom left) is inside.
MIDDLES = np.array([(0.5, 0.0), (1.0, 0.5), (0.5, 1.0), (0.0, 0.5)])
SEGMENTS = {
    1: [(0, 3)],
    2: [(0, 1)],
    3: [(1, 3)],
    4: [(1, 2)],
    5: [(0, 3), (1, 2)],
    6: [(0, 2)],
    7: [(2, 3)],
    8: [(2, 3)],
    9: [(0, 2)],
    10: [(0, 1), (2, 3)],
    11: [(1, 2)],
    12: [(1, 3)],
    13: [(0, 1)],
    14: [(0, 3)],
}


def outline(mask: np.ndarray) -> np.ndarray:
    """(N, 2, 2) segments around a mask (H, W) bool: (x, y) from 0 to 1, y up."""
    height, width = mask.shape
    part = extent(mask)
    padded = np.pad(mask[part], 1).astype(np.uint8)
    case = padded[:-1, :-1] | padded[:-1, 1:] << 1 | padded[1:, 1:] << 2 | padded[1:, :-1] << 3
    rows, columns = np.nonzero((case > 0) & (case < 15))
    found = case[rows, columns]
    # The first cell's corner is half a pixel beyond the border of the part.
    corners = np.stack([columns + part[1].start, rows + part[0].start], axis=-1) - 0.5
    lines = [corners[found == number][:, None] + MIDDLES[list(pair)] for number, pairs in SEGMENTS.items() for pair in pairs]
    return (np.concatenate(lines) / (width, height) * (1, -1) + (0, 1)).astype(np.float32)


def mask_outline(coverage: np.ndarray) -> np.ndarray:
    """(N, 2, 2) segments around an observed mask (H, W) in [0, 1], thinned to MAX_SIZE."""
    height, width = coverage.shape
    factor = min(1, MAX_SIZE / max(height, width))
    rows = ((np.arange(max(1, round(height * factor))) + 0.5) / factor).astype(int).clip(0, height - 1)
    columns = ((np.arange(max(1, round(width * factor))) + 0.5) / factor).astype(int).clip(0, width - 1)
    return outline(coverage[rows[:, None], columns] >= 0.5)


def mesh_outline(mesh: Mesh, camera_from_object: np.ndarray, camera: Camera) -> np.ndarray:
    """(N, 2, 2) segments around a mesh as a camera sees it."""
    factor = min(1, MAX_SIZE / max(camera.width, camera.height))
    width, height = max(1, round(camera.width * factor)), max(1, round(camera.height * factor))
    view = camera.scaled(factor, width, height)
    mask = np.zeros((height, width), bool)
    part, mask_of_part = seen_part(mesh, camera_from_object, view)
    mask[part] = mask_of_part
    return outline(mask)
