# SPDX-License-Identifier: Apache-2.0
"""A sun from images as a camera takes them: textured, partly glossy, two bounces, 8 bits, nothing but the geometry known.

    python -m training.cycles.real_images --data DATA --split test --count 100 --out DIR

renders what DIR does not hold yet, solves every image and writes DIR/cases.json and DIR/table.md.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from solver_core import render
from solver_core.command.files import read_radiance
from solver_core.frames import Camera
from solver_core.mesh import Mesh
from solver_core.mesh_library import MEASURED_CATEGORIES, load_library
from solver_core.problems.lighting.metrics import angle_deg
from solver_core.problems.lighting.sampler import draw_lights
from solver_core.problems.lighting.solve import LightingSolution, solve_lighting
from solver_core.views import VERTICAL_FOV, view_matrices
from training.cycles import scene

logger = logging.getLogger(__name__)

CAMERA = Camera.from_fov(256, 256, VERTICAL_FOV)
SAMPLES, BOUNCES = 16, 2
SUN_ANGLE = np.radians(0.5)  # as the real one's
PATTERNS = ("plain", "noise", "checker", "voronoi", "bricks")
LARGEST_ERRORS = 10  # cases of the table of the worst


class RealCase(NamedTuple):
    """name: of the mesh.  direction: (3,) towards the sun, in the camera's frame."""

    name: str
    mesh: Mesh
    camera_from_object: np.ndarray
    direction: np.ndarray
    photo: Path


def draw_case(data: Path, split: str, seed: int, index: int, folder: Path) -> RealCase:
    """A mesh, a view (every other one canonical) and a sun, all from the seed; its image is rendered if it is not there."""
    rng = np.random.default_rng([seed, index])
    entries = [entry for entry in load_library(data, split) if entry.category in MEASURED_CATEGORIES]
    entry = entries[rng.integers(len(entries))]
    azimuth_deg, elevation_deg = (30.0, 30.0) if index % 2 == 0 else (rng.uniform(0, 360), rng.uniform(-10, 60))
    view = view_matrices(np.radians([azimuth_deg]), np.radians([elevation_deg]))[0]
    case = RealCase(entry.name, entry.mesh, view, draw_lights(rng, 1)[0], folder / f"{split}_{seed}_{index:03d}.png")
    if not case.photo.exists():
        photograph(case, rng)
    return case


def photograph(case: RealCase, rng: np.random.Generator) -> None:
    scene.new_scene(CAMERA, BOUNCES, SAMPLES)
    scene.add_mesh(case.mesh, case.camera_from_object, draw_material(rng))
    scene.add_sun(case.direction, rng.uniform(1.5, 4.0), SUN_ANGLE)
    scene.set_ambient(rng.uniform(0.02, 0.25) * rng.uniform(0.7, 1.0, 3))
    scene.render_srgb(case.photo)


def draw_material(rng: np.random.Generator) -> Any:
    """Two similar colours in a pattern, from matt to glossy, a few with something metallic about them."""
    material = scene.new_material()
    nodes, links = material.node_tree.nodes, material.node_tree.links
    shader = nodes["Principled BSDF"]
    shader.inputs["Roughness"].default_value = rng.uniform(0.25, 0.9)
    shader.inputs["Specular IOR Level"].default_value = rng.uniform(0, 0.8)
    shader.inputs["Metallic"].default_value = rng.uniform(0, 0.3) if rng.uniform() < 0.15 else 0.0
    first = rng.uniform(0.25, 0.8) * rng.uniform(0.6, 1, 3)
    second = first * rng.uniform(0.5, 0.95) * rng.uniform(0.8, 1, 3)
    pattern, scale = str(rng.choice(PATTERNS)), rng.uniform(3, 15)
    if pattern == "plain":
        shader.inputs["Base Color"].default_value = (*first, 1)
        return material
    position = nodes.new("ShaderNodeTexCoord").outputs["Object"]
    if pattern in ("checker", "bricks"):
        texture = nodes.new("ShaderNodeTexChecker" if pattern == "checker" else "ShaderNodeTexBrick")
        colours, output = [texture.inputs["Color1"], texture.inputs["Color2"]], texture.outputs["Color"]
    else:
        texture, mix = (
            nodes.new("ShaderNodeTexNoise" if pattern == "noise" else "ShaderNodeTexVoronoi"),
            nodes.new("ShaderNodeMix"),
        )
        mix.data_type = "RGBA"
        links.new(texture.outputs["Fac" if pattern == "noise" else "Distance"], mix.inputs["Factor"])
        colours, output = [socket for socket in mix.inputs if socket.type == "RGBA"], mix.outputs[2]
    for socket, colour in zip(colours, (first, second), strict=True):
        socket.default_value = (*colour, 1)
    texture.inputs["Scale"].default_value = scale
    links.new(position, texture.inputs["Vector"])
    links.new(output, shader.inputs["Base Color"])
    return material


def solve(case: RealCase) -> LightingSolution:
    return solve_lighting(read_radiance(case.photo), case.mesh.vertices, case.mesh.faces, CAMERA, case.camera_from_object)


def described(case: RealCase, result: LightingSolution) -> dict[str, Any]:
    error = float(angle_deg(result.direction[None], case.direction[None])[0])
    others = [float(angle_deg(other.light[None], case.direction[None])[0]) for other in result.alternatives]
    return {
        "photo": case.photo.name,
        "mesh": case.name,
        "error_deg": error,
        "best_answer_deg": min([error, *others]),
        "uncertainty_deg": result.uncertainty_deg,
        "image_error": result.image_error,
        "reason": result.reason.name,
        "seconds": result.seconds,
    }


def table(cases: list[dict[str, Any]]) -> str:
    """Markdown: errors of all, by what the result says of itself; and the worst."""
    groups = {"all": cases}
    groups |= {f"reason {name}": [c for c in cases if c["reason"] == name] for name in sorted({c["reason"] for c in cases})}
    for low, high in ((0, 2), (2, 5), (5, 15), (15, 30), (30, 181)):
        groups[f"uncertainty {low}-{high} deg"] = [c for c in cases if low <= c["uncertainty_deg"] < high]
    for low, high in ((0, 0.05), (0.05, 0.1), (0.1, 0.15), (0.15, 9)):
        groups[f"image error {low}-{high}"] = [c for c in cases if low <= c["image_error"] < high]
    lines = ["| images | N | angle median deg | p90 deg | mean deg | within the uncertainty % | with alternatives p90 deg |"]
    lines.append("|" + " --- |" * 7)
    for name, group in groups.items():
        if group:
            error, best, uncertainty = (
                np.array([c[key] for c in group]) for key in ("error_deg", "best_answer_deg", "uncertainty_deg")
            )
            lines.append(
                f"| {name} | {len(group)} | {np.median(error):.2f} | {np.percentile(error, 90):.2f} | {error.mean():.2f} | "
                f"{100 * np.mean(error <= uncertainty):.0f} | {np.percentile(best, 90):.2f} |"
            )
    lines.append(f"\nmedian {np.median([c['seconds'] for c in cases]):.2f} s an image\n")
    for case in sorted(cases, key=lambda c: -c["error_deg"])[:LARGEST_ERRORS]:
        lines.append(
            f"- {case['photo']} {case['mesh']}: {case['error_deg']:.1f} deg, uncertainty {case['uncertainty_deg']:.1f}, "
            f"image error {case['image_error']:.3f}, {case['reason']}"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", default="test", choices=("train", "val", "test"))
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    render.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    cases = []
    for index in range(args.count):
        case = draw_case(args.data, args.split, args.seed, index, args.out)
        cases.append(described(case, solve(case)))
        logger.info("%s: %.2f deg", case.photo.name, cases[-1]["error_deg"])
    (args.out / "cases.json").write_text(json.dumps(cases, indent=1) + "\n", encoding="utf-8")
    (args.out / "table.md").write_text(table(cases) + "\n", encoding="utf-8")
    print(table(cases))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main()
