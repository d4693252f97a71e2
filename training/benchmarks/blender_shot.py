# SPDX-License-Identifier: Apache-2.0
"""Processor time of Solve Pose along a shot of 300 frames at 1080p in Blender, from masks on disk.

    OMP_NUM_THREADS=1 python -m training.benchmarks.blender_shot            (needs bpy)

The toy of the demo turns two degrees a frame and drifts.  Each step does what a tick of the window does, but for redraws.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix
from PIL import Image

import addon
from addon.solves.image_source import ImageSource, MaskKey
from addon.solves.pose import PoseSolve, PoseTask, PoseTaskOptions
from addon.solves.solve import solve_all
from solver_core import render, rotations
from solver_core.command.files import read_mesh
from solver_core.frames import Camera
from solver_core.mesh import Mesh

MESH = Path(__file__).parents[2] / "assets" / "demo" / "pose_model.ply"
WIDTH, HEIGHT = 1920, 1080
LENS_MM, SENSOR_MM = 50.0, 36.0
DISTANCE = 1.4  # metres, of a toy of half a metre
TURN_DEG = 2.0  # a frame


def true_poses(num_frames: int) -> Iterator[np.ndarray]:
    """camera_from_object (4, 4) of each frame."""
    turn = np.array([0.6, 0.2, 0.75, 0.2]) / np.linalg.norm([0.6, 0.2, 0.75, 0.2])
    for frame in range(num_frames):
        pose = np.eye(4)
        pose[:3, :3] = rotations.matrix_from_wxyz(turn)
        pose[:3, 3] = 0.15 * np.sin(0.05 * frame), 0.08 * np.cos(0.03 * frame), -DISTANCE
        yield pose
        axis = np.array([np.cos(0.02 * frame), np.sin(0.02 * frame), 0.5])
        step = rotations.wxyz_from_rotvec(np.radians(TURN_DEG) * axis / np.linalg.norm(axis))
        turn = rotations.normalized(rotations.multiply(step, turn))


def write_masks(folder: Path, mesh: Mesh, poses: list[np.ndarray]) -> None:
    """Grey PNG files, numbered from 1 on."""
    focal = LENS_MM / SENSOR_MM * WIDTH
    intrinsics = Camera(WIDTH, HEIGHT, focal, focal, WIDTH / 2, HEIGHT / 2).intrinsics
    for number, pose in enumerate(poses, start=1):
        depth = render.render_depth([mesh], pose[None], intrinsics[None], HEIGHT, WIDTH)[0]
        Image.fromarray(np.isfinite(depth).astype(np.uint8) * 255).save(folder / f"mask_{number:04d}.png")


def make_scene(mesh: Mesh, first: np.ndarray) -> bpy.types.Scene:
    """The toy where it is in the first frame, before a camera at the origin."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.resolution_x, scene.render.resolution_y = WIDTH, HEIGHT
    lens = bpy.data.cameras.new("Camera")
    lens.lens, lens.sensor_width = LENS_MM, SENSOR_MM
    shape = bpy.data.meshes.new("Toy")
    shape.from_pydata(mesh.vertices.tolist(), [], mesh.faces.tolist())
    for thing in (bpy.data.objects.new("Camera", lens), bpy.data.objects.new("Toy", shape)):
        scene.collection.objects.link(thing)
    scene.camera = scene.objects["Camera"]
    scene.objects["Toy"].matrix_world = Matrix(first)
    bpy.context.view_layer.update()
    return scene


def worst_error_deg(scene: bpy.types.Scene, poses: list[np.ndarray]) -> float:
    """How far the keyframed rotation is off in the worst frame."""
    errors = []
    for number, pose in enumerate(poses, start=1):
        scene.frame_set(number)
        turned = rotations.wxyz_from_matrix(pose[:3, :3].T @ np.array(scene.objects["Toy"].matrix_world)[:3, :3])
        errors.append(2 * np.degrees(np.arccos(min(1, abs(turned[0])))))
    return max(errors)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--profile", action="store_true", help="prints where the time goes")
    args = parser.parse_args()
    addon.register()
    read = read_mesh(MESH)
    mesh, poses = Mesh.checked(read.vertices, read.faces), list(true_poses(args.frames))
    with tempfile.TemporaryDirectory() as folder:
        write_masks(Path(folder), mesh, poses)
        scene = make_scene(mesh, poses[0])
        source = ImageSource(file=str(Path(folder) / "mask_0001.png"))
        task = PoseTask("Toy", "Camera", source, MaskKey(key="LUMINANCE"), PoseTaskOptions(), 1, args.frames)
        profile = cProfile.Profile(time.process_time)
        before, began = time.process_time(), time.perf_counter()
        if args.profile:
            profile.enable()
        solve = PoseSolve.gather(scene, task)
        solve_all(solve, solve.apply)
        profile.disable()
        seconds, waited = time.process_time() - before, time.perf_counter() - began
    print(
        f"{args.frames} frames: {seconds:.1f} s of processor, {waited:.1f} s by the clock; "
        f"verdicts {dict(Counter(solve.report()['verdicts']))}; worst rotation {worst_error_deg(scene, poses):.2f} degrees"
    )
    if args.profile:
        pstats.Stats(profile).sort_stats("cumulative").print_stats(70)


if __name__ == "__main__":
    main()
