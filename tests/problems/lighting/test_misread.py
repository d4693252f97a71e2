# SPDX-License-Identifier: Apache-2.0
"""Images whose values were read as what they are not."""

import numpy as np
import pytest

from solver_core.colour import linear_from_srgb, srgb_from_linear
from solver_core.mesh import Mesh
from solver_core.problems.lighting.metrics import angle_deg
from solver_core.problems.lighting.misread import MISTAKES
from solver_core.problems.lighting.solve import solve_lighting
from solver_core.solution import Verdict
from tests.problems.lighting.conftest import CAMERA, camera_from_world, make_case

AS_SRGB, AS_LINEAR = (mistake.sentence for mistake in MISTAKES)


RINGS, AROUND = 24, 48


def ball() -> Mesh:
    """Of radius 0.4, whose shading tells a steep reading from a flat one; a few flat walls would not."""
    down, around = np.meshgrid(np.linspace(0, np.pi, RINGS + 1), 2 * np.pi * np.arange(AROUND) / AROUND, indexing="ij")
    vertices = 0.4 * np.stack([np.sin(down) * np.cos(around), np.sin(down) * np.sin(around), np.cos(down)], axis=-1)
    ring, step = (index.ravel() for index in np.meshgrid(np.arange(RINGS), np.arange(AROUND), indexing="ij"))
    first, second = ring * AROUND + step, ring * AROUND + (step + 1) % AROUND
    faces = np.concatenate(
        [np.stack([first, first + AROUND, second], 1), np.stack([second, first + AROUND, second + AROUND], 1)]
    )
    return Mesh.checked(vertices.reshape(-1, 3), faces)


BALL = ball()
CASE = make_case("sun", np.array([0.62, -0.35, 0.7]), 3.0, 0.1, (BALL,))
SHOWN = 0.9 * CASE.image / CASE.image.max()


def solved(image):
    return solve_lighting(image.astype(np.float32), BALL.vertices, BALL.faces, CAMERA, camera_from_world(), restarts=1)


@pytest.mark.parametrize(("sentence", "read"), [(AS_SRGB, linear_from_srgb), (AS_LINEAR, srgb_from_linear)])
def test_an_image_that_was_misread_is_noticed_and_its_interval_holds_the_sun(sentence, read):
    result = solved(read(SHOWN))

    assert sentence in result.report.notes
    assert result.verdict is not Verdict.GOOD
    assert angle_deg(result.direction[None], CASE.light[None])[0] <= result.uncertainty_deg


@pytest.mark.parametrize("scale", [1, 3])  # brighter than white as well, as in images with a high range
def test_an_image_that_was_read_rightly_is_not_doubted(scale):
    result = solved(scale * SHOWN)

    assert not {AS_SRGB, AS_LINEAR} & set(result.report.notes)
    assert result.verdict is Verdict.GOOD


def test_values_above_one_are_never_taken_for_misread():
    assert not {AS_SRGB, AS_LINEAR} & set(solved(3 * linear_from_srgb(SHOWN)).report.notes)
