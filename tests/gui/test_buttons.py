# SPDX-License-Identifier: Apache-2.0
"""Real clicks on the real buttons, in a Blender of a new user; what Blender then holds is asked of Blender itself."""

import json
from pathlib import Path

import numpy as np
import pytest

DEMO = Path(__file__).resolve().parents[2] / "assets" / "demo"
FIND = "__import__('sys').modules['bl_ext.user_default.deep_feedback.results'].find({problem!r}, bpy.context.scene)"
MATRIX = "[list(row) for row in bpy.data.objects[{name!r}].matrix_world]"
BOX = np.array([[0.2, 0.82], [0.84, 0.18]])  # around the biplane in its photograph: two corners, x and y from 0 to 1, y up
MOVED = {"pose": "Biplane", "lighting": "Sun"}


def matrix(window, name: str) -> np.ndarray:
    return np.array(window.value(MATRIX.format(name=name)))


def found(window, problem: str, what: str) -> object:
    """Of the solve's result, None without one."""
    return window.ask(f"result = {FIND.format(problem=problem)}\nanswer = result and {what}")


def click_solve(window, problem: str, seconds_per_step: float = 0.0) -> None:
    window.ask(f"bpy.context.scene.deep_feedback.live.seconds_per_step = {seconds_per_step}")
    window.click(*window.find(f"deep_feedback.solve_{problem}"))
    window.wait_until(lambda: found(window, problem, "True"), "the solve to begin")


def solve(window, problem: str) -> dict:
    """Clicks the button; the report of what it did."""
    click_solve(window, problem)
    window.wait_until(lambda: found(window, problem, "result.report"), "the solve to end")
    return found(window, problem, "result.report")


def undo(window) -> None:
    window.move_mouse(*window.empty_place)
    window.press("ctrl+z")


def angle_deg(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.degrees(np.arccos(np.clip(a @ b / np.linalg.norm(a) / np.linalg.norm(b), -1, 1))))


def true_pose(window) -> np.ndarray:
    """World from biplane when the photograph was taken."""
    camera_from_object = np.array(json.loads((DEMO / "truth.json").read_text())["camera_from_object"])
    return matrix(window, "Camera") @ camera_from_object


def test_extension_draws_with_its_compiled_kernel(window):
    kernel = window.ask("from solver_core.kernel import loader\nanswer = loader.library() is not None")

    assert kernel


def test_pose_button_finds_the_photographed_pose(window, keep_picture):
    window.open_demo("pose")
    keep_picture("before")

    report = solve(window, "pose")

    keep_picture("after")
    truth, found_pose = true_pose(window), matrix(window, "Biplane")
    assert report["iou"] > 0.97 > report["iou_before"]
    np.testing.assert_allclose(found_pose[:3, 3], truth[:3, 3], atol=0.002)  # metres; the toy is 0.3 long
    np.testing.assert_allclose(found_pose[:3, :3], truth[:3, :3], atol=0.02)  # a degree


CAMERA_FRAME = """
import numpy as np
from bpy_extras.view3d_utils import location_3d_to_region_2d
scene = bpy.context.scene
area = next(area for area in bpy.context.window_manager.windows[0].screen.areas if area.type == "VIEW_3D")
region = next(region for region in area.regions if region.type == "WINDOW")
corners = [scene.camera.matrix_world @ corner for corner in scene.camera.data.view_frame(scene=scene)]
seen = np.array([location_3d_to_region_2d(region, area.spaces.active.region_3d, corner) for corner in corners])
answer = [(seen.min(axis=0) + (region.x, region.y)).tolist(), (seen.max(axis=0) + (region.x, region.y)).tolist()]
"""


COVERED = "sum(bpy.context.scene.deep_feedback.pose.silhouette.image.pixels[:][3::4])"


def test_box_around_a_photograph_makes_the_mask_of_its_pose(window, keep_picture):
    window.open_demo("pose")
    window.ask("bpy.context.scene.deep_feedback.pose.silhouette.source = 'BACKGROUND'")
    low, high = np.array(window.ask(CAMERA_FRAME))
    photo_mask = "bpy.context.scene.deep_feedback.pose.silhouette.image"

    window.click(*window.find("deep_feedback.mask_from_photo"))
    window.settle()
    keep_picture("asked")
    window.drag(low + BOX[0] * (high - low), low + BOX[1] * (high - low))
    window.wait_for(f"{photo_mask} is not None and {photo_mask}.name.endswith(' mask')")
    keep_picture("mask")
    covered = window.value(COVERED)
    window.click(*window.find("deep_feedback.mask_from_photo"))
    window.settle()
    middle, aside = (low + high) / 2, np.array([60, 0])
    window.drag(middle - aside, middle + aside, key="ctrl")  # a stroke over what is no object
    window.settle()
    keep_picture("stroke")
    window.press("Return")
    window.wait_until(lambda: window.value(COVERED) < covered, "the refined mask")
    undo(window)
    window.wait_until(lambda: window.value(COVERED) == covered, "the mask as it was")
    report = solve(window, "pose")

    keep_picture("solved")
    truth, found_pose = true_pose(window), matrix(window, "Biplane")
    assert report["iou"] > report["iou_before"]
    np.testing.assert_allclose(found_pose[:3, :3], truth[:3, :3], atol=0.02)  # a degree
    undo(window)
    undo(window)
    window.wait_for(f"not ({photo_mask} and {photo_mask}.name.endswith(' mask'))")


def test_escape_ends_the_drawing_of_a_box(window):
    window.open_demo("pose")
    window.ask("bpy.context.scene.deep_feedback.pose.silhouette.source = 'BACKGROUND'")
    window.click(*window.find("deep_feedback.mask_from_photo"))
    window.settle()
    assert window.value("len(bpy.context.window_manager.windows[0].modal_operators)") == 1

    window.move_mouse(*window.empty_place)
    window.press("Escape")

    window.wait_for("len(bpy.context.window_manager.windows[0].modal_operators) == 0")
    assert window.value("bpy.context.scene.deep_feedback.pose.silhouette.source") == "BACKGROUND"


def test_escape_ends_what_cycles_renders_for_a_solve(window, keep_picture):
    window.open_demo("lighting")
    window.open_panel("lighting")
    window.ask(
        "import sys\n"
        "sys.modules['bl_ext.user_default.deep_feedback.bridge.passes'].CYCLES['samples'] = 4000\n"
        "bpy.context.scene.deep_feedback.lighting.passes = 'ALWAYS'"
    )

    click_solve(window, "lighting")
    window.wait_until(lambda: found(window, "lighting", "result.rendered"), "the render to begin")
    keep_picture("rendering")  # the window is drawn meanwhile
    assert window.value("bpy.app.is_job_running('RENDER')")
    window.move_mouse(*window.empty_place)
    window.press("Escape")

    window.wait_until(lambda: found(window, "lighting", "True") is None, "the solve to end")
    window.wait_for("len(bpy.data.scenes) == 1")
    window.ask("sys = __import__('sys')\nsys.modules['bl_ext.user_default.deep_feedback.bridge.passes'].CYCLES['samples'] = 4")


@pytest.mark.parametrize("problem", ["pose", "lighting"])
def test_steps_show_in_the_scene_and_escape_takes_them_back(window, keep_picture, problem):
    window.open_demo(problem)
    window.open_panel(problem)
    window.ask("bpy.context.scene.frame_set(bpy.context.scene.frame_current, subframe=0.375)")
    before = matrix(window, MOVED[problem])

    click_solve(window, problem, seconds_per_step=1.0)
    window.wait_until(lambda: found(window, problem, "len(result.steps) > 2"), "the third step")
    during = matrix(window, MOVED[problem])
    keep_picture(problem)
    window.move_mouse(*window.empty_place)
    window.press("Escape")
    window.wait_until(lambda: found(window, problem, "True") is None, "the solve to end")

    keep_picture(f"{problem}-cancelled")
    assert np.abs(during - before).max() > 0.01
    np.testing.assert_array_equal(matrix(window, MOVED[problem]), before)
    assert window.value("bpy.context.scene.frame_subframe") == 0.375


def test_one_undo_takes_a_solve_back(window):
    window.open_demo("pose")
    before = matrix(window, "Biplane")
    solve(window, "pose")
    after = matrix(window, "Biplane")

    undo(window)
    window.wait_until(lambda: np.abs(matrix(window, "Biplane") - after).max() > 0, "the undo")

    np.testing.assert_array_equal(matrix(window, "Biplane"), before)


def test_slider_shows_an_earlier_step_again(window, keep_picture):
    window.open_demo("pose")
    solve(window, "pose")
    after = matrix(window, "Biplane")

    window.click(*window.find("pose.step"), times=2)
    window.press("ctrl+a", "2", "Return")
    window.wait_for("bpy.context.scene.deep_feedback.pose.step == 2")

    keep_picture("second-step")
    assert found(window, "pose", "result.current") == 1
    assert np.abs(matrix(window, "Biplane") - after).max() > 0.001


def test_reset_takes_a_solve_back_and_leaves_what_was_done_since(window):
    window.open_demo("pose")
    before = matrix(window, "Biplane")
    solve(window, "pose")
    window.ask("bpy.data.objects['Camera'].data.lens = 70")

    window.click(*window.find("deep_feedback.reset_result"))
    window.wait_until(lambda: found(window, "pose", "True") is None, "the result to go")

    np.testing.assert_array_equal(matrix(window, "Biplane"), before)
    assert window.value("bpy.data.objects['Camera'].data.lens") == 70


def test_a_result_is_in_the_file(window, keep_picture):
    window.open_demo("pose")
    report = solve(window, "pose")
    path = str(window.blender.folder / "solved.blend")

    window.ask(f"bpy.ops.wm.save_as_mainfile(filepath={path!r})")
    window.ask(f"bpy.ops.wm.open_mainfile(filepath={path!r})")
    window.settle()

    keep_picture("after")
    results = "__import__('sys').modules['bl_ext.user_default.deep_feedback.results']"
    assert window.value(f"{results}.report_of('pose', bpy.context.scene)['explanation']") == report["explanation"]


def test_lighting_button_finds_the_sun_of_the_picture(window, keep_picture):
    window.open_demo("lighting")
    window.open_panel("lighting")
    keep_picture("before")

    report = solve(window, "lighting")

    keep_picture("after")
    said = len(window.log.read_text(encoding="utf-8"))
    for what in ("RELIT", "DIFFERENCE"):
        window.ask(f"bpy.context.scene.deep_feedback.lighting.comparison = '{what}'")
        window.settle()  # asks for the picture
        keep_picture(what.lower())
    assert "Traceback" not in window.log.read_text(encoding="utf-8")[said:]
    truth = json.loads((DEMO / "lighting_truth.json").read_text())
    assert angle_deg(matrix(window, "Sun")[:3, 2], np.array(truth["towards_sun_world"])) < 2
    assert report["angle_moved_deg"] > 30
    assert window.value("bpy.data.objects['Sun'].data.energy") == pytest.approx(truth["strength"], rel=0.1)


def test_armature_button_follows_the_targets_with_keyframes(window, keep_picture):
    window.open_demo("armature")
    window.open_panel("armature")
    keep_picture("before")

    report = solve(window, "armature")

    window.click(*window.find("deep_feedback.jump_to_worst_frame"))
    window.wait_for(f"bpy.context.scene.frame_current == {report['worst_frame']}")
    keep_picture("worst")
    window.ask("bpy.context.scene.frame_set(36)")
    keep_picture("after")
    assert report["mean_cm"] < 1
    assert (
        window.ask(
            "depsgraph = bpy.context.evaluated_depsgraph_get()\n"
            "figure = bpy.data.objects['Figure'].evaluated_get(depsgraph)\n"
            "hand = figure.matrix_world @ figure.pose.bones['RightHand'].head\n"
            "answer = (hand - bpy.data.objects['RightHand'].matrix_world.translation).length"
        )
        < 0.02
    )  # metres
