# SPDX-License-Identifier: Apache-2.0
"""`solver_core solve <problem>` for problems of other packages that bring no command of their own."""

from __future__ import annotations

import argparse
import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from solver_core.checks import checked_numbers
from solver_core.command import console, evaluation
from solver_core.command.arguments import add_options, options_from
from solver_core.config import train_settings
from solver_core.errors import ObservationError
from solver_core.problem import Sampler
from solver_core.problem_kind import Instance, ProblemKind
from solver_core.reading import read_array, read_arrays, read_json, reading
from solver_core.solving import ProblemOptions, ProblemSolution, solve, solve_instance
from solver_core.writing import whole_file

NUM_DRAWN = 200  # samples that are measured where no cases are given
HELP = "Finds what explains an observation, for the problem {} of an installed package."
EXAMPLE = "solver_core solve {} --observation observed.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    files = parser.add_argument_group("files")
    files.add_argument(
        "--observation", type=Path, required=True, metavar="FILE", help='npy, or JSON or npz with what was observed as "y"'
    )
    files.add_argument("--start", type=Path, metavar="FILE", help='where to start, the same with "x" (default the problem\'s)')
    files.add_argument("--json", action=console.Output, metavar="JSON", help="also write the result here")
    files.add_argument("--out", action=console.Output, metavar="NPZ", help="all numbers of the answer: x, prediction, energy")
    add_options(parser, ProblemOptions)


def run(args: argparse.Namespace) -> int:
    start = _read(args.start, "start") if args.start is not None else None
    start = start["x"] if isinstance(start, dict) and "x" in start else start
    observation, options = _read(args.observation, "observation"), options_from(args, ProblemOptions)
    with console.progress("solving") as show:
        result = solve(
            args.problem, observation, start, options=options, on_step=lambda step: show(f"energy {step.energy.min():.3g}")
        )
    if args.out is not None:
        with whole_file(args.out, "answer") as part, part.open("wb") as file:
            np.savez(file, x=result.x, prediction=np.asarray(result.prediction), energy=result.energy)
    console.print_result(_content(result), args.json)
    return console.conclude(result.verdict, result.explanation)


class Evaluation:
    """What `solver_core evaluate` takes of a problem's evaluate.py, for one that has none."""

    DATA = 'folder with cases.json, a list of {"observation": FILE, "x": [...]}; without it, of what the problem samples from'
    OPTIONS = ProblemOptions

    def __init__(self, problem: ProblemKind) -> None:
        self.problem = problem

    def cases(self, folder: Path, options: ProblemOptions) -> list[evaluation.Case]:
        """Those that the folder lists, else NUM_DRAWN of the problem's own samples.  Raises ConfigError."""
        if (folder / evaluation.CASES).exists():
            listed = evaluation.listed_cases(folder, _add_observation, "observation", "x")
            return [
                evaluation.Case(name, partial(self._measure_file, inputs.observation, x, options)) for name, inputs, x in listed
            ]
        table = train_settings(self.problem.recipe(), f"the recipe of {self.problem.name}").sampling
        sampler = self.problem.make_sampler(folder, "test", table)
        return [
            evaluation.Case(f"sample {number}", partial(self._measure_sample, sampler, number, options))
            for number in range(NUM_DRAWN)
        ]

    def _measure_file(self, path: Path, x_true: Any, options: ProblemOptions) -> evaluation.Measured:
        instance = self.problem.instance(_read(path, "observation"))
        x_true = checked_numbers(x_true, f"x of {path.name}", instance.x0.shape[1:])[None]
        return self._measure(instance, x_true, options)

    def _measure_sample(self, sampler: Sampler, number: int, options: ProblemOptions) -> evaluation.Measured:
        samples = sampler.draw(np.random.default_rng([options.seed, number]), 1)
        return self._measure(Instance(samples.problem, samples.observation, samples.x0), samples.x_true, options)

    def _measure(self, instance: Instance, x_true: np.ndarray, options: ProblemOptions) -> evaluation.Measured:
        result = solve_instance(self.problem, instance, options)
        errors = self.problem.measure(instance.problem, result.x, x_true, np.arange(1))
        return evaluation.Measured({name: float(error[0]) for name, error in errors.items()}, result.verdict, result.seconds)


def _add_observation(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--observation", type=Path, required=True)


def _content(result: ProblemSolution) -> dict[str, Any]:
    return {
        "x": result.x.tolist(),
        "spread": None if result.spread is None else [[_number(one) for one in row] for row in result.spread.tolist()],
        "alternatives": [others.tolist() for others in result.alternatives],
        "energy": result.energy.tolist(),
        "verdict": result.verdict.value,
        "explanation": result.explanation,
        "steps": sum(iteration.index > 0 for iteration in result.history),
        "seconds": round(result.seconds, 3),
    }


def _number(value: float) -> float | None:
    """JSON has no infinite numbers."""
    return value if math.isfinite(value) else None


def _read(path: Path, what: str) -> Any:
    """Arrays of a file: one, or several by name."""
    with reading(path, what, ObservationError):
        if path.suffix == ".npz":
            return read_arrays(path)
        if path.suffix == ".npy":
            return read_array(path)
        return read_json(path, what, ObservationError)
