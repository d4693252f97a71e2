# SPDX-License-Identifier: Apache-2.0
"""How far a solved motion can be trusted: the one place that decides it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton
from solver_core.solution import Judgement, Verdict

# Distances from the targets, in parts of the skeleton's reach, which is 1.2 m for an adult: markers on skin are within 2 cm of
# the joints and estimators' joints within 3; a skeleton whose joints are mixed up or of another size is 5 cm and more off.
GOOD, POOR = 0.025, 0.06
MOST_MISSING = 1  # limbs of four
FEW, MANY = 0.05, 0.2  # shares of the frames


def judge(position_error: np.ndarray, skeleton: Skeleton, missing_parts: Sequence[str] = ()) -> Judgement:
    """Verdict on a motion by how far its nodes are from their targets.

    Args:
        position_error: (F, N) metres, nan where no target was given; at least one number.
        skeleton: whose nodes they are.
        missing_parts: of hips, arms and legs those that no target was found for by its name.
    """
    reach = max(skeleton.reach, 1e-9)
    by_frame = np.nanmean(position_error[np.isfinite(position_error).any(axis=1)], axis=1)
    mean = float(by_frame.mean())
    share_off, share_far = (float((by_frame > limit * reach).mean()) for limit in (GOOD, POOR))
    if "hips" in missing_parts or len(missing_parts) > MOST_MISSING:
        return Judgement(
            Verdict.BAD,
            f"Too few targets have names that stand for a joint: there is none for {_and(missing_parts)}. "
            "Rename them or give a map.",
        )
    node, usual = _worst_node(position_error)
    digits = 1 if mean > 0.001 else 3
    numbers = f"they are {100 * mean:.{digits}f} cm off on average, {mean / reach:.1%} of the skeleton's reach"
    if mean > POOR * reach or share_far > MANY:
        return Judgement(
            Verdict.BAD,
            f"The joints do not meet their targets: {numbers}, and more than {POOR:.0%} in {share_far:.0%} of the frames. "
            "Check which joint is which, the unit and the limits.",
        )
    if mean > GOOD * reach or share_off > FEW:
        return Judgement(
            Verdict.DOUBTFUL,
            f"The joints meet their targets only roughly: {numbers}, and more than {GOOD:.1%} in {share_off:.0%} of the "
            "frames. Look at the motion before you use it.",
        )
    if usual > POOR * reach:
        return Judgement(
            Verdict.DOUBTFUL,
            f"The joints meet their targets but for {skeleton.names[node]}, which is {100 * usual:.1f} cm off or more in half "
            "of the frames. Look at the motion before you use it.",
        )
    return Judgement(Verdict.GOOD, f"The joints meet their targets: {numbers}.")


def _and(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _worst_node(position_error: np.ndarray) -> tuple[int, float]:
    """The node that is farthest off in the median of its frames, and that median, metres."""
    given = np.flatnonzero(np.isfinite(position_error).any(axis=0))
    medians = np.nanmedian(position_error[:, given], axis=0)
    return int(given[np.argmax(medians)]), float(medians.max())
