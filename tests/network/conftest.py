# SPDX-License-Identifier: Apache-2.0
"""Networks of every kind: image and vector, vector only, image only."""

import numpy as np
import pytest

from solver_core.network.spec import NetworkSpec
from solver_core.problem import Features

SPECS = {
    "image and vector": NetworkSpec(
        outputs=6,
        hidden=(32, 16),
        vector_size=5,
        image_size=18,  # 18, 9, 9, 5: odd sizes and a stride of one on the way
        image_channels=3,
        convolutions=((8, 2), (8, 1), (12, 2)),
    ),
    "vector only": NetworkSpec(outputs=4, hidden=(32,), vector_size=7),
    "vector that skips to the last layer": NetworkSpec(outputs=4, hidden=(32, 16), vector_size=7, skip=True),
    "image only": NetworkSpec(outputs=3, hidden=(), image_size=8, image_channels=1, convolutions=((4, 2),)),
}


@pytest.fixture(params=SPECS)
def spec(request: pytest.FixtureRequest) -> NetworkSpec:
    return SPECS[request.param]


@pytest.fixture
def weights(spec: NetworkSpec, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Random weights whose outputs are of order one, and exactly representable in float16 as files hold them."""
    weights = {}
    for name, shape in spec.layers():
        scale = np.sqrt(2 / np.prod(shape[:-1]))
        weights[f"{name}.weight"] = (scale * rng.normal(size=shape)).astype(np.float16).astype(np.float32)
        weights[f"{name}.bias"] = (0.1 * rng.normal(size=shape[-1])).astype(np.float16).astype(np.float32)
    return weights


@pytest.fixture
def features(spec: NetworkSpec, rng: np.random.Generator) -> Features:
    image = None
    if spec.image_channels:
        image = rng.normal(size=(9, spec.image_size, spec.image_size, spec.image_channels)).astype(np.float32)
    return Features(image, rng.normal(size=(9, spec.vector_size)).astype(np.float32))
