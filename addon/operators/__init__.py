# SPDX-License-Identifier: GPL-3.0-or-later
"""The buttons."""

import bpy

from . import armature, bone_map, help, lighting, live, photo_mask, pose, result, shot

CLASSES = (
    *pose.CLASSES,
    *photo_mask.CLASSES,
    *shot.CLASSES,
    *lighting.CLASSES,
    *armature.CLASSES,
    *bone_map.CLASSES,
    *result.CLASSES,
    *help.CLASSES,
)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    live.register()


def unregister() -> None:
    photo_mask.unregister()
    live.unregister()
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
