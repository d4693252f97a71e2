# SPDX-License-Identifier: Apache-2.0
"""Silhouettes from what a render kept of its objects, and from the render result."""

import bpy
import numpy as np
import pytest

from addon.bridge import exr
from addon.bridge.image import read_file, read_image, read_render_result
from addon.bridge.matte import Mark, cryptomatte, object_id, object_index
from addon.solves.image_source import ImageSource, MaskKey
from addon.solves.pose import PoseSolve, PoseTask, preview_mask
from solver_core.errors import ObservationError

from .solve_scenes import add_camera, add_monkey, drain

NAME = "Äffchen.001"


@pytest.fixture
def seen(scene):
    """A monkey in front of a wall."""
    add_camera(scene)
    bpy.ops.mesh.primitive_plane_add(size=20, location=(-3, 7, -3), rotation=(1.2, 0, 0.4))
    monkey = add_monkey(scene)
    monkey.name, monkey.pass_index = NAME, 7
    scene.render.engine, scene.cycles.samples, scene.cycles.use_denoising = "CYCLES", 8, False
    scene.cycles.max_bounces = 0
    return scene


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("passes")


@pytest.fixture
def layered(seen, folder):
    """Path of a file with all its passes."""
    path = folder / "passes.exr"
    if not path.exists():
        layer, settings = seen.view_layers[0], seen.render.image_settings
        layer.use_pass_cryptomatte_object = layer.use_pass_object_index = True
        settings.media_type = "MULTI_LAYER_IMAGE"
        settings.file_format, settings.color_depth, settings.exr_codec = "OPEN_EXR_MULTILAYER", "32", "ZIPS"
        seen.render.filepath = str(path)
        bpy.ops.render.render(write_still=True)
    return path


def test_passes_show_where_an_object_is(layered):
    picture = read_file(str(layered), 1)

    matte, index = cryptomatte(picture.layers, [Mark(NAME, 7)]), object_index(picture.layers, [Mark(NAME, 7)])

    assert 0.05 < matte.mean() < 0.3
    assert ((matte > 0) & (matte < 1)).any()  # edges are partly covered
    assert np.abs(matte - index).mean() < 0.02
    assert cryptomatte(picture.layers, [Mark(NAME, 7), Mark("Plane", 0)]).mean() > matte.mean() + 0.3
    assert picture.rgba[..., :3].max() == 0  # no light


def test_names_become_the_numbers_that_files_hold():
    assert object_id("hello") == 0x248BFA47  # MurmurHash3's own test
    assert object_id("hello, world") == 0x149BBB7F
    assert np.isfinite(np.array([object_id(str(number)) for number in range(2000)], np.uint32).view(np.float32)).all()


@pytest.mark.parametrize("key", ["CRYPTOMATTE", "INDEX"])
def test_pose_is_solved_with_a_pass(key, seen, layered):
    monkey = seen.objects[NAME]
    monkey.location.x, monkey.rotation_euler.z = 0.15, 0.1
    image = bpy.data.images.load(str(layered))
    image.pack()

    for source in (ImageSource(file=str(layered)), ImageSource(image=image.name)):
        solve = PoseSolve.gather(seen, PoseTask(NAME, "Camera", source, MaskKey(key=key)))
        drain(solve)
        assert solve.report()["iou"] > 0.95 > solve.report()["iou_before"]
        solve.restore()

    preview = preview_mask(seen, source, MaskKey(key=key), "Camera", NAME)
    assert preview.shape == (96, 128)


@pytest.mark.parametrize(
    ("key", "marks", "sentence"),
    [
        ("CRYPTOMATTE", [Mark("Lost", 0)], "shows nothing of Lost"),
        ("INDEX", [Mark(NAME, 3)], "nothing with the number 3"),
        ("INDEX", [Mark(NAME, 0)], "Pass Index other than 0"),
    ],
)
def test_an_object_that_a_pass_does_not_show_is_named(key, marks, sentence, layered):
    with pytest.raises(ObservationError, match=sentence):
        MaskKey(key=key).coverage(read_file(str(layered), 1), marks)


def test_pictures_without_passes_say_how_to_get_some(seen):
    picture = read_image(bpy.data.images.new("plain", 8, 8), 1)

    with pytest.raises(ObservationError, match="save it as OpenEXR MultiLayer"):
        MaskKey(key="CRYPTOMATTE").coverage(picture, [Mark(NAME, 7)])
    with pytest.raises(ObservationError, match="no pass Object Index"):
        object_index({"Layer.Combined": np.zeros((4, 4, 4))}, [Mark(NAME, 7)])


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda content: content[: len(content) // 2], "not whole"),
        (lambda content: content[:5] + bytes([content[5] | exr.TILED]) + content[6:], "tiles"),
        (lambda content: b"PNG" + content[3:], "no OpenEXR"),
    ],
)
def test_files_that_are_not_read_give_a_sentence(spoil, sentence, layered):
    with pytest.raises(ObservationError, match=sentence):
        exr.read_layers(spoil(layered.read_bytes()))


def test_a_codec_that_is_not_read_is_named(seen, tmp_path):
    settings = seen.render.image_settings
    settings.file_format, settings.exr_codec = "OPEN_EXR", "PIZ"
    bpy.data.images.new("one", 8, 8, float_buffer=True).save_render(str(tmp_path / "one.exr"), scene=seen)

    with pytest.raises(ObservationError, match="codec PIZ"):
        exr.read_layers((tmp_path / "one.exr").read_bytes())
    assert not exr.has_layers((tmp_path / "one.exr").read_bytes())
    assert read_file(str(tmp_path / "one.exr"), 1).size == (8, 8)  # Blender reads a file without layers


def test_render_result_is_the_silhouette_and_settings_stay(seen):
    task = PoseTask(NAME, "Camera", ImageSource(use_render=True))
    seen.objects["Plane"].hide_render = seen.render.film_transparent = True
    seen.render.image_settings.file_format, seen.render.image_settings.color_mode = "JPEG", "BW"
    bpy.ops.render.render()

    solve = PoseSolve.gather(seen, task)
    drain(solve)

    assert solve.report()["iou"] > 0.95
    assert (seen.render.image_settings.file_format, seen.render.image_settings.color_mode) == ("JPEG", "BW")
    assert read_render_result(seen).size == (128, 96)
    with pytest.raises(ObservationError, match="one frame"):
        task.silhouette.read(seen, seen.camera, 1, is_range=True)


def test_scene_that_was_not_rendered_has_no_render_result(seen):
    with pytest.raises(ObservationError, match="Nothing is rendered yet"):
        read_render_result(bpy.data.scenes.new("Other"))
