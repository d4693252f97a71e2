# SPDX-License-Identifier: Apache-2.0
"""Which part of an image explains it best: a square of its own colours, with edges all round."""

import numpy as np
import pytest

from solver_core.segmentation.likelihood import ImageLikelihood

SIZE, SQUARE = 60, (slice(20, 42), slice(15, 40))
NOWHERE = np.zeros((SIZE, SIZE), bool)


def part(rows: slice, columns: slice) -> np.ndarray:
    inside = NOWHERE.copy()
    inside[rows, columns] = True
    return inside


@pytest.fixture
def image(rng) -> np.ndarray:
    """(60, 60, 3) in [0, 1]: a spotted square before a gradient."""
    image = np.linspace(0.2, 0.6, SIZE)[None, :, None] * np.array([0.5, 1.0, 0.6]) + np.zeros((SIZE, 1, 1))
    image[SQUARE] = np.where(rng.uniform(size=(22, 25, 1)) < 0.5, [0.7, 0.3, 0.2], [0.5, 0.25, 0.4])
    return np.clip(image + rng.normal(scale=0.02, size=image.shape), 0, 1).astype(np.float32)


@pytest.fixture
def likelihood(image) -> ImageLikelihood:
    return ImageLikelihood(image, NOWHERE, NOWHERE, 1.0)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param((slice(22, 44), slice(15, 40)), id="moved by two pixels"),
        pytest.param((slice(22, 40), slice(17, 38)), id="smaller"),
        pytest.param((slice(18, 44), slice(13, 42)), id="larger"),
        pytest.param((slice(0, 0), slice(0, 0)), id="nothing"),
    ],
)
def test_object_is_likelier_than_parts_beside_it(likelihood, other):
    truth, beside = likelihood(np.stack([part(*SQUARE), part(*other)]))

    assert truth > beside


def test_marks_outweigh_colours(image, likelihood):
    marked = ImageLikelihood(image, NOWHERE, part(slice(20, 42), slice(15, 28)), 1.0)
    both = np.stack([part(*SQUARE), part(slice(20, 42), slice(28, 40))])

    assert np.diff(likelihood(both)) < 0
    assert np.diff(marked(both)) > np.diff(likelihood(both))


def test_contrast_and_edges_are_those_of_the_object(likelihood):
    contrast, edges, weak = likelihood.parts(part(*SQUARE))
    beside = likelihood.parts(part(slice(2, 18), slice(2, 50)))

    assert contrast > 2 * beside[0]
    assert edges > beside[1]
    assert weak < beside[2]
    assert likelihood.overlap(part(*SQUARE)) > 0.95
