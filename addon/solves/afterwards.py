# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be done with a result by its report alone, which is in the file: keyframes, other poses, copies of them."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np

from solver_core.errors import SetupError
from solver_core.rotations import matrix_from_wxyz

from ..bridge.assembly import move
from ..bridge.keyframes import key_now
from ..bridge.mesh import still_copy
from ..bridge.scene import Handle, evaluate, require_editable
from ..bridge.transform import float64, free_components, read_placement, rotation_channel


def named_in(problem: str, report: dict[str, Any]) -> list[str]:
    """Names of the objects that a report is about, as they were when it was made."""
    if problem == "pose":
        return list(dict.fromkeys([*report["moved"], *report["counted"]]))
    return [report["lamp" if problem == "lighting" else "armature"]]


def place_alternative(scene: bpy.types.Scene, report: dict[str, Any], index: int) -> None:
    """Places what Solve Pose moved as in an entry of its alternatives.  Raises SetupError."""
    movers = [_find(scene, "pose", name) for name in report["moved"]]
    depsgraph = evaluate(scene)
    placements = {Handle.of(mover): read_placement(depsgraph, mover) for mover in movers}
    move(scene, placements, _motion(scene, report, index))


def bake_alternatives(scene: bpy.types.Scene, report: dict[str, Any]) -> bpy.types.Collection:
    """A new collection with copies of what counted, or of the camera that was moved, in every pose but the first.

    They have neither animation nor modifiers, and no render shows them.  Raises SetupError.
    """
    movers = [_find(scene, "pose", name) for name in report["moved"]]
    is_camera = movers[0].type == "CAMERA"
    parts = movers if is_camera else [_find(scene, "pose", name) for name in report["counted"]]
    depsgraph = evaluate(scene)
    originals = [still_copy(depsgraph, part) for part in parts]
    collection = bpy.data.collections.new(f"Alternatives of {movers[0].name}")
    scene.collection.children.link(collection)
    for index, alternative in enumerate(report["alternatives"][1:], start=1):
        motion = _motion(scene, report, index)
        for part, original in zip(parts, originals, strict=True):
            copy = original.copy()
            copy.name = f"{part.name} {index} ({alternative['probability']:.0%})"
            copy.matrix_world = (motion @ float64(part.evaluated_get(depsgraph).matrix_world)).T.tolist()
            copy.hide_render = True
            collection.objects.link(copy)
    for original in originals:
        bpy.data.objects.remove(original)
    return collection


def key_result(scene: bpy.types.Scene, problem: str, report: dict[str, Any]) -> None:
    """Keyframes what a solve changed, as it is now, at the scene's frame.  Raises SetupError."""
    frame = scene.frame_current
    if problem == "armature":
        armature = _find(scene, problem, report["armature"])
        require_editable(armature)
        bones = armature.pose.bones
        for bone in filter(None, map(bones.get, report["turned"])):
            key_now(bone, rotation_channel(bone), frame)
        for bone in filter(None, map(bones.get, report["moved"])):
            key_now(bone, "location", frame)
        return
    for name in [report["lamp"]] if problem == "lighting" else report["moved"]:
        thing = _find(scene, problem, name)
        require_editable(thing)
        for channel in ("location", rotation_channel(thing)):
            key_now(thing, channel, frame, free_components(thing, channel))
        if problem == "lighting":
            for channel in ("energy", "color"):
                key_now(thing.data, channel, frame)


def _find(scene: bpy.types.Scene, problem: str, name: str) -> bpy.types.Object:
    """The object of a scene that the result of a problem has under a name, whatever it is called now."""
    line = getattr(scene.deep_feedback, problem).recorded.get(name)
    found = scene.objects.get(name) if line is None else line.thing  # files of earlier versions have names only
    if found is None or found not in tuple(scene.objects):
        raise SetupError(f"'{name}' is no longer in the scene '{scene.name}': it was deleted or moved to another.")
    return found


def _motion(scene: bpy.types.Scene, report: dict[str, Any], index: int) -> np.ndarray:
    """(4, 4) of the world, from where what was moved is now to where an alternative has it."""
    if not 0 <= index < len(report["alternatives"]):
        raise SetupError(f"There is no alternative {index}: the result has {len(report['alternatives'])}.")
    alternative = report["alternatives"][index]
    first = _find(scene, "pose", report["moved"][0])
    goal = np.eye(4)
    goal[:3, :3], goal[:3, 3] = matrix_from_wxyz(np.array(alternative["rotation_wxyz"])), alternative["location"]
    return goal @ np.linalg.inv(read_placement(evaluate(scene), first).world_from_thing)
