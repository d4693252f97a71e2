# SPDX-License-Identifier: Apache-2.0
"""What the table of shots counts, and that its shots are what they are said to be."""

import numpy as np
import pytest

from solver_core import rotations
from solver_core.mesh import Mesh
from training.paper.tables.track import NUM_FRAMES, draw, summary


def test_losses_are_held_against_what_is_wrong_and_what_is_right():
    degrees, lost = np.array([[0.1, 6, 6, 0.1, 0.1, 0.1]]), np.array([[0, 1, 0, 1, 0, 0]])

    row = summary(np.stack([degrees, 0 * degrees, lost, 1 + 0 * degrees], axis=-1), events=[1])

    assert row["wrong_percent"] == pytest.approx(100 / 3)
    assert row["wrong_and_lost_percent"] == pytest.approx(50)
    assert row["right_but_lost_percent"] == pytest.approx(25)
    assert row["back_in_5_percent"] == pytest.approx(100)


def test_object_that_is_still_lost_after_five_frames_is_not_back():
    lost = np.array([[0, 1, 1, 1, 1, 1, 0]])

    row = summary(np.stack([0 * lost, 0 * lost, lost, lost], axis=-1), events=[1])

    assert row["back_in_5_percent"] == 0


@pytest.mark.parametrize("degrees", [3, 10])
def test_objects_turn_no_faster_than_is_said_but_where_they_jump(degrees):
    mesh = Mesh.checked(np.eye(3), np.array([[0, 1, 2]])).unit().mesh

    shot = draw(0, 0, [mesh], degrees, "jumps")

    turned = np.degrees(rotations.angle_between(shot.truth[:-1, :4], shot.truth[1:, :4]))
    jumps = np.array(shot.events) - 1
    assert len(shot.truth) == NUM_FRAMES
    np.testing.assert_allclose(turned[jumps], 30, atol=0.01)
    assert np.delete(turned, jumps).max() < degrees + 0.01
