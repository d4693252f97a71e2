# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from solver_core.errors import ConfigError
from solver_core.network.numpy_forward import NumpyNetwork
from solver_core.network.spec import NetworkSpec
from solver_core.problem import Features

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


def test_proposals_in_torch_equal_those_in_numpy(rng):
    from solver_core.network.torch_modules import TorchNetwork

    spec = NetworkSpec(outputs=3, hidden=(8,), vector_size=5, proposals=4)
    network = TorchNetwork(spec, torch.Generator().manual_seed(1))
    features = Features(None, rng.normal(size=(6, 5)).astype(np.float32))

    expected = NumpyNetwork(spec, network.to_numpy_weights())(features)

    assert expected.shape == (6, 4, 3)
    np.testing.assert_allclose(network.predict(features), expected, atol=1e-6)


def test_network_that_sees_more_and_proposes_more_starts_from_the_output_of_the_other(rng):
    from solver_core.network.torch_modules import TorchNetwork, start_from

    before, after = (NetworkSpec(3, (8,), vector_size=size, proposals=count) for size, count in ((5, 1), (7, 4)))
    trained = TorchNetwork(before, torch.Generator().manual_seed(1))
    with torch.no_grad():
        trained.linears[-1].weight.mul_(100)
    fresh = TorchNetwork(after, torch.Generator().manual_seed(2))
    seen = rng.normal(size=(50, 7)).astype(np.float32)

    start_from(fresh, trained.to_numpy_weights(), before)

    output, proposals = trained.predict(Features(None, seen[:, :5])), fresh.predict(Features(None, seen))
    apart = np.abs(proposals - output[:, None]).mean()
    assert 0.02 * np.abs(output).mean() < apart < 0.5 * np.abs(output).mean()


def test_network_does_not_start_from_weights_of_another_shape():
    from solver_core.network.torch_modules import TorchNetwork, start_from

    trained = TorchNetwork(NetworkSpec(3, (8,), vector_size=5))

    with pytest.raises(ConfigError, match=r"linear0\.weight is \(5, 9\)"):
        start_from(TorchNetwork(NetworkSpec(3, (9,), vector_size=5)), trained.to_numpy_weights(), trained.spec)
