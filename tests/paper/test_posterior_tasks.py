# SPDX-License-Identifier: Apache-2.0
"""Tasks of the benchmark of simulation-based inference: what their papers say of their answers."""

import numpy as np
import pytest

from training import posterior_tasks
from training.posterior_tasks import KINDS


@pytest.mark.parametrize("name", KINDS)
def test_truth_explains_its_observation(name, rng):
    kind = KINDS[name]
    x = kind.points(rng, 5)

    residual = kind.residual(kind.run(x), kind.run(x))

    assert np.isfinite(residual).all()
    assert np.abs(residual).max() == 0


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("two_moons", [lambda x: -x[:, ::-1]]),
        ("slcp", [lambda x: x * [1, 1, -1, 1, 1], lambda x: x * [1, 1, 1, -1, 1], lambda x: x * [1, 1, -1, -1, 1]]),
    ],
)
def test_as_many_answers_share_an_observation_as_the_paper_says(name, others, rng):
    kind = KINDS[name]
    x = kind.points(rng, 20)

    for other in others:
        assert np.abs(other(x) - x).max() > 0.1
        np.testing.assert_allclose(kind.run(other(x)), kind.run(x), atol=1e-12)


def test_points_of_slcp_have_the_covariance_that_x_says(monkeypatch, rng):
    x = np.array([[1.0, -2.0, 1.5, -0.8, 0.6]])
    monkeypatch.setattr(posterior_tasks, "DRAWS", rng.normal(size=(20_000, 2)))

    across, up = posterior_tasks.slcp(x).reshape(2, -1)

    first, second, correlation = 1.5**2, 0.8**2, np.tanh(0.6)
    expected = [[first**2, correlation * first * second], [correlation * first * second, second**2]]
    np.testing.assert_allclose(np.cov(across, up), expected, rtol=0.05)  # 20,000 draws: a standard error of 1 %
    np.testing.assert_allclose([across.mean(), up.mean()], [1, -2], atol=0.06)  # four standard errors of 0.016
