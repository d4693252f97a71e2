# SPDX-License-Identifier: Apache-2.0
"""solve_pose as a user meets it; without networks where they make no difference."""

import numpy as np
import pytest

import solver_core as sc
from solver_core import render, rotations
from solver_core.errors import WeightsError
from solver_core.frames import Camera, matrix_from_pose, pose_from_matrix
from solver_core.network.weights import load_weights, save_weights, shipped_weights
from solver_core.problems.pose.evidence import Evidence
from solver_core.problems.pose.features import INPUT_LAYOUT
from solver_core.problems.pose.verdict import judge

from .conftest import make_case


def solve(case, **settings):
    vertices, faces = case.mesh.vertices, case.mesh.faces
    return sc.solve_pose(case.mask, vertices, faces, case.camera, start=matrix_from_pose(case.start), **settings)


def rotation_error_deg(result, case) -> float:
    found = pose_from_matrix(result.camera_from_object)
    return float(np.degrees(rotations.angle_between(found[:4], case.truth[:4])))


def test_pose_is_recovered(chair_case):
    result = solve(chair_case)

    assert rotation_error_deg(result, chair_case) < 1
    assert np.linalg.norm(result.camera_from_object[:3, 3] - chair_case.truth[4:]) < 0.01
    assert result.iou > 0.985
    assert result.verdict is sc.Verdict.GOOD


@pytest.mark.parametrize("axis", [(0.37, 0.87, 0.35), (0.27, -0.75, -0.59), (0.32, 0.54, -0.78)], ids=str)
def test_pose_is_recovered_from_a_start_turned_farther_than_those_trained_for(chair_case, axis):
    turn = np.radians(80) * np.array(axis)
    case = make_case(chair_case.mesh, chair_case.camera, chair_case.truth, np.concatenate([turn, np.zeros(3)]))

    result = solve(case)

    assert rotation_error_deg(result, case) < 1
    assert result.iou > 0.985


def test_network_steps_lower_the_energy(chair_case):
    result = solve(chair_case, refine=False, restarts=0)

    energies = [step.energy for step in result.history if step.phase != "result"]  # the result's is that of the mask itself
    assert [step.phase for step in result.history[:2]] == ["start", "align"]
    assert all(later <= earlier for earlier, later in zip(energies[:-1], energies[1:], strict=True))
    assert energies[-1] < energies[1] / 2  # of what alignment leaves


@pytest.mark.parametrize(
    "camera",
    [
        pytest.param(Camera(300, 200, 120.0, 120.0, 150.0, 100.0), id="wide angle"),
        pytest.param(Camera(640, 480, 6000.0, 6000.0, 320.0, 240.0), id="telephoto"),
        pytest.param(Camera(300, 300, 500.0, 500.0, -40.0, 350.0), id="lens shift"),
        pytest.param(Camera(300, 300, 400.0, 500.0, 150.0, 150.0), id="pixel aspect"),
        pytest.param(Camera(2400, 1600, 4000.0, 4000.0, 1200.0, 800.0), id="large image"),
    ],
)
def test_pose_is_recovered_by_any_camera(chair_case, camera):
    depth = 1.5 * camera.fx / min(camera.width, camera.height)
    place = np.array([(camera.width / 2 - camera.cx) / camera.fx, (camera.cy - camera.height / 2) / camera.fy, -1]) * depth
    truth = np.concatenate([chair_case.truth[:4], place])
    case = make_case(chair_case.mesh, camera, truth, np.array([0.2, -0.1, 0.1, 0.01, 0.0, 0.05]))

    result = solve(case)

    assert rotation_error_deg(result, case) < 1.5
    assert result.iou > 0.97


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_result_scales_with_the_unit_of_length(chair_case, scale):
    mesh, offset = chair_case.mesh, np.array([3.0, -2.0, 1.0])
    vertices = ((mesh.vertices + offset) * scale).astype(np.float64)
    start = matrix_from_pose(chair_case.start)
    start[:3, 3] = (start[:3, 3] - start[:3, :3] @ offset) * scale

    plain = solve(chair_case)
    scaled = sc.solve_pose(chair_case.mask, vertices, mesh.faces, chair_case.camera, start=start)

    expected = plain.camera_from_object[:3, 3] - plain.camera_from_object[:3, :3] @ offset
    np.testing.assert_allclose(scaled.camera_from_object[:3, 3], expected * scale, rtol=1e-2)
    assert scaled.iou == pytest.approx(plain.iou, abs=0.01)


def test_cut_off_object_is_recovered(chair_case):
    camera = Camera(160, 160, 300.0, 300.0, 135.0, 80.0)
    case = make_case(chair_case.mesh, camera, chair_case.truth, np.array([0.1, 0.1, 0.05, 0.01, 0.01, 0.0]))
    assert case.mask[:, -1].any()

    result = solve(case)

    assert rotation_error_deg(result, case) < 2
    assert result.iou > 0.97


def test_grey_mask_is_taken_as_coverage(chair_case):
    fine = Camera.from_fov(320, 320, np.radians(30))
    mask = make_case(chair_case.mesh, fine, chair_case.truth, np.zeros(6)).mask
    coverage = mask.reshape(160, 2, 160, 2).mean(axis=(1, 3))

    result = solve(chair_case._replace(mask=coverage))

    assert rotation_error_deg(result, chair_case) < 1


def test_edge_that_lies_outside_all_round_is_seen_through(chair_case):
    camera = Camera.from_fov(480, 480, np.radians(30))
    case = make_case(chair_case.mesh, camera, chair_case.truth, np.array([0.1, 0.1, 0.05, 0.01, 0.01, 0.0]))
    grown = render.signed_distance(case.mask[None])[0] < 2

    result = solve(case._replace(mask=grown))

    assert rotation_error_deg(result, case) < 0.3
    assert result.camera_from_object[2, 3] == pytest.approx(
        case.truth[6], rel=0.005
    )  # grown by 4 of 265 pixels it looks 1.5 % nearer
    assert any("pixels outside of the object's outline" in note for note in result.notes)


def test_mask_in_several_blobs_is_taken_as_one_object(chair_case):
    mask = chair_case.mask.copy()
    mask[:, 74:79] = False  # a pole in front
    assert mask[:, :74].any()
    assert mask[:, 79:].any()

    result = solve(chair_case._replace(mask=mask))

    assert rotation_error_deg(result, chair_case) < 3


def test_start_out_of_view_is_brought_back(chair_case):
    case = make_case(chair_case.mesh, chair_case.camera, chair_case.truth, np.array([0.1, 0.1, 0, 3.0, 2.0, 1.0]))

    assert rotation_error_deg(solve(case), case) < 1.5


def test_pose_is_found_without_a_start(chair_case):
    mesh = chair_case.mesh

    result = sc.solve_pose(chair_case.mask, mesh.vertices, mesh.faces, chair_case.camera)

    assert result.iou > 0.97
    assert rotation_error_deg(result, chair_case) < 2


def test_axis_that_cannot_be_up_is_refused(chair_case):
    mesh = chair_case.mesh

    with pytest.raises(sc.SetupError, match="up must be one of either, z, y, any"):
        sc.solve_pose(chair_case.mask, mesh.vertices, mesh.faces, chair_case.camera, up="x")


@pytest.mark.parametrize("focal_range", [(500, 400), (0, 400), (1, 1000), (400, np.nan)])
def test_range_of_focal_lengths_that_is_none_is_refused(chair_case, focal_range):
    mesh = chair_case.mesh

    with pytest.raises(sc.SetupError, match="focal_range"):
        sc.solve_pose(chair_case.mask, mesh.vertices, mesh.faces, chair_case.camera, focal_range=focal_range)


def test_symmetric_object_gets_alternatives(chair_case):
    box = np.array([[x, y, z] for x in (-2, 2) for y in (-1, 1) for z in (-0.5, 0.5)], dtype=np.float32)
    from .conftest import BOX_FACES

    mesh = sc.mesh.Mesh.checked(box, BOX_FACES).unit().mesh
    case = make_case(mesh, chair_case.camera, chair_case.truth, np.zeros(6))

    result = sc.solve_pose(case.mask, mesh.vertices, mesh.faces, case.camera)

    assert result.alternatives
    assert result.alternatives[0].iou > result.iou - 0.021


def test_same_seed_gives_the_same_result(chair_case):
    first, second = (solve(chair_case, rng=np.random.default_rng(3)) for _ in range(2))

    np.testing.assert_allclose(first.camera_from_object, second.camera_from_object, atol=1e-6)


def cancel_at(phase):
    def on_step(step):
        if step.phase == phase:
            raise sc.Cancelled

    return on_step


def test_cancelled_solve_returns_the_last_estimate(chair_case):
    result = solve(chair_case, on_step=cancel_at("network"))

    assert result.reason is sc.StopReason.CANCELLED
    np.testing.assert_allclose(result.camera_from_object, result.history[-1].camera_from_object, atol=1e-12)


def test_steps_of_the_history_cannot_be_changed_by_who_watches(chair_case):
    def scribble(step):
        step.camera_from_object[:] = 0

    with pytest.raises(ValueError, match="read-only"):
        solve(chair_case, on_step=scribble)


PERFECT = Evidence(
    iou=1.0, outline=0.0, unexplained=0.0, hidden=0.0, inliers=1.0, edge_px=0.0, energy=0.0, gap=0.5, size_px=20.0,
    rotation_deg=0.1, across=0.001, along=0.002,
)  # fmt: skip


def box_mask(low: int, high: int) -> np.ndarray:
    """(100, 100) float32: a square."""
    mask = np.zeros((100, 100), np.float32)
    mask[low:high, low:high] = 1
    return mask


def test_perfect_fit_to_a_few_pixels_or_a_single_edge_is_doubtful():
    assert judge(box_mask(40, 50), PERFECT, 0.99, 0).verdict is sc.Verdict.DOUBTFUL
    single_edge = np.ones((100, 100), np.float32)
    single_edge[:10] = 0
    assert judge(single_edge, PERFECT, 0.99, 0).verdict is sc.Verdict.DOUBTFUL


@pytest.mark.parametrize(
    ("confidence", "verdict"), [(0.99, sc.Verdict.GOOD), (0.8, sc.Verdict.DOUBTFUL), (0.2, sc.Verdict.BAD)]
)
def test_verdict_follows_from_the_confidence_and_says_the_overlap(confidence, verdict):
    judgement = judge(box_mask(40, 60), PERFECT._replace(iou=0.876), confidence, num_alternatives=0)

    assert judgement.verdict is verdict
    assert "87.6%" in judgement.explanation
    assert f"{confidence:.1%}" in judgement.explanation


def test_solve_cancelled_while_restarting_keeps_the_best_estimate(chair_case):
    mask = chair_case.mask.copy()
    mask[:, 74:79] = False  # fits too badly not to restart

    result = solve(chair_case._replace(mask=mask), on_step=cancel_at("restart"))

    assert result.history[-1].phase == "restart"
    best = max(result.history, key=lambda step: step.iou)
    np.testing.assert_allclose(result.camera_from_object, best.camera_from_object, atol=1e-12)


def test_last_step_of_the_history_is_the_result(chair_case):
    result = solve(chair_case, refine=False)

    assert result.history[-1].phase == "result"
    np.testing.assert_array_equal(result.history[-1].camera_from_object, result.camera_from_object)
    assert result.history[-1].iou == result.iou


def test_mask_with_hardly_an_outline_gives_a_finite_pose(chair_case):
    camera = Camera(48, 40, 60.0, 60.0, 24.0, 20.0)
    mask = np.ones((40, 48), bool)
    mask[0, 0] = False

    result = sc.solve_pose(mask, chair_case.mesh.vertices, chair_case.mesh.faces, camera, restarts=0)

    assert np.isfinite(result.camera_from_object).all()
    assert result.verdict is not sc.Verdict.GOOD


@pytest.mark.parametrize("offset", [(0.75, 0.0), (2.0, 0.0), (0.0, -3.0)])
def test_wide_angle_start_behind_the_crop_camera_gives_a_pose(chair_case, offset):
    camera = Camera(400, 200, 100.0, 100.0, 200.0, 100.0)
    truth = np.concatenate([chair_case.truth[:4], [-2.6, 0.0, -1.6]])
    case = make_case(chair_case.mesh, camera, truth, np.zeros(6))
    start = np.concatenate([truth[:4], offset, [-0.5]])

    result = solve(case._replace(start=start))

    assert np.isfinite(result.camera_from_object).all()
    assert result.iou > 0.9


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_start_in_another_unit_of_length_is_aligned(chair_case, factor):
    start = chair_case.start.copy()
    start[4:] *= factor

    result = solve(chair_case._replace(start=start))

    assert rotation_error_deg(result, chair_case) < 1.5


def test_object_far_from_its_origin_is_recovered(chair_case):
    offset = np.array([5e5, 4.5e6, 100.0])
    start = matrix_from_pose(chair_case.start)
    start[:3, 3] -= start[:3, :3] @ offset

    vertices = chair_case.mesh.vertices + offset
    result = sc.solve_pose(chair_case.mask, vertices, chair_case.mesh.faces, chair_case.camera, start=start)

    assert rotation_error_deg(result, chair_case) < 1.5


def test_batch_of_unequal_lists_is_refused(chair_case):
    mesh = chair_case.mesh

    with pytest.raises(sc.SetupError, match="equally many"):
        sc.solve_pose_batch([chair_case.mask] * 2, [mesh.vertices], [mesh.faces], [chair_case.camera])


def test_batch_equals_single_solves(chair_case):
    mesh = chair_case.mesh
    start = matrix_from_pose(chair_case.start)

    results = sc.solve_pose_batch(
        [chair_case.mask] * 2, [mesh.vertices] * 2, [mesh.faces] * 2, [chair_case.camera] * 2, starts=[start] * 2, restarts=0
    )

    single = solve(chair_case, restarts=0)
    for result in results:
        np.testing.assert_allclose(result.camera_from_object, single.camera_from_object, atol=1e-6)


BAD_INPUTS = [
    ({"mask": np.zeros((160, 160), bool)}, sc.ObservationError, "empty"),
    ({"mask": np.ones((160, 160), bool)}, sc.ObservationError, "whole image"),
    ({"mask": ~np.pad(np.ones((20, 20), bool), 70)}, sc.ObservationError, "most likely inverted"),
    ({"mask": np.zeros((160, 160, 4), np.float32)}, sc.ObservationError, "one channel"),
    ({"mask": np.zeros((100, 160), bool)}, sc.ObservationError, "same size"),
    ({"mask": np.full((160, 160), 255, np.uint8)}, sc.ObservationError, "divide 8-bit values"),
    ({"mask": np.full((160, 160), np.nan)}, sc.ObservationError, "NaN"),
    ({"vertices": np.full((3, 3), np.nan), "faces": np.array([[0, 1, 2]])}, sc.SetupError, "NaN"),
    ({"faces": np.array([[0, 1, 10**6]])}, sc.SetupError, "index"),
    ({"faces": np.zeros((0, 3), int)}, sc.SetupError, "no faces"),
    ({"vertices": np.ones((3, 3)), "faces": np.array([[0, 1, 2]])}, sc.SetupError, "single point"),
    ({"start": np.zeros((4, 4))}, sc.SetupError, "rigid"),
    ({"start": np.diag([2.0, 2, 2, 1])}, sc.SetupError, "apply the object's scale"),
    ({"start": np.full((4, 4), np.nan)}, sc.SetupError, "finite"),
    ({"start": np.eye(3)}, sc.SetupError, "(4, 4)"),
    ({"start": np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 5], [0, 0, 0, 1]])}, sc.SetupError, "behind the camera"),
    ({"start": "start.json"}, sc.SetupError, "real numbers, got text"),
    ({"mask": [[True], [True, False]]}, sc.ObservationError, "different length"),
    ({"faces": [[0, 1, 2], [0, 1, 2, 3]]}, sc.SetupError, "rows of three numbers"),
    ({"vertices": np.ones((8, 3), complex)}, sc.SetupError, "complex128"),
    ({"camera": "camera.json"}, sc.SetupError, "solver_core.Camera"),
    ({"start": np.diag([-1.0, 1, 1, 1])}, sc.SetupError, "must not mirror"),
    ({"mask": np.zeros((160, 160), complex)}, sc.ObservationError, "complex numbers"),
    ({"mask": np.zeros((160, 160), object)}, sc.ObservationError, "object values"),
    ({"restarts": -1}, sc.ConfigError, "restarts must be a whole number from 0 to 64, got -1"),
    ({"restarts": 2.5}, sc.ConfigError, "restarts must be a whole number from 0 to 64, got 2.5"),
    ({"restart": 2}, TypeError, "unexpected keyword argument"),
]


@pytest.mark.parametrize(("change", "error", "words"), BAD_INPUTS, ids=[words for _, _, words in BAD_INPUTS])
def test_bad_input_is_refused_with_one_sentence(chair_case, change, error, words):
    arguments = {
        "mask": chair_case.mask,
        "vertices": chair_case.mesh.vertices,
        "faces": chair_case.mesh.faces,
        "camera": chair_case.camera,
        "start": matrix_from_pose(chair_case.start),
    } | change

    with pytest.raises(error, match=words.replace("(", r"\(").replace(")", r"\)")) as caught:
        sc.solve_pose(**arguments)

    assert "\n" not in str(caught.value)


def test_own_weights_take_the_steps(chair_case, tmp_path):
    stages, info = load_weights(shipped_weights("pose"), "pose", INPUT_LAYOUT)
    still = {name: np.zeros_like(array) for name, array in stages[0].items()}  # a network that proposes no step
    save_weights(tmp_path / "still.safetensors", [still], info)

    shipped, own = (
        solve(chair_case, refine=False, restarts=0, weights=path) for path in (None, tmp_path / "still.safetensors")
    )

    steps = [[step.damping for step in result.history if step.phase == "network"] for result in (shipped, own)]
    assert max(steps[0]) > 0
    assert max(steps[1]) == 0


def test_weights_for_another_problem_are_refused(chair_case):
    with pytest.raises(WeightsError, match="is for lighting_sun, but pose is needed"):
        solve(chair_case, weights=shipped_weights("lighting_sun"))
