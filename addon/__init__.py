# SPDX-License-Identifier: GPL-3.0-or-later
"""The Blender extension: solves pose, lighting and armatures with a button and shows every step."""

from . import menus, operators, overlay, panels, preferences, properties, results, translations

MODULES = (translations, preferences, properties, results, operators, panels, menus, overlay)


def register() -> None:
    from . import batch  # here: `python -m addon.batch` warns of a module that its package imported before

    for module in (*MODULES, batch):
        module.register()


def unregister() -> None:
    from . import batch

    for module in reversed((*MODULES, batch)):
        module.unregister()
