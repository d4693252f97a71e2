# SPDX-License-Identifier: Apache-2.0
"""Table 4's rows of the point light with observations by Blender's Cycles, whose shadows are exact.

    python -m training.cycles.table4_point --data DATA --samples 100 --out DIR

takes the samples of `python -m training.paper table4` with the same seed and the same methods, and writes DIR/table4_point.md.
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path

import numpy as np

from solver_core import render
from solver_core.mesh_library import MeshPool, load_library
from solver_core.problems.lighting.lights import LIGHTS
from solver_core.views import OBJECT_CENTRE
from training.cycles import scene
from training.paper.evaluation import Run
from training.paper.tables import table4

logger = logging.getLogger(__name__)

SAMPLES_PER_PIXEL = 4  # as pyrender takes; direct light of a point has no other noise than that of the edges


def photographed(case: table4.LightingCase, kept: Path) -> table4.LightingCase:
    """The same case with linear radiance by Cycles, kept for the next time: a white Lambert surface, direct light only."""
    if kept.exists():
        return case._replace(image=np.load(kept))
    scene.new_scene(case.camera, bounces=0, samples=SAMPLES_PER_PIXEL)
    scene.add_mesh(case.mesh, case.camera_from_object, scene.matt(1.0))
    scene.add_point_light(OBJECT_CENTRE + case.light, table4.BRIGHTNESS["point"] * LIGHTS["point"].strength_unit(np.ones(1))[0])
    image = scene.render_linear()
    np.save(kept, image)
    return case._replace(image=image)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    render.set_num_threads(1)
    meshes = MeshPool(load_library(args.data, "test")).measured
    rng = np.random.default_rng([args.seed, list(LIGHTS).index("point")])
    args.out.mkdir(parents=True, exist_ok=True)
    cases = [
        photographed(case, args.out / f"point_{args.seed}_{index:04d}.npy")
        for index, case in enumerate(table4.draw_cases("point", meshes, rng, args.samples))
    ]
    logger.info("%d images", len(cases))
    run = Run("table4_point", args.data, args.samples, args.seed, parts=args.out)
    rows = []
    for is_strength_known in (True, False):
        strength = table4.KNOWN if is_strength_known else table4.UNKNOWN
        for name, method in table4.methods("point").items():
            errors = table4._measure(run, f"{strength}, {name}", cases, method, is_strength_known)
            rows.append({"strength": strength, "method": name, **table4._summary(errors)})
            logger.info("%s", rows[-1])
    (args.out / "table4_point.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    table = markdown(rows)
    (args.out / "table4_point.md").write_text(table + "\n", encoding="utf-8")
    print(table)


def markdown(rows: list[dict]) -> str:
    cells = [[f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()] for row in rows]
    lines = [[key.replace("_", " ") for key in rows[0]], ["---"] * len(rows[0]), *cells]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main()
