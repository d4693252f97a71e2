# SPDX-License-Identifier: CC0-1.0
"""Makes the demo of a shot: 40 photographs of the toy biplane as it takes off, while a hand passes before it.

    python assets/demo/make_shot_demo.py            (needs what make_pose_demo.py needs; ten minutes)

Everything this writes into the folder `shot` is CC0.  In the first frame the toy stands as in pose_photo.jpg, so that
start.json serves for both.  truth.json is for the test: the poses, and how much of the toy the hand leaves to be seen.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import bpy
import numpy as np
from biplane import ball, link, paint, straight
from make_pose_demo import LENS_MM, SENSOR_MM, build_scene
from mathutils import Matrix

from solver_core import render
from solver_core.frames import Camera
from solver_core.mesh import Mesh

FOLDER = Path(__file__).parent / "shot"
WIDTH, HEIGHT = 480, 360
NUM_FRAMES = 40
HAND_FRAMES = 15, 31  # between which the hand is in the picture
AWAY, BEFORE_TOY = (0.30, -0.30, -0.58), (0.05, -0.08, -0.58)  # metres, of the wrist before the camera
SKIN, SLEEVE = (0.55, 0.29, 0.19), (0.05, 0.09, 0.2)
FINGERS = [  # metres, palm towards -z, fingers along y: base, knuckle, tip, radius
    ((-0.034, 0.075, 0), (-0.044, 0.115, -0.004), (-0.047, 0.145, -0.014), 0.0105),
    ((-0.012, 0.082, 0), (-0.015, 0.128, -0.005), (-0.016, 0.165, -0.017), 0.011),
    ((0.011, 0.080, 0), (0.013, 0.122, -0.006), (0.014, 0.157, -0.018), 0.011),
    ((0.032, 0.070, 0), (0.038, 0.102, -0.006), (0.042, 0.128, -0.016), 0.0095),
    ((-0.030, 0.018, -0.004), (-0.062, 0.048, -0.012), (-0.074, 0.080, -0.014), 0.0125),
]


def build_hand() -> bpy.types.Object:
    """A hand and its sleeve; the wrist is the origin."""
    limbs = [((0, -0.01, 0), (0, 0.08, 0), 0.043, 0.017), ((0, -0.09, 0), (0, 0.0, 0), 0.027, 0.018)]
    for base, knuckle, tip, radius in FINGERS:
        limbs += [(base, knuckle, radius, radius), (knuckle, tip, 0.92 * radius, 0.92 * radius)]
    hand = solid("hand", [limb(*one) for one in limbs], paint("skin", SKIN, 0.5))
    sleeve = solid("sleeve", [limb((0, -0.32, 0), (0, -0.055, 0), 0.036, 0.029)], paint("cloth", SLEEVE, 0.9))
    sleeve.parent = hand
    return hand


def limb(start, end, half_width: float, half_depth: float):
    """A rounded tube that reaches beyond both ends; its width lies across the z axis."""
    start, end = np.array(start), np.array(end)
    along = (end - start) / np.linalg.norm(end - start)
    across = np.cross(along, (0, 0, 1))
    across /= np.linalg.norm(across)
    reach = half_depth * along
    ends = [(0.5 * fraction, a, u) for fraction, a, u in ball(9)]
    share = 2 * half_depth / np.linalg.norm(end - start + 2 * reach)
    head = [(share * fraction, a, u) for fraction, a, u in ends if fraction <= 0.25]
    profile = head + [(1 - fraction, a, u) for fraction, a, u in reversed(head)]
    return straight(start - reach, end + reach, profile, half_width * across, half_depth * np.cross(across, along), 20)


def solid(name: str, parts: list, material: bpy.types.Material) -> bpy.types.Object:
    """One smooth skin around all parts."""
    vertices, polygons = [], []
    for part_vertices, part_polygons in parts:
        offset = sum(map(len, vertices))
        vertices.append(part_vertices)
        polygons += [[offset + index for index in polygon] for polygon in part_polygons]
    mesh = bpy.data.meshes.new(name)
    mesh.from_pydata(np.concatenate(vertices).tolist(), [], polygons)
    mesh.materials.append(material)
    thing = link(bpy.data.objects.new(name, mesh))
    joined = thing.modifiers.new("joined", "REMESH")
    joined.mode, joined.voxel_size, joined.use_smooth_shade = "VOXEL", 0.0025, True
    softened = thing.modifiers.new("softened", "SMOOTH")
    softened.factor, softened.iterations = 0.5, 12
    evaluated = thing.evaluated_get(bpy.context.evaluated_depsgraph_get())
    thing.data = bpy.data.meshes.new_from_object(evaluated)  # once, and not for every frame that is rendered
    thing.modifiers.clear()
    return thing


def animate(toy: bpy.types.Object, camera: bpy.types.Object, hand: bpy.types.Object) -> None:
    """A keyframe a frame; the motion goes on before the first and after the last, as exposures do."""
    bpy.context.preferences.edit.keyframe_new_interpolation_type = "LINEAR"
    for frame in range(NUM_FRAMES + 2):
        done = (frame - 1) / (NUM_FRAMES - 1)
        toy.location = (0.06 * done, -0.02 * done, 0.07 * done**2)
        toy.rotation_euler = np.radians((16 * math.sin(2 * math.pi * done), -10 * done, -36 * done))
        first, last = HAND_FRAMES
        near = math.sin(math.pi * min(max((frame - first) / (last - first), 0), 1))
        hand.matrix_world = (
            camera.matrix_world
            @ Matrix.Translation(np.array(AWAY) + near * np.subtract(BEFORE_TOY, AWAY))
            @ Matrix.Rotation(0.75 - 0.25 * near, 4, "Z")
        )
        for thing in (toy, hand):
            thing.keyframe_insert("location", frame=frame)
            thing.keyframe_insert("rotation_euler", frame=frame)


def surface(thing: bpy.types.Object) -> tuple[Mesh, np.ndarray]:
    """An object's surface, and (4, 4) camera_from_mesh."""
    thing.data.calc_loop_triangles()
    vertices = np.array([vertex.co for vertex in thing.data.vertices])
    faces = np.array([triangle.vertices for triangle in thing.data.loop_triangles])
    return Mesh.checked(vertices, faces), np.array(bpy.context.scene.camera.matrix_world.inverted() @ thing.matrix_world)


def seen_share(toy: bpy.types.Object, hand: bpy.types.Object, camera: Camera) -> float:
    """How much of the toy's outline the hand and its sleeve leave to be seen."""
    depths = []
    for thing in (toy, hand, *hand.children):
        mesh, camera_from_mesh = surface(thing)
        depths.append(
            render.render_depth([mesh], camera_from_mesh[None], camera.intrinsics[None], camera.height, camera.width)[0]
        )
    toy_seen = np.isfinite(depths[0])
    return float((toy_seen & (depths[0] <= np.minimum(*depths[1:]))).sum() / toy_seen.sum())


def render_photos(frames: range) -> None:
    scene = bpy.context.scene
    settings = scene.render
    settings.engine = "CYCLES"
    scene.cycles.samples, scene.cycles.use_denoising, scene.cycles.max_bounces = 8, True, 3
    scene.cycles.denoising_quality, scene.cycles.denoising_prefilter = "FAST", "FAST"
    for thing in scene.objects:
        thing.cycles.use_deform_motion = False  # nothing bends, and to look for it takes most of a frame's time
    settings.resolution_x, settings.resolution_y, settings.use_persistent_data = WIDTH, HEIGHT, True
    settings.use_motion_blur, settings.motion_blur_shutter = True, 0.5
    scene.view_settings.view_transform, scene.view_settings.exposure = "AgX", 0.75
    scene.view_settings.look = "AgX - Medium High Contrast"
    settings.image_settings.file_format, settings.image_settings.quality = "JPEG", 85
    for frame in frames:
        scene.frame_set(frame)
        settings.filepath = str(FOLDER / f"frame_{frame:02d}.jpg")
        bpy.ops.render.render(write_still=True)


def main() -> None:
    toy, camera = build_scene()
    hand = build_hand()
    animate(toy, camera, hand)
    FOLDER.mkdir(exist_ok=True)
    focal_px = LENS_MM / SENSOR_MM * WIDTH
    seen_by = Camera(WIDTH, HEIGHT, focal_px, focal_px, WIDTH / 2, HEIGHT / 2)
    seen_by.to_json(FOLDER / "camera.json")
    truth = {"camera_from_object": [], "seen": []}
    frames = range(1, NUM_FRAMES + 1)
    for frame in frames:
        bpy.context.scene.frame_set(frame)
        pose = np.array(camera.matrix_world.inverted() @ toy.matrix_world)
        truth["camera_from_object"].append(np.round(pose, 6).tolist())
        truth["seen"].append(round(seen_share(toy, hand, seen_by), 3))
    (FOLDER / "truth.json").write_text(json.dumps(truth) + "\n", encoding="utf-8")
    render_photos(frames)


if __name__ == "__main__":
    main()
