# SPDX-License-Identifier: Apache-2.0
"""The learned update g_t: one network a stage."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from solver_core.problem import Arrays, Features, LearnedProblem, Update

Network = Callable[[Features], np.ndarray]


def network_update(problem: LearnedProblem, networks: Sequence[Network]) -> Update:
    """Update that asks the network of the stage; stages beyond the last network use the last one again."""

    def update(stage: int, x: np.ndarray, prediction: Arrays, observation: Arrays, rows: np.ndarray) -> np.ndarray:
        network = networks[min(stage, len(networks) - 1)]
        output = network(problem.features(x, prediction, observation, rows))
        count = output.size // (len(output) * output.shape[-1])  # proposals an instance
        flat = output.reshape(-1, output.shape[-1])
        return problem.step_from_output(flat, np.repeat(x, count, axis=0), np.repeat(rows, count)).reshape(output.shape)

    return update
