# SPDX-License-Identifier: Apache-2.0
import gc
import importlib
import os
import sys
from pathlib import Path

import addon_utils
import bpy
import pytest

import addon

CYCLES = int(os.environ.get("ADDON_CYCLES", "30"))  # of enabling and disabling; `make test-cycles` does a thousand
MEMORY_NOISE = 2**20  # bytes by which the memory of a process that does nothing but this may differ

HANDLERS = (
    "load_pre",
    "load_post",
    "undo_pre",
    "undo_post",
    "redo_pre",
    "redo_post",
    "frame_change_post",
    "depsgraph_update_post",
)


KINDS = (bpy.types.PropertyGroup, bpy.types.Operator, bpy.types.AddonPreferences, bpy.types.Panel, bpy.types.UIList)


def registered_classes():
    return [cls for kind in KINDS for cls in kind.__subclasses__() if "DEEP_FEEDBACK" in cls.__name__ and cls.is_registered]


def footprint():
    """All that an extension may leave behind."""
    return (
        sorted(cls.__name__ for cls in registered_classes()),
        [name for name in dir(bpy.types) if "DEEP_FEEDBACK" in name],
        sorted(dir(bpy.ops.deep_feedback)),
        {name: list(getattr(bpy.app.handlers, name)) for name in HANDLERS},
        hasattr(bpy.types.Scene, "deep_feedback"),
    )


def test_unregister_leaves_nothing_after_every_enabling(scene):
    before = footprint()

    for _ in range(3):
        addon.register()
        assert footprint() != before
        addon.unregister()

        assert footprint() == before


def size() -> tuple[int, int]:
    """Python objects, and bytes of memory in use."""
    gc.collect()
    return len(gc.get_objects()), int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_enabling_and_disabling_many_times_takes_no_more_memory(scene):
    def enable_and_disable() -> None:
        assert addon_utils.enable("addon") is not None  # as the button in Blender's preferences does
        bpy.context.scene.deep_feedback.pose.steps = 3
        addon_utils.disable("addon")

    for _ in range(10):  # what is kept is there from now on
        enable_and_disable()
    before, (objects, memory) = footprint(), size()

    for _ in range(CYCLES):
        enable_and_disable()

    more_objects, more_memory = (now - then for now, then in zip(size(), (objects, memory), strict=True))
    print(f"{CYCLES} cycles: {more_objects} more objects, {more_memory} more bytes")  # noqa: T201  (what `make test-cycles` shows)
    assert footprint() == before
    assert more_objects < CYCLES  # not one a cycle
    assert more_memory < MEMORY_NOISE


@pytest.fixture
def reloadable():
    """Names of the extension's modules, the innermost first; they are put back as they were, since other tests hold classes."""
    names = sorted((name for name in sys.modules if name.split(".")[0] == "addon"), key=lambda name: -name.count("."))
    contents = {name: dict(vars(sys.modules[name])) for name in names}
    yield names
    for name, content in contents.items():
        vars(sys.modules[name]).clear()
        vars(sys.modules[name]).update(content)


def test_unregister_leaves_nothing_after_a_reload_of_all_modules(scene, reloadable):
    before = footprint()
    addon.register()
    addon.unregister()
    for name in reloadable[:-1]:
        importlib.reload(sys.modules[name])
    again = importlib.reload(addon)

    again.register()
    again.unregister()

    assert footprint() == before


def test_settings_survive_in_the_file_when_disabled_and_enabled(registered, tmp_path):
    registered.deep_feedback.pose.steps = 9
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    addon.unregister()
    addon.register()

    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "scene.blend"))

    assert bpy.context.scene.deep_feedback.pose.steps == 9


def declared():
    """(class, property, tooltip) for all that the user can change or press."""
    addon.register()
    classes = [cls for cls in registered_classes() if not issubclass(cls, (bpy.types.Panel, bpy.types.UIList))]
    found = [(cls.__name__, prop.identifier, prop.description) for cls in classes for prop in own_properties(cls)]
    found += [(cls.__name__, "", cls.bl_description) for cls in classes if issubclass(cls, bpy.types.Operator)]
    addon.unregister()
    return found


def own_properties(cls):
    for prop in cls.bl_rna.properties:
        is_group = prop.type in {"POINTER", "COLLECTION"} and "DEEP_FEEDBACK" in prop.fixed_type.identifier
        if prop.is_runtime and not is_group:
            yield prop


@pytest.mark.parametrize(("cls", "name", "description"), declared())
def test_tooltip_is_a_sentence(cls, name, description):
    assert len(description.split()) >= 3
    assert description[0].isupper()
    assert not description.endswith(".")  # Blender adds it
