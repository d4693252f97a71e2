"""C3D files of motion capture systems.  Needs ezc3d (the extra `capture`)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from solver_core.optional import needed_for
from solver_core.problems.inverse_kinematics.files.points import UNITS, Points

UNLABELLED = ("*", "unlabeled", "unlabelled")


def read_c3d(path: Path) -> Points:
    """The labelled markers of a C3D file.  Raises ValueError."""
    with needed_for("reading C3D files", extra="capture"):
        import ezc3d
    content = ezc3d.c3d(str(path))
    parameters = content["parameters"]["POINT"]
    labels = [
        str(label).strip() for key in ("LABELS", "LABELS2", "LABELS3") for label in parameters.get(key, {"value": []})["value"]
    ]
    points = np.asarray(content["data"]["points"], dtype=np.float64)[:3].transpose(2, 1, 0)  # (F, M, 3)
    if len(points) == 0 or not labels:
        raise ValueError("it holds no markers")
    is_gap = ~np.isfinite(points).all(axis=2) | (points == 0).all(axis=2)
    points = np.where(is_gap[..., None], np.nan, points)
    kept = [number for number, label in enumerate(labels) if label and not label.lower().startswith(UNLABELLED)]
    kept = [number for number in kept if number < points.shape[1] and not is_gap[:, number].all()]
    rate = float(np.ravel(parameters["RATE"]["value"])[0])
    units = [str(unit).strip().lower() for unit in parameters.get("UNITS", {"value": []})["value"]]
    upwards = [str(axis).strip().lower() for axis in parameters.get("Y_SCREEN", {"value": []})["value"]]
    return Points(
        tuple(labels[number] for number in kept),
        points[:, kept],
        1 / rate if rate > 0 else None,
        UNITS.get(units[0]) if units else None,
        upwards[0].lstrip("+") if upwards and upwards[0].lstrip("+-") in ("x", "y", "z") else None,
    )
