# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a result can be trusted once it was measured in the scene, which may answer otherwise than the solve expected."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from solver_core.solution import Judgement, Verdict

UNKNOWN_CAUSE = "Something else has a hold on it, such as a driver, a modifier or a script."


def judge_gap(measured: Verdict, gap: str, causes: Iterable[str]) -> Judgement:
    """The verdict where the scene shows something else than was solved, which is not GOOD.

    measured: what the measure is worth by itself.  gap: both numbers, as the rest of a sentence that begins "In the scene".
    causes: sentences, the likeliest first.
    """
    return Judgement(not_good(measured), f"In the scene {gap}. {next(iter(causes), UNKNOWN_CAUSE)}")


def judge_end(judgement: Judgement, end: str) -> Judgement:
    """The verdict on the frames that were solved where others were not, which is not GOOD.

    end: why not, in sentences.  The explanation of a good verdict would belie the word above it and is left out.
    """
    explanation = end if judgement.verdict is Verdict.GOOD else f"{end} {judgement.explanation}"
    return Judgement(not_good(judgement.verdict), explanation)


def sentence(text: str) -> str:
    """A text with a capital and a full stop."""
    return f"{text[:1].upper()}{text[1:]}" + ("" if text.endswith(".") else ".")


def not_good(verdict: Verdict) -> Verdict:
    return Verdict.DOUBTFUL if verdict is Verdict.GOOD else verdict


def farthest(error: np.ndarray, solved: np.ndarray) -> tuple[tuple[int, int], float]:
    """Frame and node at which two measures (F, N) differ most, and by how much; nan where there is no target."""
    gap = np.abs(error - solved)
    frame, node = np.unravel_index(np.nanargmax(gap), gap.shape)
    return (int(frame), int(node)), float(gap[frame, node])


def joint_gap(names: Sequence[str], frames: Sequence[int], error: np.ndarray, solved: np.ndarray, what: str) -> str:
    """For judge_gap, the joint whose distances error and solved (F, N), metres, differ most.  what: the solved one is."""
    (frame, node), _ = farthest(error, solved)
    return (
        f"{names[node]} is {100 * error[frame, node]:.1f} cm from its target at frame {frames[frame]}, "
        f"and not {100 * solved[frame, node]:.1f} cm {what}"
    )
