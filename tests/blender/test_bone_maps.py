# SPDX-License-Identifier: Apache-2.0
"""Bone maps as files and presets; the files come from anyone."""

import json
from types import SimpleNamespace

import bpy
import pytest

from addon import bone_maps, panels
from addon.solves.armature_task import BoneTarget
from solver_core.errors import SolverError
from tests.blender.fake_layout import FakeLayout

LINES = (BoneTarget("LeftHand", "hand.L", 1.0), BoneTarget('Kopf "oben"', "head_end", 0.25))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where presets are."""
    monkeypatch.setattr(bpy.utils, "user_resource", lambda kind, path="": str(tmp_path / kind / path))
    return tmp_path


@pytest.fixture
def settings(registered):
    settings = registered.deep_feedback.armature
    for row in LINES:
        line = settings.bones.add()
        line.target, line.bone, line.weight = row.target, row.bone, row.weight
    return settings


def test_a_map_is_read_as_it_was_written(tmp_path):
    bone_maps.write_bone_map(tmp_path / "map.json", LINES)

    assert bone_maps.read_bone_map(tmp_path / "map.json") == LINES


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "map.json is not valid JSON"),
        ("[" * 100_000, "map.json"),
        ("[]", "must have between 1 and 10000 lines, not 0"),
        ("{}", "bones: it must be a list"),
        ("[1]", "bones.0: it must be an object"),
        ('[{"target": "a"}]', "bones.0.bone: it is missing"),
        ('[{"target": "a", "bone": 3}]', "bones.0.bone: it must be a text, not 3"),
        ('[{"target": "a", "bone": "b", "weigth": 1}]', "did you mean 'weight'"),
        ('[{"target": "", "bone": "b"}]', "must name a target and a bone"),
        ('[{"target": "a", "bone": "b", "weight": NaN}]', "weight from 0 on"),
        ('[{"target": "a", "bone": "b", "weight": -1}]', "weight from 0 on"),
        ('[{"target": "a", "bone": "b", "weight": 1%s}]' % ("0" * 400), "weight from 0 on"),
        (json.dumps([{"target": "a", "bone": "b"}] * 10_001), "not 10001"),
    ],
)
def test_a_bad_file_gives_a_sentence_and_leaves_the_map(settings, tmp_path, content, sentence):
    (tmp_path / "map.json").write_text(content, encoding="utf-8")

    with pytest.raises(RuntimeError, match=sentence) as caught:
        bpy.ops.deep_feedback.load_bone_map(filepath=str(tmp_path / "map.json"))

    assert len(str(caught.value)) < 500
    assert settings.bone_map == LINES


def test_a_file_that_is_missing_gives_a_sentence(registered, tmp_path):
    with pytest.raises(RuntimeError, match=r"Load Bone Map: .*nothing.json"):
        bpy.ops.deep_feedback.load_bone_map(filepath=str(tmp_path / "nothing.json"))


def test_buttons_write_a_map_that_another_scene_reads(settings, tmp_path):
    bpy.ops.deep_feedback.save_bone_map(filepath=str(tmp_path / "mine"))
    settings.bones.clear()
    assert not bpy.ops.deep_feedback.save_bone_map.poll()

    bpy.ops.deep_feedback.load_bone_map(filepath=str(tmp_path / "mine.json"))

    assert settings.bone_map == LINES


def test_a_preset_is_kept_loaded_and_removed(settings, folder):
    bpy.ops.deep_feedback.save_bone_preset(name="Häuptling 2.0")
    settings.bones.clear()

    assert bone_maps.preset_names() == ["Häuptling 2.0"]
    bpy.ops.deep_feedback.load_bone_preset(name="Häuptling 2.0")
    assert settings.bone_map == LINES
    bpy.ops.deep_feedback.remove_bone_preset(name="Häuptling 2.0")
    assert bone_maps.preset_names() == []


@pytest.mark.parametrize("name", ["", "  ", "../evil", "a/b", "a\\b", ".hidden", "x" * 300, "nul\0"])
def test_a_preset_is_kept_in_its_folder_only(folder, name):
    with pytest.raises(SolverError, match="Give the preset another name"):
        bone_maps.write_preset(name, LINES)

    assert list(folder.rglob("*.json")) == []


def test_menu_lists_the_presets(settings, folder):
    bpy.ops.deep_feedback.save_bone_preset(name="Rig")
    layout = FakeLayout()

    panels.DEEP_FEEDBACK_MT_bone_maps.draw(SimpleNamespace(layout=layout), bpy.context)
    panels.DEEP_FEEDBACK_MT_remove_bone_preset.draw(SimpleNamespace(layout=layout), bpy.context)

    assert layout.drawn.count(("text", "Rig")) == 2
