# SPDX-License-Identifier: Apache-2.0
"""Masks as virtual cameras see them, and the images that networks see of them."""

from __future__ import annotations

import ctypes

import numpy as np

from solver_core.images import block_mean
from solver_core.kernel import loader
from solver_core.kernel.threads import for_each_chunk


def mask_spans(masks: np.ndarray) -> np.ndarray:
    """(B, H, 2) int32: in each row of masks (B, H, W) bool the first True pixel and the one after the last, W both if none."""
    masks = np.ascontiguousarray(masks, np.bool_)
    loader.check_image_size(*masks.shape[1:])
    library = loader.library()
    if library is None:
        width = masks.shape[2]
        has_object = masks.any(axis=2)
        first, last = np.argmax(masks, axis=2), width - np.argmax(masks[:, :, ::-1], axis=2)
        return np.where(has_object[:, :, None], np.stack([first, last], axis=2), width).astype(np.int32)
    spans = np.empty((*masks.shape[:2], 2), np.int32)
    for_each_chunk(
        lambda part: library.solver_core_mask_spans(len(masks[part]), *masks.shape[1:], masks[part], spans[part]), len(masks)
    )
    return spans


def warp(
    coverage: np.ndarray, known: np.ndarray | None, homographies: np.ndarray, reductions: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Coverage (B, size, size) float32 seen by other cameras, and (B, size, size) bool where the image reaches and is known.

    coverage, known: (B, H, W), at least one pixel; known is None if all is.  homographies: (B, 3, 3), pixels (column, row, 1)
    of a view to those of the image.  reductions: (B,) image pixels a pixel of the view, whole, which are averaged.  Between
    pixel centres values are linear; beyond the border the nearest pixel is repeated.
    """
    count, height, width = coverage.shape
    loader.check_image_size(height, width)
    loader.check_shapes(
        known=(coverage if known is None else known, coverage.shape),
        homographies=(homographies, (count, 3, 3)),
        reductions=(reductions, (count,)),
    )
    library = loader.library()
    if library is None:
        return _warp_in_numpy(coverage, known, homographies, reductions, size)
    images = np.ascontiguousarray(coverage, np.float32)
    known = None if known is None else np.ascontiguousarray(known, np.bool_)
    homographies, reductions = np.ascontiguousarray(homographies, np.float64), np.ascontiguousarray(reductions, np.int32)
    seen, evidence = np.empty((count, size, size), np.float32), np.empty((count, size, size), np.bool_)

    def fill_chunk(part: slice) -> None:
        scratch, places = np.empty((height, width), np.float32), np.empty((2, size))
        library.solver_core_warp(
            *(len(images[part]), height, width, images[part], None if known is None else known[part]),
            *(homographies[part], reductions[part], size, scratch, places, seen[part], evidence[part]),
        )

    for_each_chunk(fill_chunk, count)
    return seen, evidence


def _warp_in_numpy(
    coverage: np.ndarray, known: np.ndarray | None, homographies: np.ndarray, reductions: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """As warp."""
    count, height, width = coverage.shape
    centres = np.arange(size) + 0.5
    by_column, by_row, constant = homographies[:, :, 0], homographies[:, :, 1], homographies[:, :, 2]
    across, down, depth = (
        by_column[:, axis, None, None] * centres + (by_row[:, axis, None] * centres + constant[:, axis, None])[:, :, None]
        for axis in range(3)
    )  # (B, size, size) each
    is_in_front = depth > 1e-3
    inverse = 1 / np.where(is_in_front, depth, 1.0)
    columns, rows = across * inverse, down * inverse
    evidence = is_in_front & (columns > 0) & (rows > 0) & (columns < width) & (rows < height)
    if known is not None:
        column, row = np.clip(columns, 0, width - 1).astype(int), np.clip(rows, 0, height - 1).astype(int)
        evidence &= known[np.arange(count)[:, None, None], row, column]
    seen = np.empty((count, size, size), np.float32)
    for reduction in np.unique(reductions):
        part = np.flatnonzero(reductions == reduction)
        reduced = block_mean(coverage[part], reduction)
        seen[part] = _bilinear(reduced, columns[part] / reduction - 0.5, rows[part] / reduction - 0.5)
    return seen, evidence


def _bilinear(images: np.ndarray, columns: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Values (B, h, w) between pixel centres of images (B, H, W), the first centre at (0, 0); beyond the border the nearest."""
    count, height, width = images.shape
    columns, rows = np.clip(columns, 0, width - 1), np.clip(rows, 0, height - 1)
    left, top = np.minimum(columns.astype(int), max(width - 2, 0)), np.minimum(rows.astype(int), max(height - 2, 0))
    across, down = (columns - left).astype(np.float32), (rows - top).astype(np.float32)
    right, below = int(width > 1), int(height > 1) * width
    pixels, first = images.ravel(), (np.arange(count)[:, None, None] * height + top) * width + left
    upper = pixels[first] * (1 - across) + pixels[first + right] * across
    lower = pixels[first + below] * (1 - across) + pixels[first + below + right] * across
    return upper * (1 - down) + lower * down


def mask_channels(
    observed: np.ndarray,
    estimated: np.ndarray,
    coverage: np.ndarray,
    depth: np.ndarray,
    evidence: np.ndarray,
    centre_depth: np.ndarray,
    limit: float,
) -> np.ndarray:
    """(B, H, W, 7) float32, what pose networks see of a mask and an estimate.

    observed, estimated: (B, H, W) signed distances, pixels; cut at `limit` and in units of it, and their difference.
    coverage: (B, H, W) of the mask.  depth: (B, H, W), infinite beside the object: whether the object is there, and twice
    what lies before centre_depth (B,).  evidence: (B, H, W) bool.
    """
    loader.check_image_size(*depth.shape[1:])
    images = {"observed": observed, "estimated": estimated, "coverage": coverage, "evidence": evidence}
    loader.check_shapes(**{name: (image, depth.shape) for name, image in images.items()})
    loader.check_shapes(centre_depth=(centre_depth, depth.shape[:1]))
    channels = np.empty((*depth.shape, 7), np.float32)
    library = loader.library()
    if library is None:
        _channels_in_numpy(observed, estimated, coverage, depth, evidence, centre_depth, limit, channels)
        return channels
    given = [np.ascontiguousarray(image, np.float32) for image in (observed, estimated, coverage, depth)]
    given += [np.ascontiguousarray(evidence, np.bool_), np.ascontiguousarray(centre_depth, np.float64)]
    for_each_chunk(lambda part: _channels_in_c(library, [array[part] for array in given], limit, channels[part]), len(depth))
    return channels


def _channels_in_c(library: ctypes.CDLL, given: list[np.ndarray], limit: float, channels: np.ndarray) -> None:
    """Fills channels."""
    count, height, width, _ = channels.shape
    library.solver_core_mask_channels(count, height * width, *given, limit, channels)


def _channels_in_numpy(
    observed: np.ndarray,
    estimated: np.ndarray,
    coverage: np.ndarray,
    depth: np.ndarray,
    evidence: np.ndarray,
    centre_depth: np.ndarray,
    limit: float,
    channels: np.ndarray,
) -> None:
    """Fills channels."""
    mask = np.isfinite(depth)
    relief = np.where(mask, centre_depth[:, None, None] - np.where(mask, depth, 0), 0)
    near, near_estimated = (np.clip(distance * np.float32(1 / limit), -1, 1) for distance in (observed, estimated))
    for index, channel in enumerate((near, near_estimated, near - near_estimated, coverage, mask, 2 * relief, evidence)):
        channels[..., index] = channel
