# SPDX-License-Identifier: Apache-2.0
"""Makes the photographs that masks are learned from, in files of a few hundred; what is there already is kept.

nice -n 10 env OMP_NUM_THREADS=1 python -m training.masks.make_scenes --data DATA --out FOLDER --files 100
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from solver_core import render
from solver_core.mesh_library import MeshPool, load_library
from solver_core.writing import make_folder, whole_file
from training.masks.scenes import VARIANTS, draw_scenes

PER_FILE = 256
SEED = {"train": 51, "val": 52}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--split", choices=SEED, default="train")
    parser.add_argument("--files", type=int, default=100)
    args = parser.parse_args()
    render.set_num_threads(1)
    make_folder(args.out)
    pool = MeshPool(load_library(args.data, args.split))
    for number in range(args.files):
        path = args.out / f"{args.split}-{number:04d}.npz"
        if path.exists():
            continue
        rng = np.random.default_rng([SEED[args.split], number])
        scenes = [scene for _ in range(PER_FILE // VARIANTS) for scene in draw_scenes(rng, pool)]
        arrays = {name: np.stack([getattr(scene, name) for scene in scenes]) for name in scenes[0]._fields}
        with whole_file(path, "scenes") as part:
            np.savez(part, **arrays)
        print(path.name, flush=True)


if __name__ == "__main__":
    main()
