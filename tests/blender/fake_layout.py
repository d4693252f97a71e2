# SPDX-License-Identifier: Apache-2.0
"""Stands in for Blender's layouts, which exist in a window only, and checks that every name drawn exists."""

from types import SimpleNamespace

import bpy

ICONS = bpy.types.UILayout.bl_rna.functions["label"].parameters["icon"].enum_items.keys()


class FakeLayout:
    """Records (kind, name or text) of all that is drawn into it or into its parts, in order."""

    def __init__(self, drawn=None):
        self.drawn = [] if drawn is None else drawn

    def _part(self, *_, **__):
        return FakeLayout(self.drawn)

    column = row = split = box = grid_flow = _part

    def panel(self, name, default_closed=False):
        return FakeLayout(self.drawn), FakeLayout(self.drawn)

    def prop(self, data, name, icon="NONE", **_):
        assert name in data.bl_rna.properties, name
        assert icon in ICONS
        self.drawn.append(("prop", name))

    def template_ID(self, data, name, open="", **_):  # noqa: N802 (Blender's name)
        assert open in {"image.open", "clip.open"}
        self.prop(data, name)

    def template_list(self, list_class, _, data, name, active_data, active_name, **__):
        assert hasattr(bpy.types, list_class)
        assert active_name in active_data.bl_rna.properties
        self.prop(data, name)

    def operator(self, name, text=None, icon="NONE", **_):
        space, _, own = name.partition(".")
        assert own in dir(getattr(bpy.ops, space)), name
        assert icon in ICONS
        self.drawn.append(("operator", name))
        if text:
            self.drawn.append(("text", text))
        return SimpleNamespace()

    def menu(self, name, icon="NONE", **_):
        assert hasattr(bpy.types, name)
        assert icon in ICONS

    def separator(self, **_):
        pass

    def popover(self, name, icon="NONE", **_):
        assert hasattr(bpy.types, name)
        assert icon in ICONS

    def label(self, text="", icon="NONE", **_):
        assert icon in ICONS
        self.drawn.append(("label", text))

    def progress(self, factor=0.0, text="", **_):
        assert 0 <= factor <= 1
        self.drawn.append(("progress", text))
