# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from solver_core.images import block_mean, gaussian_blur


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


def test_gaussian_blur_keeps_the_sum_and_has_the_deviation():
    image = np.zeros((41, 60), np.float32)
    image[20, 30] = 1.0

    blurred = gaussian_blur(image, 3.0)

    rows, columns = np.indices(image.shape)
    assert blurred.sum() == pytest.approx(1.0, abs=1e-5)
    assert (blurred * (rows - 20) ** 2).sum() == pytest.approx(9.0, rel=0.02)
    assert (blurred * (columns - 30) ** 2).sum() == pytest.approx(9.0, rel=0.02)
