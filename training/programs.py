# SPDX-License-Identifier: Apache-2.0
"""Measures the examples of docs/examples, and tasks of a benchmark, beside what one would use instead, at equal calls of f.

python -m training.programs [NAME ...] --weights runs/programs        trains what is missing there, some minutes each
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import cma
import numpy as np
from scipy.optimize import least_squares, minimize

import solver_core as sc
from solver_core.inverse import InverseKind
from solver_core.loop import LoopSettings
from solver_core.loop import solve as run_loop
from solver_core.network.update import network_update
from solver_core.network.weights import load_networks
from solver_core.solving import REFINE
from training import posterior_tasks

EXAMPLES = Path(__file__).resolve().parents[1] / "docs" / "examples"
CHANGES = ["iterations=[600, 300, 300]"]
BUDGETS = (5, 10, 30, 100, 300)  # calls of f
NUM_CALIBRATED = 500
SOLVED = 2.0  # mean square of what is left, in squares of the noise: what the truth itself has is 1
SEED = 2_000_003  # far from those of training


def example(folder: str, module: str) -> ModuleType:
    """A module of an example."""
    spec = importlib.util.spec_from_file_location(module, EXAMPLES / folder / f"{module}.py")
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def flight(x: np.ndarray) -> np.ndarray:
    return FLIGHT(x)


def epidemic(x: np.ndarray) -> np.ndarray:
    """What the executable computes, without a process for each run."""
    return np.stack(NEWLY_ILL(*x.T), axis=1)


FLIGHT = example("projectile", "projectile").flight
NEWLY_ILL = example("epidemic", "simulate").newly_ill
BOXES = {
    "projectile": example("projectile", "projectile").problem.space,
    "epidemic": example("epidemic", "epidemic").problem.space,
}
KINDS = {
    "projectile": sc.inverse_problem(flight, BOXES["projectile"], name="projectile", noise=0.02, is_batched=True),
    "epidemic": sc.inverse_problem(epidemic, BOXES["epidemic"], name="epidemic", noise=0.5, is_batched=True),
    **posterior_tasks.KINDS,
}


class Enough(Exception):
    """The calls of f are used up."""


class Calls:
    """Counts calls of f for one observation, and keeps after each the best energy so far and how far its x is off."""

    def __init__(self, kind: InverseKind, observation: np.ndarray, x_true: np.ndarray) -> None:
        self.kind, self.observation, self.x_true = kind, observation, x_true
        self.energies: list[float] = []
        self.errors: list[float] = []

    def residual(self, x: np.ndarray) -> np.ndarray:
        """(M,) in units of the noise, for x (D,).  Raises Enough."""
        if len(self.energies) >= BUDGETS[-1]:
            raise Enough
        residual = self.kind.residual(self.kind.run(x[None]), self.observation[None])[0]
        energy = float(np.mean(residual**2))
        error = float(self.kind.space.distance(x[None], self.x_true[None])[0])
        is_better = not self.energies or energy < self.energies[-1]
        self.energies.append(energy if is_better else self.energies[-1])
        self.errors.append(error if is_better else self.errors[-1])
        return residual

    def energy(self, x: np.ndarray) -> float:
        return float(np.mean(self.residual(x) ** 2))


def by_least_squares(calls: Calls) -> None:
    """Trust region reflective within the box, from the middle and then from random points."""
    for start in starts(calls.kind):
        least_squares(
            calls.residual, start, bounds=(calls.kind.space.low, calls.kind.space.high), x_scale=calls.kind.space.width
        )


def by_nelder_mead(calls: Calls) -> None:
    box = calls.kind.space
    for start in starts(calls.kind):
        minimize(
            calls.energy,
            start,
            method="Nelder-Mead",
            bounds=list(zip(box.low, box.high, strict=True)),
            options={"xatol": 1e-6, "fatol": 1e-6},
        )


def by_cma_es(calls: Calls) -> None:
    """In the unit box, from its middle, with the usual first width of 0.3."""
    box = calls.kind.space
    for number, start in enumerate(starts(calls.kind)):
        cma.fmin2(
            lambda unit: calls.energy(np.clip(box.low + np.asarray(unit) * box.width, box.low, box.high)),
            (start - box.low) / box.width,
            0.3,
            {"bounds": [0, 1], "verbose": -9, "seed": number + 1},
        )


def starts(kind: InverseKind) -> Iterator[np.ndarray]:
    yield kind.start_point
    rng = np.random.default_rng(SEED)
    while True:
        yield kind.points(rng, 1)[0]


def by_ours(networks: list[Any], is_refined: bool) -> Callable[[Calls], None]:
    """The learned steps, and Gauss-Newton after them or, without networks, alone."""

    def solve(calls: Calls) -> None:
        kind = calls.kind
        instance = kind.instance(calls.observation)
        problem = instance.problem
        problem.run = lambda x: np.stack([calls.residual(one) for one in x]) * kind.noise + calls.observation
        for number, start in enumerate(starts(kind)):
            x = start[None]
            if networks:
                update = network_update(problem, networks)
                x = run_loop(problem, update, instance.observation, x, LoopSettings(steps=len(networks))).x
            if is_refined:
                x = run_loop(problem, kind.refinement(instance), instance.observation, x, REFINE).x
            if not is_refined or calls.energies[-1] <= SOLVED or number > 20:
                return

    return solve


def measure(name: str, weights: Path, count: int) -> list[dict[str, Any]]:
    """Rows of a table, a method each: calls until solved, and the error after so many calls."""
    kind = KINDS[name]
    networks = load_networks(weights, name, kind.input_layout)
    samples = kind.make_sampler(Path(), "test", {}).draw(np.random.default_rng(SEED), count)
    methods = {
        "learned steps": by_ours(networks, False),
        "learned steps + Gauss-Newton": by_ours(networks, True),
        "Gauss-Newton, no network": by_ours([], True),
        "least squares (SciPy)": by_least_squares,
        "Nelder-Mead (SciPy)": by_nelder_mead,
        "CMA-ES (cma)": by_cma_es,
    }
    rows = []
    for method, solve in methods.items():
        calls = [Calls(kind, y, x) for y, x in zip(samples.observation, samples.x_true, strict=True)]
        for one in calls:
            with suppress(Enough):
                solve(one)
        until = [next((n + 1 for n, energy in enumerate(c.energies) if energy <= SOLVED), np.inf) for c in calls]
        errors = {n: np.median([c.errors[min(n, len(c.errors)) - 1] for c in calls]) for n in BUDGETS}
        rows.append({"method": method, "solved": np.mean(np.isfinite(until)), "calls": np.median(until), "errors": errors})
    return rows


def calibration(name: str, weights: Path) -> tuple[float, float]:
    """Shares of the numbers of x that lie within one and two spreads of the truth; of a normal error 0.68 and 0.95."""
    kind = KINDS[name]
    samples = kind.make_sampler(Path(), "test", {}).draw(np.random.default_rng(SEED + 1), NUM_CALIBRATED)
    result = sc.solve(kind, samples.observation, weights=weights)
    assert result.spread is not None
    off = np.abs(result.x - samples.x_true) / result.spread
    return float(np.mean(off < 1)), float(np.mean(off < 2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*KINDS, []], metavar="NAME", help=", ".join(KINDS))
    parser.add_argument("--weights", type=Path, default=Path("runs/programs"), metavar="DIR")
    parser.add_argument("--samples", type=int, default=20, metavar="N")
    args = parser.parse_args()
    for name in args.names or KINDS:
        kind = KINDS[name]
        weights = args.weights / name / f"{name}.safetensors"
        if not weights.exists():
            sc.train(kind, out=args.weights / name, changes=CHANGES)
        print(f"\n{name}, N = {args.samples}\n")
        print("| method | solved | calls until then, median | " + " | ".join(f"error after {n}" for n in BUDGETS) + " |")
        print("|---|---|---|" + "---|" * len(BUDGETS))
        for row in measure(name, weights, args.samples):
            errors = " | ".join(f"{error:.2g}" for error in row["errors"].values())
            print(f"| {row['method']} | {100 * row['solved']:.0f} % | {row['calls']:.0f} | {errors} |", flush=True)
        one, two = calibration(name, weights)
        print(f"\nWithin one spread of the truth: {100 * one:.0f} %, within two: {100 * two:.0f} %.", flush=True)


if __name__ == "__main__":
    main()
