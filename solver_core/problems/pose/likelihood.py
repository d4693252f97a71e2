"""How badly a render explains a mask of which parts may be wrong.

Where a part of the object is hidden, or a mask has holes, blobs or a trembling edge, a part of the outline lies far from
where it should be, and how far says nothing.  So the distance of an outline point counts up to a limit only.  And a mask
shows what is there more often than it shows what is not: object that is missing in the mask may be hidden, mask beside
the object has no such excuse.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from solver_core.kernel.contour import ContourPoints, contour_points, sum_by_instance
from solver_core.problems.pose.observation import PoseObservation

CUT = 0.03  # of the longer side of the mask's box: outline farther away than this counts as wrong, however far it is
HIDDEN_WEIGHT = 0.025  # of object beside the mask, against one for mask beside the object


class Misfit(NamedTuple):
    """Parts of the energy, each (B,) in [0, 1].

    outline: mean distance of the rendered outline from the mask's, cut at the limit and in units of it; 1 without outline.
    unexplained: share of the mask that lies beside the render.  hidden: share of the render that lies beside the mask.
    """

    outline: np.ndarray
    unexplained: np.ndarray
    hidden: np.ndarray

    @property
    def energy(self) -> np.ndarray:
        """(B,) the parts weighed and added."""
        return self.outline + self.unexplained + HIDDEN_WEIGHT * self.hidden


def misfit(depth: np.ndarray, observation: PoseObservation, cut_px: float) -> Misfit:
    """Misfit of renders (B, H, W), infinite beside the object, over the pixels that give evidence."""
    anywhere, any_camera = np.zeros((len(depth), 3)), np.ones((len(depth), 4))  # they only matter to derivatives
    points = contour_points(anywhere, depth, observation.distance, observation.evidence, any_camera)
    return misfit_of_outline(points, np.isfinite(depth), observation, cut_px)


def misfit_of_outline(points: ContourPoints, is_object: np.ndarray, observation: PoseObservation, cut_px: float) -> Misfit:
    """Misfit of renders (B, H, W) bool whose outlines have been compared with the mask already."""
    cut = np.minimum(np.abs(points.residual) / cut_px, 1)
    values = np.stack([points.weight * cut, points.weight])
    total, length = sum_by_instance(values, points.instance, len(is_object)).T
    seen = (is_object & observation.evidence).astype(np.float32)  # sums of ones stay exact in float32 up to 16 megapixels
    covered = np.where(observation.evidence, observation.coverage, np.float32(0))
    both, rendered, observed = (
        np.einsum(f"{terms}->b", *arrays).astype(np.float64)
        for terms, *arrays in (("bij,bij", seen, covered), ("bij", seen), ("bij", covered))
    )
    return Misfit(
        np.where(length > 0, total / np.maximum(length, 1e-12), 1.0),
        1 - both / np.maximum(observed, 1e-6),
        np.where(rendered > 0, 1 - both / np.maximum(rendered, 1e-6), 1.0),
    )
