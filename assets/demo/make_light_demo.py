# SPDX-License-Identifier: CC0-1.0
"""Makes the lighting demo: the toy biplane on a table in the sun, photographed by Cycles, with meshes, camera and pose.

    python assets/demo/make_light_demo.py            (needs bpy and trimesh; a minute)

Everything this writes is CC0.  The solver sees the meshes, one a paint, the photograph, camera.json and pose.json; the
light is in truth.json, for the test.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import bpy
import numpy as np
import trimesh
from biplane import CREAM, DARK, RED, WOOD, build_toy, link, paint, parts
from mathutils import Vector

from solver_core.frames import Camera

FOLDER = Path(__file__).parent / "light"
WIDTH, HEIGHT = 480, 360
LENS_MM, SENSOR_MM = 60.0, 36.0
CAMERA_AT, CAMERA_TARGET = (0.62, -0.66, 0.60), (-0.02, 0.03, 0.035)
SUN_TOWARDS = np.array([0.25, 0.62, 0.74])  # from behind, so that the shadow falls where one sees it
SUN_STRENGTH, SUN_ANGLE = 3.2, math.radians(0.5)
SKY, SKY_STRENGTH = (0.65, 0.80, 1.0), 0.12
TABLE_HALF_SIZE = 0.8  # metres: more than the camera sees
PAINTS = {  # colour, roughness
    RED: ("red", (0.50, 0.04, 0.03), 0.5),
    CREAM: ("cream", (0.78, 0.68, 0.48), 0.6),
    WOOD: ("wood", (0.55, 0.36, 0.18), 0.7),
    DARK: ("dark", (0.03, 0.03, 0.035), 0.6),
}


def mesh_of(material: int) -> trimesh.Trimesh:
    """All parts of one paint, in metres."""
    meshes = []
    for part_material, (vertices, polygons) in parts():
        if part_material == material:
            faces = [(p[0], p[i], p[i + 1]) for p in polygons for i in range(1, len(p) - 1)]
            meshes.append(trimesh.Trimesh(vertices, faces, process=False))
    return trimesh.util.concatenate(meshes)


def table_top() -> trimesh.Trimesh:
    corners = TABLE_HALF_SIZE * np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]])
    return trimesh.Trimesh(corners, [[0, 1, 2], [0, 2, 3]], process=False)


def slate() -> bpy.types.Material:
    """Matt grey with faint clouds."""
    material = paint("slate", (0.42, 0.43, 0.42), 0.85)
    nodes, links = material.node_tree.nodes, material.node_tree.links
    clouds, ramp = nodes.new("ShaderNodeTexNoise"), nodes.new("ShaderNodeValToRGB")
    clouds.inputs["Scale"].default_value, clouds.inputs["Detail"].default_value = 14, 6
    ramp.color_ramp.elements[0].color, ramp.color_ramp.elements[1].color = (0.36, 0.37, 0.37, 1), (0.46, 0.46, 0.44, 1)
    links.new(clouds.outputs["Fac"], ramp.inputs["Fac"])
    links.new(ramp.outputs["Color"], nodes["Principled BSDF"].inputs["Base Color"])
    return material


def build_scene() -> bpy.types.Object:
    """The scene, whose camera it gives."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    build_toy([paint(*PAINTS[material]) for material in (RED, CREAM, WOOD, DARK)])
    top = bpy.data.meshes.new("table")
    top.from_pydata(table_top().vertices.tolist(), [], table_top().faces.tolist())
    top.materials.append(slate())
    link(bpy.data.objects.new("table", top))
    sun = bpy.data.lights.new("sun", "SUN")
    sun.energy, sun.angle = SUN_STRENGTH, SUN_ANGLE
    link(bpy.data.objects.new("sun", sun)).rotation_euler = Vector(SUN_TOWARDS).to_track_quat("Z", "Y").to_euler()
    world = bpy.data.worlds.new("world")
    world.node_tree.nodes["Background"].inputs["Color"].default_value = (*SKY, 1)
    world.node_tree.nodes["Background"].inputs["Strength"].default_value = SKY_STRENGTH
    bpy.context.scene.world = world
    lens = bpy.data.cameras.new("camera")
    lens.lens, lens.sensor_width, lens.sensor_fit = LENS_MM, SENSOR_MM, "HORIZONTAL"
    camera = link(bpy.data.objects.new("camera", lens))
    camera.location = CAMERA_AT
    camera.rotation_euler = (Vector(CAMERA_TARGET) - Vector(CAMERA_AT)).to_track_quat("-Z", "Y").to_euler()
    bpy.context.scene.camera = camera
    bpy.context.view_layer.update()
    return camera


def photograph(path: Path) -> None:
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.samples, scene.cycles.use_denoising, scene.cycles.max_bounces = 32, True, 3
    scene.render.threads_mode, scene.render.threads = "FIXED", 1
    scene.render.resolution_x, scene.render.resolution_y = WIDTH, HEIGHT
    scene.view_settings.view_transform = "Standard"
    scene.render.image_settings.file_format, scene.render.image_settings.quality = "JPEG", 92
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    camera = build_scene()
    for material, (name, _, _) in PAINTS.items():
        mesh_of(material).export(FOLDER / f"{name}.ply", vertex_normal=False)
    table_top().export(FOLDER / "table.ply", vertex_normal=False)
    focal_px = LENS_MM / SENSOR_MM * WIDTH
    Camera(WIDTH, HEIGHT, focal_px, focal_px, WIDTH / 2, HEIGHT / 2).to_json(FOLDER / "camera.json")
    camera_from_world = np.array(camera.matrix_world.inverted())
    direction = camera_from_world[:3, :3] @ (SUN_TOWARDS / np.linalg.norm(SUN_TOWARDS))
    write_json(FOLDER / "pose.json", {"camera_from_object": np.round(camera_from_world, 6).tolist()})
    write_json(FOLDER / "truth.json", {"direction": np.round(direction, 6).tolist(), "strength": SUN_STRENGTH})
    photograph(FOLDER / "photo.jpg")


def write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
