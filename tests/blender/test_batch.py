# SPDX-License-Identifier: Apache-2.0
"""Batch jobs: their schema, what they write, and that a kill at any moment does no harm."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import bpy
import numpy as np
import pytest

from addon import batch
from addon.job import JobError, job_schema, read_job, record_schema
from addon.solves.armature import ArmatureSolve
from solver_core import writing
from solver_core.locking import one_of_many_writers, sole_writer

from .pose_scene import make_pose_scene
from .solve_scenes import add_camera, add_monkey

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(scene, tmp_path) -> Path:
    """A folder with arm.blend: an arm of three bones and an empty to reach, which is solved in a moment."""
    bpy.ops.object.armature_add()
    armature = bpy.context.object
    bpy.ops.object.mode_set(mode="EDIT")
    bones = armature.data.edit_bones
    for number in (1, 2):
        bone = bones.new(f"bone{number}")
        bone.head, bone.tail = (0, 0, number), (0, 0, number + 1)
        bone.parent, bone.use_connect = bones[number - 1], True
    bpy.ops.object.mode_set(mode="OBJECT")
    armature.pose.bones[0].lock_location = (True, True, True)
    targets = bpy.data.collections.new("Targets")
    scene.collection.children.link(targets)
    goal = bpy.data.objects.new("goal", None)
    goal.location = (1, 1, 1)
    targets.objects.link(goal)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "arm.blend"))
    return tmp_path


def arm_task(name="arm", **changes) -> dict:
    task = {
        "name": name,
        "scene": "arm.blend",
        "problem": "inverse_kinematics",
        "armature": "Armature",
        "collection": "Targets",
        "bones": [{"target": "goal", "bone": "bone2_end"}],
        "outputs": {"blend": f"{name}.blend"},
    } | changes
    return {key: value for key, value in task.items() if value is not None}


def write_job(folder: Path, *tasks) -> str:
    path = folder / "job.json"
    path.write_text(json.dumps(tasks))
    return str(path)


def run(capsys, folder: Path, *tasks, options=()) -> tuple[int, list[dict]]:
    """Exit code and lines of a job, whose outputs go to `out`."""
    code = batch.main([write_job(folder, *tasks), "--out", str(folder / "out"), *options])
    return code, [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith('{"task"')]


def test_a_job_writes_the_solved_scene_and_one_line_a_task(folder, capsys):
    before = (folder / "arm.blend").read_bytes()

    code, (line,) = run(capsys, folder, arm_task())

    assert code == 0
    assert (line["task"], line["status"], line["problem"]) == ("arm", "done", "inverse_kinematics")
    assert line["report"]["worst_cm"] < 0.1
    assert (folder / "arm.blend").read_bytes() == before
    assert json.loads((folder / "out" / "arm.json").read_text())["report"] == line["report"]
    bpy.ops.wm.open_mainfile(filepath=str(folder / "out" / "arm.blend"))
    tail = bpy.data.objects["Armature"].pose.bones["bone2"].tail
    np.testing.assert_allclose(tail, (1, 1, 1), atol=1e-3)
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["arm.blend", "arm.json", "arm.rotations.json"]


def test_the_record_of_an_armature_has_the_rotations_of_its_bones(folder, capsys):
    _, (line,) = run(capsys, folder, arm_task(frame_start=3, frame_end=4))

    assert line["answer"] == {
        "armature": "Armature",
        "frame_start": 3,
        "frame_end": 4,
        "rotations": "arm.rotations.json",
    }
    solved = json.loads((folder / "out" / "arm.rotations.json").read_text())
    assert (solved["armature"], solved["frames"], solved["frames_per_second"]) == ("Armature", [3, 4], 24)
    assert solved["metres_per_unit"] == 1
    bpy.ops.wm.open_mainfile(filepath=str(folder / "out" / "arm.blend"))
    bpy.context.scene.frame_set(4)
    for bone in bpy.data.objects["Armature"].pose.bones:
        wxyz = solved["bones"][bone.name]["rotation_wxyz"][1]
        assert abs(np.dot(wxyz, bone.matrix_basis.to_quaternion())) == pytest.approx(1, abs=1e-5)  # float32 in Blender


def test_the_record_of_a_pose_has_the_matrices_of_the_solved_scene(registered, tmp_path, capsys):
    scene, monkey = registered, make_pose_scene(registered)
    monkey.scale = (0.5, 0.5, 0.5)
    scene.unit_settings.scale_length = 0.01
    bpy.data.images["Silhouette"].pack()
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    task = {
        "name": "pose",
        "scene": "scene.blend",
        "problem": "pose",
        "object": monkey.name,
        "camera": "Camera",
        "silhouette": {"image": "Silhouette"},
        "outputs": {"blend": "pose.blend"},
    }

    _, (line,) = run(capsys, tmp_path, task)
    _, (again,) = run(capsys, tmp_path, task)

    answer = line["answer"]
    assert (answer["convention"], answer["metres_per_unit"]) == ("opengl", pytest.approx(0.01))
    (frame,) = answer["frames"]
    assert frame["iou"] == line["report"]["iou"]
    matrices = {name: np.array(value) for name, value in frame.items() if "_from_" in name}
    composed = matrices["world_from_camera"] @ matrices["camera_from_object"]
    np.testing.assert_allclose(composed, matrices["world_from_object"], atol=1e-5)
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "out" / "pose.blend"))
    world = np.array(bpy.data.objects[answer["object"]].matrix_world)
    np.testing.assert_allclose(frame["matrix_world"][answer["object"]], world, atol=1e-5)
    np.testing.assert_allclose(matrices["world_from_object"] @ np.diag([0.5, 0.5, 0.5, 1]), world, atol=1e-5)
    assert frame["intrinsics"]["width"] == bpy.context.scene.render.resolution_x
    assert again["answer"] == answer


def test_a_second_run_skips_what_is_done_and_solves_what_changed(folder, capsys):
    run(capsys, folder, arm_task("one"), arm_task("two"))
    stamp = (folder / "out" / "one.blend").stat().st_mtime_ns
    (folder / "out" / "two.blend").unlink()

    code, lines = run(capsys, folder, arm_task("one"), arm_task("two"), arm_task("three"))
    _, (changed, *_) = run(capsys, folder, arm_task("one", use_limits=False))

    assert code == 0
    assert [line["status"] for line in lines] == ["skipped", "done", "done"]
    assert (folder / "out" / "two.blend").exists()
    assert changed["status"] == "done"
    assert stamp != (folder / "out" / "one.blend").stat().st_mtime_ns


def test_a_bad_result_is_failed_but_there_to_be_looked_at_and_is_solved_again(folder, capsys):
    far = arm_task(bones=[{"target": "goal", "bone": "bone1"}])  # whose head can only move on a circle

    code, (line,) = run(capsys, folder, far)
    _, (again,) = run(capsys, folder, far)

    assert code == 1
    assert (line["status"], line["verdict"]) == ("failed", "bad")
    assert "do not meet their targets" in line["error"]
    assert (folder / "out" / "arm.blend").exists()
    assert again["status"] == "failed"


def test_a_doubtful_result_is_kept_and_makes_every_run_end_with_1(folder, capsys, monkeypatch):
    monkeypatch.setattr(ArmatureSolve, "report", lambda solve: {"verdict": "doubtful", "explanation": "It fits roughly."})

    code, (line,) = run(capsys, folder, arm_task())
    second_code, (second,) = run(capsys, folder, arm_task())
    accepted_code, _ = run(capsys, folder, arm_task(), options=["--accept-all"])

    assert (code, line["status"], accepted_code) == (1, "doubtful", 0)
    assert (second_code, second["status"], second["verdict"]) == (1, "skipped", "doubtful")


def test_a_run_that_fails_leaves_all_of_yesterday_s_results(folder, capsys):
    run(capsys, folder, arm_task())
    without_camera = {"blend": "arm.blend", "png": "arm.png"}

    code, _ = run(capsys, folder, arm_task(use_limits=False, outputs=without_camera))
    _, (line,) = run(capsys, folder, arm_task())

    assert code == 1
    assert line["status"] == "skipped"


def test_a_file_beside_the_scene_counts_among_what_may_have_changed(folder):
    job = Path(write_job(folder, arm_task(source="FILE", file="//walk.csv")))
    (folder / "walk.csv").write_text("a")
    before = read_job(job, folder / "out")[0].fingerprint()

    (folder / "walk.csv").write_text("another")

    assert read_job(job, folder / "out")[0].fingerprint() != before


def test_a_failing_task_stops_no_other_and_writes_nothing(folder, capsys):
    code, lines = run(capsys, folder, arm_task("bad", armature="Nobody"), arm_task("lost", scene="no.blend"), arm_task("good"))

    assert code == 1
    assert [line["status"] for line in lines] == ["failed", "failed", "done"]
    assert "there is no object 'Nobody'" in lines[0]["error"]
    assert re.match('Cannot read file ".*no.blend"', lines[1]["error"])
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["good.blend", "good.json", "good.rotations.json"]


def test_the_open_file_is_the_scene_where_none_is_named(folder, capsys):
    code, (line,) = run(capsys, folder, arm_task(scene=None))

    assert (code, line["status"]) == (0, "done")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"armature": None}, "Task 1 ('arm'), key 'armature': it is missing."),
        ({"armature": 5}, "Task 1 ('arm'), key 'armature': it must be a text, not 5."),
        ({"smooth": True}, "key 'smooth': it must be a number from 0 to 1000, not true."),
        ({"refine": 1}, "key 'refine': it must be true or false, not 1."),
        ({"frame_start": 1.5}, "key 'frame_start': it must be a whole number, not 1.5."),
        ({"source": "EMPTIES"}, "key 'source': it must be one of COLLECTION, ARMATURE, FILE, not \"EMPTIES\"."),
        ({"colection": "a"}, "key 'colection': it is not known; did you mean 'collection'?"),
        ({"bones": {}}, "key 'bones': it must be a list [...], not {}."),
        ({"bones": [{"target": "goal"}]}, "key 'bones.0.bone': it is missing."),
        ({"problem": "poses"}, "key 'problem': it must be one of pose, lighting, inverse_kinematics, not \"poses\"."),
        ({"problem": ["pose"]}, "key 'problem': it must be one of pose, lighting, inverse_kinematics, not [\"pose\"]."),
        ({"name": "a/b"}, "key 'name': it must be fit for a file name, not \"a/b\"."),
        ({"outputs": {"gif": "a.gif"}}, "key 'outputs.gif': it is not known; known: blend, json, png, rotations."),
        ({"outputs": {"png": "a.jpg"}}, "key 'outputs.png': it must end in .png, not be \"a.jpg\"."),
    ],
)
def test_a_bad_job_names_the_task_and_the_key(changes, sentence, folder, capsys):
    code = batch.main([write_job(folder, arm_task(**changes)), "--out", str(folder / "out")])

    assert code == 2
    assert sentence in capsys.readouterr().err
    assert not (folder / "out").exists()


def test_all_mistakes_of_a_job_are_told_at_once(folder):
    with pytest.raises(JobError) as caught:
        read_job(Path(write_job(folder, arm_task(smooth="a"), 5, arm_task("x"), arm_task("x"))), folder)

    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        "Task 1 ('arm'), key 'smooth'",
        "Task 2",
        "Task 'x', key 'name'",
        "Task 'x', key 'outputs.json'",
        "Task 'x', key 'outputs.blend'",
        "Task 'x', key 'outputs.rotations'",
    ]


@pytest.mark.parametrize(("text", "sentence"), [("[", "is not valid JSON"), ("{}", "must be a list"), ("[]", "must be a list")])
def test_a_job_that_is_no_list_is_a_sentence(text, sentence, scene, tmp_path, capsys):
    (tmp_path / "job.json").write_text(text)

    assert batch.main([str(tmp_path / "job.json")]) == 2
    assert sentence in capsys.readouterr().err


def test_a_job_with_a_byte_order_mark_is_read(folder):
    job = Path(write_job(folder, arm_task()))
    job.write_text(job.read_text(), encoding="utf-8-sig")

    assert [task.name for task in read_job(job, folder / "out")] == ["arm"]


@pytest.mark.parametrize(
    ("options", "sentence"), [(("--only", "leg"), "has no task 'leg'"), (("--out", "arm.blend"), "cannot make the folder")]
)
def test_options_that_cannot_be_met_are_a_sentence(options, sentence, folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)

    code = batch.main([write_job(folder, arm_task()), "--out", str(folder / "out"), *options])

    assert code == 2
    assert sentence in capsys.readouterr().err


def test_the_line_of_a_process_is_found_amid_what_blender_says(monkeypatch):
    said = r'Fra:1 Mem \xff{"task": "arm", "status": "done"}\nSaved\n'
    launcher = [sys.executable, "-c", f"import sys; sys.stdout.buffer.write(b'{said}')"]
    monkeypatch.setattr(batch, "_launcher", lambda: launcher)
    arguments = SimpleNamespace(job=Path("job.json"), out=Path("out"))

    line = batch._run_in_process(SimpleNamespace(name="arm", timeout=None), arguments, set())

    assert line == {"task": "arm", "status": "done"}


def test_the_example_of_the_help_is_a_job(scene, tmp_path, capsys):
    example = batch.EXAMPLE
    (tmp_path / "job.json").write_text(example[example.index("\n[") : example.rindex("\n]") + 2])

    tasks = read_job(tmp_path / "job.json", tmp_path)

    assert [task.name for task in tasks] == ["car", "sun", "walk"]
    assert tasks[0].task.silhouette.file == str(tmp_path / "car_mask.png")
    with pytest.raises(SystemExit) as caught:
        batch.main(["--help"])
    assert caught.value.code == 0
    assert '"problem": "pose"' in capsys.readouterr().out


def test_a_picture_is_rendered_though_the_scene_renders_movies(scene, tmp_path, capsys):
    if hasattr(scene.render.image_settings, "media_type"):
        scene.render.image_settings.media_type = "VIDEO"
    scene.render.image_settings.file_format = "FFMPEG"
    add_camera(scene)
    add_monkey(scene)
    image = bpy.data.images.new("Mask", 128, 96, alpha=True)
    pixels = np.zeros((96, 128, 4), np.float32)
    pixels[20:70, 40:90] = 1
    image.pixels.foreach_set(pixels.ravel())
    image.pack()
    image.use_fake_user = True
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "monkey.blend"))
    task = {
        "scene": "monkey.blend",
        "problem": "pose",
        "object": "Suzanne",
        "camera": "Camera",
        "silhouette": {"image": "Mask"},
        "restarts": 0,
        "refine": False,
        "outputs": {"png": "monkey.png"},
    }

    fired = []
    handlers = [getattr(bpy.app.handlers, f"render_{when}") for when in ("init", "pre", "write", "complete")]
    for calls in handlers:
        calls.append(bpy.app.handlers.persistent(lambda *_: fired.append(1)))
    before = [list(calls) for calls in handlers]

    _, (line,) = run(capsys, tmp_path, task)

    assert not fired  # the picture is no render of the user's
    assert [list(calls) for calls in handlers] == before
    for calls in handlers:
        calls.pop()
    assert line["verdict"] == "bad"  # no pose of a monkey's head is a rectangle
    assert tuple(bpy.data.images.load(str(tmp_path / "out" / "monkey.png")).size) == (128, 96)


def command(folder: Path, *options) -> list[str]:
    return [sys.executable, "-m", "addon.batch", str(folder / "job.json"), "--out", str(folder / "out"), *options]


def test_processes_solve_tasks_side_by_side(folder):
    write_job(folder, arm_task("one"), arm_task("bad", armature="Nobody"), arm_task("two"))

    done = subprocess.run(command(folder, "--jobs", "2"), cwd=ROOT, capture_output=True, text=True, check=False)

    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"task"')]
    assert done.returncode == 1
    assert {line["task"]: line["status"] for line in lines} == {"one": "done", "bad": "failed", "two": "done"}


def test_a_run_after_a_kill_gives_what_an_undisturbed_run_gives(folder, capsys):
    tasks = [arm_task(f"task{number}") for number in range(4)]
    write_job(folder, *tasks)
    process = subprocess.Popen(command(folder), cwd=ROOT, stdout=subprocess.DEVNULL)
    while not (folder / "out" / "task1.json").exists() and process.poll() is None:
        time.sleep(0.01)

    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    (folder / "out" / f"{writing.UNFINISHED}0.blend").write_text("half a file")
    code, lines = run(capsys, folder, *tasks)

    assert code == 0
    assert lines[0]["status"] == "skipped"
    assert {path.name for path in (folder / "out").iterdir()} == {
        f"task{n}.{kind}" for n in range(4) for kind in ("blend", "json", "rotations.json")
    }
    errors = [json.loads((folder / "out" / f"task{n}.json").read_text())["report"]["worst_cm"] for n in range(4)]
    assert len(set(errors)) == 1


def test_demo_job_is_valid_by_the_schema():
    jsonschema = pytest.importorskip("jsonschema")

    jsonschema.validate(json.loads((ROOT / "assets" / "demo" / "job.json").read_text()), job_schema())


@pytest.mark.parametrize(
    "change", [{"refine": 1}, {"source": "EMPTIES"}, {"colection": "a"}, {"problem": "poses"}, {"outputs": {"gif": "a.gif"}}]
)
def test_schema_refuses_what_a_job_refuses(change):
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.validate([arm_task()], job_schema())

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate([arm_task(**change)], job_schema())


@pytest.mark.parametrize(("option", "name"), [("--schema", "job"), ("--record-schema", "record")])
def test_shipped_schemas_are_those_of_the_classes(option, name, capsys):
    assert batch.main([option]) == 0

    assert (ROOT / "addon" / f"{name}.schema.json").read_text() == capsys.readouterr().out, "run: make job-schema"


def test_what_a_task_writes_is_valid_by_the_schema_of_records(folder, capsys):
    jsonschema = pytest.importorskip("jsonschema")
    run(capsys, folder, arm_task())

    for path in (folder / "out").glob("*.json"):
        jsonschema.validate(json.loads(path.read_text()), record_schema())


@pytest.mark.parametrize(
    ("outputs", "sentence"),
    [
        ({"blend": "/tmp/arm.blend"}, "key 'outputs.blend': it must be a path within the output folder"),
        ({"png": "a/../../arm.png"}, "key 'outputs.png': it must be a path within the output folder"),
        ({"json": "link/arm.json"}, "key 'outputs.json': a link leads \"link/arm.json\" out of the output folder"),
        ({"blend": "a\u0000.blend"}, "key 'outputs.blend': it must be fit for a file name"),
        ({"blend": "a" * 300 + ".blend"}, "key 'outputs.blend': it must be fit for a file name"),
    ],
)
def test_outputs_stay_in_their_folder(outputs, sentence, folder, capsys):
    (folder / "out").mkdir()
    (folder / "out" / "link").symlink_to(folder, target_is_directory=True)

    code = batch.main([write_job(folder, arm_task(outputs=outputs)), "--out", str(folder / "out")])

    assert code == 2
    assert sentence in capsys.readouterr().err
    assert [path.name for path in (folder / "out").iterdir()] == ["link"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": "job"}, "Task 'job', key 'outputs.json': job.json is the job"),
        ({"outputs": {"blend": "arm.blend"}}, "arm.blend is the scene of a task"),
        ({"outputs": {"json": "sub/../walk.json"}}, "without '..'"),
        ({"source": "FILE", "file": "walk.json"}, "walk.json is an input of a task"),
        ({"weights": "walk.json"}, "walk.json is an input of a task"),
        ({"source": "FILE", "file": "take_001.png", "outputs": {"png": "take_120.png"}}, "take_120.png is an input of a task"),
    ],
)
def test_no_output_overwrites_an_input(changes, sentence, folder, capsys):
    task = arm_task(**{"name": "walk", "outputs": {}} | changes)

    code = batch.main([write_job(folder, task), "--out", str(folder)])

    assert code == 2
    assert sentence in capsys.readouterr().err


def test_an_image_that_the_scene_uses_is_not_overwritten(folder, capsys):
    (folder / "picture.png").write_bytes(b"no picture")
    bpy.data.images.new("Picture", 8, 8).filepath = str(folder / "picture.png")
    bpy.data.images["Picture"].source = "FILE"
    bpy.data.images["Picture"].use_fake_user = True
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "arm.blend"))

    code = batch.main([write_job(folder, arm_task(outputs={"png": "picture.png"})), "--out", str(folder)])

    assert code == 1
    assert "would overwrite a file that the scene uses" in capsys.readouterr().out
    assert (folder / "picture.png").read_bytes() == b"no picture"


def test_names_that_look_like_parts_or_options_are_names(folder, capsys):
    names = ("a", "a.part", "-only", "--out")

    code, lines = run(capsys, folder, *[arm_task(name) for name in names], options=("--jobs", "2"))

    assert code == 0, lines
    assert {line["task"] for line in lines} == set(names)
    assert {path.name for path in (folder / "out").iterdir()} == {
        f"{name}.{kind}" for name in names for kind in ("blend", "json", "rotations.json")
    }


def test_names_that_differ_in_case_alone_are_refused(folder, capsys):
    assert batch.main([write_job(folder, arm_task("Arm"), arm_task("arm")), "--out", str(folder / "out")]) == 2
    assert "is written by the task 'Arm' as well" in capsys.readouterr().err


def test_a_second_batch_into_the_same_folder_is_refused(folder, capsys):
    (folder / "out").mkdir()

    with sole_writer(folder / "out"):
        code = batch.main([write_job(folder, arm_task()), "--out", str(folder / "out")])

    assert code == 2
    assert f"process {os.getpid()} on" in capsys.readouterr().err
    assert list((folder / "out").iterdir()) == []


def test_shards_solve_every_task_once_and_share_a_folder(folder, capsys):
    tasks = [arm_task(name) for name in ("a", "b", "c")]
    job = write_job(folder, *tasks)

    assert batch.main([job, "--list"]) == 0
    assert capsys.readouterr().out.split() == ["a", "b", "c"]
    solved = []
    (folder / "out").mkdir()
    with sole_writer(folder / "out", ".solver_core.shard-3-of-3.lock"):  # another machine at work
        for shard in ("1/2", "2/2"):
            code, lines = run(capsys, folder, *tasks, options=("--shard", shard))
            assert code == 0
            solved.append([line["task"] for line in lines])

    assert solved == [["a", "c"], ["b"]]


@pytest.mark.skipif(os.name != "posix", reason="the system knows no shared locks")
@pytest.mark.parametrize(("held", "options"), [(one_of_many_writers, ()), (sole_writer, ("--shard", "1/2"))])
def test_a_whole_run_and_a_shard_keep_each_other_out(held, options, folder, capsys):
    (folder / "out").mkdir()
    with held(folder / "out"):
        code = batch.main([write_job(folder, arm_task()), "--out", str(folder / "out"), *options])

    assert code == 2
    assert f"process {os.getpid()} on" in capsys.readouterr().err


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "1/0", "a/b", "1/-2"])
def test_a_shard_is_a_part_of_the_whole(shard, folder, capsys):
    with pytest.raises(SystemExit, match="2"):
        batch.main([write_job(folder, arm_task()), f"--shard={shard}"])

    assert f"from 1/N to N/N, not '{shard}'" in capsys.readouterr().err


def test_scripts_in_a_scene_are_not_run(folder, capsys):
    text = bpy.data.texts.new("script.py")
    text.write(f"open({str(folder / 'trapped')!r}, 'w')")
    text.use_module = True
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "arm.blend"))
    bpy.context.preferences.filepaths.use_scripts_auto_execute = True

    try:
        code, _ = run(capsys, folder, arm_task())
    finally:
        bpy.context.preferences.filepaths.use_scripts_auto_execute = False

    assert code == 0
    assert not (folder / "trapped").exists()


def test_a_task_whose_time_is_up_is_given_up_and_leaves_nothing(folder, capsys):
    code, lines = run(capsys, folder, arm_task("quick"), arm_task("slow", timeout=0.05), options=("--timeout", "300"))

    assert code == 1
    assert {line["task"]: line["status"] for line in lines} == {"quick": "done", "slow": "timeout"}
    assert {path.name for path in (folder / "out").iterdir()} == {"quick.blend", "quick.json", "quick.rotations.json"}


@pytest.mark.parametrize(("timeout", "sentence"), [(0, "positive number"), ("1", "a number"), (True, "a number")])
def test_a_timeout_is_a_positive_number(timeout, sentence, folder, capsys):
    assert batch.main([write_job(folder, arm_task(timeout=timeout)), "--out", str(folder / "out")]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("kept", [0, 100, -400])
def test_a_file_that_blender_did_not_write_whole_does_not_replace_yesterday_s(kept, folder, capsys, monkeypatch):
    run(capsys, folder, arm_task())
    before = {path.name: path.read_bytes() for path in (folder / "out").iterdir()}
    unpatched = writing.os.fsync

    def lose_the_end(descriptor):  # as a full disk does, of which Blender does not tell
        unpatched(descriptor)
        if Path(f"/proc/self/fd/{descriptor}").readlink().suffix == ".blend":
            os.truncate(descriptor, os.fstat(descriptor).st_size + kept if kept < 0 else kept)

    monkeypatch.setattr(writing.os, "fsync", lose_the_end)
    code, (line,) = run(capsys, folder, arm_task(use_limits=False))

    assert (code, line["status"]) == (1, "failed")
    assert {path.name: path.read_bytes() for path in (folder / "out").iterdir()} == before


def test_a_result_that_was_damaged_since_is_solved_again(folder, capsys):
    run(capsys, folder, arm_task())
    (folder / "out" / "arm.blend").write_bytes(b"BLENDER, cut short")

    _, (line,) = run(capsys, folder, arm_task())

    assert line["status"] == "done"


def test_stdout_without_a_reader_ends_the_batch_after_what_runs(folder):
    write_job(folder, *[arm_task(f"task{number}") for number in range(4)])
    read, write = os.pipe()
    os.close(read)

    done = subprocess.run(
        command(folder, "--jobs", "2"), cwd=ROOT, stdout=write, stderr=subprocess.PIPE, text=True, check=False
    )

    os.close(write)
    kept = {path.name for path in (folder / "out").iterdir()}
    assert done.returncode == 3
    assert "nobody takes its lines: Broken pipe" in done.stderr
    assert {"task0.blend", "task0.json", "task1.blend", "task1.json"} <= kept
    assert "task3.json" not in kept


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_processes_of_a_batch_end_with_it(number, folder):
    write_job(folder, *[arm_task(f"task{number}") for number in range(8)])
    process = subprocess.Popen(
        command(folder, "--jobs", "2"), cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    while len(workers := children_of(process.pid)) < 2 and process.poll() is None:
        time.sleep(0.05)

    process.send_signal(number)
    _, said = process.communicate(timeout=60)

    assert process.returncode == (130 if number == signal.SIGINT else -number)
    if number == signal.SIGINT:
        assert said == "Interrupted; what was finished is kept.\n"
    wait_until(lambda: not any(Path("/proc", str(worker)).exists() for worker in workers))
    assert not (folder / "out" / "task7.json").exists()


def children_of(parent: int) -> list[int]:
    tasks = Path("/proc", str(parent), "task")
    lists = [task / "children" for task in tasks.iterdir()] if tasks.exists() else []
    return [int(child) for one in lists if one.exists() for child in one.read_text().split()]


def wait_until(condition, seconds=30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
