# SPDX-License-Identifier: Apache-2.0
"""`solver_core evaluate lighting`: images whose light is known."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from solver_core.checks import checked_numbers
from solver_core.command.evaluation import Case, Measured, listed_cases
from solver_core.errors import ConfigError, SetupError
from solver_core.problems.lighting.command import add_inputs, read_setup
from solver_core.problems.lighting.lights import LIGHTS, MIXED
from solver_core.problems.lighting.metrics import angle_deg
from solver_core.problems.lighting.solve import LightingOptions, LightingSession

OPTIONS = LightingOptions
DATA = "a folder with cases.json: mesh, image, camera, pose and the true direction (or position) of each case"


def cases(folder: Path, options: LightingOptions) -> list[Case]:
    """The cases that a folder lists.  Raises ConfigError."""
    if options.kind == MIXED:
        raise ConfigError(f"each case has a light of one kind: choose {' or '.join(LIGHTS)}")
    truth = "position" if LIGHTS[options.kind].has_position else "direction"
    listed = listed_cases(folder, add_inputs, "image", truth)
    return [Case(name, partial(_measure, inputs, light, truth, options)) for name, inputs, light in listed]


def _measure(inputs: Any, truth: Any, name: str, options: LightingOptions) -> Measured:
    """Errors: the angle between the lights, seen from the middle of what is lit; of positions their distance too."""
    true_light = checked_numbers(truth, name, (3,))
    if not true_light.any():
        raise SetupError(f"the true {name} must not be 0 0 0")
    session = LightingSession(read_setup(inputs, options.kind), options)
    result = session.run()
    kind, centre = session.setup.kind, session.problem.scene.centre
    seen = [kind.offset_from(centre, light[None]) for light in (result.light, true_light)]
    errors = {"angle_deg": float(angle_deg(*seen)[0])}
    if kind.has_position:
        errors["distance_m"] = float(np.linalg.norm(result.light - true_light))
    return Measured(errors, result.verdict, result.seconds)
