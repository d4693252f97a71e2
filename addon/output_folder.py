# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder that a batch writes to: what may be an output there, and whether Blender wrote one whole."""

from __future__ import annotations

import errno
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import bpy

from solver_core.errors import ConfigError
from solver_core.writing import file_identity

from .schema import Invalid

LONGEST_NAME = 200  # bytes; file systems take 255, and an ending comes on top
ZSTD, ZSTD_INDEX = b"\x28\xb5\x2f\xfd", b"\xb1\xea\x92\x8f"  # how compressed files of Blender begin and end
PNG_END = b"IEND\xaeB`\x82"


def output_path(out: Path, file: str, key: str) -> Path:
    """Where an output lies.  Raises Invalid if that is not inside of the folder `out`, links included."""
    path = Path(file)
    if path.is_absolute() or path.drive or ".." in path.parts:
        raise Invalid(key, f"it must be a path within the output folder, without '..', not {json.dumps(file)}")
    if not file.isprintable() or any(len(os.fsencode(part)) > LONGEST_NAME for part in path.parts):
        raise Invalid(key, f"it must be fit for a file name, not {json.dumps(file)}")
    if not (out / path).resolve().is_relative_to(out.resolve()):
        raise Invalid(key, f"a link leads {json.dumps(file)} out of the output folder")
    return out / path


def clashes(outputs: Sequence[tuple[str, Mapping[str, Path]]], inputs: Mapping[Path, str]) -> Iterator[str]:
    """Sentences on outputs that would overwrite each other or an input.

    outputs: the name of each task, and its paths by kind.  inputs: what each file is, in words.
    """
    known = {identity: words for path, words in inputs.items() for identity in _identities(path)}
    writers: dict[str, str] = {}
    for name, paths in outputs:
        for kind, path in paths.items():
            where = f"Task '{name}', key 'outputs.{kind}': {path.name}"
            found = [known[identity] for identity in _identities(path) if identity in known]
            if found:
                yield f"{where} is {found[0]}: choose another file."
            place = str(path.resolve()).casefold()  # a job that is right here must not lose results where names have no case
            if place in writers:
                yield f"{where} is written by the task '{writers[place]}' as well."
            writers[place] = name


def check_scene_files(outputs: Sequence[Path]) -> None:
    """Raises ConfigError if an output would overwrite a file that the open scene uses: an image, a movie, a library."""
    used = {identity for path in bpy.utils.blend_paths(absolute=True) for identity in _identities(Path(path))}
    for path in outputs:
        if used & set(_identities(path)):
            raise ConfigError(f"The output {path.name} would overwrite a file that the scene uses: choose another one.")


def check_blend(path: Path) -> None:
    """Raises OSError if a .blend file is not whole; Blender does not tell when a disk is full."""
    is_whole = _ends_in(path, ZSTD_INDEX, 4) if _begins_with(path, ZSTD) else _ends_in(path, b"ENDB", 64)
    scenes: set[str] = set()
    if is_whole:
        with bpy.data.libraries.load(str(path)) as (found, _):  # raises OSError for what Blender cannot open
            scenes = set(found.scenes)
    if not is_whole or scenes != {scene.name for scene in bpy.data.scenes if scene.library is None}:
        raise OSError(errno.EIO, "Blender did not write it whole; is the disk full?")


def check_png(path: Path) -> None:
    """Raises OSError if a picture is not whole."""
    if not _ends_in(path, PNG_END, len(PNG_END)):
        raise OSError(errno.EIO, "Blender did not write it whole; is the disk full?")


def _identities(path: Path) -> Iterator[object]:
    """What paths to the same file have in common, and pictures of the same numbered sequence."""
    yield file_identity(path)
    if re.search(r"\d", path.stem):
        yield "sequence", file_identity(path.parent), re.sub(r"\d+(\D*)$", r"#\1", path.stem), path.suffix


def _begins_with(path: Path, mark: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(mark)) == mark


def _ends_in(path: Path, mark: bytes, within: int) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - within))
        return mark in file.read()
