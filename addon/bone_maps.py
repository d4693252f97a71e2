# SPDX-License-Identifier: GPL-3.0-or-later
"""Bone maps as JSON files: shared between artists, and kept as presets in the folder of Blender's own."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path

import bpy

from solver_core.errors import SetupError
from solver_core.reading import read_json
from solver_core.writing import make_folder, write_text

from .schema import Invalid, read_value
from .solves.armature_task import BoneTarget

MOST_LINES, LARGEST_WEIGHT = 10_000, 1e6  # the largest rigs have some thousand bones
FILE_NAME = re.compile(r"[^./\\:*?\"<>|\x00-\x1f][^/\\:*?\"<>|\x00-\x1f]{0,79}")  # as every system takes it


def read_bone_map(path: str | Path) -> tuple[BoneTarget, ...]:
    """The lines of a map.  Raises SetupError with a sentence about the file."""
    content = read_json(path, "bone map")
    try:
        lines = read_value(tuple[BoneTarget, ...], content, "bones")
    except Invalid as error:
        raise SetupError(
            f"The bone map '{Path(path).name}' cannot be used: {error.key}: {textwrap.shorten(error.what, 120)}."
        ) from error
    if not 0 < len(lines) <= MOST_LINES:
        raise SetupError(f"The bone map '{Path(path).name}' must have between 1 and {MOST_LINES} lines, not {len(lines)}.")
    for line in lines:
        if not (line.target and line.bone and 0 <= line.weight <= LARGEST_WEIGHT):
            raise SetupError(
                f"The bone map '{Path(path).name}' must name a target and a bone in every line, with a weight from 0 on."
            )
    return lines


def write_bone_map(path: str | Path, lines: Sequence[BoneTarget]) -> None:
    """Raises SetupError if it cannot be written."""
    rows = [json.dumps({"target": line.target, "bone": line.bone, "weight": line.weight}) for line in lines]
    write_text(path, "[\n  " + ",\n  ".join(rows) + "\n]\n", "bone map")


def preset_folder() -> Path:
    """Where the presets of all scenes are, beside those of Blender."""
    return Path(bpy.utils.user_resource("SCRIPTS", path="presets")) / "deep_feedback" / "bone_maps"


def preset_names() -> list[str]:
    return sorted((path.stem for path in preset_folder().glob("*.json")), key=str.lower)


def preset_path(name: str) -> Path:
    """The file of a preset.  Raises SetupError if a file cannot have that name."""
    if FILE_NAME.fullmatch(name.strip()) is None:
        raise SetupError("Give the preset another name: it is that of a file, which begins with no dot and holds no / or :.")
    return preset_folder() / f"{name.strip()}.json"


def write_preset(name: str, lines: Sequence[BoneTarget]) -> None:
    """Raises SetupError if the name or the folder cannot be used."""
    path = preset_path(name)
    make_folder(path.parent)
    write_bone_map(path, lines)


def remove_preset(name: str) -> None:
    preset_path(name).unlink(missing_ok=True)
