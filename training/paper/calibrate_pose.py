# SPDX-License-Identifier: Apache-2.0
"""Fits how sure a pose is to solves of damaged masks of validation meshes, and writes what solver_core ships.

OMP_NUM_THREADS=1 python -m training.paper.calibrate_pose --data DATA --parts FOLDER [--samples 40] [--out FILE]

Objects hidden by another mesh and a principal point that is off are left out, so that the table `damaged` shows how the
calibration does on damage that it has not seen; so are wrong focal lengths and meshes, since what is given is believed: they
fit as well as the right ones.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from solver_core import render
from solver_core.mesh_library import MeshPool, load_library
from solver_core.network.weights import SHIPPED
from solver_core.problems.pose.confidence import FEATURES, FILE, PoseInterval, Seen, features, interval_features, logit
from solver_core.problems.pose.evidence import Evidence, ImageEvidence, ShotEvidence
from solver_core.problems.pose.solve import PoseOptions
from solver_core.writing import whole_file
from training.paper.evaluation import Errors, Run
from training.paper.tables.damaged import draw_damaged, is_wrong, kinds, measure

SEED = 41  # of the samples; no table's
LEFT_OUT = ("another mesh", "focal length", "principal point", "longer on an axis")
# Which way each of FEATURES may turn the probability: evidence against a pose never speaks for it.
SIGNS = {"gap": 1, "size": 1, "contrast": 1, "edges": 1, "image gap": 1}
BLOCK = 10  # samples of a kind before the next one: what was measured by then covers all kinds
RIDGE = 0.002  # on weights of features that are brought to a standard deviation of 1
QUANTILE = 0.9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--parts", type=Path, required=True, help="keeps what was measured, so that a killed run goes on")
    parser.add_argument("--samples", type=int, default=40, help="of each kind of damage")
    parser.add_argument("--out", type=Path, default=SHIPPED / FILE)
    args = parser.parse_args()
    errors = solve_all(args.data, args.parts, args.samples)
    about = f"fitted by training/paper/calibrate_pose.py, {len(errors['number'])} solves, {args.samples} of each kind"
    write(errors, FEATURES, RIDGE, about, args.out)


def solve_all(data: Path, parts: Path, count: int) -> Errors:
    """What solves of all kinds of damage were worth, and the evidence about them."""
    render.set_num_threads(1)
    meshes = MeshPool(load_library(data, "val")).measured
    run = Run("calibration", data, BLOCK, SEED, parts)
    measured = []
    cases = {
        name: draw_damaged(meshes, kind, np.random.default_rng([SEED, number]), count)
        for number, (name, kind) in enumerate(kinds(meshes).items())
        if not any(words in name for words in LEFT_OUT)
    }
    for first in range(0, count, BLOCK):
        for name, drawn in cases.items():
            block = drawn[first : first + BLOCK]
            errors = run.measure(
                f"{name}, from {first} on", len(block), lambda part, block=block: measure(block, part, PoseOptions())
            )
            measured.append({**errors, "number": np.arange(len(block))})
            print(f"{name}, {first + len(block)} of {count}", flush=True)
    return {key: np.concatenate([errors[key] for errors in measured]) for key in measured[0]}


def write(
    errors: Errors, names: tuple[str, ...], ridge: float, about: str, out: Path, slopes: np.ndarray | None = None
) -> None:
    """Fits and writes a calibration; prints what one that was fitted to half of the solves does on the other half."""
    is_first = errors["number"] % 2 == 0
    for name, fitted, kept in (("first", is_first, ~is_first), ("second", ~is_first, is_first)):
        weights, interval = fit(taken(errors, fitted), names, ridge, slopes)
        print(f"fitted on the {name} half, {kept.sum()} others: {quality(taken(errors, kept), weights, interval)}")
    weights, interval = fit(errors, names, ridge, slopes)
    content = {
        "about": about,
        "features": list(names),
        "weights": weights.round(4).tolist(),
        "interval": interval.round(4).tolist(),
    }
    with whole_file(out, "calibration") as part:
        part.write_text(json.dumps(content, indent=1) + "\n")


def evidence_of(errors: Errors) -> list[tuple[Evidence, Seen]]:
    """What was seen of each solve, of photographs also in the image or in the frames before."""
    seen: list[Seen] = [None] * len(errors["evidence"])
    for name, kind in (("image_evidence", ImageEvidence), ("shot_evidence", ShotEvidence)):
        if name in errors:
            seen = [kind(*row) for row in errors[name]]
    return [(Evidence(*row), one) for row, one in zip(errors["evidence"], seen, strict=True)]


def fit(
    errors: Errors, names: tuple[str, ...], ridge: float, slopes: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of a Calibration: by logistic regression, and by regression of the 90 % quantiles of the errors.

    slopes: (3, 2) factors of the intervals' log spread and logit where they are known and only the constant is fitted.
    """
    seen = evidence_of(errors)
    weights = fitted_weights(np.stack([features(*one) for one in seen]), ~is_wrong(errors), names, ridge)
    inputs = np.stack([interval_features(one, logit(one, weights, image)) for one, image in seen])  # (N, 3, 3)
    log_errors = np.log(np.maximum(errors["parts"], 1e-6))
    if slopes is not None:
        constants = np.quantile(log_errors - (inputs[..., :2] * slopes).sum(axis=2), QUANTILE, axis=0)
        return weights, np.column_stack([slopes, constants])
    return weights, np.stack([fitted_quantile(inputs[:, k], log_errors[:, k]) for k in range(len(PoseInterval._fields))])


def fitted_weights(inputs: np.ndarray, is_right: np.ndarray, names: tuple[str, ...], ridge: float) -> np.ndarray:
    """(F + 1,) weights of features (N, F + 1) of these names, the last of which is 1."""
    mean, scale = inputs[:, :-1].mean(axis=0), inputs[:, :-1].std(axis=0) + 1e-6
    standard = np.column_stack([(inputs[:, :-1] - mean) / scale, np.ones(len(inputs))])

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        odds = standard @ weights
        residual = 1 / (1 + np.exp(-odds)) - is_right
        value = np.mean(np.logaddexp(0, odds) - is_right * odds) + ridge / 2 * weights[:-1] @ weights[:-1]
        return value, standard.T @ residual / len(inputs) + np.append(ridge * weights[:-1], 0)

    bounds = [(0, None) if SIGNS.get(name, -1) > 0 else (None, 0) for name in names] + [(None, None)]
    found = minimize(loss, np.zeros(len(mean) + 1), jac=True, bounds=bounds, method="L-BFGS-B").x
    return np.append(found[:-1] / scale, found[-1] - found[:-1] @ (mean / scale))


def fitted_quantile(inputs: np.ndarray, log_error: np.ndarray) -> np.ndarray:
    """(3,) factors of inputs (N, 3) that a share QUANTILE of the log errors (N,) lies below."""

    def loss(factors: np.ndarray) -> float:
        over = log_error - inputs @ factors
        return float(np.mean(np.maximum(QUANTILE * over, (QUANTILE - 1) * over)))

    start = np.array([1.0, -0.3, np.quantile(log_error - inputs[:, 0] + 0.3 * inputs[:, 1], QUANTILE)])
    return minimize(loss, start, method="Nelder-Mead", options={"maxiter": 5000, "xatol": 1e-4, "fatol": 1e-7}).x


def taken(errors: Errors, rows: np.ndarray) -> Errors:
    return {name: values[rows] for name, values in errors.items()}


def quality(errors: Errors, weights: np.ndarray, interval: np.ndarray) -> str:
    """How a calibration does on other solves."""
    seen = evidence_of(errors)
    odds = np.array([logit(one, weights, image) for one, image in seen])
    probability, right = 1 / (1 + np.exp(-odds)), ~is_wrong(errors)
    widths = np.exp([(interval_features(one, each) * interval).sum(axis=1) for (one, _), each in zip(seen, odds, strict=True)])
    lines = [f"right {right.mean():.1%}, Brier score {np.mean((probability - right) ** 2):.4f}"]
    lines += [f"intervals hold {100 * np.mean(errors['parts'] <= widths, axis=0).round(3)}"]
    for least in (0.5, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97):
        good = probability >= least
        lines.append(
            f"from {least:.2f} on: {np.mean(good):.1%}, {np.mean(~right[good]):.1%} of them wrong, "
            f"{np.mean(~good[right]):.1%} of what is right missed"
        )
    return "\n  ".join(lines)


if __name__ == "__main__":
    main()
