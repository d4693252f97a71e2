# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from solver_core.images import block_mean


def test_block_mean_repeats_the_border_where_blocks_are_not_full():
    image = np.array([[1.0, 3.0, 5.0], [3.0, 5.0, 7.0]])

    assert block_mean(image[None], 2).tolist() == [[[3.0, 6.0]]]


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_block_mean_takes_every_channel_by_itself(factor, rng):
    images = rng.uniform(size=(2, 6, 9, 3))

    means = block_mean(images, factor)

    assert means.dtype == np.float32
    by_channel = np.stack([block_mean(images[..., channel], factor) for channel in range(3)], axis=-1)
    np.testing.assert_allclose(means, by_channel, rtol=1e-6)  # float32, in another order
    assert means.shape == (2, -(-6 // factor), -(-9 // factor), 3)
