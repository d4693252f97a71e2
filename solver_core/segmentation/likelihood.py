# SPDX-License-Identifier: Apache-2.0
"""How likely an image is, if a given part of it shows an object and the rest does not.

A part explains an image if its colours differ from those around it, and if its outline runs along edges.  Colours are
compared without a model of either side: with pixels sorted into a palette, the log likelihood of both sides with
histograms of their own, over that of one histogram of all, is the number of pixels times the mutual information of
colour and side.
"""

from __future__ import annotations

import numpy as np

from solver_core.colour import linear_from_srgb
from solver_core.kernel.silhouette import silhouette_sums
from solver_core.segmentation.mixture import spread_out

NUM_COLOURS = 48  # of the palette
SAMPLES, ROUNDS = 3000, 6  # pixels that the palette is made of, and rounds of k-means
HUE = 2.0  # how much a difference of hue counts, against one of lightness
PRIOR_COUNT = 0.2  # pixels of each colour that either side has before any is seen
PIXELS_PER_WITNESS = 4.0  # neighbouring pixels are alike: so many tell as much as one would alone
EDGE_WEIGHT = 6.0  # nats of a pixel of outline on the sharpest edge, over one on none
MARK_WEIGHT = 1.0  # nats of a pixel that a user marked as the other side
LEAST_PIXELS, NOTHING = 20, -1e6  # of a part; smaller ones explain nothing
# Linear sRGB to the cone responses of Oklab, and their cube roots to lightness and two hues (Ottosson 2020).
CONES = np.array([[0.4122, 0.5363, 0.0514], [0.2119, 0.6807, 0.1074], [0.0883, 0.2817, 0.6300]], np.float32)
OKLAB = np.array([[0.2105, 0.7936, -0.0041], [1.9780, -2.4286, 0.4506], [0.0259, 0.7828, -0.8087]], np.float32)


def oklab(colours: np.ndarray) -> np.ndarray:
    """(..., 3) float32 lightness and hues, in which equal distances look about equally different, of sRGB in [0, 1]."""
    return np.cbrt(linear_from_srgb(colours) @ CONES.T) @ OKLAB.T


class ImageLikelihood:
    """Log likelihood of an image by which pixels show the object, over that of an image of the same colours without one."""

    def __init__(
        self,
        colours: np.ndarray,
        is_inside: np.ndarray,
        is_outside: np.ndarray,
        pixel_scale: float,
        palette: np.ndarray | None = None,
    ) -> None:
        """colours: (h, w, 3) sRGB in [0, 1].  is_inside, is_outside: (h, w) bool, what a user marked.

        pixel_scale: how many pixels a pixel of the search is long; likelihoods of images of different sizes compare then.
        palette: (K, 3) of another part of the same photograph; None makes one.
        """
        felt = oklab(colours) * np.array([1, HUE, HUE], np.float32)
        samples = felt.reshape(-1, 3)
        self.palette = _palette(samples) if palette is None else palette
        self.colour = _nearest(samples, self.palette).astype(np.uint8).reshape(felt.shape[:2])
        self.total = np.bincount(self.colour.ravel(), minlength=NUM_COLOURS)
        self.as_one = _log_likelihood(self.total)  # without an object
        self.marks = is_outside.astype(np.int8) - is_inside
        self.missed = int(is_inside.sum())  # marks that a part of no pixels does not heed
        across, down = (np.linalg.norm(np.diff(felt, axis=axis), axis=2) for axis in (1, 0))
        typical = (across.sum() + down.sum()) / (across.size + down.size) + 1e-4
        self.edges = across / (across + typical), down / (down + typical)
        self.usual_edge = float(sum(one.sum() for one in self.edges) / (across.size + down.size))
        self.pixel_scale = pixel_scale

    def __call__(self, silhouettes: np.ndarray) -> np.ndarray:
        """(B,) of silhouettes (B, h, w) bool; very low where next to nothing is in view."""
        counts, sums = silhouette_sums(silhouettes, self.colour, self.marks, *self.edges, NUM_COLOURS)
        against_marks, sharpness, length = sums.T
        by_edges = EDGE_WEIGHT * (sharpness - self.usual_edge * length) / self.pixel_scale
        by_pixels = self._colour_nats(counts) - MARK_WEIGHT * (self.missed + against_marks)
        return np.where(counts.sum(axis=1) < LEAST_PIXELS, NOTHING, by_edges + by_pixels / self.pixel_scale**2)

    def _colour_nats(self, counts: np.ndarray) -> np.ndarray:
        """(B,) of parts with pixels of counted colours (B, K), by their colours alone."""
        return (_log_likelihood(counts) + _log_likelihood(self.total - counts) - self.as_one) / PIXELS_PER_WITNESS

    def overlap(self, silhouette: np.ndarray) -> float:
        """IoU of a silhouette (h, w) bool with the pixels whose colours are commoner inside of it than outside."""
        counts = np.bincount(self.colour[silhouette], minlength=NUM_COLOURS)
        is_commoner = counts / max(counts.sum(), 1) > (self.total - counts) / max((self.total - counts).sum(), 1)
        is_object = is_commoner[self.colour]
        return float(np.sum(is_object & silhouette) / max(np.sum(is_object | silhouette), 1))

    def parts(self, silhouette: np.ndarray) -> tuple[float, float, float]:
        """What makes an image likely by a silhouette (h, w) bool: contrast, edges, weak.

        contrast: nats a pixel of the object by colour.  edges: how much sharper the outline is than the image elsewhere, in
        [-1, 1].  weak: share of the outline that is less sharp than that, in [0, 1].
        """
        across, down = self.edges
        sharpness = np.concatenate([across[silhouette[:, 1:] != silhouette[:, :-1]], down[silhouette[1:] != silhouette[:-1]]])
        if len(sharpness) == 0:
            return 0.0, -1.0, 1.0
        counts = np.bincount(self.colour[silhouette], minlength=NUM_COLOURS)
        contrast = PIXELS_PER_WITNESS * float(self._colour_nats(counts)) / counts.sum()
        return contrast, float(sharpness.mean()) - self.usual_edge, float(np.mean(sharpness < self.usual_edge))


def _log_likelihood(counts: np.ndarray) -> np.ndarray:
    """(...) of pixels of counted colours (..., K), with the histogram that they have."""
    counts = counts + PRIOR_COUNT
    return (counts * np.log(counts / counts.sum(axis=-1, keepdims=True))).sum(axis=-1)


def _palette(samples: np.ndarray) -> np.ndarray:
    """(NUM_COLOURS, 3) colours that are near to all of samples (N, 3): k-means from colours that are far apart."""
    rng = np.random.default_rng(0)
    drawn = samples[rng.permutation(len(samples))[:SAMPLES]]
    centres = spread_out(drawn, np.ones(len(drawn)), NUM_COLOURS, np.ones(3), rng)
    for _ in range(ROUNDS):
        index = _nearest(drawn, centres)
        counts = np.bincount(index, minlength=NUM_COLOURS)
        sums = np.stack([np.bincount(index, channel, NUM_COLOURS) for channel in drawn.T], axis=1)
        centres = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], centres).astype(np.float32)
    return centres


def _nearest(samples: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """(N,) number of the centre (K, 3) that is nearest to each of samples (N, 3)."""
    return ((centres**2).sum(axis=1) - 2 * samples @ centres.T).argmin(axis=1)
