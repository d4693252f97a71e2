# SPDX-License-Identifier: Apache-2.0
"""How likely an image is, if a given part of it shows an object and the rest does not."""

from __future__ import annotations

import numpy as np

from solver_core.segmentation.mask import FIRST_ROUNDS, NOISE, NUM_INSIDE, NUM_OUTSIDE, SAMPLES
from solver_core.segmentation.mixture import fit_mixture, log_density


def separation(colours: np.ndarray, is_inside: np.ndarray) -> float:
    """Mean log likelihood of the pixels of an image (h, w, 3) if those inside have colours of their own; to compare parts by.

    is_inside: (h, w) bool.
    """
    rng = np.random.default_rng(0)
    features, inside = colours.reshape(-1, 3), is_inside.ravel()
    drawn = rng.permutation(len(features))[:SAMPLES]

    def density(weights: np.ndarray, count: int) -> np.ndarray:
        return log_density(fit_mixture(features[drawn], weights[drawn], count, NOISE, FIRST_ROUNDS, rng), features)

    apart = np.where(inside, density(inside + 1e-6, NUM_INSIDE), density(~inside + 1e-6, NUM_OUTSIDE))
    share = np.clip(inside.mean(), 1e-6, 1 - 1e-6)
    return float(np.mean(apart) + share * np.log(share) + (1 - share) * np.log(1 - share))
