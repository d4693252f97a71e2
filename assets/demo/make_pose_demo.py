# SPDX-License-Identifier: CC0-1.0
"""Makes the pose demo: a toy biplane, a photographic render of it, a hand-made-looking mask, camera and poses.

    python assets/demo/make_pose_demo.py            (needs bpy, trimesh and contourpy; two minutes)

Everything this writes is CC0.  The solver sees pose_model.ply, pose_mask.png, camera.json and start.json; the
photograph is for the picture and truth.json for the test.
"""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path

import bpy
import contourpy
import numpy as np
import trimesh
from biplane import build_toy, link, paint
from mathutils import Matrix, Vector
from PIL import Image, ImageChops, ImageDraw

from solver_core import rotations
from solver_core.frames import Camera

HERE = Path(__file__).parent
WIDTH, HEIGHT = 960, 720
LENS_MM, SENSOR_MM = 62.0, 36.0  # a short telephoto, as one photographs small things
START_ROTVEC = np.radians(30) * np.array([0.36, 0.80, -0.48])  # in camera axes
START_SHIFT = np.array([-0.03, 0.02, -0.10])  # metres, a tenth of the model's length and of its distance


def wood(name: str, dark, light, scale: float, roughness: float, planks: bool = False) -> bpy.types.Material:
    """Grain along x: noise stretched along it; with planks, seams and a tone for each board."""
    material = paint(name, light, roughness)
    nodes, links = material.node_tree.nodes, material.node_tree.links
    shader = nodes["Principled BSDF"]
    position = nodes.new("ShaderNodeTexCoord").outputs["Object"]
    mapping = nodes.new("ShaderNodeMapping")
    mapping.inputs["Scale"].default_value = (1.2 * scale, 14 * scale, 14 * scale)
    links.new(position, mapping.inputs["Vector"])
    noise = nodes.new("ShaderNodeTexNoise")
    noise.inputs["Scale"].default_value = 1.0
    noise.inputs["Detail"].default_value = 9
    noise.inputs["Roughness"].default_value = 0.62
    noise.inputs["Distortion"].default_value = 1.1
    links.new(mapping.outputs["Vector"], noise.inputs["Vector"])
    ramp = nodes.new("ShaderNodeValToRGB")
    ramp.color_ramp.elements[0].position, ramp.color_ramp.elements[0].color = 0.33, (*dark, 1)
    ramp.color_ramp.elements[1].position, ramp.color_ramp.elements[1].color = 0.68, (*light, 1)
    links.new(noise.outputs["Fac"], ramp.inputs["Fac"])
    colour, height = ramp.outputs["Color"], noise.outputs["Fac"]
    if planks:
        boards = nodes.new("ShaderNodeTexBrick")
        boards.inputs["Scale"].default_value = 1.0
        boards.inputs["Brick Width"].default_value = 1.35
        boards.inputs["Row Height"].default_value = 0.125
        boards.inputs["Mortar Size"].default_value = 0.0012
        boards.inputs["Mortar Smooth"].default_value = 0.3
        boards.inputs["Color1"].default_value = (1, 1, 1, 1)
        boards.inputs["Color2"].default_value = (0.62, 0.62, 0.62, 1)
        boards.inputs["Mortar"].default_value = (0.08, 0.06, 0.05, 1)
        links.new(position, boards.inputs["Vector"])
        multiply = nodes.new("ShaderNodeMix")
        multiply.data_type, multiply.blend_type = "RGBA", "MULTIPLY"
        multiply.inputs["Factor"].default_value = 1
        links.new(colour, multiply.inputs[6])
        links.new(boards.outputs["Color"], multiply.inputs[7])
        colour = multiply.outputs[2]
    bump = nodes.new("ShaderNodeBump")
    bump.inputs["Strength"].default_value = 0.12
    bump.inputs["Distance"].default_value = 0.002
    links.new(height, bump.inputs["Height"])
    links.new(bump.outputs["Normal"], shader.inputs["Normal"])
    links.new(colour, shader.inputs["Base Color"])
    return material


def box(name: str, size, location, turn: float, material: bpy.types.Material, bevel: float) -> bpy.types.Object:
    corners = [(x, y, z) for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)]
    sides = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata([[c * s for c, s in zip(corner, size, strict=True)] for corner in corners], [], sides)
    mesh.materials.append(material)
    thing = link(bpy.data.objects.new(name, mesh))
    thing.location, thing.rotation_euler = location, (0, 0, turn)
    if bevel:
        modifier = thing.modifiers.new("bevel", "BEVEL")
        modifier.width, modifier.segments = bevel, 3
    return thing


def area_light(location, target, size: float, watts: float, colour) -> None:
    light = bpy.data.lights.new("light", "AREA")
    light.size, light.energy, light.color = size, watts, colour
    thing = link(bpy.data.objects.new("light", light))
    thing.location = location
    thing.rotation_euler = (Vector(target) - Vector(location)).to_track_quat("-Z", "Y").to_euler()


def build_scene() -> tuple[bpy.types.Object, bpy.types.Object]:
    """The toy on a table by a window, and the camera."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    birch = wood("birch", (0.42, 0.25, 0.12), (0.72, 0.50, 0.28), 9, 0.45)
    toy = build_toy(
        [
            paint("red", (0.52, 0.022, 0.014), 0.32, 0.6),
            paint("cream", (0.80, 0.68, 0.46), 0.38, 0.4),
            birch,
            paint("dark", (0.016, 0.017, 0.020), 0.5),
        ]
    )
    table = wood("table", (0.13, 0.066, 0.032), (0.36, 0.21, 0.11), 1.6, 0.42, planks=True)
    box("table", (4.0, 2.6, 0.04), (-0.6, 0.6, -0.02), math.radians(12), table, 0.004)
    wall = paint("wall", (0.30, 0.38, 0.40), 0.9)
    box("wall", (9.0, 0.1, 4.0), (-1.0, 3.2, 1.0), math.radians(28), wall, 0)
    blocks = [
        ((0.07, 0.07, 0.07), (-0.39, 0.19, 0.035), 0.5, (0.05, 0.20, 0.36)),
        ((0.07, 0.07, 0.07), (-0.32, 0.30, 0.035), 1.1, (0.74, 0.45, 0.06)),
        ((0.07, 0.07, 0.07), (-0.355, 0.245, 0.105), 0.2, (0.10, 0.30, 0.15)),
        ((0.16, 0.055, 0.055), (0.12, 0.62, 0.0275), -0.5, (0.62, 0.40, 0.22)),
    ]
    for index, (size, location, turn, colour) in enumerate(blocks):
        box(f"block{index}", size, location, turn, paint(f"block{index}", colour, 0.45, 0.3), 0.005)
    area_light((-1.3, -0.9, 1.5), (0, 0, 0), 0.6, 52, (1.0, 0.95, 0.88))
    area_light((1.6, 0.9, 0.9), (0, 0, 0.05), 0.8, 9, (0.75, 0.86, 1.0))
    world = bpy.data.worlds.new("world")
    world.node_tree.nodes["Background"].inputs["Color"].default_value = (0.55, 0.62, 0.72, 1)
    world.node_tree.nodes["Background"].inputs["Strength"].default_value = 0.22
    bpy.context.scene.world = world

    lens = bpy.data.cameras.new("camera")
    lens.lens, lens.sensor_width, lens.sensor_fit = LENS_MM, SENSOR_MM, "HORIZONTAL"
    lens.dof.use_dof, lens.dof.aperture_fstop = True, 8.0
    camera = link(bpy.data.objects.new("camera", lens))
    camera.location = (0.52, -0.56, 0.44)
    towards = Vector((-0.012, 0.012, 0.062)) - camera.location
    camera.rotation_euler = towards.to_track_quat("-Z", "Y").to_euler()
    lens.dof.focus_distance = (Vector((0.05, -0.02, 0.08)) - camera.location).length
    bpy.context.scene.camera = camera
    bpy.context.view_layer.update()
    return toy, camera


def render_photo(path: Path) -> None:
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.samples, scene.cycles.use_denoising, scene.cycles.max_bounces = 64, True, 6
    scene.render.resolution_x, scene.render.resolution_y = WIDTH, HEIGHT
    scene.view_settings.view_transform = "AgX"
    scene.view_settings.look = "AgX - Medium High Contrast"
    scene.view_settings.exposure = 0.75
    scene.render.image_settings.file_format = "JPEG"
    scene.render.image_settings.quality = 90
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)


def render_coverage(toy: bpy.types.Object) -> np.ndarray:
    """(H, W) fraction of each pixel the toy covers: the alpha of a render with nothing else in it."""
    scene = bpy.context.scene
    for thing in scene.objects:
        thing.hide_render = thing is not toy
    scene.camera.data.dof.use_dof = False
    scene.render.film_transparent = True
    scene.cycles.samples, scene.cycles.use_denoising, scene.cycles.max_bounces = 16, False, 0
    scene.render.image_settings.file_format = "PNG"
    scene.render.image_settings.color_mode = "RGBA"
    with tempfile.TemporaryDirectory() as folder:
        scene.render.filepath = str(Path(folder) / "alpha.png")
        bpy.ops.render.render(write_still=True)
        return np.asarray(Image.open(scene.render.filepath))[..., 3] / 255.0


def drawn_by_hand(coverage: np.ndarray, rng: np.random.Generator) -> Image.Image:
    """Mask as someone would outline the object by clicking: a polygon, a pixel off here and there, no small holes."""
    clicks_apart_px, error_px, smallest_hole_px = 11.0, 0.9, 60
    scale = 4  # drawn larger and averaged down, so that the outline has grey levels
    mask = Image.new("1", (WIDTH * scale, HEIGHT * scale))
    for line in contourpy.contour_generator(z=np.pad(coverage, 1)).lines(0.5):
        outline = line - 0.5  # padding removed; the centre of the first pixel is at 0.5
        length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(outline, axis=0), axis=1))])
        if length[-1] < smallest_hole_px:
            continue
        count = max(6, round(length[-1] / clicks_apart_px))
        at = (np.arange(count) + rng.uniform(-0.3, 0.3, count)) / count * length[-1]
        clicks = np.stack([np.interp(at, length, outline[:, axis], period=length[-1]) for axis in (0, 1)], axis=-1)
        clicks += rng.normal(scale=error_px, size=clicks.shape)
        ring = Image.new("1", mask.size)
        ImageDraw.Draw(ring).polygon([tuple(click) for click in clicks * scale], fill=1)
        mask = ImageChops.logical_xor(mask, ring)
    return mask.convert("L").resize((WIDTH, HEIGHT), Image.Resampling.BOX)


def write_pose(path: Path, camera_from_object: np.ndarray) -> None:
    content = {"camera_from_object": np.round(camera_from_object, 6).tolist()}
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    toy, camera = build_scene()
    toy.data.calc_loop_triangles()
    vertices = np.array([vertex.co for vertex in toy.data.vertices])
    faces = np.array([triangle.vertices for triangle in toy.data.loop_triangles])
    trimesh.Trimesh(vertices, faces, process=False).export(HERE / "pose_model.ply", vertex_normal=False)
    print(f"{len(vertices)} vertices, {len(faces)} faces")

    focal_px = LENS_MM / SENSOR_MM * WIDTH
    Camera(WIDTH, HEIGHT, focal_px, focal_px, WIDTH / 2, HEIGHT / 2).to_json(HERE / "camera.json")

    camera_from_object = np.array(camera.matrix_world.inverted() @ toy.matrix_world)
    write_pose(HERE / "truth.json", camera_from_object)
    centre = camera_from_object[:3, :3] @ (vertices.min(axis=0) + vertices.max(axis=0)) / 2 + camera_from_object[:3, 3]
    turn = np.array(Matrix.Identity(4))
    turn[:3, :3] = rotations.matrix_from_wxyz(rotations.wxyz_from_rotvec(START_ROTVEC))
    turn[:3, 3] = centre - turn[:3, :3] @ centre + START_SHIFT
    write_pose(HERE / "start.json", turn @ camera_from_object)

    render_photo(HERE / "pose_photo.jpg")
    drawn_by_hand(render_coverage(toy), np.random.default_rng(0)).save(HERE / "pose_mask.png")


if __name__ == "__main__":
    main()
