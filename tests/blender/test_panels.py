# SPDX-License-Identifier: Apache-2.0
import os
from types import SimpleNamespace

import bpy
import pytest
from mathutils import Matrix

from addon import panels, preferences, result_panel, results
from addon.operators import result as result_operators
from addon.solves.armature_task import BoneTarget
from solver_core import render
from solver_core.network.weights import shipped_weights
from tests.blender.fake_layout import FakeLayout
from tests.blender.fake_solve import FakeSolve, some_result

PANELS = ("pose", "lighting", "armature")
POSE = {"verdict": "doubtful", "explanation": "It fits roughly.", "reason": "Done.", "seconds": 0.1, "steps": 3}
POSE |= {"ms_per_step": 33.0, "iou_before": 0.5, "iou": 0.9, "worst_frame": 7, "moved": ["Thing"], "counted": ["Thing"]}
REPORTS = {
    "pose": POSE
    | {
        "alternatives": [
            {"iou": 0.9, "probability": share, "location": [0, 0, 0], "rotation_wxyz": [1, 0, 0, 0]} for share in (0.7, 0.3)
        ],
        "notices": ["It is animated."],
    },
    "lighting": POSE
    | {"angle_moved_deg": 12.0, "strength": [3.0, 2.0, 1.0], "energy": 3.0, "color": [1.0, 0.7, 0.3]}
    | {"uncertainty_deg": 4.0, "image_error": 0.05, "sentences": ["No shadow is in view."], "lamp": "Sun"},
    "armature": POSE
    | {
        "mean_cm": 1.0,
        "worst_cm": 2.0,
        "worst_frame": 7,
        "worst_bone": "Hand",
        "armature": "Rig",
        "notices": ["A bone has no target."],
    },
}


def drawn(problem):
    """What a panel draws, all its parts open; the layout checks that every name in it exists."""
    layout = FakeLayout()
    panel = getattr(panels, f"DEEP_FEEDBACK_PT_{problem}")
    panel.draw(SimpleNamespace(layout=layout), bpy.context)
    return layout.drawn


def finished(problem):
    solve = FakeSolve("Thing")
    bpy.context.collection.objects.link(bpy.data.objects.new("Thing", None))
    solve.read(1)
    result = some_result(solve, solve.steps(), None, problem)
    results.keep(result)
    results.conclude(result, REPORTS[problem])
    return result


@pytest.mark.parametrize("problem", PANELS)
def test_panel_draws_inputs_settings_and_run_in_this_order(registered, problem):
    items = drawn(problem)

    run = items.index(("operator", f"deep_feedback.solve_{problem}"))
    last_setting = max(index for index, (kind, _) in enumerate(items) if kind == "prop")
    assert last_setting < run


@pytest.mark.parametrize("problem", PANELS)
def test_panel_draws_result_after_run(registered, problem):
    finished(problem)

    items = drawn(problem)

    assert items.index(("prop", "step")) > items.index(("operator", f"deep_feedback.solve_{problem}"))
    assert {("label", "Doubtful"), ("label", "It fits roughly.")} <= set(items)
    assert {("operator", f"deep_feedback.{name}_result") for name in ("key", "reset")} <= set(items)


@pytest.mark.parametrize("problem", PANELS)
def test_panel_shows_progress_instead_of_the_button_while_solving(registered, problem):
    finished(problem).report = None

    items = drawn(problem)

    assert ("progress", "Move - Step 3 - x 2") in items
    assert ("operator", f"deep_feedback.solve_{problem}") not in items


@pytest.mark.parametrize(
    ("parts", "is_done", "words"),
    [
        ((1,), True, "Step 3 of 3 - Move - x 2"),
        ((1, 2), True, "Frame 1 - Step 3 of 3 - Move - x 2"),
        ((1, 2), False, "Frame 1, 1 of 2 - Move - Step 3 - x 2"),
    ],
)
def test_progress_names_the_frame_the_phase_and_the_step(registered, parts, is_done, words):
    result = finished("pose")
    result.solve.parts = parts
    result.report = REPORTS["pose"] if is_done else None

    assert result_panel.describe_step(result) == words
    result.is_finishing = True
    assert result_panel.describe_step(result) == "Keyframes, and measuring in the scene"


def test_panel_lists_alternatives_to_click(registered):
    finished("pose")

    items = drawn("pose")

    assert items.count(("operator", "deep_feedback.apply_alternative")) == 2
    assert ("text", "Alternative 1: 30%, IoU 0.900") in items


def test_panel_shows_the_worst_frame_of_a_range(registered):
    results.conclude(finished("pose"), REPORTS["pose"] | {"iou_before": [0.5, 0.4], "iou": [0.9, 0.8]})

    items = drawn("pose")

    assert {("label", "0.400 → 0.800"), ("label", "7"), ("operator", "deep_feedback.jump_to_worst_frame")} <= set(items)
    assert ("operator", "deep_feedback.apply_alternative") not in items


def look(perspective, camera):
    """A context in whose viewport the panel is."""
    space = SimpleNamespace(type="VIEW_3D", camera=camera, use_local_camera=False)
    space.region_3d = SimpleNamespace(view_perspective=perspective)
    system = SimpleNamespace(ui_scale=2)
    things = {"scene": bpy.context.scene, "view_layer": bpy.context.view_layer, "region": None}
    return SimpleNamespace(space_data=space, preferences=SimpleNamespace(system=system), **things)


def test_panel_offers_the_camera_view_where_the_viewport_shows_another(registered):
    camera, button = add_camera(registered), ("operator", "deep_feedback.look_through_camera")
    other = bpy.data.objects.new("Other", camera.data)
    registered.deep_feedback.pose.camera = other

    def offered(context):
        layout = FakeLayout()
        panels.DEEP_FEEDBACK_PT_pose.draw(SimpleNamespace(layout=layout), context)
        return button in layout.drawn

    context = look("PERSP", camera)
    assert offered(context)
    assert offered(look("CAMERA", camera))
    look_through = result_operators.DEEP_FEEDBACK_OT_look_through_camera
    assert look_through.execute(None, context) == {"FINISHED"}
    assert not offered(context)
    assert context.space_data.camera == other
    assert context.space_data.use_local_camera
    assert not bpy.ops.deep_feedback.look_through_camera.poll()  # there is no viewport here


def test_panel_asks_for_an_offset_of_pictures_that_move_only(registered, tmp_path):
    choice = registered.deep_feedback.pose.silhouette
    choice.image = bpy.data.images.new("Image", 8, 8)
    assert ("prop", "frame_offset") not in drawn("pose")

    choice.source, choice.file = "FILE", "//shot_001.png"

    assert ("prop", "frame_offset") in drawn("pose")
    choice.frame_offset = 7
    assert choice.chosen.frame_offset == 7


@pytest.mark.parametrize(("width", "longest"), [(120, 11), (300, 36)])
def test_sentences_fit_into_narrow_sidebars(registered, width, longest):
    layout, context = FakeLayout(), look("PERSP", None)
    context.region = SimpleNamespace(width=2 * width)

    result_panel.draw_sentence(layout, context, "The outlines overlap by half, and more cannot be said of them.")

    assert max(len(text) for _, text in layout.drawn) in range(longest - 5, longest + 1)


def test_panel_says_why_a_step_cannot_be_replayed(registered):
    finished("pose")
    bpy.data.objects.remove(bpy.data.objects["Thing"])

    registered.deep_feedback.pose.step = 1

    assert ("label", "'Thing' is gone.") in drawn("pose")


def test_bone_map_draws_its_lines_to_be_edited_where_they_are(registered):
    settings = registered.deep_feedback.armature
    line = settings.bones.add()
    layout = FakeLayout()

    panels.DEEP_FEEDBACK_UL_bones.draw_item(None, bpy.context, layout, settings, line, 0, settings, "active_bone", 0)

    assert layout.drawn == [("prop", "target_text"), ("prop", "bone_text"), ("prop", "weight")]
    line.target_text, line.bone_text = "Goal", "Hand"
    assert settings.bone_map == (BoneTarget("Goal", "Hand"),)
    assert {("prop", "target"), ("prop", "bone")} <= set(drawn("armature"))


@pytest.mark.parametrize(("sought", "shown"), [("", []), ("hand", [4, 0, 4]), ("GOAL", [0, 4, 0])])
def test_bone_map_finds_lines_by_target_and_bone(registered, sought, shown):
    settings = registered.deep_feedback.armature
    for target, bone in (("Left", "Hand.L"), ("goal", "Foot"), ("hand_r", "Wrist")):
        line = settings.bones.add()
        line.target, line.bone = target, bone
    shown_list = SimpleNamespace(filter_name=sought, bitflag_filter_item=4)

    found, order = panels.DEEP_FEEDBACK_UL_bones.filter_items(shown_list, bpy.context, settings, "bones")

    assert found == shown
    assert order == []


@pytest.mark.parametrize("drawer", [panels.DEEP_FEEDBACK_PT_live, preferences.DEEP_FEEDBACK_AP_preferences])
def test_settings_of_the_extension_draw(registered, drawer):
    assert len(drawn_by(drawer)) > 3


@pytest.mark.parametrize(("name", "words"), [("numpy", "NumPy; slower, same results."), ("kernel.so", "compiled (kernel.so)")])
def test_preferences_say_which_kernel_is_in_use(monkeypatch, name, words):
    monkeypatch.setattr(render, "kernel_name", lambda: name)

    assert preferences.kernel().startswith(words)


def test_threads_of_the_preferences_are_those_of_the_kernel(registered):
    found = preferences.find(bpy.context)
    assert render.get_num_threads() == os.cpu_count()

    found.use_all_threads, found.threads = False, 3

    assert render.get_num_threads() == 3
    found.use_all_threads = True
    assert render.get_num_threads() == os.cpu_count()


@pytest.mark.parametrize(
    ("task", "file", "sentence"),
    [
        ("pose", "pose", None),
        ("lighting_sun", "lighting_sun", None),
        ("lighting_point", "lighting_sun", "is for lighting_sun, but lighting_point is needed"),
        ("inverse_kinematics", "pose", "is for pose, but inverse_kinematics is needed"),
    ],
)
def test_preferences_say_what_weights_are_for_where_they_do_not_fit(registered, task, file, sentence):
    setattr(preferences.find(bpy.context), f"weights_{task}", str(shipped_weights(file)))

    said = labels_of_preferences()

    assert (sentence in said) if sentence else ("is needed" not in said)


def test_preferences_say_that_weights_are_missing(registered, tmp_path):
    preferences.find(bpy.context).weights_pose = str(tmp_path / "gone.safetensors")

    assert "cannot read the weights file" in labels_of_preferences()


def labels_of_preferences():
    return " ".join(text for kind, text in drawn_by(preferences.DEEP_FEEDBACK_AP_preferences) if kind == "label")


def drawn_by(drawer):
    """What a panel without settings of its own, or the preferences, show."""
    found, layout = preferences.find(bpy.context), FakeLayout()
    names = ("use_all_threads", *(f"weights_{task}" for task in preferences.PROBLEM_OF))
    values = {name: getattr(found, name) for name in names}
    drawer.draw(SimpleNamespace(layout=layout, bl_rna=drawer.bl_rna, **values), bpy.context)
    return layout.drawn


def add_camera(scene, kind="PERSP"):
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    camera.data.type = kind
    camera.matrix_world = Matrix.Translation((0, 0, 5))
    scene.collection.objects.link(camera)
    scene.camera = camera
    return camera


def add_cube(scene):
    bpy.ops.mesh.primitive_cube_add()
    return bpy.context.object


def why(name):
    """Why a button is grey."""
    with pytest.raises(RuntimeError, match="poll") as caught:
        getattr(bpy.ops.deep_feedback, name)()
    return str(caught.value).partition("failed, " if "failed, " in str(caught.value) else "poll() ")[2].strip()


def solvable_pose(scene):
    add_camera(scene)
    cube = add_cube(scene)
    scene.deep_feedback.pose.silhouette.image = bpy.data.images.new("Image", 8, 8, alpha=True)
    assert bpy.ops.deep_feedback.solve_pose.poll()
    return cube


def no_object(scene):
    bpy.context.view_layer.objects.active = None


def no_surface(scene):
    scene.deep_feedback.pose.object = scene.camera


def no_faces(scene):
    scene.deep_feedback.pose.object.data.clear_geometry()


def no_camera(scene):
    scene.camera = None


def panoramic(scene):
    scene.camera.data.type = "PANO"


def no_image(scene):
    scene.deep_feedback.pose.silhouette.image = None


def no_file(scene):
    scene.deep_feedback.pose.silhouette.source = "FILE"


def relative_file(scene):
    scene.deep_feedback.pose.silhouette.source, scene.deep_feedback.pose.silhouette.file = "FILE", "//shot.png"


def no_background(scene):
    scene.deep_feedback.pose.silhouette.source = "BACKGROUND"


def edit_mode(scene):
    bpy.ops.object.mode_set(mode="EDIT")


def reversed_range(scene):
    scene.deep_feedback.pose.use_range = True
    scene.deep_feedback.pose.frame_end = -1


def other_scene(scene):
    scene.deep_feedback.pose.object = bpy.data.objects.new("Elsewhere", bpy.data.objects["Cube"].data)


def running(scene):
    results.keep(some_result(FakeSolve("Thing")))


@pytest.mark.parametrize(
    ("obstacle", "sentence"),
    [
        (no_object, "Select an object, or choose one, whose outline is to be fitted."),
        (no_surface, "'Camera' has no surface: choose a mesh."),
        (no_faces, "The mesh of 'Cube' has no faces, so it has no outline."),
        (other_scene, "'Elsewhere' is not in this scene: choose another object."),
        (no_camera, "The scene has no camera: add one, or choose one here."),
        (panoramic, "The camera 'Camera' is panoramic: set its lens type to Perspective."),
        (no_image, "Choose an image for the silhouette."),
        (no_file, "Choose a file for the silhouette."),
        (
            relative_file,
            "The path '//shot.png' begins at the folder of the blend file, which is not saved yet: save it, or choose the file "
            "again.",
        ),
        (no_background, "The camera 'Camera' has no background image: add one in its data properties, Background Images."),
        (edit_mode, "Switch to Object Mode first."),
        (reversed_range, "The frame range ends before it begins: 1 to -1."),
        (running, "A solve is running; press Esc to cancel it."),
    ],
)
def test_pose_button_is_grey_and_says_why(registered, obstacle, sentence):
    cube = solvable_pose(registered)
    if obstacle is not no_object:
        registered.deep_feedback.pose.object = cube

    obstacle(registered)

    assert why("solve_pose") == sentence


def test_pose_button_is_grey_when_the_image_has_no_alpha(registered, tmp_path):
    solvable_pose(registered)
    image = bpy.data.images.new("Plate", 8, 8, alpha=False)
    image.filepath_raw, image.file_format = str(tmp_path / "plate.jpg"), "JPEG"
    image.save()
    registered.deep_feedback.pose.silhouette.image = bpy.data.images.load(str(tmp_path / "plate.jpg"))
    assert registered.deep_feedback.pose.silhouette.image.size[0] == 8  # which reads it

    sentence = why("solve_pose")

    assert (
        sentence == "The image 'plate.jpg' has no alpha: use From Photo, make its mask, or choose the key Luminance or Color."
    )
    registered.deep_feedback.pose.key = "LUMINANCE"
    assert bpy.ops.deep_feedback.solve_pose.poll()


def test_pose_button_is_grey_when_the_object_is_linked(registered, tmp_path):
    cube = solvable_pose(registered)
    bpy.data.libraries.write(str(tmp_path / "library.blend"), {cube})
    with bpy.data.libraries.load(str(tmp_path / "library.blend"), link=True) as (_, linked):
        linked.objects = ["Cube"]
    cube.name = "Local"
    registered.collection.objects.link(linked.objects[0])
    registered.deep_feedback.pose.object = linked.objects[0]

    assert why("solve_pose") == "'Cube' is linked from another file and cannot be changed: make a library override of it."
    registered.deep_feedback.pose.move = "CAMERA"
    assert bpy.ops.deep_feedback.solve_pose.poll()


def solvable_lighting(scene):
    add_camera(scene)
    cube = add_cube(scene)
    scene.deep_feedback.lighting.image.image = bpy.data.images.new("Image", 8, 8)
    assert bpy.ops.deep_feedback.solve_lighting.poll()
    return cube


def test_lighting_button_is_grey_without_a_picture(registered):
    solvable_lighting(registered)
    registered.deep_feedback.lighting.image.image = None

    assert why("solve_lighting") == "Choose an image for the reference picture."


def test_lighting_button_is_grey_without_a_mask_that_is_wanted(registered):
    solvable_lighting(registered)
    registered.deep_feedback.lighting.use_mask = True

    assert why("solve_lighting") == "Choose an image for the mask."


def test_lighting_button_is_grey_when_nothing_is_selected(registered):
    solvable_lighting(registered).select_set(False)
    registered.deep_feedback.lighting.geometry = "SELECTED"

    assert why("solve_lighting") == "Select the objects that the picture shows."


def test_lighting_button_is_grey_when_nothing_is_visible(registered):
    solvable_lighting(registered).hide_set(True)

    assert why("solve_lighting") == "Add or show the objects that the picture shows: no visible object has a surface."


def test_lighting_button_is_grey_for_a_lamp_of_another_kind(registered):
    solvable_lighting(registered)
    registered.deep_feedback.lighting.lamp = bpy.data.objects.new("Area", bpy.data.lights.new("Area", "AREA"))

    assert why("solve_lighting") == "'Area' must be a Sun or a Point light."
