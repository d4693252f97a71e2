"""How far a light can be trusted: the one place that decides it."""

from __future__ import annotations

from solver_core.solution import Judgement, Verdict

GOOD_ERROR = 0.1  # of the image's bright level: what edges and 8 bits leave stays below
POOR_ERROR = 0.15  # materials that are not matt and light from several sides still stay below it
GOOD_UNCERTAINTY_DEG = 10.0  # shadows of a light known better fall where they should
POOR_UNCERTAINTY_DEG = 20.0  # a light known no better is none that one would relight with


def judge(image_error: float, uncertainty_deg: float) -> Judgement:
    """Verdict on a light.

    Args:
        image_error: root mean square difference to the relit image, of its bright level.
        uncertainty_deg: the largest angle at which some light explains the image as well.
    """
    error, known = f"off by {image_error:.1%} of its bright level", f"known to {uncertainty_deg:.1f} degrees"
    numbers = f"the relit image is {error}, and the direction is {known}"
    if image_error > POOR_ERROR:
        return Judgement(
            Verdict.BAD, f"The light does not explain the image: {numbers}. Check geometry, pose and colour space."
        )
    if uncertainty_deg > POOR_UNCERTAINTY_DEG:
        return Judgement(Verdict.BAD, f"The image does not tell the light: {numbers}.")
    if image_error > GOOD_ERROR or uncertainty_deg > GOOD_UNCERTAINTY_DEG:
        return Judgement(Verdict.DOUBTFUL, f"The light explains the image only roughly: {numbers}.")
    return Judgement(Verdict.GOOD, f"The light explains the image: {numbers}.")
