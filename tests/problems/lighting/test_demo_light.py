# SPDX-License-Identifier: Apache-2.0
"""The photograph of the demo: glossy paint, a sky and light from the table, in 8 bits of sRGB."""

import json

import numpy as np

from solver_core.command import cli
from solver_core.problems.lighting.metrics import angle_deg
from solver_core.problems.lighting.misread import MISTAKES


def test_the_sun_of_the_photograph_is_found_and_nothing_is_doubted(demo_dir, tmp_path):
    folder, out = demo_dir / "light", tmp_path / "light.json"
    meshes = [str(path) for path in sorted(folder.glob("*.ply"))]
    files = ["--image", folder / "photo.jpg", "--camera", folder / "camera.json", "--pose", folder / "pose.json"]

    exit_code = cli.main(["solve", "lighting", "--mesh", *meshes, *map(str, files), "--out", str(out), "--quiet"])

    found, truth = json.loads(out.read_text()), json.loads((folder / "truth.json").read_text())
    off_deg = angle_deg(np.array([found["direction"]]), np.array([truth["direction"]]))[0]
    assert (exit_code, found["verdict"]) == (0, "good")
    assert off_deg < found["uncertainty_deg"] < 5
    assert not {mistake.sentence for mistake in MISTAKES} & set(found["notes"])
