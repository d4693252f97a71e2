# SPDX-License-Identifier: Apache-2.0
"""Objects of every kind of scale, parent and rotation mode are moved rigidly, and put back to the bit."""

import bpy
import numpy as np
import pytest
from mathutils import Euler, Matrix, Quaternion

from addon.bridge.mesh import read_rigid_mesh, read_surfaces
from addon.bridge.scene import evaluate
from addon.bridge.transform import (
    place,
    read_channels,
    read_placement,
    rotation_channel,
    rotation_values,
    split_rigid,
    world_matrix,
    write_channels,
)
from solver_core.errors import SetupError
from solver_core.rotations import matrix_from_wxyz, random_wxyz, wxyz_from_matrix

MODES = ["QUATERNION", "XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX", "AXIS_ANGLE"]


@pytest.fixture
def thing(scene):
    bpy.ops.mesh.primitive_monkey_add()
    return bpy.context.object


def set_rotation(thing, rotation):
    setattr(thing, rotation_channel(thing), rotation_values(thing, wxyz_from_matrix(rotation)[None])[0])


def random_rigid(rng) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = matrix_from_wxyz(random_wxyz(rng)), rng.normal(size=3)
    return matrix


def expect_placed(scene, thing, rng):
    """Moves the thing rigidly from where it stands and compares all its points."""
    depsgraph = evaluate(scene)
    before, scale = read_rigid_mesh(depsgraph, thing), tuple(thing.scale)
    goal = random_rigid(rng)

    place(thing, read_placement(depsgraph, thing), goal)

    after = read_rigid_mesh(evaluate(scene), thing)
    placed = after.vertices @ after.world_from_object[:3, :3].T + after.world_from_object[:3, 3]
    np.testing.assert_allclose(placed, before.vertices @ goal[:3, :3].T + goal[:3, 3], atol=2e-5)  # float32, metres
    assert tuple(thing.scale) == scale


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("scale", [(1, 1, 1), (2, 0.5, 1.3), (-1, 1, 1), (-1, -2, -0.5)])
def test_place_moves_rigidly_in_every_mode_and_scale(mode, scale, scene, thing, rng):
    thing.rotation_mode, thing.scale = mode, scale
    set_rotation(thing, matrix_from_wxyz(random_wxyz(rng)))

    expect_placed(scene, thing, rng)


@pytest.mark.parametrize("mode", MODES)
def test_place_allows_for_delta_transforms(mode, scene, thing, rng):
    thing.rotation_mode = mode
    thing.delta_location, thing.delta_scale = (1, 2, 3), (1.5, 1, 0.5)
    thing.delta_rotation_euler, thing.delta_rotation_quaternion = (0.3, 0.2, 0.1), Quaternion((0.8, 0.6, 0, 0))

    expect_placed(scene, thing, rng)


@pytest.mark.parametrize("scale", [(1, 1, 1), (3, 3, 3), (-2, -2, -2)])
def test_place_allows_for_parents_and_their_inverse(scale, scene, thing, rng):
    parent = bpy.data.objects.new("Parent", None)
    scene.collection.objects.link(parent)
    parent.matrix_world = Matrix.LocRotScale((1, 2, 3), Euler((0.5, 1, 2)), scale)
    thing.parent, thing.matrix_parent_inverse = parent, Matrix.LocRotScale((3, 0, 1), Euler((1, 2, 0)), (2, 2, 2))
    thing.scale = (1, 2, -0.7)

    expect_placed(scene, thing, rng)


def test_place_leaves_locked_channels_alone(scene, thing, rng):
    thing.rotation_mode = "XYZ"
    thing.lock_location[2] = thing.lock_rotation[0] = True
    before = thing.location.copy(), thing.rotation_euler.copy()

    place(thing, read_placement(evaluate(scene), thing), random_rigid(rng))

    assert (thing.location.z, thing.rotation_euler.x) == (before[0].z, before[1].x)
    assert (thing.location != before[0], thing.rotation_euler != before[1]) == (True, True)


def test_a_locked_quaternion_stays_as_a_whole(scene, thing, rng):
    thing.rotation_mode = "QUATERNION"
    thing.lock_rotation[1] = True

    place(thing, read_placement(evaluate(scene), thing), random_rigid(rng))

    assert tuple(thing.rotation_quaternion) == (1, 0, 0, 0)


def test_a_scale_of_zero_is_refused_in_a_sentence(scene, thing):
    thing.scale = (1, 0, 1)

    with pytest.raises(SetupError, match="scale of zero"):
        read_rigid_mesh(evaluate(scene), thing)


def test_split_rigid_gives_the_matrix_back_even_if_it_shears(rng):
    matrix = np.eye(4)
    matrix[:3] = rng.normal(size=(3, 4))

    rigid, shape = split_rigid(matrix, "it")

    np.testing.assert_allclose(rigid[:3, :3] @ shape, matrix[:3, :3], atol=1e-12)
    np.testing.assert_allclose(rigid[:3, :3] @ rigid[:3, :3].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rigid[:3, :3]) > 0


@pytest.mark.parametrize("mode", MODES)
def test_channels_are_restored_to_the_bit(mode, scene, thing, rng):
    thing.rotation_mode = mode
    set_rotation(thing, matrix_from_wxyz(random_wxyz(rng)))
    before = read_channels(thing)
    set_rotation(thing, np.eye(3))

    write_channels(thing, before)

    assert read_channels(thing) == before


@pytest.mark.parametrize("mode", MODES)
def test_rotations_that_differ_little_have_numbers_that_differ_little(mode, scene, thing):
    thing.rotation_mode = mode
    numbers = []

    for angle in np.linspace(0.1, 6, 60):
        set_rotation(thing, np.array(Quaternion((0.36, 0.48, 0.8), angle).to_matrix()))
        numbers.append(tuple(getattr(thing, rotation_channel(thing))))

    largest = {"QUATERNION": 0.06, "AXIS_ANGLE": 7}.get(mode, 1.0)  # an axis-angle has no continuous numbers at a full turn
    assert np.abs(np.diff(numbers, axis=0)).max() < largest


def test_modifiers_and_shape_of_the_world_are_in_the_mesh(scene, thing):
    thing.modifiers.new("Subdivision", "SUBSURF").levels = 1
    thing.scale, thing.location = (-1, 2, 3), (5, 0, 0)
    depsgraph = evaluate(scene)

    mesh = read_rigid_mesh(depsgraph, thing)

    evaluated = thing.evaluated_get(depsgraph)
    points = np.array([thing.matrix_world @ vertex.co for vertex in evaluated.data.vertices])
    placed = mesh.vertices @ mesh.world_from_object[:3, :3].T + mesh.world_from_object[:3, 3]
    np.testing.assert_allclose(placed, points, atol=1e-5)
    assert len(mesh.vertices) > 3 * len(thing.data.vertices)


def test_an_empty_with_a_collection_is_an_object_of_all_its_meshes(scene, thing):
    inner, outer = bpy.data.collections.new("Inner"), bpy.data.collections.new("Outer")
    scene.collection.objects.unlink(thing)
    inner.objects.link(thing)
    nested, empty = (bpy.data.objects.new(name, None) for name in ("Nested", "Empty"))
    outer.objects.link(nested)
    scene.collection.objects.link(empty)
    for one, collection in ((nested, inner), (empty, outer)):
        one.instance_type, one.instance_collection = "COLLECTION", collection
    thing.location, nested.location, empty.location = (1, 0, 0), (0, 1, 0), (0, 0, 1)
    empty.scale = (2, 2, 2)
    depsgraph = evaluate(scene)

    mesh = read_rigid_mesh(depsgraph, empty)

    points = np.array([vertex.co for vertex in thing.data.vertices])
    np.testing.assert_allclose(mesh.vertices, 2 * np.add(points, (1, 1, 0)), atol=1e-5)
    np.testing.assert_allclose(world_matrix(depsgraph, empty)[:3, 3], (0, 0, 1))


def test_curves_and_texts_have_surfaces(scene):
    bpy.ops.object.text_add()
    bpy.context.object.data.extrude = 0.1

    (found,) = read_surfaces(evaluate(scene))

    assert found[0] == "Text"
    assert len(found[1].faces) > 10


def test_an_object_without_faces_is_refused_in_a_sentence(scene):
    empty = bpy.data.objects.new("Empty", None)
    scene.collection.objects.link(empty)

    with pytest.raises(SetupError, match="no faces"):
        read_rigid_mesh(evaluate(scene), empty)
