# SPDX-License-Identifier: Apache-2.0
"""Damages masks as real ones are: hidden parts, holes, blobs, edges that tremble or lie off.

What is done is stated in one place, MaskDamage, so that what networks were trained on can be told from what they were not.
All masks of a batch have one size, and each kind of damage is done to all that have it at once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from solver_core import render

MAX_HIDDEN = 0.5  # of the mask; with more hidden the mask stays whole
BOX, ELLIPSE, STRIP = range(3)


@dataclass(frozen=True)
class MaskDamage:
    """How many of the masks are damaged, and how much; lengths are shares of the longer side of the mask's box.

    hidden: share of masks of which a box, an ellipse or a strip hides up to half; marked: share of those where the
    hidden pixels are known as such.  hole, blob: share of masks with an ellipse cut out or added, of up to `spot`.
    trembling: share whose edge is moved by smooth noise of up to `tremble` (standard deviation), correlated over up to
    `wave`.  grown: share whose edge is moved outwards or inwards by up to `growth`.
    """

    hidden: float = 0.0
    marked: float = 0.25
    hole: float = 0.0
    blob: float = 0.0
    spot: float = 0.12
    trembling: float = 0.0
    tremble: float = 0.02
    wave: float = 0.1
    grown: float = 0.0
    growth: float = 0.015

    @property
    def is_none(self) -> bool:
        """Whether every mask stays as it is."""
        return not (self.hidden or self.hole or self.blob or self.trembling or self.grown)


def damage_masks(masks: np.ndarray, damage: MaskDamage, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray | None]:
    """Damaged masks (B, H, W) bool, and (B, H, W) bool where they are known, None if everywhere.

    masks: (B, H, W) bool, none of them empty.
    """
    if damage.is_none:
        return masks, None
    count = len(masks)
    damaged, known = masks.copy(), np.ones_like(masks)
    side = longer_sides(masks)
    rows = _some(rng, count, damage.trembling + damage.grown)
    if len(rows):
        trembles = rng.uniform(size=len(rows)) * (damage.trembling + damage.grown) < damage.trembling
        strength = np.where(trembles, rng.uniform(0, damage.tremble, len(rows)), 0) * side[rows]
        offset = np.where(trembles, 0, rng.uniform(-damage.growth, damage.growth, len(rows))) * side[rows]
        damaged[rows] = moved_edges(masks[rows], offset, strength, rng.uniform(0.3, 1) * damage.wave * side[rows].mean(), rng)
    rows = _some(rng, count, damage.hidden)
    if len(rows):
        hidden = _hiding_shapes(masks[rows], side[rows], rng)
        hides_much = (hidden & masks[rows]).sum(axis=(1, 2)) > MAX_HIDDEN * masks[rows].sum(axis=(1, 2))
        hidden[hides_much] = False
        damaged[rows] &= ~hidden
        known[rows] &= ~hidden | (rng.uniform(size=len(rows)) >= damage.marked)[:, None, None]
    for share, value in ((damage.hole, False), (damage.blob, True)):
        rows = _some(rng, count, share)
        if len(rows):
            radii = rng.uniform(0.2, 1, (len(rows), 2)) * damage.spot * side[rows, None]
            # A blob sticks out, a hole lies within.
            centres = random_pixels(masks[rows] & beside(~masks[rows]) if value else masks[rows], rng)
            spot = shapes(np.full(len(rows), ELLIPSE), centres, radii, rng.uniform(0, np.pi, len(rows)), *masks.shape[1:])
            damaged[rows] = np.where(spot, value, damaged[rows])
    lost = damaged.sum(axis=(1, 2)) < (1 - MAX_HIDDEN) * 0.8 * masks.sum(axis=(1, 2))  # too little is left to learn from
    damaged[lost], known[lost] = masks[lost], True
    return damaged, None if known.all() else known


def longer_sides(masks: np.ndarray) -> np.ndarray:
    """(B,) longer side of the box around each mask, pixels."""
    sides = []
    for axis in (1, 2):
        line = np.any(masks, axis=axis)
        sides.append(line.shape[1] - np.argmax(line[:, ::-1], axis=1) - np.argmax(line, axis=1))
    return np.maximum(*sides)


def moved_edges(
    masks: np.ndarray, offset: np.ndarray, strength: np.ndarray, wave_px: float, rng: np.random.Generator
) -> np.ndarray:
    """Masks (B, H, W) whose edges are moved outwards by offset (B,) and by smooth noise of deviation strength (B,), pixels."""
    noise = strength[:, None, None] * smooth_noise(rng, len(masks), masks.shape[1], masks.shape[2], wave_px)
    return render.signed_distance(masks) < offset[:, None, None] + noise


def smooth_noise(rng: np.random.Generator, count: int, height: int, width: int, wave_px: float) -> np.ndarray:
    """(count, height, width) float32 noise of deviation one, linear between random values wave_px apart."""
    wave_px = max(wave_px, 1.0)
    grid = rng.standard_normal((count, int(height / wave_px) + 2, int(width / wave_px) + 2), dtype=np.float32)
    for axis, size in ((1, height), (2, width)):
        place = np.arange(size) / wave_px + rng.uniform()
        place = np.minimum(place, grid.shape[axis] - 1.001)
        first, part = place.astype(int), (place % 1).astype(np.float32)
        part = part[:, None] if axis == 1 else part
        grid = np.take(grid, first, axis=axis) * (1 - part) + np.take(grid, first + 1, axis=axis) * part
    return grid * np.float32(1.5)  # between its random values interpolated noise is quieter: two thirds on average


def shapes(kind: np.ndarray, centre: np.ndarray, radii: np.ndarray, angle: np.ndarray, height: int, width: int) -> np.ndarray:
    """(B, height, width) bool: boxes, ellipses or strips about centres (B, 2) by column and row, turned by angles (B,).

    radii: (B, 2) half lengths along and across; a strip is endless along.
    """
    columns = np.arange(width, dtype=np.float32) + 0.5 - centre[:, :1].astype(np.float32)  # (B, W)
    rows = np.arange(height, dtype=np.float32) + 0.5 - centre[:, 1:].astype(np.float32)
    cosine, sine = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
    along, across = radii.astype(np.float32).T
    u = (columns * (cosine / along)[:, None])[:, None, :] + (rows * (sine / along)[:, None])[:, :, None]
    v = (rows * (cosine / across)[:, None])[:, :, None] - (columns * (sine / across)[:, None])[:, None, :]
    result = np.abs(v) < 1
    is_box, is_ellipse = kind == BOX, kind == ELLIPSE
    result[is_box] &= np.abs(u[is_box]) < 1
    result[is_ellipse] = u[is_ellipse] ** 2 + v[is_ellipse] ** 2 < 1
    return result


def _hiding_shapes(masks: np.ndarray, side: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    count = len(masks)
    kind = rng.choice([BOX, ELLIPSE, STRIP], size=count, p=[0.5, 0.25, 0.25])
    radii = np.exp(rng.uniform(np.log(0.06), np.log(0.45), (count, 2))) * side[:, None]
    radii[kind == STRIP] *= 0.5
    return shapes(kind, random_pixels(masks, rng), radii, rng.uniform(0, np.pi, count), *masks.shape[1:])


def beside(masks: np.ndarray) -> np.ndarray:
    """Pixels that have one of masks (B, H, W) bool above, below or beside them; the image border is none."""
    padded = np.pad(masks, ((0, 0), (1, 1), (1, 1)))
    return padded[:, :-2, 1:-1] | padded[:, 2:, 1:-1] | padded[:, 1:-1, :-2] | padded[:, 1:-1, 2:]


def random_pixels(masks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(B, 2) column and row of a random pixel of each mask; the middle of the image for an empty one."""
    width = masks.shape[2]
    pixels = masks.reshape(len(masks), -1)
    pixels = pixels | (~pixels.any(axis=1, keepdims=True) & (np.arange(pixels.shape[1]) == pixels.shape[1] // 2))
    instance, pixel = np.nonzero(pixels)
    counts = np.bincount(instance, minlength=len(masks))
    chosen = pixel[np.cumsum(counts) - counts + (rng.uniform(size=len(masks)) * counts).astype(int)]
    return np.stack([chosen % width, chosen // width], axis=1) + 0.5


def _some(rng: np.random.Generator, count: int, share: float) -> np.ndarray:
    return np.flatnonzero(rng.uniform(size=count) < share)
