# SPDX-License-Identifier: Apache-2.0
"""A look at samples before anything is trained on them: a picture of what the network will see. [torch]"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from solver_core.config import TrainSettings, using
from solver_core.network.torch_modules import TorchNetwork
from solver_core.problem import Features
from solver_core.problem_kind import ProblemKind
from solver_core.training.examples import StageSource, make_examples
from solver_core.training.files import PREVIEW, PREVIEW_METADATA, check_preview
from solver_core.training.trainer import VALIDATION_SEED
from solver_core.writing import make_folder, whole_file

NUM_SHOWN = 6  # samples in the picture
NUM_ERRORS = 256  # samples whose errors at the start are told


def preview(problem: ProblemKind, settings: TrainSettings, data: Path, out: Path) -> dict[str, Any]:
    """Draws samples into out/samples.png, a row each, and tells what a run with these settings would do.

    Returns:
        "picture": its path; "parameters": numbers that a network has; "samples": how many all stages will take;
        "samples_per_second": of one core, in the first stage; "start": median errors of samples before any step.

    Raises:
        ConfigError: the settings or the data cannot be used, or the picture would overwrite another file.
    """
    picture = out / PREVIEW
    check_preview(picture)
    with using("network"):
        spec = problem.network_spec(settings.network)
    source = StageSource(problem, settings, spec, data, [])
    with using("sampling"):
        sampler = source.sampler("train")
    started = time.perf_counter()
    examples = make_examples(source, sampler, 0)
    seconds = time.perf_counter() - started
    samples = sampler.draw(np.random.default_rng(VALIDATION_SEED), NUM_ERRORS)
    errors = problem.measure(samples.problem, samples.x0, samples.x_true, np.arange(len(samples.x0)))
    make_folder(out)
    _draw(spec.select(examples.features), problem.input_layout, picture)
    return {
        "picture": str(picture),
        "parameters": sum(parameter.numel() for parameter in TorchNetwork(spec).parameters()),
        "samples": sum(settings.iterations) * settings.batch_size,
        "samples_per_second": round(len(examples.features.vector) / seconds, 1),
        "start": {name: round(float(np.median(error)), 5) for name, error in errors.items()},
    }


def _draw(features: Features, layout: str, picture: Path) -> None:
    """Every channel of the first images in grey, black to white over its range in all of them, or the vectors as curves."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    image, vector = features
    if image is None:
        figure, axes = pyplot.subplots(figsize=(11, 4))
        axes.plot(vector[:NUM_SHOWN].T, marker=".")
        axes.set(xlabel="number of the vector", ylabel=f"{min(NUM_SHOWN, len(vector))} samples")
    else:
        image = image[:NUM_SHOWN]
        low, high = image.min(axis=(0, 1, 2)), image.max(axis=(0, 1, 2))
        shape = len(image), image.shape[-1]
        figure, grid = pyplot.subplots(*shape, figsize=(1.6 * shape[1], 1.7 * shape[0]), squeeze=False)
        names = layout.partition(":")[2].partition(";")[0].split()
        for (row, channel), axes in np.ndenumerate(grid):
            axes.imshow(image[row, :, :, channel], cmap="gray", vmin=low[channel], vmax=high[channel])
            axes.set_axis_off()
            if row == 0 and len(names) == shape[1]:
                axes.set_title(names[channel], fontsize=8)
    figure.suptitle(layout.partition(":")[0])
    figure.tight_layout()
    with whole_file(picture, "picture") as part:
        figure.savefig(part, dpi=110, metadata=PREVIEW_METADATA)
    pyplot.close(figure)
