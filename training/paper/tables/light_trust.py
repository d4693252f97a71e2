# SPDX-License-Identifier: Apache-2.0
"""Whether a light's uncertainty and verdict hold, also where the known strength does not fit the picture."""

from __future__ import annotations

import numpy as np

from solver_core import render
from solver_core.mesh_library import MeshPool, load_library
from solver_core.problems.lighting.lights import LIGHTS
from solver_core.problems.lighting.metrics import angle_deg
from solver_core.problems.lighting.solve import LightingOptions, LightingSession
from solver_core.solution import Verdict
from solver_core.views import OBJECT_CENTRE
from training.paper.evaluation import Errors, Row, Run
from training.paper.tables.table4 import KNOWN, UNKNOWN, LightingCase, draw_cases, setup_of

TITLE = "Light: uncertainty and verdict"
NUM_SAMPLES = 200  # a row
QUICK_SAMPLES = 6
WRONG_DEG = 5.0  # farther off, a light is wrong
# Whether the strength is known, and by what the picture's brightness is off that is shown with it.
ROWS = {KNOWN: (True, 1.0), "known, picture 20 % too dark": (True, 0.8), UNKNOWN: (False, 1.0)}


def rows(run: Run) -> list[Row]:
    """Errors, and what was said of them, on the same samples of each kind of light."""
    render.set_num_threads(1)
    meshes = MeshPool(load_library(run.data, "test")).measured
    table: list[Row] = []
    for index, kind in enumerate(LIGHTS):
        cases = draw_cases(kind, meshes, np.random.default_rng([run.seed, 70 + index]), run.num_samples)
        for name, (is_known, brightness) in ROWS.items():
            errors = run.measure(
                f"{kind}, {name}",
                len(cases),
                lambda part, cases=cases, is_known=is_known, brightness=brightness: measure(cases, part, is_known, brightness),
                (is_known, brightness),
                10,
            )
            table.append({"light": kind, "strength": name, **summary(errors)})
    return table


def measure(cases: list[LightingCase], part: np.ndarray, is_known: bool, brightness: float) -> Errors:
    """Errors of solves with the picture's brightness multiplied."""
    each = []
    for case in (cases[row] for row in part):
        kind = LIGHTS[case.kind]
        setup = setup_of(case._replace(image=case.image * np.float32(brightness)), is_known)
        solution = LightingSession(setup, LightingOptions(kind=case.kind)).run()
        lights = np.stack([solution.light, *(other.light for other in solution.alternatives)])
        off = angle_deg(kind.offset_from(OBJECT_CENTRE, lights), case.light[None])
        each.append(
            {
                "angle_deg": off[0],
                "nearest_deg": off.min(),
                "uncertainty_deg": solution.uncertainty_deg,
                "is_good": solution.verdict is Verdict.GOOD,
                "seconds": solution.seconds,
            }
        )
    return {name: np.array([one[name] for one in each], float) for name in each[0]}


def summary(errors: Errors) -> Row:
    """A row of the table."""
    angle, good = errors["angle_deg"], errors["is_good"] > 0
    wrong = angle > WRONG_DEG
    return {
        "num_samples": len(angle),
        "angle_median_deg": float(np.median(angle)),
        "angle_p90_deg": float(np.percentile(angle, 90)),
        "wrong_percent": float(100 * np.mean(wrong)),
        "wrong_but_listed_percent": float(100 * np.mean(wrong & (errors["nearest_deg"] <= WRONG_DEG))),
        "within_uncertainty_percent": float(100 * np.mean(angle <= errors["uncertainty_deg"])),
        "uncertainty_median_deg": float(np.median(errors["uncertainty_deg"])),
        "good_percent": float(100 * np.mean(good)),
        "wrong_of_good_percent": float(100 * np.sum(wrong & good) / max(1, np.sum(good))),
        "right_not_good_percent": float(100 * np.sum(~wrong & ~good) / max(1, np.sum(~wrong))),
        "median_ms": float(1000 * np.median(errors["seconds"])),
    }
