# SPDX-License-Identifier: Apache-2.0
"""What a network says of where an object is: log odds of each pixel, from the image around what a user marked.

It has learned on rendered scenes and is often wrong, so it proposes: where a model is placed by what it is sure of, the
likelihood of the image (likelihood.py) decides whether that is a better place.
"""

from __future__ import annotations

import functools

import numpy as np

from solver_core import render
from solver_core.images import block_mean
from solver_core.network.hourglass import Hourglass, HourglassSpec
from solver_core.network.weights import load_weights_of, shipped_weights
from solver_core.segmentation.barrier import barrier_distance
from solver_core.segmentation.edge import between
from solver_core.segmentation.likelihood import HUE, oklab

TASK = "mask"
INPUT_LAYOUT = "mask 1: sRGB, marks, barrier distance to what is beyond, log odds by colour, silhouette, whether there is one"
CHANNELS = 8
SIZE = 96  # pixels of a side of what the network sees
AROUND = 1.5  # and so long is that side, in longer sides of what is marked
BARRIER = 0.3  # a colour difference that noise does not make
BINS = 10  # of each of three channels
COUNT = 0.5  # pixels of each bin that both sides have before any is seen
ODDS = 3.0  # log odds by colour that are full scale
OFF_PX = 8.0  # distance from the silhouette's outline that is full scale, in the network's pixels


def square_around(pixels: np.ndarray) -> tuple[float, float, float]:
    """Left, top and side of what the network sees around pixels (H, W) bool, not none; it may reach over the image."""
    spans = np.array([np.flatnonzero(pixels.any(axis=axis))[[0, -1]] + [0, 1] for axis in (0, 1)], float)
    side = AROUND * np.ptp(spans, axis=1).max()
    left, top = spans.mean(axis=1) - side / 2
    return left, top, side


def seen_in(square: tuple[float, float, float], values: np.ndarray) -> np.ndarray:
    """(SIZE, SIZE, C) of an image (H, W, C) in a square; beyond its border the image is continued by its last pixels."""
    left, top, side = square
    factor = max(1, int(side / SIZE))
    small = block_mean(values[None], factor)[0]
    at = (np.arange(SIZE) + 0.5) * side / SIZE
    rows, columns = ((start + at) / factor - 0.5 for start in (top, left))
    grid = np.meshgrid(rows, columns, indexing="ij")
    return between(small, grid[0].ravel(), grid[1].ravel()).reshape(SIZE, SIZE, -1)


def features(colours: np.ndarray, marks: np.ndarray, silhouettes: np.ndarray, has_model: np.ndarray) -> np.ndarray:
    """(B, H, W, CHANNELS) float32 what the network sees.

    Args:
        colours: (B, H, W, 3) sRGB in [0, 1].
        marks: (B, H, W) 1 where the user says that the object is, -1 where it is not, else 0.
        silhouettes: (B, H, W) bool where a model would be.
        has_model: (B,) bool, whether there is one.
    """
    felt = oklab(colours) * np.array([1, HUE, HUE], np.float32)
    is_beyond = marks < 0
    apart = np.tanh(np.minimum(barrier_distance(felt, is_beyond), 1) / BARRIER)
    odds = np.stack([_colour_odds(*one) for one in zip(colours, is_beyond, strict=True)]) / ODDS
    inside = np.clip(-render.signed_distance(silhouettes) / OFF_PX, -1, 1) * has_model[:, None, None]
    there = np.broadcast_to(has_model[:, None, None], marks.shape)
    return np.concatenate(
        [2 * colours - 1, *(one[..., None] for one in (marks, apart, odds, inside, there))], axis=3, dtype=np.float32
    )


def _colour_odds(colours: np.ndarray, is_beyond: np.ndarray) -> np.ndarray:
    """(H, W) log of how much more often colours (H, W, 3) occur in what is not beyond than in what is."""
    index = np.minimum((colours * BINS).astype(int), BINS - 1) @ [BINS * BINS, BINS, 1]
    shares = []
    for part in (~is_beyond, is_beyond):
        counts = np.bincount(index[part], minlength=BINS**3).reshape(BINS, BINS, BINS).astype(np.float32)
        for axis in range(3):  # colours near each other count, too
            padded = np.pad(counts, [(1, 1) if one == axis else (0, 0) for one in range(3)], mode="edge")
            low, middle, high = (np.take(padded, np.arange(BINS) + shift, axis) for shift in range(3))
            counts = (low + 2 * middle + high) / 4
        shares.append((counts + COUNT) / (counts.sum() + COUNT * BINS**3))
    return np.clip(np.log(shares[0] / shares[1]), -ODDS, ODDS).ravel()[index]


@functools.cache
def _network() -> Hourglass:
    (weights,), info = load_weights_of(HourglassSpec, shipped_weights(TASK), TASK, INPUT_LAYOUT)
    return Hourglass(info.spec, weights)


def log_odds(colours: np.ndarray, is_inside: np.ndarray, is_outside: np.ndarray, silhouette: np.ndarray) -> np.ndarray:
    """(h, w) float32 of each pixel that the object is there; 0 where a user said it.

    Args:
        colours: (h, w, 3) sRGB in [0, 1].
        is_inside: (h, w) bool, where the user says that the object is.
        is_outside: (h, w) bool, where the user says that it is not; not all.
        silhouette: (h, w) bool where a model would be.
    """
    square = square_around(~is_outside)
    seen = seen_in(square, np.concatenate([colours, np.stack([is_inside, is_outside, silhouette], axis=2)], axis=2))
    inside, outside, model = np.moveaxis(seen[..., 3:] > 0.5, 2, 0)
    marks = inside.astype(np.float32) - outside
    inputs = features(seen[None, ..., :3], marks[None], model[None], np.array([True]))
    found = _network()(inputs)[0]
    left, top, side = square
    rows, columns = (
        (np.arange(length) + 0.5 - start) * SIZE / side - 0.5
        for start, length in zip((top, left), is_outside.shape, strict=True)
    )
    grid = np.meshgrid(rows, columns, indexing="ij")
    odds = between(found[..., None], grid[0].ravel(), grid[1].ravel()).reshape(is_outside.shape)
    return np.where(is_outside | is_inside, 0, odds)
