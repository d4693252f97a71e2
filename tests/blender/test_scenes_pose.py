# SPDX-License-Identifier: Apache-2.0
"""Scenes that artists have: the overlap that is reported is that of a render, or the solve is refused in a sentence.

The renders are Blender's own.  Every scene is built as the picture shows it, then the object, or the camera, is moved away.
"""

import math

import bpy
import numpy as np
import pytest
from mathutils import Matrix, Vector

from addon.bridge.image import read_file
from addon.solves.image_source import ImageSource
from addon.solves.pose import PoseSolve, PoseTask, PoseTaskOptions
from solver_core.errors import SolverError

from .solve_scenes import drain, render

# Blender's own: the render of a scene that is no longer there.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

SIZE = (480, 360)
SAMPLES = 16  # fewer make the edge of a mask a matter of chance
TOLERANCE = 0.01  # of the overlap; half a pixel all around would be 0.03
QUICK = {"restarts": 1}  # the start is near


@pytest.fixture
def plane(scene, demo_dir):
    """The demo's biplane, 0.3 m, before a camera."""
    bpy.ops.wm.ply_import(filepath=str(demo_dir / "pose_model.ply"))
    thing = bpy.context.object
    thing.name, thing.rotation_mode = "Plane", "XYZ"
    camera = link(bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera")))
    aim(camera, (0.9, -0.8, 0.55))
    scene.camera = camera
    scene.render.resolution_x, scene.render.resolution_y = SIZE
    return thing


def link(thing):
    bpy.context.scene.collection.objects.link(thing)
    return thing


def aim(camera, place):
    camera.location = place
    camera.rotation_euler = (-Vector(place)).to_track_quat("-Z", "Y").to_euler()


def empty(name, **values):
    made = link(bpy.data.objects.new(name, None))
    for key, value in values.items():
        setattr(made, key, value)
    return made


def cube(parent=None, **values):
    bpy.ops.mesh.primitive_cube_add(**values)
    made = bpy.context.object
    made.parent = parent
    return made


def parent_to(thing, parent):
    bpy.context.view_layer.update()
    thing.parent, thing.matrix_parent_inverse = parent, parent.matrix_world.inverted()


def move_away(thing, degrees=12.0, shift=(0.02, -0.015, 0.01)):
    bpy.context.view_layer.update()
    world, place = thing.matrix_world.copy(), thing.matrix_world.translation.copy()
    turn = Matrix.Rotation(math.radians(degrees), 4, Vector((0.3, 0.5, 0.8)).normalized())
    thing.matrix_world = Matrix.Translation(place + Vector(shift)) @ turn @ Matrix.Translation(-place) @ world
    bpy.context.view_layer.update()


# Builders: each gives the object that is chosen, of which what is to be moved away follows.


def alone(plane):
    return plane


def children(plane):
    for place in ((0.12, 0.1, 0.02), (-0.1, -0.12, 0.05), (0, 0, 0.16)):
        cube(plane, size=0.09, location=place)
    return plane


def imported_root(plane):
    root = empty("Root", location=(0.05, 0, 0), rotation_euler=(0.1, 0, 0.3))
    body = empty("Body", parent=root, location=(0, 0.03, 0))
    parent_to(plane, body)
    for place in ((0.12, 0.1, 0.02), (-0.1, -0.12, 0.05)):
        parent_to(cube(size=0.08, location=place), body)
    return root


def part_of_an_import(plane):
    imported_root(plane)
    return plane


def scaled_parents(plane):
    outer = empty("Outer", location=(0.3, 0.2, 0.1), rotation_euler=(0.4, 0.3, 0.9), scale=(2, 2, 2))
    inner = empty("Inner", parent=outer, scale=(0.5, 0.5, 0.5), location=(-0.1, 0, 0))
    parent_to(plane, inner)
    return plane


def stretched_parent(plane):
    plane.parent = empty("Stretched", scale=(1, 1, 1.3))
    return plane


def mirrored_scale(plane):
    plane.scale = (-1.3, 0.8, 1)
    return plane


def generated_shape(plane):
    plane.modifiers.new("Smooth", "SUBSURF").levels = 1
    array = plane.modifiers.new("Two", "ARRAY")
    array.count, array.relative_offset_displace = 2, (0, 0, 1.1)
    return plane


def shape_of_renders_only(plane):
    generated_shape(plane).modifiers["Two"].show_viewport = False
    return plane


def mirror_about_another(plane):
    mirror = plane.modifiers.new("Mirror", "MIRROR")
    mirror.mirror_object, mirror.use_axis = empty("Centre", location=(0, 0.15, 0)), (False, True, False)
    return plane


def lattice_that_stays(plane):
    lattice = link(bpy.data.objects.new("Lattice", bpy.data.lattices.new("Lattice")))
    lattice.scale = (0.5, 0.5, 0.5)
    lattice.data.points[0].co_deform.x -= 0.6
    lattice.data.points[7].co_deform.z += 0.6
    plane.modifiers.new("Lattice", "LATTICE").object = lattice
    return plane


def posed_character(plane):
    bpy.ops.object.armature_add()
    armature = bpy.context.object
    armature.scale = (0.2, 0.2, 0.2)
    group = plane.vertex_groups.new(name="Bone")
    group.add([vertex.index for vertex in plane.data.vertices if vertex.co.x > 0], 1, "REPLACE")
    plane.modifiers.new("Armature", "ARMATURE").object = armature
    parent_to(plane, armature)
    bone = armature.pose.bones[0]
    bone.rotation_mode, bone.rotation_euler = "XYZ", (0.5, 0.2, 0)
    return armature


def skin_of_a_character(plane):
    posed_character(plane)
    return plane


def instance_of_a_collection(plane):
    collection = bpy.data.collections.new("Asset")
    for one in (plane, cube(size=0.1, location=(0, 0, 0.15))):
        bpy.context.scene.collection.objects.unlink(one)
        collection.objects.link(one)
    return empty("Instance", instance_type="COLLECTION", instance_collection=collection)


def text(plane):
    bpy.data.objects.remove(plane)
    bpy.ops.object.text_add()
    made = bpy.context.object
    made.data.body, made.data.size, made.data.extrude = "Rg4", 0.3, 0.03
    return made


def curve(plane):
    bpy.data.objects.remove(plane)
    bpy.ops.curve.primitive_bezier_curve_add()
    made = bpy.context.object
    made.scale, made.data.bevel_depth = (0.2, 0.2, 0.2), 0.15
    return made


def instances_of_geometry_nodes(plane):
    group = bpy.data.node_groups.new("Row", "GeometryNodeTree")
    for direction in ("INPUT", "OUTPUT"):
        group.interface.new_socket("Geometry", in_out=direction, socket_type="NodeSocketGeometry")
    given, made, line, several = (
        group.nodes.new(kind)
        for kind in ("NodeGroupInput", "NodeGroupOutput", "GeometryNodeMeshLine", "GeometryNodeInstanceOnPoints")
    )
    line.inputs["Count"].default_value, line.inputs["Offset"].default_value = 3, (0, 0.02, 0.12)
    group.links.new(line.outputs[0], several.inputs["Points"])
    group.links.new(given.outputs[0], several.inputs["Instance"])
    group.links.new(several.outputs[0], made.inputs[0])
    plane.modifiers.new("Row", "NODES").node_group = group
    return plane


def shifted_lens(plane):
    data = bpy.context.scene.camera.data
    data.shift_x, data.shift_y = 0.1, -0.08
    return plane


def upright_picture(plane):
    render_settings = bpy.context.scene.render
    bpy.context.scene.camera.data.sensor_fit = "VERTICAL"
    render_settings.resolution_x, render_settings.resolution_y = SIZE[::-1]
    return plane


def wide_pixels(plane):
    render_settings = bpy.context.scene.render
    render_settings.pixel_aspect_x, render_settings.resolution_x = 2.0, SIZE[0] // 2
    return plane


def telephoto(plane):
    camera = bpy.context.scene.camera
    camera.data.lens, camera.location = 200, 4 * camera.location
    return plane


def scaled_camera(plane):
    bpy.context.scene.camera.scale = (3, 3, 3)
    return plane


def centimetres(plane):
    scene = bpy.context.scene
    scene.unit_settings.scale_length = 0.01
    plane.data.transform(Matrix.Scale(100, 4))
    aim(scene.camera, (90, -80, 55))
    scene.camera.data.clip_end = 10_000
    return plane


def partly_out_of_the_picture(plane):
    plane.location = (0.25, 0.1, 0)
    return plane


def rest_turned_by_deltas(plane):
    plane.delta_rotation_euler, plane.delta_location, plane.delta_scale = (0.2, 0.1, 0.4), (0.02, 0, 0.01), (1.2, 1.2, 1.2)
    return plane


def limits_that_limit_nothing(plane):
    limit = plane.constraints.new("LIMIT_LOCATION")
    limit.use_min_x, limit.min_x = True, -50
    return plane


def camera_that_is_tracked(plane):
    """The camera looks at an empty that stays."""
    constraint = bpy.context.scene.camera.constraints.new("TRACK_TO")
    constraint.target = empty("Aim")
    return plane


SOLVED = [
    alone,
    children,
    imported_root,
    part_of_an_import,
    scaled_parents,
    mirrored_scale,
    generated_shape,
    shape_of_renders_only,
    posed_character,
    skin_of_a_character,
    instance_of_a_collection,
    text,
    curve,
    instances_of_geometry_nodes,
    shifted_lens,
    upright_picture,
    wide_pixels,
    telephoto,
    scaled_camera,
    centimetres,
    partly_out_of_the_picture,
    rest_turned_by_deltas,
    limits_that_limit_nothing,
    camera_that_is_tracked,
]
MOVED = {part_of_an_import: "Root", skin_of_a_character: "Armature"}  # with what was chosen
CHANGING = [stretched_parent, mirror_about_another, lattice_that_stays]  # as they move, so that the fit may be less than good


def picture(folder, name):
    bpy.context.view_layer.update()
    return render(bpy.context.scene, folder / name, samples=SAMPLES)


def shown(path):
    return read_file(path, 1).alpha > 0.5


def solved(chosen, silhouette, **options):
    task = PoseTask(
        chosen.name, bpy.context.scene.camera.name, ImageSource(file=silhouette), options=PoseTaskOptions(**QUICK, **options)
    )
    solve = PoseSolve.gather(bpy.context.scene, task)
    drain(solve)
    return solve.report()


@pytest.mark.parametrize("build", [*SOLVED, *CHANGING], ids=lambda build: build.__name__)
def test_the_reported_overlap_is_that_of_a_render(build, plane, tmp_path):
    chosen = build(plane)
    silhouette = picture(tmp_path, "true.png")
    centimetre = 100 if build is centimetres else 1
    moved = bpy.data.objects[MOVED.get(build, chosen.name)]
    move_away(moved, 12 if build in SOLVED else 8, centimetre * np.array([0.02, -0.015, 0.01]))

    report = solved(chosen, silhouette)

    mask, after = shown(silhouette), shown(picture(tmp_path, "after.png"))
    real = (mask & after).sum() / (mask | after).sum()
    assert report["iou"] == pytest.approx(real, abs=TOLERANCE)
    if build in SOLVED:
        assert real > 0.95
        assert report["verdict"] != "bad"


def camera_on_the_object(plane):
    parent_to(bpy.context.scene.camera, plane)
    return {}


def object_on_the_moved_camera(plane):
    parent_to(plane, bpy.context.scene.camera)
    return {"move": "CAMERA"}


def moved_camera_that_tracks(plane):
    bpy.context.scene.camera.constraints.new("TRACK_TO").target = plane
    return {"move": "CAMERA"}


def copied_place(plane):
    plane.constraints.new("COPY_LOCATION").target = empty("Elsewhere", location=(0.01, 0, 0))
    return {}


def driven(plane):
    plane.driver_add("rotation_euler", 2).driver.expression = "0.1"
    return {}


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (camera_on_the_object, "'Camera' moves along with 'Plane', of which it is a child"),
        (object_on_the_moved_camera, "'Plane' moves along with 'Camera', of which it is a child"),
        (moved_camera_that_tracks, "'Camera' is held by its constraint 'Track To'"),
        (copied_place, "'Plane' is held by its constraint 'Copy Location'"),
        (driven, "'Plane' has a driver on its rotation"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_moves(build, sentence, plane, tmp_path):
    silhouette = picture(tmp_path, "true.png")
    options = build(plane)
    bpy.context.view_layer.update()
    before = [[tuple(row) for row in thing.matrix_world] for thing in bpy.context.scene.objects]

    with pytest.raises(SolverError, match=sentence):
        solved(plane, silhouette, **options)

    bpy.context.view_layer.update()
    assert [[tuple(row) for row in thing.matrix_world] for thing in bpy.context.scene.objects] == before
