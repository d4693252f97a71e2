# SPDX-License-Identifier: Apache-2.0
"""Solves all clips of a folder: one motion and one record each, on several cores, going on where a killed run was."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from solver_core.errors import ConfigError, SolverError
from solver_core.problems.inverse_kinematics.files.targets import READERS
from solver_core.solution import Verdict
from solver_core.workers import worker_pool
from solver_core.writing import check_place, make_folder, refuse_overwriting, write_text

SUFFIXES = (".bvh", *READERS)
STATUS = {Verdict.GOOD: "done", Verdict.DOUBTFUL: "doubtful", Verdict.BAD: "failed"}
ONE_FRAME = "_keypoints.json"  # how the names of OpenPose's files end, of which each is one frame


@dataclass(frozen=True)
class Clip:
    """Targets to solve, where the motion goes, and the record of what came out."""

    targets: Path
    motion: Path
    record: Path


def is_folder_of_clips(path: Path) -> bool:
    """Whether a path is a folder with clips, and not one with a file for each frame of a clip."""
    return path.is_dir() and not _is_one_clip(path)


def clips_in(folder: Path, out: Path, kind: str, inputs: Mapping[str, Path]) -> list[Clip]:
    """The clips of a folder by name; motions of a kind such as ".bvh" go to `out`.  inputs: other files, by their options.

    Raises ConfigError if there are none, or if something would be overwritten.
    """
    found = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES or _is_one_clip(path)]
    if not found:
        raise ConfigError(f"there are no clips in the folder {folder}; their names must end in {', '.join(SUFFIXES)}")
    stems = [path.stem for path in found]
    names = [path.stem if stems.count(path.stem) == 1 else path.name for path in found]
    clips = [Clip(path, out / f"{name}{kind}", out / f"{name}.json") for path, name in zip(found, names, strict=True)]
    make_folder(out)
    outputs = {f"the motion of {clip.targets.name}": clip.motion for clip in clips}
    outputs |= {f"the record of {clip.targets.name}": clip.record for clip in clips}
    for what, place in outputs.items():
        check_place(place, what)
    refuse_overwriting(outputs, {**inputs, **{f"the clip {clip.targets.name}": clip.targets for clip in clips}})
    return clips


def solve_clips(
    clips: list[Clip], solve: Callable[[Clip], dict[str, Any]], inputs: list[Path], settings: str, jobs: int
) -> Iterator[dict[str, Any]]:
    """Solves clips, `jobs` at a time in processes of their own, and gives the record of each as it ends.

    solve: gives the result of a clip, with its "verdict", after it has written the motion.  inputs: other files, settings:
    what else the results depend on.  A clip whose record is of the same files and settings, and whose motion is there as it
    was, is skipped; its record says so.
    """
    if jobs == 1 or len(clips) == 1:
        yield from (_solve_clip(clip, solve, inputs, settings) for clip in clips)
        return
    with worker_pool(jobs, "give fewer --jobs") as pool:
        running = [pool.submit(_solve_clip, clip, solve, inputs, settings) for clip in clips]
        for ended in as_completed(running):
            yield ended.result()


def _solve_clip(clip: Clip, solve: Callable[[Clip], dict[str, Any]], inputs: list[Path], settings: str) -> dict[str, Any]:
    record: dict[str, Any] = {"clip": clip.targets.name, "motion": clip.motion.name}
    try:
        fingerprint = _digest([clip.targets, *inputs], settings)
        finished = _finished(clip, fingerprint)
        if finished is not None:
            return record | {"status": "skipped", "verdict": finished["verdict"]}
        result = solve(clip)
        record |= {"status": STATUS[Verdict(result["verdict"])], **result}
        record |= {"fingerprint": fingerprint, "sha256": _digest([clip.motion])}
    except SolverError as error:
        record |= {"status": "failed", "error": str(error)}
    write_text(clip.record, json.dumps(record, indent=2) + "\n", "record")
    return record


def _finished(clip: Clip, fingerprint: str) -> dict[str, Any] | None:
    """The record of an earlier run of the same clip, if that did not fail and its motion is there as it was."""
    try:
        record = json.loads(clip.record.read_text(encoding="utf-8"))
        is_same = record["fingerprint"] == fingerprint and record["sha256"] == _digest([clip.motion])
        return record if is_same and record["status"] != "failed" and isinstance(record["verdict"], str) else None
    except (OSError, ValueError, TypeError, KeyError, RecursionError):  # there is none, or it is another file
        return None


def _digest(files: list[Path], text: str = "") -> str:
    """Changes with the content of the files, or of the files in folders, and with the text."""
    digest = hashlib.sha256(text.encode())
    for path in files:
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            with file.open("rb") as content:
                digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()


def _is_one_clip(path: Path) -> bool:
    """Whether a path is a folder with a file for each frame."""
    return path.is_dir() and any(path.iterdir()) and all(file.name.endswith(ONE_FRAME) for file in path.iterdir())
