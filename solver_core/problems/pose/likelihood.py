# SPDX-License-Identifier: Apache-2.0
"""How badly a render explains a mask of which parts may be wrong.

Where a part of the object is hidden, or a mask has holes, blobs or a trembling edge, a part of the outline lies far from
where it should be, and how far says nothing.  So the distance of an outline point counts up to a limit only.  And a mask
shows what is there more often than it shows what is not: object that is missing in the mask may be hidden, mask beside
the object has no such excuse.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from solver_core.kernel.contour import misfit_sums
from solver_core.problems.pose.observation import PoseObservation

CUT = 0.03  # of the longer side of the mask's box: outline farther away than this counts as wrong, however far it is
HIDDEN_WEIGHT = 0.025  # of object beside the mask, against one for mask beside the object


class Misfit(NamedTuple):
    """Parts of the energy, each (B,) in [0, 1].

    outline: mean distance of the rendered outline from the mask's, cut at the limit and in units of it; 1 without outline.
    unexplained: share of the mask that lies beside the render.  hidden: share of the render that lies beside the mask.
    overlap: intersection over union, which is no part of the energy.
    """

    outline: np.ndarray
    unexplained: np.ndarray
    hidden: np.ndarray
    overlap: np.ndarray

    @property
    def energy(self) -> np.ndarray:
        """(B,) the parts weighed and added."""
        return self.outline + self.unexplained + HIDDEN_WEIGHT * self.hidden


def misfit(depth: np.ndarray, observation: PoseObservation, cut_px: float) -> Misfit:
    """Misfit of renders (B, H, W), infinite beside the object, over the pixels that give evidence."""
    sums = misfit_sums(depth, observation.distance, observation.evidence, observation.coverage, cut_px)
    distances, length, both, rendered, observed = sums.T
    return Misfit(
        np.where(length > 0, distances / np.maximum(length, 1e-12), 1.0),
        1 - both / np.maximum(observed, 1e-6),
        np.where(rendered > 0, 1 - both / np.maximum(rendered, 1e-6), 1.0),
        both / np.maximum(rendered + observed - both, 1e-12),
    )
