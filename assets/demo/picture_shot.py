# SPDX-License-Identifier: CC0-1.0
"""A picture of the shot of the demo as it was solved: some frames, with the outline of the pose in each.

    python assets/demo/picture_shot.py POSES PICTURE            (needs Pillow)

POSES: the folder that `solve pose --track` wrote.  A pose that is good is cyan, any other orange.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from solver_core import render
from solver_core.camera_files import read_camera
from solver_core.command.files import read_mesh, read_photo
from solver_core.command.pictures import CYAN, ORANGE, Contour, Panel, draw_contours, resize, side_by_side, write_picture
from solver_core.mesh import Mesh

HERE = Path(__file__).resolve().parent
SHOWN = (1, 11, 18, 20), (22, 25, 28, 40)
WIDTH = 320


def main(poses: Path, picture: Path) -> None:
    toy, whole = read_mesh(HERE / "pose_model.ply"), read_camera(HERE / "shot" / "camera.json")
    mesh, factor = Mesh.checked(toy.vertices, toy.faces), WIDTH / whole.width
    camera = whole.scaled(factor, WIDTH, round(factor * whole.height))

    def panel(number: int) -> Panel:
        record = json.loads((poses / f"frame_{number:02d}.json").read_text())
        pose = np.array([record["camera_from_object"]])
        depth = render.render_depth([mesh], pose, camera.intrinsics[None], camera.height, camera.width)[0]
        contour = Contour(np.isfinite(depth), CYAN if record["verdict"] == "good" else ORANGE)
        photo = resize(read_photo(HERE / "shot" / f"frame_{number:02d}.jpg"), camera.width, camera.height)
        return Panel(draw_contours(photo, [contour]), f"frame {number}: {record['verdict']}")

    write_picture(picture, np.concatenate([side_by_side([panel(number) for number in row]) for row in SHOWN]))
    print(picture)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
