# SPDX-License-Identifier: Apache-2.0
"""An option is declared once: the command line, the properties, the panel and the job schema have it from there."""

import argparse
from dataclasses import dataclass
from pathlib import Path

import bpy
import pytest

from addon import options, schema
from addon.solves.lighting import LightingTaskOptions
from solver_core.command.arguments import add_options, options_from
from solver_core.options import option
from solver_core.problems.pose.solve import PoseOptions

from .fake_layout import FakeLayout


@dataclass(frozen=True)
class MorePoseOptions(PoseOptions):
    patience: int = option(3, "Patience", "Number of steps without success before a solve gives up", minimum=1)
    noise: float | None = option(None, "Noise", "Error of the outline", minimum=0.0, unit="px", unset="found from the outline")
    shapes: Path | None = option(None, "Shapes", "Outlines of before", unset="none")


@dataclass(frozen=True)
class MorePoseTask:
    object: str
    options: MorePoseOptions


@pytest.fixture
def settings():
    class Settings(options.mixin(MorePoseOptions), bpy.types.PropertyGroup):
        pass

    bpy.utils.register_class(Settings)
    bpy.types.Scene.more_settings = bpy.props.PointerProperty(type=Settings)
    yield bpy.context.scene.more_settings
    del bpy.types.Scene.more_settings
    bpy.utils.unregister_class(Settings)


def test_command_line_has_a_new_option():
    parser = argparse.ArgumentParser()
    add_options(parser, MorePoseOptions)

    assert options_from(parser.parse_args(["--patience", "5", "--no-refine"]), MorePoseOptions) == MorePoseOptions(
        patience=5, refine=False
    )
    assert "Number of steps without success before a solve gives up (default: 3)" in " ".join(parser.format_help().split())


def test_command_line_complains_in_the_words_of_the_option(capsys):
    parser = argparse.ArgumentParser()
    add_options(parser, MorePoseOptions)

    with pytest.raises(SystemExit):
        parser.parse_args(["--patience", "0"])

    assert "patience must be a whole number at least 1, got 0" in capsys.readouterr().err


def test_blender_has_a_property_for_a_new_option(settings):
    settings.patience = 7

    assert options.read(MorePoseOptions, settings) == MorePoseOptions(patience=7)
    assert settings.bl_rna.properties["patience"].description == "Number of steps without success before a solve gives up"
    assert settings.bl_rna.properties["patience"].hard_min == 1


def test_option_that_may_be_left_to_the_solve_has_a_switch(settings):
    settings.noise = 2.0
    assert options.read(MorePoseOptions, settings).noise is None

    settings.use_noise = True
    assert options.read(MorePoseOptions, settings).noise == 2.0


def test_panel_has_a_row_for_a_new_option(settings):
    layout = FakeLayout()

    options.draw(layout, settings, MorePoseOptions)

    assert {("prop", "patience"), ("prop", "noise"), ("prop", "use_noise")} <= set(layout.drawn)


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("Look for two (lamps=2), or a wide one (size=True).", "Look for two (Lamps: 2), or a wide one (Sun's Size)."),
        ("Look for both (kind=point, lamps=2).", "Look for both (Kind: Point, Lamps: 2)."),
        ("Give a pose in which it stands (rest=, --rest).", "Give a pose in which it stands."),
        ("The sun lies low (5 degrees).", "The sun lies low (5 degrees)."),
    ],
)
def test_sentences_name_options_as_the_panel_does(sentence, expected):
    assert options.as_in_panel(sentence, LightingTaskOptions) == expected


def test_job_schema_has_a_new_option():
    properties = schema.schema_of(MorePoseTask)["properties"]

    assert properties["patience"]["minimum"] == 1
    assert properties["object"] == {"type": "string"}


def test_job_sets_a_new_option_and_refuses_a_wrong_one(tmp_path):
    task = schema.read_record(MorePoseTask, {"object": "Car", "patience": 9}, "", tmp_path)

    assert task == MorePoseTask("Car", MorePoseOptions(patience=9))
    with pytest.raises(schema.Invalid, match="it must be a whole number at least 1, not 0"):
        schema.read_record(MorePoseTask, {"object": "Car", "patience": 0}, "", tmp_path)


@pytest.mark.parametrize(("written", "meant"), [("shapes.npz", "{folder}/shapes.npz"), ("/lib/shapes.npz", "/lib/shapes.npz")])
def test_job_names_a_file_relative_to_itself(written, meant, tmp_path):
    task = schema.read_record(MorePoseTask, {"object": "Car", "shapes": written}, "", tmp_path)

    assert task.options.shapes == Path(meant.format(folder=tmp_path))


def test_file_beside_the_scene_is_found_from_its_folder(settings, tmp_path):
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    settings = bpy.context.scene.more_settings
    settings.use_shapes, settings.shapes = True, "//shapes.npz"

    assert options.read(MorePoseOptions, settings).shapes == tmp_path / "shapes.npz"


def test_file_that_the_switch_leaves_out_is_none(settings):
    settings.use_shapes, settings.shapes = False, "//shapes.npz"

    assert options.read(MorePoseOptions, settings).shapes is None
