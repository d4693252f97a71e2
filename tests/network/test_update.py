# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from solver_core.network.update import network_update
from solver_core.problem import Features


class DoublingProblem:
    """The network sees x and its output counts double; nothing else of a problem is needed here."""

    def features(self, x, prediction, observation, rows):
        return Features(None, x)

    def step_from_output(self, output, x, rows):
        return 2 * output


@pytest.mark.parametrize(("stage", "factor"), [(0, 1), (1, 10), (2, 10), (7, 10)])
def test_each_stage_has_its_network_and_later_ones_repeat_the_last(stage, factor):
    networks = [lambda features: features.vector, lambda features: 10 * features.vector]
    x = np.array([[1.0], [3.0]])

    step = network_update(DoublingProblem(), networks)(stage, x, None, None, np.arange(2))

    np.testing.assert_array_equal(step, 2 * factor * x)
