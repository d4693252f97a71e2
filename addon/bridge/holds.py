# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps an object, its shape or a bone from being as they were put: sentences with the cause and the way out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

import bpy

from .transform import free_components, rotation_channel

AXES = {3: "XYZ", 4: "WXYZ"}
SAME_SCALE = 1e-3  # relative; matrices are float32 and parents may be many


def holds(thing: bpy.types.Object) -> Iterator[str]:
    """Why an object may not be where it was put, the likeliest first."""
    yield from _constraints(thing)
    yield from _drivers(thing)
    locked = [
        f"{channel.partition('_')[0]} {AXES[len(getattr(thing, channel))][index]}"
        for channel in ("location", rotation_channel(thing))
        for index in range(len(getattr(thing, channel)))
        if index not in free_components(thing, channel)
    ]
    if locked:
        yield f"The {', '.join(locked)} of '{thing.name}' {'is' if len(locked) == 1 else 'are'} locked: unlock what may move."
    parent = next((parent for parent in ancestors(thing) if not _is_uniform(parent)), None)
    if parent is not None:
        yield (
            f"'{parent.name}', a parent of '{thing.name}', is scaled differently along its axes, so turning '{thing.name}' "
            "distorts it: apply the parent's scale."
        )


def is_held(thing: bpy.types.Object) -> bool:
    """Whether something takes an object back wherever it is put, and does not merely limit where it may be."""
    is_taken = any(not constraint.type.startswith("LIMIT_") for constraint in active_constraints(thing))
    return is_taken or any(True for _ in _drivers(thing))


def animation_holds(thing: bpy.types.Object) -> Iterator[str]:
    """Why an object, or the pose of an armature, may be taken back where no keyframe was set."""
    data = thing.animation_data
    if data is not None and data.action is not None:
        yield (
            f"'{thing.name}' is animated: its keyframes take the result back at the next frame. Insert a keyframe or solve a "
            "range."
        )
    yield from nla_holds(thing)


def nla_holds(thing: bpy.types.Object) -> Iterator[str]:
    """Why keyframes of an object may not be what is seen."""
    data = thing.animation_data
    tracks = [] if data is None else [track for track in data.nla_tracks if not track.mute and track.strips]
    if tracks:
        yield f"The strip '{tracks[0].strips[0].name}' in the Nonlinear Animation of '{thing.name}' plays as well: mute it."


def shape_holds(things: Iterable[bpy.types.Object]) -> Iterator[str]:
    """Why the shape of objects may change as they move."""
    for thing in things:
        for modifier in thing.modifiers:
            other = _other_object(modifier)
            if other is not None and modifier.show_viewport:
                yield (
                    f"The modifier '{modifier.name}' of '{thing.name}' depends on '{other.name}', so the shape changes as "
                    f"'{thing.name}' moves: apply the modifier, or parent '{other.name}' to '{thing.name}'."
                )


def bone_holds(armature: bpy.types.Object, names: Iterable[str]) -> Iterator[str]:
    """Why bones may not be as they were posed."""
    for bone in (armature.pose.bones[name] for name in names):
        for constraint in holding_constraints(bone):
            yield f"The bone '{bone.name}' is held by its constraint '{constraint.name}': mute or remove it."
        for channel in driven_channels(bone):
            yield f"The bone '{bone.name}' has a driver on its {channel}, which undoes the pose: mute or remove it."


def bone_limits(armature: bpy.types.Object, names: Iterable[str]) -> Iterator[str]:
    """Why bones may not have turned as far as they were posed."""
    for bone in (armature.pose.bones[name] for name in names):
        for constraint in active_constraints(bone):
            yield f"The bone '{bone.name}' is held by its constraint '{constraint.name}': widen its limits or mute it."


def holding_constraints(bone: bpy.types.PoseBone) -> list[bpy.types.Constraint]:
    """Those that decide how a bone is posed, and do not merely limit it."""
    return [one for one in active_constraints(bone) if not one.type.startswith("LIMIT_") and one.type != "MAINTAIN_VOLUME"]


def follows(thing: bpy.types.Object, movers: Collection[bpy.types.Object]) -> str:
    """How it comes that an object moves along with others, and the way out, as the end of a sentence."""
    if any(parent in movers for parent in ancestors(thing)):
        return "of which it is a child: clear the parent (Alt P, Keep Transformation), or move the other of the two"
    constraint = next((constraint for one in (thing, *ancestors(thing)) for constraint in active_constraints(one)), None)
    if constraint is not None:
        return f"held by the constraint '{constraint.name}': apply, disable or remove it"
    return "held by a driver or a modifier: remove it"


def ancestors(thing: bpy.types.Object) -> Iterator[bpy.types.Object]:
    """The parent, its parent and so on."""
    while thing.parent is not None:
        thing = thing.parent
        yield thing


def active_constraints(owner: bpy.types.Object | bpy.types.PoseBone) -> list[bpy.types.Constraint]:
    """Those that act on an object or bone; without a target most do not."""
    return [one for one in owner.constraints if one.enabled and not one.mute and one.influence > 0 and one.is_valid]


def _constraints(thing: bpy.types.Object) -> Iterator[str]:
    for constraint in active_constraints(thing):
        yield f"'{thing.name}' is held by its constraint '{constraint.name}': apply, disable or remove it."


def _drivers(thing: bpy.types.Object) -> Iterator[str]:
    for channel in driven_channels(thing):
        yield f"'{thing.name}' has a driver on its {channel}, which would undo a move: remove or mute it."


def driven_channels(owner: bpy.types.Object | bpy.types.PoseBone) -> Iterator[str]:
    """Which of location and rotation of an object or bone have drivers."""
    data = owner.id_data.animation_data
    paths = {driver.data_path for driver in data.drivers if not driver.mute} if data else ()
    for channel in ("location", rotation_channel(owner)):
        if owner.path_from_id(channel) in paths:
            yield channel.partition("_")[0]


def _is_uniform(thing: bpy.types.Object) -> bool:
    low, *_, high = sorted(map(abs, thing.scale))
    return low >= (1 - SAME_SCALE) * high


def _other_object(modifier: bpy.types.Modifier) -> bpy.types.Object | None:
    """An object that a modifier names; those of geometry nodes are among its custom properties."""
    named = [getattr(modifier, prop.identifier) for prop in modifier.bl_rna.properties if prop.type == "POINTER"]
    named += modifier.values() if modifier.type == "NODES" else []
    return next((value for value in named if isinstance(value, bpy.types.Object)), None)
