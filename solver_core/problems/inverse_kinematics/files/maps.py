# SPDX-License-Identifier: Apache-2.0
"""Reads what users say of a skeleton: which joint is which, and how far joints turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from solver_core.errors import SetupError
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton, check_names
from solver_core.reading import numbers, read_json, reading


@dataclass(frozen=True)
class Map:
    """Which joint is which; None = found by the names.

    body: nodes of the trained human -> joints of the skeleton.  targets: joints of the skeleton -> target names.
    """

    body: dict[str, str] | None = None
    targets: dict[str, Sequence[str]] | None = None


def read_map(path: Path) -> Map:
    """A map from JSON: {"body": {"hip": "pelvis", ...}, "targets": {"pelvis": ["left_hip", "right_hip"], ...}}, either or both.

    Raises SetupError.
    """
    content = read_json(path, "map")
    if not isinstance(content, dict) or not content or not set(content) <= {"body", "targets"}:
        raise SetupError(f'the map {path} must hold "body", "targets" or both')
    body, targets = content.get("body"), content.get("targets")
    if body is not None and not (isinstance(body, dict) and all(isinstance(name, str) for name in body.values())):
        raise SetupError(f'"body" in the map {path} must give one joint of the skeleton for every joint it names')
    if targets is None:
        return Map(body)
    if not (isinstance(targets, dict) and all(_is_entry(entry) for entry in targets.values())):
        raise SetupError(f'"targets" in the map {path} must give one or several targets for every joint it names')
    return Map(body, {node: (entry,) if isinstance(entry, str) else tuple(entry) for node, entry in targets.items()})


def read_limits(path: Path, skeleton: Skeleton) -> np.ndarray:
    """(N, 3, 2) radians from JSON in degrees: {"elbow": {"x": [0, 150], "y": [0, 0], "z": [0, 0]}}; others are free.

    Raises SetupError.
    """
    content = read_json(path, "limits")
    limits = np.tile([-np.inf, np.inf], (skeleton.num_nodes, 3, 1))
    with reading(path, "limits file"):
        if not isinstance(content, dict):
            raise SetupError("it must give ranges for joints by name")
        check_names(content.keys(), skeleton.names, "the skeleton", "the file")
        for name, ranges in content.items():
            try:
                for axis, pair in ranges.items():
                    limits[skeleton.index(name), "xyz".index(axis)] = np.radians(numbers(pair, (2,), axis))
            except (AttributeError, OverflowError, ValueError) as error:
                raise SetupError(
                    f'the limits of {name!r} must look like {{"x": [-20, 90]}}, degrees about x, y or z'
                ) from error
    return limits


def _is_entry(entry: object) -> bool:
    return isinstance(entry, str) or (isinstance(entry, list) and entry != [] and all(isinstance(n, str) for n in entry))
