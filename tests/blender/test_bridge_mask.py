# SPDX-License-Identifier: Apache-2.0
"""Blender's masks as coverage, beside what its compositor makes of them."""

import bpy
import numpy as np
import pytest

from addon.bridge.mask import FALLOFFS, read_mask
from addon.solves.image_source import ImageSource
from solver_core.errors import ObservationError

CORNERS = [(0.3, 0.35), (0.3, 0.65), (0.7, 0.65), (0.6, 0.35)]  # clockwise, so that feathers go outwards


def draw(layer, corners, handle="VECTOR", weight=0.0):
    spline = layer.splines.new()
    spline.points.add(len(corners) - len(spline.points))
    spline.use_cyclic = True
    for point, place in zip(spline.points, corners, strict=True):
        point.co, point.handle_type, point.weight = place, handle, weight
    return spline


def mask_of(*corners, **options):
    mask = bpy.data.masks.new("roto")
    for one in corners:
        draw(mask.layers.new(), one, **options)
    return mask


def coverage_of(mask, width=80, height=60):
    return read_mask(mask, bpy.context.evaluated_depsgraph_get(), width, height).alpha


def composited(scene, mask, path):
    """What the compositor's mask node gives."""
    tree = bpy.data.node_groups.new("mask", "CompositorNodeTree")
    tree.interface.new_socket("Image", in_out="OUTPUT", socket_type="NodeSocketColor")
    node, end = tree.nodes.new("CompositorNodeMask"), tree.nodes.new("NodeGroupOutput")
    node.mask = mask
    tree.links.new(node.outputs[0], end.inputs[0])
    scene.compositing_node_group, scene.render.use_compositing = tree, True
    scene.camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    scene.collection.objects.link(scene.camera)
    scene.render.engine, scene.cycles.samples, scene.cycles.device = "CYCLES", 1, "CPU"
    settings = scene.render.image_settings
    settings.file_format, settings.color_depth, scene.render.filepath = "OPEN_EXR", "32", str(path)
    bpy.ops.render.render(write_still=True)
    image = bpy.data.images.load(str(path))
    return np.array(image.pixels[:], np.float32).reshape(image.size[1], image.size[0], -1)[::-1, :, 0]


@pytest.mark.parametrize(
    ("size", "handle", "weight", "blends", "falloff"),
    [
        ((160, 120), "AUTO", 0.08, ["MERGE_ADD"], "LINEAR"),
        ((120, 160), "AUTO", 0.08, ["MERGE_ADD"], "SMOOTH"),
        ((160, 120), "VECTOR", 0.0, ["MERGE_ADD", "MERGE_SUBTRACT"], "SMOOTH"),
        ((160, 120), "AUTO", 0.05, ["MERGE_ADD", "DIFFERENCE"], "SHARP"),
    ],
)
def test_mask_is_that_of_the_compositor(scene, tmp_path, size, handle, weight, blends, falloff):
    scene.render.resolution_x, scene.render.resolution_y = size
    mask = mask_of(
        CORNERS, [(0.4, 0.4), (0.4, 0.9), (0.9, 0.5)][: 3 * (len(blends) - 1)] or CORNERS, handle=handle, weight=weight
    )
    for layer, blend in zip(mask.layers, blends, strict=False):
        layer.blend, layer.falloff = blend, falloff
    mask.layers[1].alpha = 0.7
    mask.layers[1].hide_render = len(blends) == 1

    expected = composited(scene, mask, tmp_path / "mask.exr")

    difference = np.abs(coverage_of(mask, *size) - expected)
    assert difference.mean() < 0.008  # Blender smooths its edges over two pixels
    assert np.quantile(difference, 0.98) < 0.1


def test_coverage_is_the_share_of_a_pixel(scene):
    mask = mask_of([(0.25, 0.25), (0.25, 0.75), (0.75, 0.75), (0.75, 0.25)])

    coverage = coverage_of(mask, 10, 10)

    assert coverage.sum() == pytest.approx(25, abs=1e-3)
    assert coverage[5, 2] == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize("use_fill_holes", [True, False])
def test_splines_within_others_are_holes_where_the_layer_says_so(scene, tmp_path, use_fill_holes):
    scene.render.resolution_x = scene.render.resolution_y = 100
    mask = mask_of([(0.1, 0.1), (0.1, 0.9), (0.9, 0.9), (0.9, 0.1)])
    draw(mask.layers[0], [(0.4, 0.4), (0.4, 0.6), (0.6, 0.6), (0.6, 0.4)])
    mask.layers[0].use_fill_holes = use_fill_holes

    coverage = coverage_of(mask, 100, 100)

    assert coverage.sum() == pytest.approx(6400 - 400 * use_fill_holes, abs=1)
    assert (
        np.abs(coverage - composited(scene, mask, tmp_path / "mask.exr")).mean() < 0.02
    )  # the hole is 0.04, soft edges the rest


@pytest.mark.parametrize("falloff", FALLOFFS)
def test_feather_falls_from_the_spline_to_its_end(scene, falloff):
    mask = mask_of(CORNERS, weight=0.1)
    mask.layers[0].falloff = falloff

    row = coverage_of(mask, 200, 200)[100, :80]

    assert row[60] == 1
    assert row[30] == 0
    assert (np.diff(row) >= 0).all()


def test_animated_mask_is_read_at_the_frame_of_the_scene(scene):
    mask = mask_of(CORNERS)
    spline = mask.layers[0].splines[0]
    for one in (mask.layers[0], *spline.points):
        one.select = True  # only then keys are inserted
    area = bpy.context.window_manager.windows[0].screen.areas[0]
    area.type, area.spaces.active.mode, area.spaces.active.mask = "IMAGE_EDITOR", "MASK", mask
    with bpy.context.temp_override(window=bpy.context.window_manager.windows[0], area=area):
        for frame, shift in ((1, 0.0), (11, 0.2)):
            scene.frame_set(frame)
            for point, (x, y) in zip(spline.points, CORNERS, strict=True):
                point.co = x + shift, y
            assert bpy.ops.mask.shape_key_insert() == {"FINISHED"}

    centres = []
    for frame in (1, 6, 11):
        scene.frame_set(frame)
        coverage = ImageSource(mask="roto").read(scene, None, frame, is_range=True).alpha
        centres.append((coverage.sum(axis=0) @ (np.arange(coverage.shape[1]) + 0.5)) / coverage.sum() / coverage.shape[1])

    np.testing.assert_allclose(np.diff(centres), [0.1, 0.1], atol=0.002)


@pytest.mark.parametrize("what", ["open", "hidden", "empty"])
def test_mask_that_covers_nothing_gives_a_sentence(scene, what):
    mask = mask_of(*([CORNERS] if what != "empty" else []))
    for layer in mask.layers:
        layer.hide_render = what == "hidden"
        layer.splines[0].use_cyclic = what != "open"

    with pytest.raises(ObservationError, match="'roto' covers nothing"):
        coverage_of(mask)
