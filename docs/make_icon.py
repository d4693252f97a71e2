# SPDX-License-Identifier: Apache-2.0
"""Draws docs/images/icon.png, for the docs site and the extension site: the demo's toy plane as a silhouette with its outline.

python docs/make_icon.py
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from solver_core import render, rotations
from solver_core.command.files import read_mesh
from solver_core.frames import Camera
from solver_core.mesh import Mesh

ROOT = Path(__file__).resolve().parents[1]
SIDE, SMOOTHING, CORNER = 256, 4, 48  # pixels that the extension site asks for, samples along a side of one, rounding
BACKGROUND, BODY, OUTLINE = (38, 50, 56), (236, 239, 241), (105, 240, 174)
OUTLINE_PX = 5
VIEW = np.radians([-62.0, 0.0, 35.0])  # tilt, roll, spin


def main() -> None:
    size = SIDE * SMOOTHING
    read = read_mesh(ROOT / "assets" / "demo" / "pose_model.ply")
    low, high = read.vertices.min(axis=0), read.vertices.max(axis=0)
    mesh = Mesh.checked((read.vertices - (low + high) / 2) / np.linalg.norm(high - low), read.faces)
    pose = np.eye(4)
    tilt, spin = (rotations.wxyz_from_rotvec(np.array([axis])) for axis in ((VIEW[0], 0, 0), (0, 0, VIEW[2])))
    pose[:3, :3] = rotations.matrix_from_wxyz(rotations.multiply(tilt, spin))[0]
    pose[2, 3] = -2.0
    camera = Camera.from_fov(size, size, np.radians(21))
    depth = render.render_depth([mesh], pose[None], camera.intrinsics, size, size)
    distance = render.signed_distance(np.isfinite(depth))[0]

    tile = Image.new("L", (size, size))
    ImageDraw.Draw(tile).rounded_rectangle((0, 0, size - 1, size - 1), CORNER * SMOOTHING, fill=255)
    pixels = np.full((size, size, 3), BACKGROUND, np.uint8)
    pixels[distance < 0] = BODY
    pixels[np.abs(distance) < OUTLINE_PX * SMOOTHING / 2] = OUTLINE
    icon = Image.fromarray(np.dstack([pixels, np.asarray(tile)])).resize((SIDE, SIDE), Image.Resampling.BOX)
    icon.save(ROOT / "docs" / "images" / "icon.png", optimize=True)


if __name__ == "__main__":
    main()
