# SPDX-License-Identifier: GPL-3.0-or-later
"""Keyframes of many frames at once; one by one they take a time that grows with the square of their number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Self

import bpy
import numpy as np

from solver_core.errors import SetupError

Keyable = bpy.types.Object | bpy.types.PoseBone
# All that there is of a key: number of values and their type, by the names that foreach_get knows.
KEY = {
    "co": (2, np.float32),
    "handle_left": (2, np.float32),
    "handle_right": (2, np.float32),
    "handle_left_type": (1, np.int32),
    "handle_right_type": (1, np.int32),
    "interpolation": (1, np.int32),
    "type": (1, np.int32),
    "easing": (1, np.int32),
    "back": (1, np.float32),
    "amplitude": (1, np.float32),
    "period": (1, np.float32),
    "select_control_point": (1, bool),
    "select_left_handle": (1, bool),
    "select_right_handle": (1, bool),
}


def require_keyable(owner: Keyable, *channels: str) -> None:
    """Raises SetupError if properties of an object or bone, such as "location", take no keyframes."""
    thing = owner.id_data
    if thing.animation_data is None or thing.animation_data.action is None:
        return
    if thing.animation_data.action.library is not None:
        raise SetupError(f"The action of '{thing.name}' is linked from another file and takes no keyframes: make it local.")
    paths = [owner.path_from_id(channel) for channel in channels]
    for curve in _curves(thing):
        if curve.data_path in paths and (curve.lock or (curve.group is not None and curve.group.lock)):
            raise SetupError(f"A curve of '{owner.name}' is locked and takes no keyframes: unlock it in the Graph Editor.")


def set_keys(
    owner: Keyable, channel: str, frames: Sequence[int], values: np.ndarray, components: Sequence[int] | None = None
) -> None:
    """Keyframes a property of an object or bone.

    channel: such as "location".  frames: rising.  values: (F, C).  components: numbers of those that are keyed, None = all.
    Keys before the first frame and after the last one stay, those between are replaced.  Raises SetupError if the property
    takes no keyframes.
    """
    require_keyable(owner, channel)
    path = owner.path_from_id(channel)
    for index in range(values.shape[1]) if components is None else components:
        try:
            owner.keyframe_insert(channel, index=index, frame=frames[0])  # makes action, slot, group and curve as Blender does
        except RuntimeError as error:
            raise SetupError(f"'{owner.name}' takes no keyframes: {str(error).removeprefix('Error: ').strip()}") from error
        curve = _curves(owner.id_data).find(path, index=index)
        _replace(curve.keyframe_points, np.stack([np.asarray(frames, np.float32), values[:, index]], axis=1))
        curve.update()


def key_frames(owner: Keyable, *channels: str) -> set[int]:
    """The frames at which properties of an object or bone are keyed, rounded."""
    return {round(key.co.x) for curve in _curves_of_channels(owner, channels) for key in curve.keyframe_points}


def remove_keys(owner: Keyable, first: int, last: int, *channels: str) -> set[int]:
    """Removes the keys of properties from a frame to another; the frames that had some.  Curves without keys go."""
    frames: set[int] = set()
    for curve in _curves_of_channels(owner, channels):
        points = curve.keyframe_points
        inside = [key for key in points if first <= key.co.x <= last]
        frames |= {round(key.co.x) for key in inside}
        if len(inside) == len(points):
            for frame in {key.co.x for key in inside}:  # Blender removes the curve with its last key
                owner.keyframe_delete(curve.data_path.rpartition(".")[2], index=curve.array_index, frame=frame)
            continue
        for key in reversed(inside):
            points.remove(key, fast=True)
        curve.update()
    return frames


def _curves_of_channels(owner: Keyable, channels: Sequence[str]) -> list[bpy.types.FCurve]:
    paths = [owner.path_from_id(channel) for channel in channels]
    return [curve for curve in _curves(owner.id_data) if curve.data_path in paths]


def key_now(owner: Keyable | bpy.types.ID, channel: str, frame: int, components: Sequence[int] = (-1,)) -> None:
    """Keyframes a property as it is, at one frame.  components: numbers of those that are keyed, -1 = all.

    Raises SetupError if it takes no keyframes.
    """
    for index in components:
        try:
            owner.keyframe_insert(channel, index=index, frame=frame)
        except RuntimeError as error:
            raise SetupError(f"'{owner.name}' takes no keyframes: {str(error).removeprefix('Error: ').strip()}") from error


class Keys(NamedTuple):
    """All keyframes of some properties of an object or bone, to be put back.  curves: path and component -> what KEY names."""

    paths: tuple[str, ...]
    curves: dict[tuple[str, int], dict[str, np.ndarray]]

    @classmethod
    def of(cls, owner: Keyable, *channels: str) -> Self:
        paths = tuple(owner.path_from_id(channel) for channel in channels)
        curves = {
            (curve.data_path, curve.array_index): {name: _read(curve.keyframe_points, name) for name in KEY}
            for curve in _curves(owner.id_data)
            if curve.data_path in paths
        }
        return cls(paths, curves)

    def put_back(self, owner: Keyable) -> None:
        """Makes the curves as they were; those that were not there are removed."""
        curves = _curves(owner.id_data)
        for curve in [curve for curve in curves if curve.data_path in self.paths]:
            keys = self.curves.get((curve.data_path, curve.array_index))
            if keys is None:
                curves.remove(curve)
            else:
                points = curve.keyframe_points
                points.clear()
                points.add(len(keys["co"]))
                for name, values in keys.items():
                    points.foreach_set(name, values.ravel())
                curve.update()


def every_curve(block: bpy.types.ID) -> Iterator[bpy.types.FCurve]:
    """The curves that animate a block: of its action and of the strips of its tracks."""
    data = block.animation_data
    for user in (data, *(strip for track in data.nla_tracks for strip in track.strips)):
        if user.action is not None:
            yield from _curves_of(user)


def _curves(thing: bpy.types.Object) -> Sequence[bpy.types.FCurve]:
    """The curves of an object's action, none without one."""
    data = thing.animation_data
    return () if data is None or data.action is None else _curves_of(data)


def _curves_of(user: bpy.types.AnimData | bpy.types.NlaStrip) -> Sequence[bpy.types.FCurve]:
    """The curves of an action; since Blender 4.4 those of the slot that its user has."""
    if not hasattr(user, "action_slot"):
        return user.action.fcurves
    bags = (strip.channelbag(user.action_slot) for layer in user.action.layers for strip in layer.strips)
    return next((bag.fcurves for bag in bags if bag is not None), ())


def _replace(points: bpy.types.FCurveKeyframePoints, new: np.ndarray) -> None:
    """Puts new keys (F, 2), frame and value, in the place of those that their range covers."""
    frame = _read(points, "co")[:, 0]
    is_kept = (frame < new[0, 0]) | (frame > new[-1, 0])
    kept = {name: _read(points, name)[is_kept] for name in KEY} if is_kept.any() else {}
    points.clear()
    points.add(is_kept.sum() + len(new))  # with the interpolation that the user prefers
    for name, values in kept.items():
        every = _read(points, name)
        every[: len(values)] = values
        points.foreach_set(name, every.ravel())
    coordinates = np.concatenate([kept.get("co", new[:0]), new])
    points.foreach_set("co", coordinates.ravel())
    points.sort()


def _read(points: bpy.types.FCurveKeyframePoints, name: str) -> np.ndarray:
    """(K, C) of all keys."""
    width, kind = KEY[name]
    values = np.empty(len(points) * width, kind)
    points.foreach_get(name, values)
    return values.reshape(-1, width)
