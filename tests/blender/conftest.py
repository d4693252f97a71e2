# SPDX-License-Identifier: Apache-2.0
"""Blender as a module.  Every test here needs it; each gets an empty file."""

from pathlib import Path

import pytest

bpy = pytest.importorskip("bpy", reason="needs Blender as a module: pip install bpy==5.0.1", exc_type=ImportError)


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.bpy)


@pytest.fixture
def scene():
    """The scene of an empty file."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    return bpy.context.scene


@pytest.fixture
def registered(scene):
    """The scene of an empty file, with the extension enabled."""
    import addon

    bpy.context.preferences.addons.new().module = addon.__name__
    addon.register()
    yield scene
    addon.unregister()
