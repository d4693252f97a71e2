# SPDX-License-Identifier: Apache-2.0
import dataclasses
import threading
import time
from types import SimpleNamespace

import bpy
import pytest

from addon import result_panel, results
from addon.operators import live
from tests.blender.fake_solve import FakeSolve, lines, some_result


@pytest.fixture(autouse=True)
def one_step_a_tick(monkeypatch):
    """So that tests can look at what is between the steps of a range."""
    monkeypatch.setattr(live, "RANGE_TICK", 0)


@pytest.fixture
def thing(registered):
    thing = bpy.data.objects.new("Thing", None)
    registered.collection.objects.link(thing)
    return thing


@pytest.fixture
def operator(thing):
    """An operator as Blender would make it, about FakeSolve."""

    class Operator(live.LiveOperator):
        bl_label = "Solve Nothing"
        problem = "pose"
        solve_class = FakeSolve
        properties = SimpleNamespace(bl_rna=SimpleNamespace(properties={}))
        task = {"object": "Thing"}  # noqa: RUF012

        def __init__(self):
            self.messages = []

        def make_task(self, context):
            return self.task

        def summary(self, report):
            return "Solved"

        def report(self, kind, message):
            self.messages.append((*kind, message))

        def start(self):
            self.run = live.Run(self._begin(bpy.context))
            live.start(self.run)

        def send(self, kind, value="PRESS", ctrl=False):
            return self.modal(bpy.context, SimpleNamespace(type=kind, value=value, ctrl=ctrl, oskey=False))

        def drain(self, wanted):
            deadline = time.monotonic() + 20
            answer = set()
            while not answer & wanted and time.monotonic() < deadline:
                answer = self.send("TIMER", "NOTHING")
            return answer

    yield Operator()
    live.cancel()


def drained(run):
    while run.tick():
        time.sleep(0.001)
    run.stop()


def test_run_shows_every_step_and_keeps_the_answer(thing):
    solve = FakeSolve("Thing")
    run = live.Run(some_result(solve))

    drained(run)

    assert [step.index for step in run.result.steps] == [0, 1, 2]
    assert solve.log == [("read", 1), ("keep", 1), ("finish", "")]
    assert thing.location.x == 2


def test_run_solves_all_parts_and_remembers_the_steps_of_the_last(thing):
    solve = FakeSolve("Thing", parts=(1, 2, 5))
    run = live.Run(some_result(solve))

    drained(run)

    assert solve.log == [*((what, part) for part in (1, 2, 5) for what in ("read", "keep")), ("finish", "")]
    assert [step.part for step in run.result.steps] == [5, 5, 5]


def test_progress_never_falls_and_ends_where_all_is_solved(thing):
    class LongerSolve(FakeSolve):
        """Its phases take more steps than they said, as those of a solve may."""

        def steps(self):
            for step in super().steps():
                yield dataclasses.replace(step, count=2 if step.index < 2 else 9)

    run, seen = live.Run(some_result(LongerSolve("Thing", parts=(1, 2, 3), count=6))), []
    while run.tick():
        seen.append(run.result.progress)

    assert seen == sorted(seen)
    assert seen[0] == 0
    assert seen[-1] == 1
    assert run.result.is_finishing
    assert run.result.num_done == 2  # before the last part


class FakeRender:
    """A render of Blender's that goes on until it is told to end."""

    what = "the walls"
    is_ended_by_hand = is_over = has_begun = False

    def begin(self):
        self.has_begun = True

    def is_done(self):
        return self.is_over


class RenderedSolve(FakeSolve):
    def read(self, part):
        self.render = FakeRender()
        try:
            yield self.render
        finally:
            self.log.append("cleaned")
        super().read(part)


def test_run_goes_on_once_what_it_needs_is_rendered(thing):
    solve = RenderedSolve("Thing")
    run = live.Run(some_result(solve))

    assert all(run.tick() for _ in range(5))

    assert solve.render.has_begun
    assert solve.log == []
    assert result_panel.describe_step(run.result) == "Cycles renders the walls"
    solve.render.is_over = True
    drained(run)
    assert solve.log == ["cleaned", ("read", 1), ("keep", 1), ("finish", "")]
    assert run.result.rendered == ""


def test_a_render_that_the_user_ends_ends_the_solve(operator):
    operator.solve_class = RenderedSolve
    operator.start()
    operator.send("TIMER", "NOTHING")
    render = operator.run.result.solve.render
    render.is_over = render.is_ended_by_hand = True

    assert operator.send("TIMER", "NOTHING") == {"CANCELLED"}

    assert "restore" in operator.run.result.solve.log
    assert results.find("pose", bpy.context.scene) is None


def test_what_a_render_needs_stays_until_blender_has_ended_it(operator):
    operator.solve_class = RenderedSolve
    operator.start()
    operator.send("TIMER", "NOTHING")
    solve = operator.run.result.solve
    reading = operator.run._reading

    operator.send("ESC")

    assert live._let_go(solve.render, reading) == live.RENDER_TICK
    assert "cleaned" not in solve.log
    solve.render.is_over = True
    assert live._let_go(solve.render, reading) is None
    assert "cleaned" in solve.log


def test_tick_does_not_wait_for_a_step_that_takes_long(thing):
    may_go_on = threading.Event()

    class SlowSolve(FakeSolve):
        def steps(self):
            may_go_on.wait(20)
            yield from super().steps()

    run = live.Run(some_result(SlowSolve("Thing")))
    started = time.perf_counter()

    for _ in range(10):
        assert run.tick()

    assert time.perf_counter() - started < 0.05 * 10  # the interface must not wait 50 ms
    assert run.result.steps == []
    may_go_on.set()
    drained(run)
    assert len(run.result.steps) == 3


def test_tick_solves_as_many_frames_of_a_range_as_it_has_time_for(thing, monkeypatch):
    monkeypatch.setattr(live, "RANGE_TICK", 20.0)  # seconds, which three frames without a problem do not take
    solve = FakeSolve("Thing", parts=(1, 2, 3))
    run = live.Run(some_result(solve))

    assert not run.tick()

    assert solve.log == [*((what, part) for part in (1, 2, 3) for what in ("read", "keep")), ("finish", "")]
    assert [len(steps) for steps in run.result.steps_of.values()] == [3, 3, 3]
    run.stop()


def test_tick_shows_a_step_for_the_time_that_is_set(thing):
    run = live.Run(some_result(FakeSolve("Thing")), seconds_per_step=0.05)
    started = time.perf_counter()

    drained(run)

    assert time.perf_counter() - started > 2 * 0.05


def test_modal_finishes_with_a_report_when_all_steps_were_shown(operator, thing):
    operator.start()

    answer = operator.drain({"FINISHED"})

    assert answer == {"FINISHED"}
    assert operator.messages == [("INFO", "Good: Solved. It fits.")]
    result = results.find("pose", bpy.context.scene)
    assert result.report["iou"] == 0.9
    assert bpy.context.scene.deep_feedback.pose.step == 3
    assert not results.is_running()


@pytest.mark.parametrize(("key", "ctrl"), [("ESC", False), ("RIGHTMOUSE", False), ("Z", True)])
def test_modal_puts_everything_back_when_cancelled(operator, thing, key, ctrl):
    operator.start()
    while thing.location.x == 0:
        operator.send("TIMER", "NOTHING")

    answer = operator.send(key, ctrl=ctrl)

    assert answer == {"CANCELLED"}
    assert thing.location.x == 0
    assert results.find("pose", bpy.context.scene) is None


def test_modal_reports_a_sentence_and_puts_everything_back_when_a_step_fails(operator, thing):
    operator.task = {"object": "Thing", "failing_step": 2}
    operator.start()

    answer = operator.drain({"CANCELLED"})

    assert answer == {"CANCELLED"}
    assert operator.messages == [("ERROR", "Solve Nothing: The step cannot be taken.")]
    assert thing.location.x == 0
    assert not results.is_running()


def solved_parts(operator, count):
    """Lets a solve of several frames go on until some of them are done."""
    operator.start()
    deadline = time.monotonic() + 20
    while operator.run.result.solve.log.count(("keep", count)) == 0 and time.monotonic() < deadline:
        operator.send("TIMER", "NOTHING")


@pytest.mark.parametrize("key", ["ESC", "RIGHTMOUSE"])
def test_modal_keeps_the_frames_that_are_done_when_it_is_ended(operator, thing, key):
    operator.task = {"object": "Thing", "parts": (1, 2, 3, 4)}
    solved_parts(operator, 2)

    answer = operator.send(key)

    assert answer == {"FINISHED"}  # one undo step
    assert operator.run.result.solve.log[-1] == ("finish", "It was ended by hand.")
    assert results.find("pose", bpy.context.scene).report is not None
    assert not results.is_running()


def test_modal_keeps_the_frames_that_are_done_when_one_fails(operator, thing):
    operator.task = {"object": "Thing", "parts": (1, 2, 3), "failing_part": 3}
    operator.start()

    answer = operator.drain({"FINISHED", "CANCELLED"})

    assert answer == {"FINISHED"}
    assert operator.run.result.solve.log[-1] == ("finish", "The step cannot be taken.")


def test_execute_keeps_the_frames_that_are_done_when_one_fails(operator, thing):
    operator.task = {"object": "Thing", "parts": (1, 2, 3), "failing_part": 3}

    assert operator.execute(bpy.context) == {"FINISHED"}

    solve = results.find("pose", bpy.context.scene).solve
    assert [entry for entry in solve.log if entry[0] != "read"] == [
        ("keep", 1),
        ("keep", 2),
        ("finish", "The step cannot be taken."),
    ]


@pytest.mark.parametrize("is_live", [True, False])
def test_a_part_without_a_picture_is_left_out(operator, thing, is_live):
    operator.task = {"object": "Thing", "parts": (1, 2, 3), "missing": (1, 3)}
    if is_live:
        operator.start()
        operator.drain({"FINISHED"})
    else:
        operator.execute(bpy.context)

    log = results.find("pose", bpy.context.scene).solve.log
    skipped = [("skip", part, "There is no picture.") for part in (1, 3)]
    assert log == [("read", 1), skipped[0], ("read", 2), ("keep", 2), ("read", 3), skipped[1], ("finish", "")]


@pytest.mark.parametrize("is_live", [True, False])
def test_a_part_that_is_not_done_is_read_and_solved_again(operator, thing, is_live):
    operator.task = {"object": "Thing", "parts": (1, 2), "rounds": 2}
    if is_live:
        operator.start()
        operator.drain({"FINISHED"})
    else:
        operator.execute(bpy.context)

    log = results.find("pose", bpy.context.scene).solve.log
    assert log == [*[("read", 1), ("keep", 1)] * 2, *[("read", 2), ("keep", 2)] * 2, ("finish", "")]


def test_the_window_stays_alive_while_the_result_is_measured(operator, thing):
    solved_parts(operator, 1)
    log = operator.run.result.solve.log
    while not operator.run.is_finishing:
        operator.send("TIMER", "NOTHING")

    assert log[-1] == ("keep", 1)
    assert operator.send("TIMER", "NOTHING") == {"PASS_THROUGH"}
    assert log[-1] == ("keep", 1)
    assert operator.send("TIMER", "NOTHING") == {"FINISHED"}
    assert log[-1] == ("finish", "")


def test_esc_while_the_result_is_measured_keeps_all(operator, thing):
    solved_parts(operator, 1)
    while not operator.run.is_finishing:
        operator.send("TIMER", "NOTHING")

    assert operator.send("ESC", "PRESS") == {"FINISHED"}
    assert operator.run.result.solve.log[-1] == ("finish", "")


def test_saving_keeps_the_frames_that_are_done(operator, thing, tmp_path):
    operator.task = {"object": "Thing", "parts": (1, 2, 3, 4)}
    solved_parts(operator, 2)

    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"), copy=True)

    assert operator.run.result.solve.log[-1] == ("finish", "The file was saved before all were.")
    assert operator.send("TIMER", "NOTHING") == {"FINISHED"}


def test_saving_puts_back_what_is_half_solved(operator, thing, tmp_path):
    operator.start()
    while thing.location.x == 0:
        operator.send("TIMER", "NOTHING")

    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"), copy=True)

    with bpy.data.libraries.load(str(tmp_path / "scene.blend")) as (_, loaded):
        loaded.objects = ["Thing"]
    assert loaded.objects[0].location.x == 0
    assert operator.send("TIMER", "NOTHING") == {"CANCELLED"}


def test_modal_reports_a_sentence_when_the_object_is_deleted_meanwhile(operator, thing):
    operator.start()
    bpy.data.objects.remove(thing)

    answer = operator.drain({"CANCELLED"})

    assert answer == {"CANCELLED"}
    assert operator.messages == [("ERROR", "Solve Nothing: 'Thing' is gone.")]


def test_modal_ends_when_a_file_is_loaded(operator):
    operator.start()
    operator.send("TIMER", "NOTHING")

    bpy.ops.wm.read_factory_settings(use_empty=True)

    assert operator.send("TIMER", "NOTHING") == {"CANCELLED"}
    assert results.shown() is None


def test_modal_ends_when_something_is_undone(operator, thing):
    bpy.ops.ed.undo_push(message="first")
    bpy.ops.ed.undo_push(message="second")
    operator.start()
    operator.send("TIMER", "NOTHING")

    bpy.ops.ed.undo()

    assert operator.send("TIMER", "NOTHING") == {"CANCELLED"}
    assert bpy.data.objects["Thing"].location.x == 0


def test_modal_lets_navigation_pass_and_nothing_else(operator):
    operator.start()

    assert operator.send("MIDDLEMOUSE") == {"PASS_THROUGH"}
    assert operator.send("X") == {"RUNNING_MODAL"}


def test_modal_takes_back_and_raises_when_the_mistake_is_ours(operator, thing, monkeypatch):
    operator.start()
    monkeypatch.setattr(FakeSolve, "apply", lambda self, step: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        operator.drain({"CANCELLED"})

    assert not results.is_running()
    assert operator.send("TIMER") == {"CANCELLED"}


def test_cancel_takes_back_when_blender_closes_the_window(operator, thing):
    operator.start()
    while thing.location.x == 0:
        operator.send("TIMER", "NOTHING")

    operator.cancel(bpy.context)

    assert thing.location.x == 0


def test_execute_solves_at_once(operator, thing):
    assert operator.execute(bpy.context) == {"FINISHED"}

    assert thing.location.x == 2
    assert operator.messages == [("INFO", "Good: Solved. It fits.")]


def test_execute_takes_back_when_a_step_fails(operator, thing):
    operator.task = {"object": "Thing", "failing_step": 2}

    assert operator.execute(bpy.context) == {"CANCELLED"}

    assert thing.location.x == 0
    assert operator.messages == [("ERROR", "Solve Nothing: The step cannot be taken.")]


@pytest.mark.parametrize("how", ["execute", "fails", "esc"])
def test_result_before_a_solve_that_is_taken_back_can_still_be_reset(how, operator, thing):
    operator.execute(bpy.context)
    before = results.find("pose", bpy.context.scene)
    operator.task = {"object": "Thing", "failing_step": 2}

    if how == "execute":
        operator.execute(bpy.context)
    else:
        operator.start()
        operator.send("ESC") if how == "esc" else operator.drain({"CANCELLED"})

    assert results.find("pose", bpy.context.scene) is before
    assert bpy.ops.deep_feedback.reset_result(problem="pose") == {"FINISHED"}
    assert thing.location.x == 0
    assert results.find("pose", bpy.context.scene) is None


def test_undo_finds_the_last_results_again_and_older_ones_are_let_go(operator):
    records = []
    for _ in range(results.KEPT + 1):
        operator.execute(bpy.context)
        records.append((bpy.context.scene.deep_feedback.pose.record, results.find("pose", bpy.context.scene)))

    for number, (record, result) in enumerate(records):
        bpy.context.scene.deep_feedback.pose.record = record  # as undo does

        assert results.find("pose", bpy.context.scene) is (result if number else None)


def test_result_stays_with_a_scene_that_is_renamed(operator, thing):
    operator.execute(bpy.context)
    bpy.context.scene.name = "Another"
    bpy.data.scenes.new("Scene")

    assert results.find("pose", bpy.context.scene).seen_in(bpy.context.scene) is not None
    assert bpy.ops.deep_feedback.reset_result(problem="pose") == {"FINISHED"}
    assert thing.location.x == 0


def test_status_bar_names_the_keys_that_end_the_run(thing):
    said = []
    run, workspace = live.Run(some_result(FakeSolve("Thing"))), SimpleNamespace(status_text_set=said.append)

    for rendered in ("", "", "the walls", "the walls", ""):
        run.result.rendered = rendered
        run.say_keys(workspace, "Solve")

    assert said == [
        f"Solve: {keys} ends it and puts everything back" for keys in ("Esc or right click", "Esc", "Esc or right click")
    ]


def test_slider_replays_a_step_and_stays_within_them(operator, thing):
    operator.execute(bpy.context)
    settings = bpy.context.scene.deep_feedback.pose

    settings.step = 2
    assert thing.location.x == 1
    settings.step = 100

    assert settings.step == 3
    assert thing.location.x == 2


def test_slider_says_why_when_the_object_is_gone(operator, thing):
    operator.execute(bpy.context)
    bpy.data.objects.remove(thing)

    bpy.context.scene.deep_feedback.pose.step = 1

    assert results.find("pose", bpy.context.scene).notice == "'Thing' is gone."


def test_result_is_seen_at_the_frames_that_were_solved(operator):
    scene = bpy.context.scene
    operator.task = {"object": "Thing", "parts": (1, 2)}
    operator.execute(bpy.context)
    result = results.find("pose", scene)
    first, last = result.steps_of.values()
    assert result.seen_in(scene) is last[-1]

    scene.frame_set(1)
    assert result.seen_in(scene) is first[-1]
    scene.deep_feedback.pose.step = 2
    assert result.seen_in(scene) is first[1]
    scene.frame_set(7)
    assert result.seen_in(scene) is None
    assert result.seen_in(bpy.data.scenes.new("Other")) is None


def test_slider_replays_the_frame_that_the_scene_shows(operator, thing):
    scene = bpy.context.scene
    operator.task = {"object": "Thing", "parts": (1, 2)}
    operator.execute(bpy.context)
    scene.frame_set(1)

    scene.deep_feedback.pose.step = 1

    assert scene.frame_current == 1
    assert thing.location.x == 0
    scene.frame_set(7)
    scene.deep_feedback.pose.step = 2
    assert scene.frame_current == 1  # the last one that was looked at


def test_earlier_frames_keep_the_lines_of_their_last_step_only(operator):
    class LineSolve(FakeSolve):
        def steps(self):
            for step in super().steps():
                yield dataclasses.replace(step, image_lines=lines([[0, 0], [1, 1]]))

    operator.solve_class, operator.task = LineSolve, {"object": "Thing", "parts": (1, 2)}
    operator.execute(bpy.context)

    first, last = results.find("pose", bpy.context.scene).steps_of.values()
    assert [len(step.image_lines) for step in (*first, *last)] == [0, 0, 1, 1, 1, 1]


def test_result_is_forgotten_when_a_file_is_loaded(operator):
    operator.execute(bpy.context)

    bpy.ops.wm.read_factory_settings(use_empty=True)

    assert results.find("pose", bpy.context.scene) is None


def test_result_is_not_that_of_another_scene(operator):
    operator.execute(bpy.context)

    assert results.find("pose", bpy.data.scenes.new("Other")) is None
