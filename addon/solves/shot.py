# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done along a shot beside solving it: where its keyframes are, which go, and which frames are not to be trusted."""

from __future__ import annotations

from typing import Any

import bpy

from solver_core.errors import SetupError
from solver_core.solution import Verdict

from ..bridge.assembly import assembly_of
from ..bridge.keyframes import key_frames, remove_keys, require_keyable
from ..bridge.scene import find_object
from ..bridge.transform import rotation_channel

MARKERS = {verdict: f"{verdict.value.capitalize()} pose" for verdict in (Verdict.DOUBTFUL, Verdict.BAD)}


def movers(scene: bpy.types.Scene, settings: Any) -> list[bpy.types.Object]:
    """What Solve Pose moves.  settings: of the scene.  Raises SetupError."""
    camera, thing = settings.camera or scene.camera, settings.object or scene.view_layers[0].objects.active
    if settings.move == "CAMERA":
        return [camera]
    return [one.require(scene) for one in assembly_of(scene, thing, camera, settings.whole).movers]


def next_key(things: list[bpy.types.Object], frame: int, is_backwards: bool) -> int:
    """The nearest frame after a frame, or before it, at which something is keyed.  Raises SetupError if there is none."""
    found = [one for one in _keyed(things) if (one < frame if is_backwards else one > frame)]
    if not found:
        raise SetupError(f"There is no keyframe {'before' if is_backwards else 'after'} frame {frame}.")
    return max(found) if is_backwards else min(found)


def between_keys(things: list[bpy.types.Object], frame: int) -> tuple[int, int]:
    """The first and the last frame between the keyframes around a frame, or from the one at it on.  Raises SetupError."""
    first = frame if frame in _keyed(things) else next_key(things, frame, is_backwards=True)
    last = next_key(things, frame, is_backwards=False)
    if last == first + 1:
        raise SetupError(f"There is no frame between the keyframes {first} and {last}.")
    return first + 1, last - 1


def _keyed(things: list[bpy.types.Object]) -> set[int]:
    return {found for thing in things for found in key_frames(thing, "location", rotation_channel(thing))}


def clear_range(things: list[bpy.types.Object], first: int, last: int) -> int:
    """Removes the keys of location and rotation in a range; how many frames had some.  Raises SetupError."""
    for thing in things:
        require_keyable(thing, "location", rotation_channel(thing))
    return len({frame for thing in things for frame in remove_keys(thing, first, last, "location", rotation_channel(thing))})


def clear_doubtful(scene: bpy.types.Scene, report: dict[str, Any]) -> int:
    """Removes the keys of location and rotation at doubtful frames of what was moved; how many frames had some.

    Raises SetupError.
    """
    things = [find_object(scene, name, "object") for name in report["moved"]]
    return sum(clear_range(things, frame, frame) for frame in doubtful_frames(report))


def doubtful_frames(report: dict[str, Any]) -> dict[int, Verdict]:
    """The frames of a result that are not good, rising; none of results that do not say so of each frame."""
    frames = sorted(zip(report.get("frames", []), map(Verdict, report.get("verdicts", [])), strict=True))
    return {frame: verdict for frame, verdict in frames if verdict is not Verdict.GOOD}


def mark_frames(scene: bpy.types.Scene, report: dict[str, Any]) -> int:
    """Sets a marker at every doubtful frame in place of those that were set before; their number."""
    for marker in [one for one in scene.timeline_markers if one.name in MARKERS.values()]:
        scene.timeline_markers.remove(marker)
    doubtful = doubtful_frames(report)
    for frame, verdict in doubtful.items():
        scene.timeline_markers.new(MARKERS[verdict], frame=frame)
    return len(doubtful)
