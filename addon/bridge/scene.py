# SPDX-License-Identifier: GPL-3.0-or-later
"""Things of a scene by their names, and the evaluated scene."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple, Self, TypeVar

import bpy

from solver_core.errors import SetupError

from .transform import read_channels, write_channels


def find_object(scene: bpy.types.Scene, name: str, what: str) -> bpy.types.Object:
    """The object of a scene with a name; what: "object", "camera", ... for the sentence."""
    found = scene.objects.get(name)
    if found is None:
        raise SetupError(f"Choose {'an' if what[0] in 'aeiou' else 'a'} {what}: " + _missing(scene, name))
    return found


def _missing(scene: bpy.types.Scene, name: str) -> str:
    return f"there is no object '{name}' in the scene '{scene.name}'." if name else "none is given."


_Block = TypeVar("_Block", bound=bpy.types.ID)


def find_by_uid(blocks: Iterable[_Block], uid: int) -> _Block | None:
    """The data-block with Blender's own number of it in this session, None if it is gone."""
    return next((block for block in blocks if block.session_uid == uid), None)


class Handle(NamedTuple):
    """What finds an object or scene after an undo and under another name.  uid: Blender's own number of it in this session."""

    name: str
    uid: int

    @classmethod
    def of(cls, thing: bpy.types.Object | bpy.types.Scene) -> Self:
        return cls(thing.name, thing.session_uid)

    def find(self, scene: bpy.types.Scene | None) -> bpy.types.Object | None:
        """The object, None if it is gone."""
        if scene is None:
            return None
        named = scene.objects.get(self.name)
        if named is not None and named.session_uid == self.uid:
            return named
        return find_by_uid(scene.objects, self.uid)

    def require(self, scene: bpy.types.Scene) -> bpy.types.Object:
        """The object.  Raises SetupError if it is gone."""
        thing = self.find(scene)
        if thing is None:
            raise SetupError(f"'{self.name}' is no longer in the scene '{scene.name}': it was deleted or moved to another.")
        return thing

    def find_scene(self) -> bpy.types.Scene | None:
        """The scene, None if it is gone."""
        return find_by_uid(bpy.data.scenes, self.uid)

    def require_scene(self) -> bpy.types.Scene:
        """The scene.  Raises SetupError if it is gone."""
        scene = self.find_scene()
        if scene is None:
            raise SetupError(f"The scene '{self.name}' does not exist any more.")
        return scene


def require_editable(thing: bpy.types.ID) -> None:
    if thing.library is not None:
        raise SetupError(f"'{thing.name}' is linked from another file and cannot be changed: make it local, or an override.")


def evaluate(scene: bpy.types.Scene) -> bpy.types.Depsgraph:
    """The evaluated scene at its current frame."""
    if bpy.context.scene == scene:
        return bpy.context.evaluated_depsgraph_get()
    with bpy.context.temp_override(scene=scene, view_layer=scene.view_layers[0]):
        return bpy.context.evaluated_depsgraph_get()


def rendered_objects(layer: bpy.types.ViewLayer) -> set[bpy.types.Object]:
    """Those that renders of a view layer show, whatever viewports hide."""

    def within(part: bpy.types.LayerCollection) -> Iterator[bpy.types.Object]:
        if part.collection.hide_render:
            return
        if not part.exclude:
            yield from (thing for thing in part.collection.objects if not thing.hide_render)
        for child in part.children:
            yield from within(child)

    return set(within(layer.layer_collection))


def show_frame(scene: bpy.types.Scene, frame: int) -> None:
    """Goes to a frame, unless it is shown already: what was moved without a keyframe stays as it is then."""
    if scene.frame_current != frame:
        scene.frame_set(frame)


@contextlib.contextmanager
def as_played(scene: bpy.types.Scene, frame: int, unkeyed: Collection[bpy.types.Object | bpy.types.PoseBone]) -> Iterator[None]:
    """Shows a frame as its animation has it.  unkeyed: what was moved without a keyframe and is put back afterwards."""
    animated = [thing for thing in unkeyed if is_animated(thing.id_data)]
    channels = [read_channels(thing) for thing in animated]
    if animated or not unkeyed:
        scene.frame_set(frame, subframe=scene.frame_subframe if frame == scene.frame_current else 0.0)
    yield
    for thing, values in zip(animated, channels, strict=True):
        write_channels(thing, values)


def is_animated(thing: bpy.types.ID) -> bool:
    data = thing.animation_data
    return data is not None and (data.action is not None or any(track.strips for track in data.nla_tracks))


def uses_nodes(thing: bpy.types.ID) -> bool:
    """Whether a material, world or light is drawn with its nodes; from Blender 5.0 on it is if it has any."""
    return thing.node_tree is not None and (bpy.app.version >= (5, 0, 0) or thing.use_nodes)


def used_nodes(thing: bpy.types.ID | None) -> tuple[bpy.types.Node, ...]:
    """The nodes of a material, world or light, none if it is drawn without them."""
    return () if thing is None or not uses_nodes(thing) else tuple(thing.node_tree.nodes)
