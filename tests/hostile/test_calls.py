# SPDX-License-Identifier: Apache-2.0
"""What callers may do while a solve runs, and do not harm it by."""

import dataclasses
import itertools
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest

from solver_core import render
from solver_core.errors import SolverError

from .calls import LIGHT_CALL, MOTION_CALL, POSE_CALL, SKELETON, sc

SOLVES = {
    "pose": (sc.solve_pose, POSE_CALL | {"restarts": 2, "steps": 3}, "camera_from_object"),
    "motion": (sc.solve_inverse_kinematics, MOTION_CALL, "rotations"),
    "light": (sc.solve_lighting, LIGHT_CALL | {"refine": True, "restarts": 1, "steps": 2}, "light"),
}


def copied(call: dict) -> dict:
    return {name: value.copy() if isinstance(value, np.ndarray) else value for name, value in call.items()}


def overwrite(array: object) -> None:
    if isinstance(array, np.ndarray):
        with suppress(ValueError):  # it is read-only
            array[...] = np.nan if array.dtype.kind == "f" else 1


@pytest.mark.parametrize("name", SOLVES)
def test_a_callback_that_writes_to_its_step_changes_no_result(name):
    solve, call, answer = SOLVES[name]

    def on_step(step):
        for field in dataclasses.fields(step):
            overwrite(getattr(step, field.name))

    disturbed = solve(**call | {"on_step": on_step})

    np.testing.assert_array_equal(getattr(disturbed, answer), getattr(solve(**call), answer))


@pytest.mark.parametrize("name", SOLVES)
def test_inputs_that_are_overwritten_during_a_solve_change_no_result(name):
    solve, call, answer = SOLVES[name]
    own = copied(call)

    def on_step(step):
        for value in own.values():
            overwrite(value)

    disturbed = solve(**own | {"on_step": on_step})

    np.testing.assert_array_equal(getattr(disturbed, answer), getattr(solve(**call), answer))


@pytest.mark.parametrize("name", SOLVES)
def test_eight_threads_solve_alike_while_the_number_of_threads_changes(name):
    solve, call, answer = SOLVES[name]
    expected, before = getattr(solve(**call), answer), render.get_num_threads()

    with ThreadPoolExecutor(8) as pool:
        running = [pool.submit(solve, **copied(call)) for _ in range(8)]
        for number in itertools.cycle((1, 2, 5)):
            render.set_num_threads(number)
            if all(one.done() for one in running):
                break
    render.set_num_threads(before)

    for one in running:
        np.testing.assert_array_equal(getattr(one.result(), answer), expected)


@pytest.mark.parametrize("number", [1e300, -1e16])
def test_numbers_that_no_step_can_square_are_refused(number):
    targets, offsets = MOTION_CALL["targets"].copy(), SKELETON.offsets.copy()
    targets[0, 1, 0], offsets[1, 0] = number, number

    with pytest.raises(SolverError, match="up to 1e\\+15"):
        sc.solve_inverse_kinematics(targets, SKELETON)
    with pytest.raises(SolverError, match="up to 1e\\+15"):
        sc.Skeleton(SKELETON.names, SKELETON.parents, offsets)


def test_a_range_of_three_focal_lengths_is_refused():
    with pytest.raises(SolverError, match="focal_range must have shape"):
        sc.solve_pose(**POSE_CALL | {"focal_range": (20.0, 80.0, 90.0)})


def test_the_length_of_a_known_direction_does_not_matter():
    lights = [{"kind": "sun", "strength": 0.1, "direction": [0.0, length, length]} for length in (1.0, 1e300)]
    call = LIGHT_CALL | {"albedo": np.full(3, 0.5)}

    one, other = (sc.solve_lighting(**call | {"known": [light]}).light for light in lights)

    np.testing.assert_allclose(one, other, atol=1e-5)
