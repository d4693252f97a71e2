# SPDX-License-Identifier: GPL-3.0-or-later
"""Assemblies, objects that move as one: children, imported hierarchies, characters with their armature."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import bpy
import numpy as np

from solver_core.errors import SetupError
from solver_core.rotations import matrix_from_wxyz, wxyz_from_rotvec

from .holds import ancestors, follows, holds, is_held, shape_holds
from .mesh import read_vertices
from .scene import Handle, evaluate
from .transform import Placement, place, read_channels, read_placement, split_rigid, world_matrix, write_channels

SURFACES = {"MESH", "CURVE", "SURFACE", "FONT", "META"}
HOLDING = {"EMPTY", "ARMATURE"}  # what objects are parented to in order to be moved as one
FOLLOWS = 1e-3  # of a motion: matrices are float32
STOPS = 0.9  # of a motion
FRAME_POINTS = 4  # of a thing: its origin and one on each axis
FLOAT32 = 1e-6  # of coordinates, after some matrices


class Assembly(NamedTuple):
    """movers: objects that are moved themselves; the first stands for all.  parts: those with a surface that counts."""

    movers: tuple[Handle, ...]
    parts: tuple[Handle, ...]


def alone(thing: bpy.types.Object) -> Assembly:
    """An object without its children."""
    return Assembly((Handle.of(thing),), (Handle.of(thing),) if thing.visible_get() else ())


def whole_of(scene: bpy.types.Scene, thing: bpy.types.Object, still: bpy.types.Object) -> Assembly:
    """An object with all that belongs to it.

    These are its children, the empties and armatures it is parented to with theirs, and what the armatures deform.  Not what
    holds the object that stays still, such as the camera.
    """
    movers = [_root(thing, still)]
    within = _within(movers)
    for other in _deformed_with(scene, within):
        if other not in within and still not in _within([other]):
            movers.append(_root(other, still))
            within |= _within([movers[-1]])
    movers = [one for one in movers if not any(parent in movers for parent in ancestors(one))]
    seen = [one for one in scene.objects if one in within and one.visible_get() and has_surface(one)]
    parts = tuple(Handle.of(one) for one in seen if one == thing or _is_part(one))
    return Assembly(tuple(map(Handle.of, movers)), parts)


def assembly_of(scene: bpy.types.Scene, thing: bpy.types.Object, still: bpy.types.Object, is_whole: bool) -> Assembly:
    """What counts as one thing: an object with all that belongs to it, or alone."""
    return whole_of(scene, thing, still) if is_whole else alone(thing)


def has_surface(thing: bpy.types.Object) -> bool:
    return thing.type in SURFACES or (thing.type == "EMPTY" and thing.instance_collection is not None)


def _is_part(thing: bpy.types.Object) -> bool:
    """Whether a camera sees an object."""
    return not thing.hide_render and thing.visible_camera and not thing.is_holdout and has_surface(thing)


def _root(thing: bpy.types.Object, still: bpy.types.Object) -> bpy.types.Object:
    """The topmost of the empties and armatures that an object is parented to and that hold more than the object itself."""
    root, num_parts = thing, sum(map(_is_part, _within([thing])))
    for parent in ancestors(thing):
        within = _within([parent])
        if parent.type not in HOLDING or still in within:
            break
        if parent.type == "ARMATURE" or sum(map(_is_part, within)) > num_parts:
            root = parent
    return root


def _within(things: list[bpy.types.Object]) -> set[bpy.types.Object]:
    return {one for thing in things for one in (thing, *thing.children_recursive)}


def _deformed_with(scene: bpy.types.Scene, things: set[bpy.types.Object]) -> Iterator[bpy.types.Object]:
    """Armatures that deform objects, and objects that armatures among them deform."""
    for one in scene.objects:
        for modifier in one.modifiers:
            if modifier.type == "ARMATURE" and modifier.object is not None and modifier.show_viewport:
                if one in things:
                    yield modifier.object
                elif modifier.object in things:
                    yield one


class Trial(NamedTuple):
    """How a scene answers when things are moved.

    parts: those that move along.  changes: sentences why they do so otherwise than a rigid object, none if they do not.
    notices: sentences on those that stay behind.
    """

    parts: tuple[Handle, ...]
    changes: tuple[str, ...]
    notices: tuple[str, ...]


class _Answer(NamedTuple):
    """What a thing did, as fractions of a motion: how far its own frame, and how far any of its points, was from going along
    with it, and from staying.
    """

    frame_off: float
    off: float
    moved: float


def try_move(scene: bpy.types.Scene, movers: tuple[Handle, ...], parts: tuple[Handle, ...], still: tuple[Handle, ...]) -> Trial:
    """Moves things a little, looks at what the parts do, and puts all back.

    still: what must not move along.  Raises SetupError if moving these things does not do what it should.
    """
    things = {handle: handle.require(scene) for handle in (*movers, *parts, *still)}
    answers = _answers(scene, things, movers, parts or still or movers)
    for one in still:
        if answers[one].moved > FOLLOWS:
            reason = follows(things[one], [things[mover] for mover in movers])
            raise SetupError(f"'{things[one].name}' moves along with '{things[movers[0]].name}', {reason}.")
    stopped = [one for one in movers if answers[one].frame_off > FOLLOWS]
    for one in stopped:
        if answers[one].frame_off > STOPS or is_held(things[one]):
            raise SetupError(next(holds(things[one]), _why_it_stays(things[one])))
    staying = [one for one in parts if answers[one].moved < FOLLOWS]
    moving = tuple(one for one in parts if one not in staying)
    if parts and not moving:
        raise SetupError(f"'{parts[0].name}' stays where it is when '{movers[0].name}' is moved.")
    bent = [things[one] for one in moving if answers[one].off > FOLLOWS]
    changes = [sentence for one in stopped for sentence in holds(things[one])] or list(shape_holds(bent))
    if bent and not changes:
        changes = [f"The shape of '{bent[0].name}' changes as '{movers[0].name}' moves."]
    notices = tuple(f"'{one.name}' does not move along with '{movers[0].name}', so it does not count." for one in staying)
    return Trial(moving, tuple(changes), notices)


def _why_it_stays(thing: bpy.types.Object) -> str:
    """A sentence on an object that nothing holds."""
    if not thing.visible_get():
        return f"'{thing.name}' is hidden in the viewport, itself or with its collection, so it cannot be moved: show it."
    return f"'{thing.name}' stays where it is, whatever its location is set to."


def move(scene: bpy.types.Scene, placements: Mapping[Handle, Placement], motion: np.ndarray) -> None:
    """Moves objects from where they were by a rigid (4, 4) of the world.  Raises SetupError if one is gone."""
    for handle, placement in placements.items():
        place(handle.require(scene), placement, motion @ placement.world_from_thing)


def _answers(
    scene: bpy.types.Scene, things: dict[Handle, bpy.types.Object], movers: tuple[Handle, ...], parts: tuple[Handle, ...]
) -> dict[Handle, _Answer]:
    """What things do when the movers are moved about the middle of the parts and, afterwards, put back."""
    depsgraph = evaluate(scene)
    origins = np.stack([world_matrix(depsgraph, thing)[:3, 3] for thing in things.values()])
    reach = np.ptp(origins, axis=0).max() + max(max(thing.dimensions) for thing in things.values()) or 1.0
    before = _points(depsgraph, things, reach)
    placements = {one: read_placement(depsgraph, things[one]) for one in movers}
    motion = _small_motion(np.concatenate([before[one] for one in parts]))
    channels = {one: read_channels(things[one]) for one in movers}
    try:
        move(scene, placements, motion)
        after = _points(evaluate(scene), things, reach)
    finally:
        for one in movers:
            write_channels(things[one], channels[one])
        evaluate(scene)
    return {one: _answer(before[one], after[one], motion) for one in things}


def _points(depsgraph: bpy.types.Depsgraph, things: dict[Handle, bpy.types.Object], reach: float) -> dict[Handle, np.ndarray]:
    """(K, 3) in the world: each thing's origin, a point on each of its axes at a distance, and its vertices."""
    points = {}
    for one, thing in things.items():
        rigid, _ = split_rigid(world_matrix(depsgraph, thing), one.name)
        points[one] = [rigid[:3, 3] + reach * np.vstack([np.zeros(3), rigid[:3, :3].T])]
    handles = {thing.name: one for one, thing in things.items()}
    for name, vertices_world in read_vertices(depsgraph, lambda owner: owner.name in handles):
        points[handles[name]].append(vertices_world)
    return {one: np.concatenate(several) for one, several in points.items()}


def _small_motion(points: np.ndarray) -> np.ndarray:
    """(4, 4) a motion that turns points (K, 3) about their middle and shifts them by a tenth of their extent."""
    low, high = points.min(axis=0), points.max(axis=0)
    motion = np.eye(4)
    motion[:3, :3] = matrix_from_wxyz(wxyz_from_rotvec(np.array([0.05, 0.1, 0.15])))
    motion[:3, 3] = (low + high) / 2 - motion[:3, :3] @ (low + high) / 2 + 0.1 * (high - low).max() * np.array([1, -1, 1])
    return motion


def _answer(before: np.ndarray, after: np.ndarray, motion: np.ndarray) -> _Answer:
    goal = before @ motion[:3, :3].T + motion[:3, 3]
    whole, noise = np.linalg.norm(goal - before, axis=1).max(), FLOAT32 * np.abs(before).max()

    def distance(other: np.ndarray, count: int | None = None) -> float:
        return max(np.linalg.norm(after[:count] - other[:count], axis=1).max() - noise, 0) / whole

    frame_off = distance(goal, FRAME_POINTS)
    return _Answer(frame_off, distance(goal), distance(before)) if before.shape == after.shape else _Answer(frame_off, 1, 1)
