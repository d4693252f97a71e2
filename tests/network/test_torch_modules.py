import numpy as np
import pytest

from solver_core.network.numpy_forward import NumpyNetwork

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch


@pytest.fixture
def torch_network(spec, weights):
    from solver_core.network.torch_modules import TorchNetwork

    network = TorchNetwork(spec)
    network.load_numpy_weights(weights)
    return network


def test_torch_equals_numpy(spec, weights, features, torch_network):
    np.testing.assert_allclose(torch_network.predict(features), NumpyNetwork(spec, weights)(features), atol=1e-4)


def test_weights_round_trip(weights, torch_network):
    back = torch_network.to_numpy_weights()

    assert back.keys() == weights.keys()
    for name in weights:
        np.testing.assert_array_equal(back[name], weights[name])


def test_weights_have_the_shapes_of_the_spec(spec, torch_network):
    weights = torch_network.to_numpy_weights()

    assert {f"{name}.weight": shape for name, shape in spec.layers()} == {
        name: array.shape for name, array in weights.items() if name.endswith(".weight")
    }


def test_untrained_network_proposes_almost_no_step(spec, features):
    from solver_core.network.torch_modules import TorchNetwork

    network = TorchNetwork(spec, torch.Generator().manual_seed(0))

    assert np.abs(network.predict(features)).max() < 0.2


def test_initial_weights_repeat_for_the_same_seed(spec):
    from solver_core.network.torch_modules import TorchNetwork

    first, second = (TorchNetwork(spec, torch.Generator().manual_seed(3)).to_numpy_weights() for _ in range(2))

    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
