"""How far a pose can be trusted: the one place that decides it."""

from __future__ import annotations

from solver_core.solution import Judgement, Verdict

GOOD_IOU = 0.97  # on clean masks practically no wrong pose fits this well (training/RESULTS.md)
POOR_IOU = 0.9  # a mask drawn by hand, a pixel or two off, still reaches more at the right pose; wrong poses seldom do


def judge(iou: float, num_alternatives: int) -> Judgement:
    """Verdict on a pose by its overlap with the mask; num_alternatives: other poses that fit about as well."""
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
    if num_alternatives:
        others = "another pose" if num_alternatives == 1 else f"{num_alternatives} other poses"
        return Judgement(
            Verdict.GOOD, f"The pose explains the mask: they overlap by {iou:.1%}; so do {others}, nearly as well."
        )
    return Judgement(Verdict.GOOD, f"The pose explains the mask: they overlap by {iou:.1%}.")
