# SPDX-License-Identifier: Apache-2.0
"""What a reader of targets gives, before it is in metres."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from solver_core.problems.inverse_kinematics.files.landmarks import MODELS, landmarks_of
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton

UNITS = {"m": 1.0, "meters": 1.0, "metres": 1.0, "cm": 0.01, "mm": 0.001, "in": 0.0254, "inch": 0.0254, "ft": 0.3048}


class Points(NamedTuple):
    """M points over F frames.  positions: (F, M, 3) in the file's unit, nan where missing.

    frame_time: seconds.  metres_per_unit, up: what the file states, such as 0.001 and "z"; None where it states nothing.
    parents: (M,) where the points hang from each other.  skeleton, rotations: (F, N, 4) wxyz in the parents' frames, of what
    the points are nodes of, where that is known.  notices: sentences about what was guessed or left out.
    """

    names: tuple[str, ...]
    positions: np.ndarray
    frame_time: float | None = None
    metres_per_unit: float | None = None
    up: str | None = None
    parents: tuple[int, ...] | None = None
    notices: tuple[str, ...] = ()
    skeleton: Skeleton | None = None
    rotations: np.ndarray | None = None


def unnamed_points(positions: np.ndarray, frame_time: float | None = None) -> Points:
    """Points (F, M, 3) that are named by the model that they are of.  Raises ValueError if they are of none that is known."""
    model = landmarks_of(positions)
    if model is None:
        raise ValueError(
            f"its {positions.shape[1]} points have no names and are not those of an estimator or body model that is known "
            f"({', '.join(model.model for model in MODELS)}); write them as a table with the columns name_x, name_y, name_z"
        )
    notice = f"the points have no names; {positions.shape[1]} of them are taken for those of {model.model}"
    return Points(model.names, positions[:, : len(model.names)], frame_time, notices=(notice,))


def rate_of(times: np.ndarray) -> float | None:
    """Seconds a frame, from the times of the frames in seconds or milliseconds; None if they do not rise."""
    steps = np.diff(times[np.isfinite(times)])
    step = float(np.median(steps)) if len(steps) else 0.0
    if not 0 < step < np.inf:
        return None
    return step / 1000 if step >= MILLISECONDS else step


MILLISECONDS = 2.0  # a capture with more seconds a frame has its times in milliseconds
