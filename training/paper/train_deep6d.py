# SPDX-License-Identifier: Apache-2.0
"""Trains Deep6D (training/paper/baselines/deep6d.py), a baseline of Table 5, on the clips that our networks saw.

python -m training.paper.train_deep6d --data DATA --out runs/deep6d/deep6d.safetensors
"""

import argparse
import logging
from dataclasses import fields
from pathlib import Path

import numpy as np

from solver_core.problems.inverse_kinematics.metrics import measure
from solver_core.problems.inverse_kinematics.problem import KinematicProblem
from solver_core.problems.inverse_kinematics.sampler import make_sampler
from training.paper.baselines.deep6d import Deep6DSettings, deep6d, train

SAMPLING = {
    "retargeted": 0.25,
    "mirrored": 0.5,
}  # as the recipe, for the one body and all targets
NUM_VALIDATION = 2000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="the weights file")
    for field in fields(Deep6DSettings):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=type(field.default), default=field.default)
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    args.out.parent.mkdir(parents=True, exist_ok=True)

    settings = Deep6DSettings(**{field.name: getattr(args, field.name) for field in fields(Deep6DSettings)})
    network = train(make_sampler(args.data, "train", SAMPLING), settings, args.out)

    samples = make_sampler(args.data, "val", {}).draw(np.random.default_rng(0), NUM_VALIDATION)
    assert isinstance(samples.problem, KinematicProblem)
    found = deep6d(network, samples.problem, samples.observation, samples.x0).x
    errors = measure(samples.problem, found, samples.x_true, np.arange(NUM_VALIDATION))
    print(", ".join(f"{name} {error.mean():.3f}" for name, error in errors.items()))


if __name__ == "__main__":
    main()
