# SPDX-License-Identifier: GPL-3.0-or-later
"""A moment of a scene, to go back to: its frame, and what was changed there without a keyframe.

Showing another frame and coming back gives everything that is animated the values of its curves; edits that were not keyed
yet would be lost.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import bpy

from .keyframes import every_curve
from .scene import Handle

GONE = (ValueError, IndexError, KeyError, AttributeError)  # what reading and writing raise where a curve has no property


class _Owner(NamedTuple):
    """Finds a block of data again: a collection of bpy.data, Blender's number, and whether it is that block's node tree."""

    kind: str
    uid: int
    is_tree: bool


@dataclass(frozen=True)
class Moment:
    """frame, subframe: of the scene.  values: what each animated property held, as (owner, path, index, value)."""

    scene: Handle
    frame: int
    subframe: float
    values: tuple[tuple[_Owner, str, int, Any], ...]

    @classmethod
    def of(cls, scene: bpy.types.Scene) -> Self:
        values = []
        for owner, block in _animated_blocks():
            for path, index in {(curve.data_path, curve.array_index) for curve in every_curve(block)}:
                with contextlib.suppress(*GONE):
                    values.append((owner, path, index, _read(block, path, index)))
        return cls(Handle.of(scene), scene.frame_current, scene.frame_subframe, tuple(values))

    def show(self) -> None:
        """Shows the frame again, as its animation has it, unless it is shown or the scene is gone."""
        scene = self.scene.find_scene()
        if scene is not None and (scene.frame_current, scene.frame_subframe) != (self.frame, self.subframe):
            scene.frame_set(self.frame, subframe=self.subframe)

    def restore(self) -> None:
        """Shows the frame again, and sets what was otherwise than its curves have it; what is gone is skipped."""
        self.show()
        blocks = dict(_animated_blocks())
        for owner, path, index, value in self.values:
            if owner in blocks:
                with contextlib.suppress(*GONE):
                    if _read(blocks[owner], path, index) != value:
                        _write(blocks[owner], path, index, value)


def _animated_blocks() -> Iterator[tuple[_Owner, bpy.types.ID]]:
    """All blocks of this file that have an animation of their own."""
    for prop in bpy.data.bl_rna.properties:
        if prop.type != "COLLECTION":
            continue
        for block in getattr(bpy.data, prop.identifier):
            for one in (block, getattr(block, "node_tree", None)):
                if one is not None and one.library is None and getattr(one, "animation_data", None) is not None:
                    yield _Owner(prop.identifier, block.session_uid, one is not block), one


def _read(block: bpy.types.ID, path: str, index: int) -> Any:
    holder, name = _holder(block, path)
    value = holder[name] if path.endswith("]") else getattr(holder, name)
    return value[index] if _is_array(value) else value


def _write(block: bpy.types.ID, path: str, index: int, value: Any) -> None:
    holder, name = _holder(block, path)
    if path.endswith("]"):
        if _is_array(holder[name]):
            holder[name][index] = value
        else:
            holder[name] = value
    elif _is_array(getattr(holder, name)):
        getattr(holder, name)[index] = value
    else:
        setattr(holder, name, value)


def _holder(block: bpy.types.ID, path: str) -> tuple[Any, str]:
    """What holds a property, and its name there.  As a path is resolved, a user's own number would lose digits."""
    holder, _, name = path.rpartition("[") if path.endswith("]") else path.rpartition(".")
    return (block.path_resolve(holder) if holder else block), name.strip("[]\"'")


def _is_array(value: Any) -> bool:
    return hasattr(value, "__getitem__") and not isinstance(value, str)
