# SPDX-License-Identifier: Apache-2.0
"""Silhouettes by three renderers that share no code: pyrender (OpenGL), which judges poses, Blender's Cycles (rays) and ours.

    python -m training.cycles.compare_silhouettes --data DATA --out DIR

writes DIR/silhouettes.json and prints the table.  Meshes of the test split, each from a random view, sampled at pixel centres.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path

import bpy
import numpy as np

from solver_core import render
from solver_core.frames import Camera
from solver_core.mesh import Mesh
from solver_core.mesh_library import MEASURED_CATEGORIES, load_library
from solver_core.views import VERTICAL_FOV, draw_views, view_matrices
from training.cycles import scene
from training.paper.pyrender_depth import PyrenderDepth

NUM_MESHES, SEED = 50, 0
CAMERA = Camera.from_fov(128, 128, VERTICAL_FOV)
ELEVATION_DEG = (-10.0, 60.0)  # as in training


def cycles_mask(mesh: Mesh, camera_from_object: np.ndarray) -> np.ndarray:
    """(H, W) bool by Cycles: a mesh that glows in the dark."""
    scene.new_scene(CAMERA, bounces=0, samples=1)
    material = scene.new_material()
    nodes = material.node_tree.nodes
    glow = nodes.new("ShaderNodeEmission")
    material.node_tree.links.new(glow.outputs["Emission"], nodes["Material Output"].inputs["Surface"])
    scene.add_mesh(mesh, camera_from_object, material)
    bpy.context.scene.world = None
    return scene.render_linear().mean(axis=2) > 0.5


def agreement(one: np.ndarray, other: np.ndarray) -> dict[str, float]:
    """Of two masks (H, W): pixels that differ, those of them that are not beside the outline of the first, and the overlap."""
    differs = one != other
    padded = np.pad(one, 1, mode="edge")
    height, width = one.shape
    windows = [padded[row : row + height, column : column + width] for row in range(3) for column in range(3)]
    beside_outline = np.any(windows, axis=0) & ~np.all(windows, axis=0)
    return {
        "pixels": int(differs.sum()),
        "off_outline": int((differs & ~beside_outline).sum()),
        "iou": float((one & other).sum() / max((one | other).sum(), 1)),
        "outline": int(beside_outline.sum()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    render.set_num_threads(1)
    entries = [entry for entry in load_library(args.data, "test") if entry.category in MEASURED_CATEGORIES]
    chosen = np.linspace(0, len(entries) - 1, NUM_MESHES).astype(int)
    views = draw_views(np.random.default_rng(SEED), NUM_MESHES, 0.0, ELEVATION_DEG)
    poses = view_matrices(views.azimuth, views.elevation)
    rows = []
    with PyrenderDepth(CAMERA) as pyrender:
        for index, pose in zip(chosen, poses, strict=True):
            mesh = entries[index].mesh
            ours = render.render_depth([mesh], pose[None], CAMERA.intrinsics, CAMERA.height, CAMERA.width)[0]
            masks = {
                "pyrender": pyrender.render_depth(mesh, pose) > 0,
                "Cycles": cycles_mask(mesh, pose),
                "ours": np.isfinite(ours),
            }
            for (name, one), (other_name, other) in itertools.combinations(masks.items(), 2):
                rows.append({"mesh": entries[index].name, "pair": f"{name}, {other_name}", **agreement(one, other)})
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "silhouettes.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print(summary(rows))


def summary(rows: list[dict]) -> str:
    """Markdown, a line for each pair of renderers."""
    lines = [
        "| renderers | meshes | identical | pixels that differ, mean / worst | share of the outline's pixels | off the outline "
        "| overlap mean / worst |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for pair in dict.fromkeys(row["pair"] for row in rows):
        of_pair = [row for row in rows if row["pair"] == pair]
        pixels, overlap = [row["pixels"] for row in of_pair], [row["iou"] for row in of_pair]
        share = sum(pixels) / sum(row["outline"] for row in of_pair)
        lines.append(
            f"| {pair} | {len(of_pair)} | {pixels.count(0)} | {np.mean(pixels):.2f} / {max(pixels)} | {share:.3%} "
            f"| {sum(row['off_outline'] for row in of_pair)} | {np.mean(overlap):.5f} / {min(overlap):.5f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
