# SPDX-License-Identifier: CC0-1.0
"""Makes the demo scenes of the Blender extension: pose.blend, lighting.blend, armature.blend and lighting_truth.json.

    python tests/gui/make_demo_scenes.py [pose lighting armature]

runs this in Blender 4.3, so that it and every later one can read them, with the extension installed, whose settings they hold.
Everything this writes is CC0.  What the solver sees: the outline of the biplane, the render of the blocks, the joints of
the walk; where things really are is in truth.json, lighting_truth.json and ik_truth.bvh.
"""

from __future__ import annotations

import csv
import json
import math
import re
import sys
import tempfile
from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix, Vector

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from biplane import TOP, build_toy, link, paint, rounded, straight  # noqa: E402

PAINTS = {"red": (0.52, 0.022, 0.014), "cream": (0.80, 0.68, 0.46), "birch": (0.72, 0.50, 0.28), "dark": (0.016, 0.017, 0.020)}
SUN_TOWARDS = (0.70, 0.38, 0.60)  # as it was when the picture was taken
SUN_STRENGTH = 3.4
SUN_START = (-0.55, -0.60, 0.58)  # as the scene has it


def empty_scene() -> bpy.types.Scene:
    """A new file with one workspace, its 3D views with the sidebar open and looking through the camera."""
    bpy.ops.wm.read_homefile(use_factory_startup=True)
    bpy.data.batch_remove([*bpy.data.objects, *bpy.data.meshes, *bpy.data.lights, *bpy.data.cameras, *bpy.data.materials])
    bpy.data.batch_remove([workspace for workspace in bpy.data.workspaces if workspace.name != "Layout"])
    for screen in bpy.data.screens:
        for view in (area.spaces[0] for area in screen.areas if area.type == "VIEW_3D"):
            view.show_region_ui = True
            view.region_3d.view_perspective = "CAMERA"
            view.shading.color_type = "MATERIAL"
    scene = bpy.context.scene
    scene.view_settings.view_transform = "Standard"
    return scene


def add_camera(location, target, lens_mm: float, width: int, height: int) -> bpy.types.Object:
    lens = bpy.data.cameras.new("Camera")
    lens.lens, lens.sensor_width, lens.sensor_fit = lens_mm, 36.0, "HORIZONTAL"
    lens.passepartout_alpha = 0.8
    camera = link(bpy.data.objects.new("Camera", lens))
    camera.location = location
    camera.rotation_euler = direction_rotation(Vector(target) - Vector(location))
    scene = bpy.context.scene
    scene.camera, scene.render.resolution_x, scene.render.resolution_y = camera, width, height
    bpy.context.view_layer.update()
    return camera


def direction_rotation(direction: Vector):
    """Turns -z, along which cameras look and suns shine, into the direction."""
    return direction.to_track_quat("-Z", "Y").to_euler()


def show_behind(camera: bpy.types.Object, image: bpy.types.Image) -> None:
    camera.data.show_background_images = True
    background = camera.data.background_images.new()
    background.image, background.alpha = image, 0.75


def packed(path: Path) -> bpy.types.Image:
    image = bpy.data.images.load(str(path))
    image.pack()
    image.filepath = image.filepath_raw = image.packed_files[0].filepath = f"//{path.name}"
    image.use_fake_user = True
    return image


def save(name: str) -> None:
    path = HERE / name
    bpy.ops.wm.save_as_mainfile(filepath=str(path), compress=True)
    path.with_suffix(".blend1").unlink(missing_ok=True)
    print(f"{path}  {path.stat().st_size / 1e3:.0f} kB")


def make_pose() -> None:
    """The photograph behind the camera, its mask, and the biplane where someone put it by eye."""
    scene = empty_scene()
    known = json.loads((HERE / "camera.json").read_text())
    camera = add_camera((0.52, -0.56, 0.44), (-0.012, 0.012, 0.062), 36 * known["fx"] / known["width"], 960, 720)
    show_behind(camera, packed(HERE / "pose_photo.jpg"))
    settings = scene.deep_feedback.pose
    settings.silhouette.source, settings.silhouette.image = "IMAGE", packed(HERE / "pose_mask.png")
    settings.key = "LUMINANCE"
    toy = build_toy([paint(name, colour, 0.4) for name, colour in PAINTS.items()])
    for material, colour in zip(toy.data.materials, PAINTS.values(), strict=True):
        material.diffuse_color = (*colour, 1)
    toy.name = toy.data.name = "Biplane"
    start = json.loads((HERE / "start.json").read_text())
    toy.matrix_world = camera.matrix_world @ Matrix(start["camera_from_object"])
    bpy.context.view_layer.objects.active = toy
    toy.select_set(True)
    save("pose.blend")


def make_lighting() -> None:
    """Toy blocks, a picture of them that Cycles took in the sun, and the sun turned away."""
    scene = empty_scene()
    camera = add_camera((1.05, -1.5, 1.15), (0.02, 0.0, 0.12), 50, 640, 480)
    build_blocks()
    sun = link(bpy.data.objects.new("Sun", bpy.data.lights.new("Sun", "SUN")))
    sun.location = (-0.5, 0.4, 0.9)
    sun.data.angle = math.radians(0.5)
    world = bpy.data.worlds.new("World")
    world.use_nodes = True
    world.node_tree.nodes["Background"].inputs["Color"].default_value = (0.12, 0.15, 0.20, 1)
    scene.world = world

    sun.rotation_euler, sun.data.energy = direction_rotation(-Vector(SUN_TOWARDS)), SUN_STRENGTH
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lighting_photo.jpg"
        take_picture(path)
        show_behind(camera, packed(path))
    truth = {"towards_sun_world": list(Vector(SUN_TOWARDS).normalized()), "strength": SUN_STRENGTH}
    (HERE / "lighting_truth.json").write_text(json.dumps(truth, indent=2) + "\n", encoding="utf-8")

    sun.rotation_euler, sun.data.energy = direction_rotation(-Vector(SUN_START)), 1.0
    scene.deep_feedback.lighting.image.source, scene.deep_feedback.lighting.lamp = "BACKGROUND", sun
    bpy.context.view_layer.objects.active = sun
    sun.select_set(True)
    for area in (area for screen in bpy.data.screens for area in screen.areas if area.type == "VIEW_3D"):
        area.spaces[0].shading.type = "MATERIAL"
        area.spaces[0].shading.use_scene_lights = area.spaces[0].shading.use_scene_world = True
    save("lighting.blend")


def build_blocks() -> None:
    """A gate with a roof, a tower, a ball and a table under them; plain colours, not shiny."""
    cube, cylinder, cone = bpy.ops.mesh.primitive_cube_add, bpy.ops.mesh.primitive_cylinder_add, bpy.ops.mesh.primitive_cone_add
    ball, plane = bpy.ops.mesh.primitive_uv_sphere_add, bpy.ops.mesh.primitive_plane_add
    pieces = [  # name, primitive, its settings, scale, location, turn, colour
        ("Table", plane, {"size": 1}, (2.6, 2.0, 1), (0, 0.2, 0), 0.2, (0.62, 0.55, 0.46)),
        ("Left Pillar", cube, {"size": 1}, (0.1, 0.1, 0.26), (-0.28, 0.12, 0.13), 0.3, (0.75, 0.42, 0.06)),
        ("Right Pillar", cube, {"size": 1}, (0.1, 0.1, 0.26), (0.02, 0.21, 0.13), 0.3, (0.75, 0.42, 0.06)),
        ("Beam", cube, {"size": 1}, (0.44, 0.12, 0.09), (-0.13, 0.165, 0.305), 0.29, (0.08, 0.24, 0.48)),
        (
            "Roof",
            cone,
            {"vertices": 4, "radius1": 0.13, "depth": 0.14},
            (1, 1, 1),
            (-0.13, 0.165, 0.42),
            1.1,
            (0.60, 0.05, 0.04),
        ),
        (
            "Tower",
            cylinder,
            {"vertices": 48, "radius": 0.08, "depth": 0.34},
            (1, 1, 1),
            (0.36, 0.02, 0.17),
            0,
            (0.13, 0.38, 0.16),
        ),
        ("Spire", cone, {"vertices": 48, "radius1": 0.1, "depth": 0.16}, (1, 1, 1), (0.36, 0.02, 0.42), 0, (0.60, 0.05, 0.04)),
        (
            "Ball",
            ball,
            {"segments": 48, "ring_count": 24, "radius": 0.075},
            (1, 1, 1),
            (0.1, -0.24, 0.075),
            0,
            (0.75, 0.68, 0.5),
        ),
        ("Brick", cube, {"size": 1}, (0.22, 0.1, 0.07), (-0.3, -0.22, 0.035), -0.5, (0.36, 0.16, 0.42)),
    ]
    for name, primitive, settings, scale, location, turn, colour in pieces:
        primitive(location=location, rotation=(0, 0, turn), **settings)
        thing = bpy.context.object
        thing.name = thing.data.name = name
        thing.scale = scale
        material = paint(name, colour, 1.0)
        material.diffuse_color = (*colour, 1)
        material.node_tree.nodes["Principled BSDF"].inputs["Specular IOR Level"].default_value = 0
        thing.data.materials.append(material)
        if name in ("Ball", "Tower", "Spire"):
            thing.data.shade_smooth()
            thing.data.set_sharp_from_angle(angle=math.radians(42))
        thing.select_set(False)


def take_picture(path: Path) -> None:
    scene = bpy.context.scene
    engine = scene.render.engine
    scene.render.engine = "CYCLES"
    scene.cycles.samples, scene.cycles.use_denoising = 128, False
    scene.render.image_settings.file_format, scene.render.image_settings.quality = "JPEG", 95
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
    scene.render.engine, scene.render.filepath = engine, "//"


def make_armature() -> None:
    """A figure at rest and, as empties, where its joints are while it walks and waves."""
    scene = empty_scene()
    heads, parents = read_rest(HERE / "ik_rest.bvh")
    figure = build_figure(heads, parents)
    names, positions = read_targets(HERE / "ik_targets.csv")  # (frames, joints, 3)
    scene.frame_start, scene.frame_end, scene.frame_current = 1, len(positions), 1
    collection = bpy.data.collections.new("Targets")
    scene.collection.children.link(collection)
    for index, name in enumerate(names):
        target = bpy.data.objects.new(name, None)
        target.empty_display_type, target.empty_display_size = "SPHERE", 0.035
        collection.objects.link(target)
        animate_location(target, positions[:, index])
    settings = scene.deep_feedback.armature
    settings.armature, settings.source, settings.collection = figure, "COLLECTION", collection
    settings.use_range, settings.frame_start, settings.frame_end = True, scene.frame_start, scene.frame_end
    add_camera((3.4, -5.6, 1.4), (0.0, -1.6, 0.9), 50, 960, 720)
    bpy.context.view_layer.objects.active = figure
    figure.select_set(True)
    save("armature.blend")


def read_rest(path: Path) -> tuple[dict[str, Vector], dict[str, str]]:
    """Where the joints are at rest, in metres with z up and the feet on the ground, and their parents."""
    heads: dict[str, Vector] = {}
    parents: dict[str, str] = {}
    stack: list[str] = []
    for word, rest in re.findall(r"(ROOT|JOINT|End|OFFSET|\})[ \t]*(.*)", path.read_text()):
        if word == "}":
            stack.pop()
        elif word != "OFFSET":
            parents[rest] = stack[-1] if stack else ""
            stack.append(rest)
        else:
            x, y, z = (float(number) / 100 for number in rest.split())
            parent = parents[stack[-1]]
            heads[stack[-1]] = Vector((x, -z, y)) + (heads[parent] if parent else Vector((0, 0, 0)))
    heads.pop("Site"), parents.pop("Site")
    ground = min(head.z for head in heads.values()) - 0.02
    return {name: head - Vector((0, 0, ground)) for name, head in heads.items()}, parents


def read_targets(path: Path) -> tuple[list[str], np.ndarray]:
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    positions = np.array(rows, dtype=float).reshape(len(rows), -1, 3)
    return [column[:-2] for column in header[::3]], positions[..., [0, 2, 1]] * [1, -1, 1]


def animate_location(thing: bpy.types.Object, positions: np.ndarray) -> None:
    """A key on every frame from 1 on.  positions: (frames, 3)."""
    thing.location = positions[0]
    thing.animation_data_create().action = bpy.data.actions.new(thing.name)
    frames = np.arange(1, len(positions) + 1)
    for axis in range(3):
        curve = thing.animation_data.action.fcurves.new("location", index=axis)
        curve.keyframe_points.add(len(frames))
        curve.keyframe_points.foreach_set("co", np.stack([frames, positions[:, axis]], axis=1).ravel())
        curve.keyframe_points.foreach_set("interpolation", [1] * len(frames))  # linear
        curve.update()


def build_figure(heads: dict[str, Vector], parents: dict[str, str]) -> bpy.types.Object:
    """Armature with a bone for every joint, and a mannequin that follows it."""
    armature = link(bpy.data.objects.new("Figure", bpy.data.armatures.new("Figure")))
    armature.show_in_front = True
    armature.data.display_type = "STICK"
    bpy.context.view_layer.objects.active = armature
    bpy.ops.object.mode_set(mode="EDIT")
    for name, head in heads.items():
        children = [child for child, parent in parents.items() if parent == name]
        bone = armature.data.edit_bones.new(name)
        bone.head = head
        along = head - heads[parents[name]] if parents[name] else Vector((0, 0, 0.1))
        ahead = next((child for child in children if child in ("Neck", "Spine") or len(children) == 1), None)
        bone.tail = heads[ahead] if ahead else head + 0.06 * along.normalized()
        if parents[name]:
            bone.parent = armature.data.edit_bones[parents[name]]
            bone.use_connect = (bone.head - bone.parent.tail).length < 1e-5
    bpy.ops.object.mode_set(mode="OBJECT")
    add_mannequin(armature)
    return armature


def add_mannequin(armature: bpy.types.Object) -> None:
    """One rounded limb a bone, moved by it alone."""
    vertices, polygons, owners = [], [], []
    for bone in armature.data.bones:
        if not bone.children:
            continue
        radius = 0.075 if bone.name.startswith(("Hips", "Spine")) else 0.04
        along = (bone.tail_local - bone.head_local).normalized()
        side = along.cross(TOP if abs(along.z) < 0.9 else (0.0, 1.0, 0.0)).normalized()
        limb, faces = straight(
            bone.head_local, bone.tail_local, rounded(), radius * np.array(side), radius * np.array(along.cross(side)), 16
        )
        offset = sum(map(len, vertices))
        polygons += [[offset + index for index in face] for face in faces]
        vertices.append(limb)
        owners.append((bone.name, range(offset, offset + len(limb))))
    mesh = bpy.data.meshes.new("Mannequin")
    mesh.from_pydata(np.concatenate(vertices).tolist(), [], polygons)
    mesh.shade_smooth()
    material = paint("mannequin", PAINTS["birch"], 0.5)
    material.diffuse_color = (*PAINTS["birch"], 1)
    mesh.materials.append(material)
    mannequin = link(bpy.data.objects.new("Mannequin", mesh))
    for name, indices in owners:
        mannequin.vertex_groups.new(name=name).add(indices, 1.0, "REPLACE")
    mannequin.modifiers.new("Armature", "ARMATURE").object = armature
    mannequin.parent = armature
    mannequin.hide_select = True


if __name__ == "__main__":
    makers = {"pose": make_pose, "lighting": make_lighting, "armature": make_armature}
    for name in sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else makers:
        makers[name]()
