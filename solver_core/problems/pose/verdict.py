"""How far a pose can be trusted: the one place that decides it."""

from __future__ import annotations

import numpy as np

from solver_core.solution import Judgement, Verdict

GOOD_IOU = 0.97  # on clean masks practically no wrong pose fits this well (training/RESULTS.md)
POOR_IOU = 0.9  # a mask drawn by hand, a pixel or two off, still reaches more at the right pose; wrong poses seldom do

MIN_SIZE_PX = 16  # a pixel is a sixteenth of the object and hides turns of some ten degrees
MAX_SIDES_CUT = 3  # what is left is a single edge


def judge(coverage: np.ndarray, iou: float, num_alternatives: int) -> Judgement:
    """Verdict on a pose.

    Args:
        coverage: (H, W) the mask, in [0, 1].
        iou: overlap of the pose with the mask, in [0, 1].
        num_alternatives: other poses that fit about as well.
    """
    is_object = coverage >= 0.5
    size = max(np.ptp(np.flatnonzero(is_object.any(axis=axis))) + 1 for axis in (0, 1))
    sides_cut = sum(side.any() for side in (is_object[0], is_object[-1], is_object[:, 0], is_object[:, -1]))
    if iou < POOR_IOU:
        return Judgement(
            Verdict.BAD,
            f"The pose does not explain the mask: they overlap by {iou:.1%}, under {POOR_IOU:.0%}. "
            "Check mesh, camera and mask, or give a better start.",
        )
    if iou < GOOD_IOU:
        return Judgement(
            Verdict.DOUBTFUL,
            f"The pose explains the mask only roughly: they overlap by {iou:.1%}, under {GOOD_IOU:.0%}. "
            "Look at the outlines before you use it.",
        )
    if size < MIN_SIZE_PX:
        return Judgement(
            Verdict.DOUBTFUL,
            f"The pose fits the mask, but {size} pixels across are too few to tell poses apart. Give a larger mask.",
        )
    if sides_cut >= MAX_SIDES_CUT:
        return Judgement(
            Verdict.DOUBTFUL,
            f"The pose fits the mask, but the image cuts the mask off on {sides_cut} sides, so little of the outline is seen.",
        )
    if num_alternatives:
        others = "another pose" if num_alternatives == 1 else f"{num_alternatives} other poses"
        return Judgement(
            Verdict.GOOD, f"The pose explains the mask: they overlap by {iou:.1%}; so do {others}, nearly as well."
        )
    return Judgement(Verdict.GOOD, f"The pose explains the mask: they overlap by {iou:.1%}.")
