# SPDX-License-Identifier: Apache-2.0
"""How far a pose can be trusted: the one place that decides it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from solver_core.problems.pose.evidence import Evidence
from solver_core.problems.pose.symmetry import Symmetries
from solver_core.solution import Judgement, Verdict

GOOD_IOU = 0.97  # on clean masks practically no wrong pose fits this well (training/RESULTS.md)
# Probabilities of being right: from the first on a pose is good, below the second it is bad.
GOOD_CONFIDENCE, POOR_CONFIDENCE = 0.9, 0.4
MIN_SIZE_PX = 16  # a pixel is a sixteenth of the object and hides turns of some ten degrees
SMALL_IOU = 0.8  # of so small a mask is a fit
MAX_SIDES_CUT = 3  # what is left is a single edge
NOTED_ALIKE = 0.2  # share of the outline
NOTED, NOTED_PX = 0.05, 0.5  # share of object or mask, and pixels of edge, that are worth a note


def judge(
    coverage: np.ndarray,
    evidence: Evidence,
    confidence: float,
    num_alternatives: int,
    focal_factor: float | None = None,
    doubted_axis: str | None = None,
    confidence_of_view: float = 0.0,
    num_masks: int = 1,
) -> Judgement:
    """Verdict on a pose.

    Args:
        coverage: (H, W) the mask, in [0, 1].
        evidence: what speaks for the pose.
        confidence: probability that it is right, by the evidence.
        num_alternatives: other poses that fit about as well.
        focal_factor: on the focal length, where that explains the mask better.
        doubted_axis: of the mesh, where a longer or shorter one explains the mask better.
        confidence_of_view: as confidence, but for the distance, where that goes with a focal length that is not known.
        num_masks: that the evidence is the mean of.
    """
    is_object = coverage >= 0.5
    size = max(np.ptp(np.flatnonzero(is_object.any(axis=axis))) + 1 for axis in (0, 1))
    sides_cut = sum(side.any() for side in (is_object[0], is_object[-1], is_object[:, 0], is_object[:, -1]))
    mask, masks, mean = ("mask", "mask's", "") if num_masks == 1 else ("masks", "masks'", " on average")
    fit = f"they overlap by {evidence.iou:.1%}{mean}, and {evidence.inliers:.0%} of the object's outline lies on the {masks}"
    odds = f"of poses with such a fit {confidence:.1%} are right"
    if size < MIN_SIZE_PX and evidence.iou > SMALL_IOU:
        return Judgement(
            Verdict.BAD if confidence < POOR_CONFIDENCE else Verdict.DOUBTFUL,
            f"The pose fits the mask, but {'a single pixel is' if size == 1 else f'{size} pixels across are'} too few to tell "
            "poses apart. Give a larger mask.",
        )
    if confidence < GOOD_CONFIDENCE <= confidence_of_view:
        return Judgement(
            Verdict.DOUBTFUL,
            f"The distance is not sure, as the mask does not tell the focal length better: {fit}; {odds}. "
            "Give the focal length if you know it.",
        )
    if confidence < POOR_CONFIDENCE:
        return Judgement(
            Verdict.BAD,
            f"The pose does not explain the {mask}: {fit}; {odds}. Check mesh, camera and {mask}, or give a better start.",
        )
    if confidence < GOOD_CONFIDENCE:
        return Judgement(Verdict.DOUBTFUL, f"The pose is not sure: {fit}; {odds}. Look at the outlines before you use it.")
    if focal_factor is not None:
        return Judgement(
            Verdict.DOUBTFUL,
            f"The distance is most likely wrong: {fit}, but {_other_focal(focal_factor)} "
            "explains the mask better. Check the camera, and whether the mesh has the object's proportions.",
        )
    if doubted_axis is not None:
        return _judge_proportions(fit, doubted_axis, "mask")
    if sides_cut >= MAX_SIDES_CUT:
        return Judgement(
            Verdict.DOUBTFUL,
            f"The pose fits the mask, but the image cuts the mask off on {sides_cut} sides, so little of the outline is seen.",
        )
    others = "another pose" if num_alternatives == 1 else f"{num_alternatives} other poses"
    also = f". So do {others}, nearly as well" if num_alternatives else ""
    return Judgement(Verdict.GOOD, f"The pose explains the {mask}: {fit}; {odds}{also}.")


def _other_focal(factor: float) -> str:
    return "another focal length" if round(factor, 2) == 1 else f"a focal length of {factor:.0%} of the given one"


def judge_out_of_view() -> Judgement:
    """Verdict on a pose in a shot that has left the image, or is not before the camera."""
    return Judgement(Verdict.BAD, "The object has left the image; its pose is the last one known, moved on.")


def judge_after_loss(iou: float) -> Judgement:
    """Verdict on a pose in a shot that may pass for right, but goes back to one that is not sure."""
    return Judgement(
        Verdict.DOUBTFUL,
        f"The pose is not sure: it overlaps with the object by {iou:.1%}, but the object was lost before, and this may be "
        "another pose that looks much the same.",
    )


def judge_leap(iou: float, share: float) -> Judgement:
    """Verdict on a pose in a shot that may pass for right, but is so much nearer or farther than the one before led to expect.

    share: of the mesh's diagonal.
    """
    return Judgement(
        Verdict.DOUBTFUL,
        f"The pose is not sure: it overlaps with the object by {iou:.1%}, but is {share:.0%} of the mesh's diagonal nearer or "
        "farther than the frame before led to expect, as where something's edge is taken for the object's.",
    )


def judge_filled(is_between: bool) -> Judgement:
    """Verdict on a pose in a frame of a shot in which the object is lost, from the frames around."""
    if is_between:
        return Judgement(
            Verdict.DOUBTFUL,
            "The object was not found in this frame; its pose is what lies between the frames before and after.",
        )
    return Judgement(
        Verdict.BAD, "The object was not found in this frame, nor on one side of it; its pose is the motion gone on."
    )


def judge_moved(turn_deg: float) -> Judgement:
    """Verdict on a pose in a shot that was found and does not go with those around it."""
    return Judgement(
        Verdict.DOUBTFUL,
        f"The pose that was found does not go with those around it; smoothing turned it by {turn_deg:.1f} degrees.",
    )


def judge_apart() -> Judgement:
    """Verdict on a pose at an end of a shot that was found and is far from those beside it, which move far less."""
    return Judgement(
        Verdict.DOUBTFUL,
        "The pose that was found is far from those beside it, at an end of the shot; either it is wrong, or the object jumped.",
    )


def judge_outlier() -> Judgement:
    """Verdict on a pose in a shot that was found and is far from those before and after."""
    return Judgement(
        Verdict.DOUBTFUL,
        "The pose that was found does not go with those around it; it became what lies between the frames before and after.",
    )


def judge_views(judgement: Judgement, disagreeing: Sequence[int], unexplained: Sequence[int]) -> Judgement:
    """Verdict on a pose from several views.

    Args:
        judgement: by the view that is explained worst.
        disagreeing: views, counted from 0, that another pose would explain much better.
        unexplained: views that the pose does not explain.
    """
    if disagreeing:
        is_hopeless = judgement.verdict is Verdict.BAD or bool(set(disagreeing) & set(unexplained))
        return Judgement(
            Verdict.BAD if is_hopeless else Verdict.DOUBTFUL,
            f"The views do not agree: the {_masks(disagreeing)} explained much better alone. Check where the cameras stand and "
            "in which convention, whether their unit is that of the mesh, and that the object did not move.",
        )
    if unexplained:
        return Judgement(
            Verdict.DOUBTFUL,
            f"The pose is not sure: the {_masks(unexplained)} not explained by any pose. Check that the object is seen there, "
            "or leave the view out.",
        )
    return judgement


def _masks(views: Sequence[int]) -> str:
    names = [str(view + 1) for view in views]
    return f"mask of view {names[0]} is" if len(names) == 1 else f"masks of views {', '.join(names[:-1])} and {names[-1]} are"


def _judge_proportions(fit: str, axis: str, observed: str) -> Judgement:
    return Judgement(
        Verdict.DOUBTFUL,
        f"The pose may be turned or placed wrongly: {fit}, but a mesh of other proportions along its {axis} axis "
        f"explains the {observed} better. Check whether the mesh has the object's proportions, and the camera.",
    )


def judge_photo(evidence: Evidence, alike: float, confidence: float, doubted_axis: str | None = None) -> Judgement:
    """Verdict on a pose from a photograph.

    alike: share of the outline along which object and surroundings have the same colours.  confidence: probability that it is
    right, by mask and image.  doubted_axis: of the mesh, where a longer or shorter one explains the photograph better.
    """
    fit = f"it overlaps by {evidence.iou:.1%} with what looks like the object"
    odds = f"of poses of which photographs tell as much {confidence:.1%} are right"
    if confidence < POOR_CONFIDENCE:
        return Judgement(
            Verdict.BAD,
            f"Nothing near the start looks like the object: {fit}; {odds}. Check mesh and camera, or give a better start.",
        )
    if confidence >= GOOD_CONFIDENCE and doubted_axis is not None:
        return _judge_proportions(fit, doubted_axis, "photograph")
    if confidence >= GOOD_CONFIDENCE:
        return Judgement(Verdict.GOOD, f"The pose explains the photograph: {fit}; {odds}.")
    why = f", and along {alike:.0%} of the outline both sides have the same colours" if alike > NOTED_ALIKE else ""
    return Judgement(
        Verdict.DOUBTFUL,
        f"The pose is not sure: {fit}{why}; {odds}. Look at the outlines before you use it, or mark the object.",
    )


def note_on_turns(turn_deg: float) -> str:
    """A sentence on an object that the image cuts off, where poses turned by so much explain what is seen about as well."""
    return (
        f"The image cuts the object off, and poses turned by up to {turn_deg:.0f} degrees explain what is seen nearly as well; "
        "give a picture that shows more of it."
    )


def notes(
    evidence: Evidence,
    reduction: float,
    symmetries: Symmetries,
    num_alternatives: int,
    focal_factor: float | None = None,
    focal_range: tuple[float, float] | None = None,
) -> list[str]:
    """What else is known of a pose, a sentence each.  reduction: pixels of the mask that are one of the evidence."""
    sentences = []
    if symmetries.axis is not None:
        sentences.append("The object looks the same all round an axis, so its turn about that axis is not known.")
    if len(symmetries.turns) > 1:
        turns = "a turn" if len(symmetries.turns) == 2 else f"{len(symmetries.turns) - 1} turns"
        sentences.append(f"The object looks the same after {turns}; the poses that look the same are listed as alternatives.")
    if num_alternatives:
        sentences.append("Other poses explain the mask nearly as well; they are listed as alternatives.")
    if focal_factor is not None:
        sentences.append(
            f"{_other_focal(focal_factor).capitalize()} explains the mask better; check the camera, and whether "
            "the mesh has the object's proportions."
        )
    if focal_range is not None:
        low, high = focal_range
        sentences.append(
            f"Focal lengths from {low:.0f} to {high:.0f} pixels explain the mask about as well, "
            f"so the distance may be off by {(high / low) ** 0.5 - 1:.0%}."
        )
    edge_px = reduction * evidence.edge_px
    if abs(edge_px) > NOTED_PX:
        where = "outside" if edge_px > 0 else "inside"
        sentences.append(f"The mask's edge lies {abs(edge_px):.1f} pixels {where} of the object's outline.")
    if evidence.hidden > NOTED:
        sentences.append(f"{evidence.hidden:.0%} of the object is not in the mask; it is taken to be hidden.")
    if evidence.unexplained > NOTED:
        sentences.append(f"{evidence.unexplained:.0%} of the mask lies beside the object; the mask is taken to be wrong there.")
    return sentences
