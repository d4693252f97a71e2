# SPDX-License-Identifier: Apache-2.0
"""Blender's cameras as ours: points are seen where Blender sees them."""

import bpy
import numpy as np
import pytest
from bpy_extras.object_utils import world_to_camera_view
from mathutils import Euler, Vector

from addon.bridge.camera import camera_of_image, read_camera, read_camera_pose, render_size
from addon.bridge.scene import evaluate
from solver_core.errors import ObservationError, SetupError
from solver_core.frames import project


@pytest.fixture
def camera(scene):
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    scene.collection.objects.link(camera)
    scene.camera = camera
    camera.location, camera.rotation_euler = (1, -6, 2), Euler((1.3, 0.1, 0.2))
    return camera


def seen_by_both(scene, camera, rng):
    """(N, 2) columns and rows of points by our camera and by Blender's."""
    depsgraph = evaluate(scene)
    ours, world_from_camera = read_camera(scene, depsgraph, camera), read_camera_pose(depsgraph, camera)
    points_camera = rng.uniform((-1, -1, -9), (1, 1, -3), size=(20, 3))
    points_world = points_camera @ world_from_camera[:3, :3].T + world_from_camera[:3, 3]
    views = np.array([world_to_camera_view(scene, camera, Vector(point)) for point in points_world])
    return project(points_camera, ours.intrinsics), (views[:, :2] * (1, -1) + (0, 1)) * (ours.width, ours.height)


@pytest.mark.parametrize("fit", ["AUTO", "HORIZONTAL", "VERTICAL"])
@pytest.mark.parametrize("shift", [(0, 0), (0.2, -0.1)])
@pytest.mark.parametrize("size", [(640, 360), (300, 500)])
@pytest.mark.parametrize("aspect", [(1, 1), (2, 1), (1, 1.5)])
def test_points_are_seen_where_blender_sees_them(fit, shift, size, aspect, scene, camera, rng):
    camera.data.sensor_fit, camera.data.sensor_width, camera.data.sensor_height = fit, 32, 21
    camera.data.shift_x, camera.data.shift_y = shift
    scene.render.resolution_x, scene.render.resolution_y = size
    scene.render.pixel_aspect_x, scene.render.pixel_aspect_y = aspect

    ours, blenders = seen_by_both(scene, camera, rng)

    np.testing.assert_allclose(ours, blenders, atol=2e-3)  # pixels; Blender computes in float32


def test_resolution_percentage_counts(scene, camera, rng):
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = 333, 201, 50

    ours, blenders = seen_by_both(scene, camera, rng)

    assert render_size(scene) == (166, 100)
    np.testing.assert_allclose(ours, blenders, atol=0.2)  # world_to_camera_view has the aspect of 333 x 201


@pytest.mark.parametrize("scale", [(2, 2, 2), (1, 3, 0.5)])
def test_scale_of_a_camera_does_not_count(scale, scene, camera, rng):
    parent = bpy.data.objects.new("Parent", None)
    scene.collection.objects.link(parent)
    parent.scale, parent.rotation_euler = (2, 2, 2), (0.3, 0.2, 0.1)
    camera.parent, camera.scale = parent, scale

    ours, blenders = seen_by_both(scene, camera, rng)

    np.testing.assert_allclose(ours, blenders, atol=2e-3)


def test_an_animated_lens_is_that_of_the_frame(scene, camera, rng):
    for frame, lens in ((1, 20), (10, 90)):
        camera.data.lens = lens
        camera.data.keyframe_insert("lens", frame=frame)
    scene.frame_set(10)

    ours, blenders = seen_by_both(scene, camera, rng)

    np.testing.assert_allclose(ours, blenders, atol=2e-3)


@pytest.mark.parametrize(("kind", "word"), [("ORTHO", "perspective"), ("PANO", "perspective")])
def test_other_lenses_are_refused_in_a_sentence(kind, word, scene, camera):
    camera.data.type = kind

    with pytest.raises(SetupError, match=word):
        read_camera(scene, evaluate(scene), camera)


def test_a_mirrored_camera_is_refused_in_a_sentence(scene, camera):
    camera.scale = (-1, 1, 1)

    with pytest.raises(SetupError, match="mirrored"):
        read_camera_pose(evaluate(scene), camera)


@pytest.mark.parametrize("factor", [0.25, 3])
def test_an_image_of_another_size_has_the_same_view(factor, scene, camera, rng):
    view = read_camera(scene, evaluate(scene), camera)
    points = rng.uniform((-1, -1, -9), (1, 1, -3), size=(20, 3))

    scaled = camera_of_image(view, round(view.width * factor), round(view.height * factor))

    np.testing.assert_allclose(project(points, scaled.intrinsics), factor * project(points, view.intrinsics))


def test_an_image_of_another_aspect_is_refused_with_both_sizes(scene, camera):
    view = read_camera(scene, evaluate(scene), camera)

    with pytest.raises(ObservationError, match="640 x 640 pixels and the render 1920 x 1080"):
        camera_of_image(view, 640, 640)
