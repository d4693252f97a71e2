# SPDX-License-Identifier: CC0-1.0
"""Makes the demo of several views: masks of the toy biplane before three cameras that look at it from around.

    python assets/demo/make_views_demo.py            (needs pose_model.ply; a second)

Everything this writes is CC0.  The solver sees pose_model.ply and the folder `views`, whose truth.json is for the test.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from solver_core import render
from solver_core.command.files import read_mesh
from solver_core.frames import Camera
from solver_core.mesh import Mesh
from solver_core.views import view_matrices

HERE = Path(__file__).parent
FOLDER = HERE / "views"
CAMERA = Camera(480, 360, 800.0, 800.0, 240.0, 180.0)
AZIMUTH_DEG, ELEVATION_DEG = {"left": 200.0, "front": 265.0, "right": 330.0}, 22.0
DISTANCE = 0.72  # metres
TURN_DEG, PLACE = 70.0, (0.02, -0.03, -0.06)  # of the toy in the world


def write_matrix(name: str, key: str, matrix: np.ndarray) -> None:
    (FOLDER / name).write_text(json.dumps({key: np.round(matrix, 6).tolist()}, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    toy = read_mesh(HERE / "pose_model.ply")
    mesh = Mesh.checked(toy.vertices, toy.faces)
    cosine, sine = np.cos(np.radians(TURN_DEG)), np.sin(np.radians(TURN_DEG))
    world_from_object = np.eye(4)
    world_from_object[:2, :2], world_from_object[:3, 3] = [[cosine, -sine], [sine, cosine]], PLACE
    write_matrix("truth.json", "world_from_object", world_from_object)
    CAMERA.to_json(FOLDER / "camera.json")
    for name, azimuth_deg in AZIMUTH_DEG.items():
        camera_from_world = np.eye(4)
        camera_from_world[:3, :3] = view_matrices(np.radians([azimuth_deg]), np.radians([ELEVATION_DEG]))[0, :3, :3]
        camera_from_world[2, 3] = -DISTANCE
        write_matrix(f"{name}.json", "world_from_camera", np.linalg.inv(camera_from_world))
        camera_from_object = camera_from_world @ world_from_object
        depth = render.render_depth([mesh], camera_from_object[None], CAMERA.intrinsics, CAMERA.height, CAMERA.width)[0]
        Image.fromarray(np.isfinite(depth)).save(FOLDER / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
