# SPDX-License-Identifier: Apache-2.0
import numpy as np

from solver_core.network.numpy_forward import NumpyNetwork
from solver_core.network.spec import LEAK, NetworkSpec
from solver_core.problem import Features


def test_convolution_with_one_weight_moves_the_image():
    spec = NetworkSpec(outputs=9, hidden=(), image_size=3, image_channels=1, convolutions=((1, 1),))
    kernel = np.zeros((3, 3, 1, 1), np.float32)
    kernel[0, 1] = 1  # looks at the pixel above
    weights = {
        "convolution0.weight": kernel,
        "convolution0.bias": np.zeros(1, np.float32),
        "linear0.weight": np.eye(9, dtype=np.float32),
        "linear0.bias": np.zeros(9, np.float32),
    }
    image = np.arange(1, 10, dtype=np.float32).reshape(1, 3, 3, 1)

    output = NumpyNetwork(spec, weights)(Features(image, np.empty((1, 0), np.float32)))

    np.testing.assert_array_equal(output, [[0, 0, 0, 1, 2, 3, 4, 5, 6]])


def test_rectifier_leaks_between_layers_but_not_at_the_end():
    spec = NetworkSpec(outputs=1, hidden=(1,), vector_size=1)
    one, zero = np.ones((1, 1), np.float32), np.zeros(1, np.float32)
    weights = {"linear0.weight": -one, "linear0.bias": zero, "linear1.weight": one, "linear1.bias": zero}

    output = NumpyNetwork(spec, weights)(Features(None, np.array([[2.0], [-2.0]], np.float32)))

    np.testing.assert_allclose(output, [[-2 * LEAK], [2]])


def test_outputs_are_float32_and_the_same_alone_as_in_a_batch(spec, weights, features):
    network = NumpyNetwork(spec, weights)

    together = network(features)
    image = None if features.image is None else features.image[3:4]
    alone = network(Features(image, features.vector[3:4]))

    assert together.dtype == np.float32
    assert together.shape == (9, spec.outputs)
    np.testing.assert_allclose(together[3:4], alone, atol=1e-5)  # float32, sums in another order


def test_spec_survives_json(spec):
    assert NetworkSpec.from_json(spec.to_json()) == spec


def test_proposals_come_the_likeliest_first():
    spec = NetworkSpec(outputs=2, hidden=(), vector_size=1, proposals=2)
    bias = np.array([1, 2, -5, 3, 4, 5], np.float32)  # two outputs and how likely they are, twice
    weights = {"linear0.weight": np.zeros((1, 6), np.float32), "linear0.bias": bias}

    output = NumpyNetwork(spec, weights)(Features(None, np.zeros((1, 1), np.float32)))

    np.testing.assert_array_equal(output, [[[3, 4], [1, 2]]])
