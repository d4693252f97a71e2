# SPDX-License-Identifier: Apache-2.0
"""Several objects in one image: a pose for each label, and what the others cover counts as hidden."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from solver_core.checks import checked_array, checked_kind, is_number
from solver_core.errors import ObservationError, SetupError, SolverError, shown
from solver_core.frames import Camera
from solver_core.options import keyword_options
from solver_core.problems.pose.setup import UP_AXES, PoseSetup
from solver_core.problems.pose.solve import PoseOptions, PoseSession, PoseSolution

BACKGROUND = 0
NAMED = 12  # labels that a message lists


@keyword_options(PoseOptions)
def solve_pose_labels(
    labels: np.ndarray,
    meshes: Mapping[int, tuple[np.ndarray, np.ndarray]],
    camera: Camera,
    starts: Mapping[int, np.ndarray] | None = None,
    ignore: np.ndarray | None = None,
    up: str = UP_AXES[0],
    *,
    options: PoseOptions,
    rng: np.random.Generator | None = None,
) -> dict[int, PoseSolution]:
    """Poses of several known objects from one label image; all inputs are checked before the first is solved.

    What one object covers may hide another, so it counts neither for nor against the pose of that.

    Args:
        labels: (H, W) int, 0 where there is no object.  A label without a mesh only hides others.
        meshes: vertices (V, 3) and faces (F, 3) of the object of each label; several may be the same.
        camera: of the image's size.
        starts: (4, 4) camera_from_object of each label for which there is a rough guess; None = no start for any.
        ignore: (H, W) bool, True where the image does not tell what is there; None where all of it counts.
        up: which axis of the meshes points up, where there is no start: "z", "y", "either" or "any".
        options: the following all at once, instead of as keyword arguments.
        {options}
        rng: draws for all of them, one after the other; None makes one from the seed for each.

    Returns:
        The PoseSolution of each label of meshes, in their order.

    Raises:
        SolverError: as solve_pose does, for the first label with which something is wrong, and if labels are not whole numbers.
    """
    array = checked_labels(labels)
    known = {} if starts is None else checked_kind(starts, Mapping, "starts", "a dict of a pose for each label")
    checked_kind(meshes, Mapping, "meshes", "a dict of (vertices, faces) for each label")
    _require_labels(list(meshes), array, "meshes")
    _require_labels(list(known), array, "starts")
    if not meshes:
        raise SetupError("meshes must hold (vertices, faces) of at least one label, got none")
    hides = None if ignore is None else _checked_ignore(ignore, array.shape)
    setups: dict[int, PoseSetup] = {}
    for label, mesh in meshes.items():
        try:
            vertices, faces = _checked_pair(mesh)
            is_hidden = hidden_by_others(array, label) if hides is None else hides | hidden_by_others(array, label)
            setups[label] = PoseSetup.checked(array == label, vertices, faces, camera, known.get(label), is_hidden, up)
        except SolverError as error:
            raise type(error)(f"label {label}: {error}") from error
    return {label: PoseSession(setup, options, rng).run() for label, setup in setups.items()}


def checked_labels(labels: Any) -> np.ndarray:
    """(H, W) whole numbers.  Raises ObservationError."""
    array = checked_array(labels, "labels", "(H, W)", ObservationError)
    if array.ndim != 2 or array.size == 0 or array.dtype.kind not in "iu":
        raise ObservationError(
            f"labels must be whole numbers (H, W), one for each object and 0 for none, got shape {array.shape} of {array.dtype}"
        )
    return array


def hidden_by_others(labels: np.ndarray, label: int) -> np.ndarray:
    """(H, W) bool: pixels of labels (H, W) at which another object may hide this one."""
    return (labels != BACKGROUND) & (labels != label)


def labels_in(labels: np.ndarray) -> list[int]:
    """The labels of objects in labels (H, W)."""
    return [int(label) for label in np.unique(labels) if label != BACKGROUND]


def _require_labels(wanted: list[Any], labels: np.ndarray, name: str) -> None:
    """Raises ObservationError for what is no label of the image."""
    if not wanted:
        return
    there = labels_in(labels)
    missing = [label for label in wanted if not is_number(label) or label not in there]
    if missing:
        listed = ", ".join(map(str, there[:NAMED])) + (", ..." if len(there) > NAMED else "")
        raise ObservationError(
            f"{name} names {shown(missing[0])}, which no pixel of labels has; its labels are {listed or 'none, all is 0'}"
        )


def _checked_ignore(ignore: Any, shape: tuple[int, ...]) -> np.ndarray:
    """(H, W) bool.  Raises ObservationError."""
    array = checked_array(ignore, "ignore", "(H, W)", ObservationError)
    if array.shape != shape or array.dtype.kind not in "fb":
        raise ObservationError(
            f"ignore must be bool or float in [0, 1] of the labels' shape {shape}, got shape {array.shape} of {array.dtype}"
        )
    return array >= 0.5


def _checked_pair(mesh: Any) -> tuple[Any, Any]:
    """Vertices and faces.  Raises SetupError."""
    if not isinstance(mesh, tuple | list) or len(mesh) != 2:
        raise SetupError(f"its mesh must be a pair of vertices (V, 3) and faces (F, 3), got {type(mesh).__name__}")
    return mesh[0], mesh[1]
