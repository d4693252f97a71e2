# SPDX-License-Identifier: Apache-2.0
"""Trains the network that masks from photographs begin with, on scenes that make_scenes made; a killed run goes on. [torch]

nice -n 10 env OMP_NUM_THREADS=1 python -m training.masks.train --scenes FOLDER --out FOLDER --iterations 4000
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import binary_dilation, gaussian_filter

from solver_core import render
from solver_core.network.hourglass import HourglassSpec
from solver_core.network.torch_hourglass import TorchHourglass
from solver_core.network.weights import WeightsInfo, save_weights
from solver_core.reading import read_arrays
from solver_core.segmentation.edge import between
from solver_core.segmentation.prior import AROUND, CHANNELS, INPUT_LAYOUT, SIZE, TASK, features
from solver_core.writing import make_folder, whole_file
from training.paper.provenance import source_revision

DATA = "Train split of the mesh collection (16 sources, CC0, CC-BY, MIT, BSD; listed in pose.md), rendered; no photographs"
LICENCE = "CC0-1.0"
SPEC = HourglassSpec(CHANNELS, (16, 32, 64, 96), 8)
BATCH = 16
RATE, LAST_RATE = 2e-3, 5e-5
WARM_UP = 50  # iterations
WEIGHT_DECAY = 1e-4
AVERAGED = 0.98  # of the mean weights that is kept each step
FILES_AT_ONCE, STEPS_EACH = 12, 50  # how many files of scenes are in memory, and for how long
VALIDATED, VALIDATE_EVERY, SAVE_EVERY = 96, 100, 50
TIMES, KEPT = 3, 30  # steps for each batch that is drawn, which takes as long as a step, and batches to choose from
HAS_MODEL = 0.5
LOOSE, VERY_LOOSE = 0.05, 0.2  # of the object's longer side, each side of the box; a third are of the second kind


def draw_examples(scenes: dict[str, np.ndarray], rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs (count, SIZE, SIZE, CHANNELS), and the coverage to be found (count, SIZE, SIZE), NaN where it is known."""
    drawn = [_draw_example(scenes, rng) for _ in range(count)]
    colours, marks, silhouettes, has_model, coverage = (np.stack(one) for one in zip(*drawn, strict=True))
    return features(colours, marks, silhouettes, has_model), np.where(marks == 0, coverage, np.nan).astype(np.float32)


def _draw_example(scenes: dict[str, np.ndarray], rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    number = rng.integers(len(scenes["image"]))
    image, coverage = scenes["image"][number] / np.float32(255), scenes["coverage"][number] / np.float32(255)
    silhouette = scenes["silhouettes"][number, rng.integers(2)] > 127
    is_object = coverage >= 0.5
    if not is_object.any():
        return _draw_example(scenes, rng)
    spans = np.array([np.flatnonzero(is_object.any(axis=axis))[[0, -1]] + [0, 1] for axis in (1, 0)], float)
    loose = VERY_LOOSE if rng.uniform() < 1 / 3 else LOOSE
    box = spans + rng.uniform(0, loose, (2, 2)) * np.ptp(spans, axis=1).max() * [-1, 1]
    middle, side = box.mean(axis=1), AROUND * np.ptp(box, axis=1).max()
    layers = np.concatenate([image, coverage[..., None], silhouette[..., None]], axis=2)
    ends = (middle[:, None] + side * np.array([-0.5, 0.5])).clip(0, len(image))
    for axis, end in np.ndindex(2, 2):
        if rng.uniform() < 0.08:  # the photograph ends within the square
            ends[axis, end] = rng.uniform(*np.sort([ends[axis, end], box[axis, end]]))
    at = (np.arange(SIZE) + 0.5) / SIZE - 0.5
    rows, columns = (np.clip(middle[axis] + side * at, ends[axis, 0] + 0.5, ends[axis, 1] - 0.5) for axis in (0, 1))
    grid = np.meshgrid(rows - 0.5, columns - 0.5, indexing="ij")
    seen = between(layers, grid[0].ravel(), grid[1].ravel()).reshape(SIZE, SIZE, -1)
    is_inside = [np.abs(middle[axis] + side * at - middle[axis]) < np.ptp(box[axis]) / 2 for axis in (0, 1)]
    marks = np.where(is_inside[0][:, None] & is_inside[1], 0.0, -1.0)
    if rng.uniform() < 0.1:  # a lasso
        marks = np.where(binary_dilation(seen[..., 3] > 0.1, iterations=int(rng.integers(2, 9))), marks, -1)
    if rng.uniform() < 0.15:
        _mark_inplace(rng, marks, seen[..., 3] > 0.9, 1)
    if rng.uniform() < 0.15:
        _mark_inplace(rng, marks, seen[..., 3] < 0.1, -1)
    flipped = np.s_[:: rng.choice([-1, 1], p=[0.1, 0.9]), :: rng.choice([-1, 1])]
    seen, marks = seen[flipped], marks[flipped]
    if rng.uniform() < 0.1:
        seen, marks = seen.transpose(1, 0, 2), marks.T
    return _as_taken(rng, seen[..., :3]), marks, seen[..., 4] > 0.5, np.asarray(rng.uniform() < HAS_MODEL), seen[..., 3]


def _mark_inplace(rng: np.random.Generator, marks: np.ndarray, allowed: np.ndarray, value: int) -> None:
    """Strokes: a few short lines over pixels that are allowed."""
    places = np.argwhere(allowed & (marks == 0))
    for _ in range(rng.integers(1, 4) if len(places) else 0):
        first, last = places[rng.integers(len(places), size=2)]
        last = first + (last - first) * min(1, 15 / max(np.abs(last - first).max(), 1))
        line = np.round(np.linspace(first, last, 20)).astype(int)
        stroke = np.zeros_like(allowed)
        stroke[line[:, 0], line[:, 1]] = True
        marks[binary_dilation(stroke) & allowed & (marks == 0)] = value


def _as_taken(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """An image (H, W, 3) with colours, sharpness and noise of some camera."""
    grey = image.mean(axis=2, keepdims=True)
    saturation = 0.0 if rng.uniform() < 0.06 else rng.uniform(0.15, 1.1)
    image = grey + saturation * (image - grey)
    image = np.clip(image, 0, 1) ** np.exp(rng.normal(scale=0.25)) * rng.uniform(0.7, 1.2) * (1 + 0.06 * rng.normal(size=3))
    image = rng.uniform(-0.05, 0.08) + image * rng.uniform(0.8, 1.05)
    if rng.uniform() < 0.5:
        deviation = rng.uniform(0.2, 1.0) if rng.uniform() < 0.8 else rng.uniform(1, 2)
        image = gaussian_filter(image, (deviation, deviation, 0))
    noise = rng.normal(scale=np.exp(rng.uniform(np.log(0.002), np.log(0.05))), size=image.shape)
    if rng.uniform() < 0.3:
        noise = 2 * gaussian_filter(noise, (0.8, 0.8, 0))
    image = np.clip(image + noise, 0, 1)
    return image.astype(np.float32)


def loss_of(network: TorchHourglass, inputs: np.ndarray, wanted: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean cross-entropy (a scalar) of the pixels that are not known, each example counting the same, and (B,) overlaps."""
    target = torch.from_numpy(wanted)
    open_ = ~torch.isnan(target)
    target = torch.nan_to_num(target)
    odds = network(torch.from_numpy(inputs).permute(0, 3, 1, 2))
    each = nn_loss(odds, target, reduction="none") * open_
    found, truth = (odds > 0) & open_, (target >= 0.5) & open_
    overlap = (found & truth).sum((1, 2)) / (found | truth).sum((1, 2)).clamp(min=1)
    return (each.sum((1, 2)) / open_.sum((1, 2)).clamp(min=1)).mean(), overlap


nn_loss = torch.nn.functional.binary_cross_entropy_with_logits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=Path, required=True, help="what make_scenes wrote, of both splits")
    parser.add_argument("--out", type=Path, required=True, help="of checkpoint and log")
    parser.add_argument("--iterations", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    render.set_num_threads(1)
    make_folder(args.out)
    network, mean = (TorchHourglass(SPEC, torch.Generator().manual_seed(args.seed)) for _ in range(2))
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=WEIGHT_DECAY)
    checkpoint, first = args.out / "checkpoint.pt", 0
    if checkpoint.exists():
        kept = torch.load(checkpoint)
        network.load_state_dict(kept["network"])
        mean.load_state_dict(kept["mean"])
        optimizer.load_state_dict(kept["optimizer"])
        first = kept["iteration"]
    held_out = read_arrays(sorted(args.scenes.glob("val-*.npz"))[0])
    validation = draw_examples(held_out, np.random.default_rng(0), VALIDATED)
    has_model = validation[0][:, 0, 0, -1] > 0
    scenes: dict[str, np.ndarray] = {}
    losses: list[float] = []
    batches: list[tuple[np.ndarray, np.ndarray]] = []
    for iteration in range(first, args.iterations):
        rng = np.random.default_rng([args.seed, iteration])
        if not scenes or iteration % STEPS_EACH == 0:
            scenes = _some(sorted(args.scenes.glob("train-*.npz")), rng)
        done = iteration / args.iterations
        rate = min(1, (iteration + 1) / WARM_UP) * (LAST_RATE + (RATE - LAST_RATE) * (1 + math.cos(math.pi * done)) / 2)
        for group in optimizer.param_groups:
            group["lr"] = rate
        if not batches or iteration % TIMES == 0:
            batches = [*batches[1 - KEPT :], draw_examples(scenes, rng, BATCH)]
            drawn = batches[-1]
        else:
            flipped = np.s_[:, :, :: rng.choice([-1, 1])]
            drawn = tuple(np.ascontiguousarray(one[flipped]) for one in batches[rng.integers(len(batches))])
        loss, _ = loss_of(network, *drawn)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            kept_share = min(AVERAGED, (iteration + 1) / (iteration + 10))
            for averaged, current in zip(mean.parameters(), network.parameters(), strict=True):
                averaged.lerp_(current, 1 - kept_share)
        losses.append(loss.item())
        if (iteration + 1) % VALIDATE_EVERY == 0 or iteration + 1 == args.iterations:
            with torch.inference_mode():
                parts = [loss_of(mean, *(one[i : i + 32] for one in validation)) for i in range(0, VALIDATED, 32)]
            overlap = torch.cat([part[1] for part in parts]).numpy()
            line = {
                "iteration": iteration + 1,
                "loss": float(np.mean(losses)),
                "validation_loss": float(np.mean([part[0].item() for part in parts])),
                "overlap": float(overlap[~has_model].mean()),
                "overlap_with_model": float(overlap[has_model].mean()),
                "rate": rate,
                "time": time.strftime("%H:%M:%S"),
            }
            losses = []
            print(json.dumps(line), flush=True)
            with (args.out / "log.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
        if (iteration + 1) % SAVE_EVERY == 0 or iteration + 1 == args.iterations:
            state = {"network": network, "mean": mean, "optimizer": optimizer}
            with whole_file(checkpoint, "checkpoint") as part:
                torch.save({name: one.state_dict() for name, one in state.items()} | {"iteration": iteration + 1}, part)
            info = WeightsInfo(TASK, TASK, SPEC, INPUT_LAYOUT, DATA, LICENCE, source_revision())
            save_weights(args.out / f"{TASK}.safetensors", [mean.to_numpy_weights()], info)


def _some(paths: list[Path], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The scenes of a few files."""
    chosen = [read_arrays(paths[i]) for i in rng.permutation(len(paths))[:FILES_AT_ONCE]]
    return {name: np.concatenate([one[name] for one in chosen]) for name in chosen[0]}


if __name__ == "__main__":
    main()
