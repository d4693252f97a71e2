# SPDX-License-Identifier: Apache-2.0
"""How far a light can be trusted: the one place that decides it."""

from __future__ import annotations

from solver_core.solution import Judgement, Verdict

GOOD_ERROR = 0.1  # of the image's bright level: what edges and 8 bits leave stays below
POOR_ERROR = 0.15  # materials that are not matt and light from several sides still stay below it
GOOD_DEG, POOR_DEG = 10.0, 20.0  # shadows of a light known better fall where they should; one known no better helps nobody


def judge(
    image_error: float, uncertainty_deg: float, num_alternatives: int, are_two_likelier: bool, is_misread: bool
) -> Judgement:
    """Verdict on a light.

    Args:
        image_error: root mean square difference to the relit image, of its bright level.
        uncertainty_deg: the angle around the answer within which the light lies with a probability of 90 %, degrees.
        num_alternatives: other lights that were found and may be the right one.
        are_two_likelier: whether two lamps explain the image much better.
        is_misread: whether the light explains the image much better if its values are taken for something else.
    """
    fit = f"the relit image is {image_error:.1%} of the bright level off"
    known = f"it lies within {uncertainty_deg:.1f} degrees of the answer with a probability of 90 %"
    if num_alternatives:
        known += (
            "; another answer may be right" if num_alternatives == 1 else f"; {num_alternatives} other answers may be right"
        )
    fits_poorly = (
        f"The light does not explain the image: {fit}, over {POOR_ERROR:.0%}. Check geometry, camera, albedo and colour space."
    )
    fits_roughly = (
        f"The light explains the image only roughly: {fit}, over {GOOD_ERROR:.0%}. Compare the two before you use it."
    )
    judgements = (
        (image_error > POOR_ERROR, Judgement(Verdict.BAD, fits_poorly)),
        (uncertainty_deg > POOR_DEG, Judgement(Verdict.BAD, f"The image does not determine the light: {known}.")),
        (is_misread, Judgement(Verdict.DOUBTFUL, f"The values of the image were most likely misread: {known}.")),
        (are_two_likelier, Judgement(Verdict.DOUBTFUL, f"Two lamps explain the image much better than this one: {known}.")),
        (image_error > GOOD_ERROR, Judgement(Verdict.DOUBTFUL, fits_roughly)),
        (uncertainty_deg > GOOD_DEG, Judgement(Verdict.DOUBTFUL, f"The image determines the light only roughly: {known}.")),
        (True, Judgement(Verdict.GOOD, f"The light explains the image: {fit}; {known}.")),
    )
    return next(judgement for applies, judgement in judgements if applies)
