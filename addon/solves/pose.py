# SPDX-License-Identifier: GPL-3.0-or-later
"""Solve Pose: moves an object, or the camera, until the object's outline fills the silhouette."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple, Self

import bpy
import numpy as np

from solver_core import rotations
from solver_core.errors import ObservationError, SetupError
from solver_core.frames import Camera
from solver_core.options import option
from solver_core.problems.pose.photograph import PhotoSolution
from solver_core.problems.pose.setup import UP_AXES, PoseSetup
from solver_core.problems.pose.shots import MaskShot, PhotoShot
from solver_core.problems.pose.solve import PoseAlternative, PoseOptions, PoseSolution, PoseStep
from solver_core.problems.pose.track import Tracker, checked_setup
from solver_core.solution import Judgement, Verdict

from ..bridge import movie
from ..bridge.assembly import Trial, assembly_of, move, try_move
from ..bridge.camera import FLAT_LENSES, check_camera, read_camera_pose
from ..bridge.holds import animation_holds, holds, nla_holds, shape_holds
from ..bridge.image import Picture
from ..bridge.keyframes import Keys, require_keyable, set_keys
from ..bridge.matte import Mark
from ..bridge.moment import Moment
from ..bridge.scene import Handle, as_played, evaluate, find_object, require_editable, show_frame
from ..bridge.transform import (
    Placement,
    free_components,
    local_transform,
    read_channels,
    rotation_channel,
    rotation_values,
    split_rigid,
    world_matrix,
    write_channels,
)
from .found import FoundPose, FramePose, Intrinsics, Matrix, matrix
from .image_source import PASSES, ImageSource, MaskKey
from .measured import judge_end, judge_gap, sentence
from .observed import Observed
from .pose_view import PoseView, Things
from .solve import Step, frames_of, mean_milliseconds

IOU_TOLERANCE = 0.01  # by which the scene may differ from what was solved
LOST_SHARE = 0.9  # of the overlap that was solved: a scene that shows less shows another pose
SAME_SHAPE = 1e-4  # of an object's diagonal: how far vertices may be off in another frame
SAME_PLACE = 1e-5  # the same, where outlines must be the same to a hundredth of a pixel
MOST_REASONS = 4  # frames of a range whose reason the verdict names
MAX_ROUNDS = 4  # solves of one frame, where the object's shape changes as it moves


@dataclass(frozen=True)
class PoseTaskOptions(PoseOptions):
    """What a user may choose about a solve in Blender."""

    move: str = option(
        "OBJECT",
        "Move",
        "What is moved so that the object and its silhouette meet",
        choices={"OBJECT": "Moves and turns the object; the camera stays", "CAMERA": "Moves and turns the camera instead"},
    )
    from_photo: bool = option(
        False,
        "From Photo",
        "Takes the image for a plain photograph: mask and pose are found together, from about where the object stands",
    )
    follow: bool = option(
        True,
        "Follow Outline",
        "Follows the outline from frame to frame of a range, and solves in full only frames where that is not sure",
    )
    whole: bool = option(
        True,
        "Whole Object",
        "Takes all that belongs to the object as one thing: its children, the empties and armatures that hold it with "
        "theirs, and what these armatures deform",
    )


@dataclass(frozen=True)
class PoseTask:
    """object: a mesh or whatever has a surface, an empty that instances a collection or, with whole, that holds such things.

    box: left, top, right and bottom around the object in a photograph, in pixels of the picture, row 0 on top; a task with a
    box is solved from the photograph, whatever the option says.
    frame_start, frame_end: a range, with keyframes; without both the current frame is solved and no keyframe is set.
    backwards: solves a range from its end on.  as_animated: each frame of a range starts where its animation has it, not where
    the frame before ended.
    """

    object: str
    camera: str
    silhouette: ImageSource
    mask: MaskKey = field(default_factory=MaskKey)
    options: PoseTaskOptions = field(default_factory=PoseTaskOptions)
    frame_start: int | None = None
    frame_end: int | None = None
    box: tuple[float, float, float, float] | None = None
    backwards: bool = False
    as_animated: bool = False

    @property
    def is_range(self) -> bool:
        return self.frame_start is not None or self.frame_end is not None

    @property
    def is_from_photo(self) -> bool:
        return self.options.from_photo or self.box is not None


class PoseAnswer(NamedTuple):
    """A (4, 4) motion of the world from the placements on."""

    motion: np.ndarray
    placements: dict[Handle, Placement]


class _Kept(NamedTuple):
    """What a frame was solved to.

    motion: (4, 4) of the world, from the placements on.  iou: overlap as it was solved.  camera: that saw it, of frames in
    which the object has the shape that it had in the first.
    """

    solution: PoseSolution
    placements: dict[Handle, Placement]
    motion: np.ndarray
    iou: float
    camera: Camera | None

    def place(self, one: Handle) -> np.ndarray:
        """(4, 4) rigid world_from_thing."""
        return self.motion @ self.placements[one].world_from_thing


@dataclass(eq=False)
class PoseSolve:
    """See solves/solve.py.  A range warm starts each frame from the one before; its keyframes are set at the end.

    trial: how the scene answers when things are moved.  Where it does not as a rigid object would, a frame is solved again
    from where the last round ended, until the scene is as was solved; the round counts that the scene shows to be best.
    """

    scene: Handle
    task: PoseTask
    parts: tuple[int, ...]
    moment: Moment  # before the solve
    things: Things
    trial: Trial
    channels: dict[Handle, dict[str, tuple[float, ...]]]
    marks: tuple[Mark, ...]  # of the parts whose outline counts
    view: PoseView | None = None  # as the last part was read
    view_kept: PoseView | None = None  # that of the last part that is done
    rounds: list[tuple[float, _Kept]] = field(default_factory=list)  # of that, with the overlap in the scene
    kept: dict[int, _Kept] = field(default_factory=dict)
    unsolved: dict[int, str] = field(default_factory=dict)  # frames that were left out, with the reason
    solutions: list[PoseSolution] = field(default_factory=list)  # of all rounds of all frames
    iou: float = 0.0  # overlap of the last of them
    iou_before: dict[int, float] = field(default_factory=dict)
    judgements: dict[int, tuple[float, Judgement]] = field(default_factory=dict)  # of what was measured
    found_poses: list[FramePose] = field(default_factory=list)
    observed: dict[int, Observed] = field(default_factory=dict)  # by frame
    shape: np.ndarray | None = None  # (V, 3) of the object in the first part that was done
    tracker: Tracker | None = None  # since the last frame that was solved in full, of a range whose frames may be followed
    end: str = ""
    keys: dict[Handle, Keys] = field(default_factory=dict)  # before any were set

    @classmethod
    def gather(cls, scene: bpy.types.Scene, task: PoseTask) -> Self:
        parts = frames_of(scene, task.frame_start, task.frame_end)[:: -1 if task.backwards else 1]
        thing, camera = find_object(scene, task.object, "object"), find_object(scene, task.camera, "camera")
        check_camera(camera, FLAT_LENSES)
        assembly = assembly_of(scene, thing, camera, task.options.whole)
        if not assembly.parts:
            raise SetupError(f"'{thing.name}' has no faces that are visible: show it, or choose an object with a surface.")
        eye, is_camera_moved = Handle.of(camera), task.options.move == "CAMERA"
        moved = (eye,) if is_camera_moved else assembly.movers
        for one in (handle.require(scene) for handle in moved):
            require_editable(one)
            if task.is_range:
                require_keyable(one, "location", rotation_channel(one))
        followers, still = ((), assembly.parts) if is_camera_moved else (assembly.parts, (eye,))
        trial = try_move(scene, moved, followers, still)
        things = Things(eye, moved, trial.parts or assembly.parts, assembly.movers[0])
        channels = {one: read_channels(one.require(scene)) for one in moved}
        marks = tuple(Mark.of(one.require(scene)) for one in things.parts)
        return cls(Handle.of(scene), task, parts, Moment.of(scene), things, trial, channels, marks)

    def read(self, part: int) -> tuple[()]:
        scene = self.scene.require_scene()
        if self.task.is_range and not self.rounds:  # also at the current frame, which may not be as its animation plays it
            scene.frame_set(part)
        self.view = self._read(scene)
        if self.kept and not self.rounds and not self.task.as_animated:
            first = self.things.moved[0]
            self.view.start_from(first, list(self.kept.values())[-1].place(first))
        self.view.require_in_front()
        return ()

    def steps(self) -> Iterator[Step]:
        view, task, part = self.view, self.task, self._part
        is_photo = task.is_from_photo
        image = view.picture.shown_bytes() if is_photo else task.mask.coverage(view.picture, self.marks)
        if not is_photo:
            view.observe(image)
        solution = self._followed(view, image)
        if solution is not None:
            yield self._shown(0, 0, PoseStep("follow", solution.camera_from_object, 1 - solution.iou, solution.iou, 1.0, 0.0))
        else:
            session = view.photo_session(image, task.box, task.options) if is_photo else view.mask_session(image, task.options)
            for index, step in enumerate(session):
                yield self._shown(index, session.expected_steps - 1, step)
            solution = session.result()
            if isinstance(solution, PhotoSolution):
                view.observe(solution.mask)
            self._follow_from(view, image, solution)
        self.observed[part] = view.observed
        self.iou_before.setdefault(part, view.iou(view.observed, view.start))
        self.solutions.append(solution)
        self.iou = view.iou(view.observed, solution.camera_from_object)

    def apply(self, step: Step) -> None:
        scene = self.scene.require_scene()
        show_frame(scene, step.part)
        move(scene, step.answer.placements, step.answer.motion)

    def keep(self) -> bool:
        scene, part, solution = self.scene.require_scene(), self._part, self.solutions[-1]
        self.shape = self.view.mesh.vertices if self.shape is None else self.shape
        camera = self.view.seen.camera if _are_near(self.shape, self.view.mesh.vertices, SAME_PLACE) else None
        kept = _Kept(solution, self.view.placements, self.view.motion(solution.camera_from_object), self.iou, camera)
        move(scene, kept.placements, kept.motion)
        if self.trial.changes:
            view = self._blank(scene, part)
            iou = view.iou(self.observed[part], view.start)
            self.rounds.append((iou, kept))
            if iou < kept.iou - IOU_TOLERANCE and len(self.rounds) < MAX_ROUNDS:
                return False
            _, kept = max(self.rounds, key=lambda one: one[0])
            move(scene, kept.placements, kept.motion)
            self.rounds.clear()
        self.kept[part], self.view_kept = kept, self.view
        return True

    def skip(self, error: ObservationError) -> bool:
        if not self.task.is_range:
            return False
        self.unsolved[self._part] = sentence(str(error))
        self.rounds.clear()
        self.view = self.view_kept
        return True

    @property
    def has_kept(self) -> bool:
        return bool(self.kept)

    def finish(self, end: str = "") -> Iterator[None]:
        scene = self.scene.require_scene()
        if not self.kept:
            raise ObservationError(next(iter(self.unsolved.values())))
        if end or self.unsolved:
            number = f"{len(self.kept)} of {len(self.parts)} frames were solved and are kept."
            self.end = " ".join(filter(None, [number, *self._reasons(), end]))
        is_keyed = self.task.is_range or scene.tool_settings.use_keyframe_insert_auto
        if is_keyed:
            for one in self.things.moved:
                self.keys[one] = Keys.of(one.require(scene), "location", rotation_channel(one.require(scene)))
                self._key(one.require(scene), one)
        for frame, kept in sorted(self.kept.items()):
            with as_played(scene, frame, () if is_keyed else [one.require(scene) for one in self.things.moved]):
                view = self._blank(scene, frame)
                matrices = self._matrices(scene)
            yield
            iou = kept.iou if self._shows(view, kept) else view.iou(self.observed[frame], view.start)
            judgement = self._judge(scene, kept, iou, is_keyed)
            self.judgements[frame] = iou, judgement
            camera = None if view.seen.is_orthographic else view.seen.camera
            intrinsics = camera and Intrinsics(camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy)
            self.found_poses.append(FramePose(frame, judgement.verdict.value, iou, *matrices, intrinsics))
            yield
        movie.close()
        self.moment.show()

    def restore(self) -> None:
        movie.close()
        self.moment.restore()
        self.reset()

    def reset(self) -> list[str]:
        scene = self.scene.find_scene()
        for one, keys in self.keys.items():
            if one.find(scene) is not None:
                keys.put_back(one.find(scene))
        for one, channels in self.channels.items():
            thing = one.find(scene)
            if thing is not None:
                write_channels(thing, channels)
        return []

    def report(self) -> dict[str, Any]:
        steps = sum(len(solution.history) for solution in self.solutions)
        seconds = sum(solution.seconds for solution in self.solutions)
        severity = list(Verdict)
        worst = max(self.judgements.items(), key=lambda one: (severity.index(one[1][1].verdict), -one[1][0]))[0]
        _, judgement = self.judgements[worst]
        if self.task.is_range:
            judgement = judgement._replace(explanation=f"Frame {worst}: {judgement.explanation}")
        if self.end:
            judgement = judge_end(judgement, self.end)
        before, after = [self.iou_before[frame] for frame in self.judgements], [iou for iou, _ in self.judgements.values()]
        return {
            "verdict": judgement.verdict.value,
            "explanation": judgement.explanation,
            "reason": self.kept[worst].solution.reason.value,
            "seconds": seconds,
            "steps": steps,
            "ms_per_step": mean_milliseconds(seconds, steps),
            "iou_before": before if self.task.is_range else before[0],
            "iou": after if self.task.is_range else after[0],
            "worst_frame": worst,
            "frames": list(self.judgements),
            "unsolved": {str(frame): reason for frame, reason in self.unsolved.items()},
            "verdicts": [judgement.verdict.value for _, judgement in self.judgements.values()],
            "alternatives": [self._placed(choice) for choice in self._choices()],
            "moved": [one.name for one in self.things.moved],
            "counted": [one.name for one in self.things.parts],
            "notices": [
                *self.trial.notices,
                *self.view.seen.notices,
                *self.kept[worst].solution.notes,
            ],
        }

    def found(self) -> FoundPose:
        scale, task = self.scene.require_scene().unit_settings.scale_length, self.task
        return FoundPose("opengl", scale, task.object, task.camera, tuple(self.found_poses))

    def step_at(self, step: Step, frame: int) -> Step | None:
        return None

    def _shown(self, index: int, count: int, step: PoseStep) -> Step:
        """A step as the user may watch it."""
        view = self.view
        return Step(
            self._part,
            index,
            count,
            step.phase,
            step.energy,
            f"IoU {step.iou:.3f}",
            PoseAnswer(view.motion(step.camera_from_object), view.placements),
            step.seconds,
            image_lines=view.outline(step.camera_from_object),
            observed_lines=view.observed_lines,
        )

    def _follow_from(self, view: PoseView, image: np.ndarray, solution: PoseSolution) -> None:
        """Lets the next frames be followed from here, where things move as they are told and each from the frame before.

        image: of the frame, a mask or a photograph.
        """
        task = self.task
        if not task.is_range or not task.options.follow or task.as_animated or self.trial.changes:
            return
        setup = checked_setup(
            view.mesh.vertices, view.mesh.faces, view.seen.camera, solution.camera_from_object, UP_AXES[0], None
        )
        if isinstance(solution, PhotoSolution) and solution.verdict is not Verdict.BAD:
            shot = PhotoShot(setup, setup.camera, task.options)
            shot.begin(image, solution.mask >= 0.5)
            self.tracker = Tracker(setup, shot)
            self.tracker.surest = solution.confidence
        elif solution.verdict is Verdict.GOOD:
            self.tracker = Tracker(setup, MaskShot(setup, setup.camera, task.options))

    def _followed(self, view: PoseView, image: np.ndarray) -> PoseSolution | None:
        """The pose to which the outline leads from the frame before; None where it must be solved in full.

        Of a photograph, what counts as the object are the pixels of its colours around it; where they lead nowhere, the tracker
        itself solves in full.
        """
        tracker = self.tracker
        if tracker is None or not _is_same_shot(tracker.setup, view):
            return None
        tracked = tracker.track(self._number, image)
        if self.task.is_from_photo:
            view.observe(tracker.object_in(image))
        elif not (tracked.verdict is Verdict.GOOD or tracked.is_repaired):
            self.tracker = None
            return None
        found = {one.name: getattr(tracked, one.name) for one in fields(tracked) if hasattr(self.solutions[-1], one.name)}
        return replace(self.solutions[-1], **found, notes=[], history=[], alternatives=[])

    def _reasons(self) -> Iterator[str]:
        """Why frames were left out, in sentences."""
        reasons = list(self.unsolved.items())
        for frame, reason in reasons[:MOST_REASONS]:
            yield f"Frame {frame}: {reason}"
        others = [frame for frame, _ in reasons[MOST_REASONS:]]
        if len(others) == 1:
            yield f"Frame {others[0]} was not solved either."
        elif others:
            yield f"{len(others)} other frames, from {min(others)} to {max(others)}, were not solved either."

    @property
    def _number(self) -> int:
        """How many parts come before the first one that is not done."""
        return len(self.kept) + len(self.unsolved)

    @property
    def _part(self) -> int:
        """The first one that is not done."""
        return self.parts[self._number]

    def _read(self, scene: bpy.types.Scene) -> PoseView:
        with movie.kept_open():
            return PoseView.read(scene, self.things, self.task.silhouette, self.task.is_range)

    def _blank(self, scene: bpy.types.Scene, frame: int) -> PoseView:
        """The scene as it is before a picture as large as that of a frame."""
        return PoseView.of(scene, self.things, Picture.blank(*self.observed[frame].size))

    def _matrices(self, scene: bpy.types.Scene) -> tuple[Matrix, Matrix, Matrix, dict[str, Matrix]]:
        """The matrices of a FramePose, of the scene at its frame."""
        depsgraph = evaluate(scene)
        thing, camera = find_object(scene, self.task.object, "object"), self.things.camera.require(scene)
        world_from_object, _ = split_rigid(world_matrix(depsgraph, thing), thing.name)
        world_from_camera = read_camera_pose(depsgraph, camera, FLAT_LENSES)
        camera_from_object = np.linalg.solve(world_from_camera, world_from_object)
        moved = {one.name: matrix(world_matrix(depsgraph, one.require(scene))) for one in self.things.moved}
        return matrix(camera_from_object), matrix(world_from_object), matrix(world_from_camera), moved

    def _shows(self, view: PoseView, kept: _Kept) -> bool:
        """Whether the scene has the object exactly as a frame was solved, so that it need not be drawn to know the overlap."""
        if kept.camera is None or kept.camera != view.seen.camera:
            return False
        solved = _placed(self.shape, kept.solution.camera_from_object)
        return _are_near(solved, _placed(view.mesh.vertices, view.start), SAME_PLACE)

    def _judge(self, scene: bpy.types.Scene, kept: _Kept, iou: float, is_keyed: bool) -> Judgement:
        """The verdict on a frame: that of its solve, where the scene shows what was solved."""
        solution = kept.solution
        if abs(iou - kept.iou) <= IOU_TOLERANCE:
            return Judgement(solution.verdict, solution.explanation)
        things = [one.require(scene) for one in self.things.moved]
        causes = [sentence for thing in things for sentence in (nla_holds if is_keyed else animation_holds)(thing)]
        causes += self.trial.changes
        causes += [sentence for thing in things for sentence in holds(thing)]
        causes += shape_holds(part.require(scene) for part in self.things.parts)
        gap = f"the outlines overlap by {iou:.1%}, and not by {kept.iou:.1%} as was solved"
        return judge_gap(Verdict.BAD if iou < LOST_SHARE * kept.iou else solution.verdict, gap, causes)

    def _key(self, thing: bpy.types.Object, one: Handle) -> None:
        """Keyframes all frames that were kept, but for channels that are locked."""
        frames = sorted(self.kept)
        local = [local_transform(thing, kept.placements[one], kept.place(one)) for kept in map(self.kept.get, frames)]
        rotation = rotation_channel(thing)
        values = {
            "location": np.stack([each.location for each in local]),
            rotation: rotation_values(thing, np.stack([each.rotation for each in local])),
        }
        for channel, of_frames in values.items():
            set_keys(thing, channel, frames, of_frames, free_components(thing, channel))

    def _choices(self) -> list[PoseAlternative]:
        """The last frame's result and the other poses that explain its silhouette as well."""
        solution = list(self.kept.values())[-1].solution
        likeliest = 1 - sum(other.probability for other in solution.alternatives)
        choices = [PoseAlternative(solution.camera_from_object, solution.iou, likeliest), *solution.alternatives]
        view = self.view
        return [replace(choice, iou=view.iou(view.observed, choice.camera_from_object)) for choice in choices]

    def _placed(self, choice: PoseAlternative) -> dict[str, Any]:
        first = self.things.moved[0]
        world_from_moved = self.view.motion(choice.camera_from_object) @ self.view.placements[first].world_from_thing
        return {
            "iou": choice.iou,
            "probability": choice.probability,
            "location": world_from_moved[:3, 3].tolist(),
            "rotation_wxyz": rotations.wxyz_from_matrix(world_from_moved[:3, :3]).tolist(),
        }


def _is_same_shot(setup: PoseSetup, view: PoseView) -> bool:
    """Whether a frame differs from those before it in nothing but image and pose."""
    return setup.camera == view.seen.camera and _are_near(setup.mesh.vertices, view.unit.mesh.vertices, SAME_SHAPE)


def _are_near(some: np.ndarray, others: np.ndarray, share: float) -> bool:
    """Whether as many vertices (V, 3) are where others are, up to a share of the diagonal of their bounding box."""
    return some.shape == others.shape and np.abs(some - others).max() < share * np.linalg.norm(np.ptp(others, axis=0))


def _placed(vertices: np.ndarray, camera_from_object: np.ndarray) -> np.ndarray:
    """(V, 3) in the camera's frame."""
    return vertices @ camera_from_object[:3, :3].T + camera_from_object[:3, 3]


def preview_mask(
    scene: bpy.types.Scene, silhouette: ImageSource, mask: MaskKey, camera: str = "", thing: str = "", is_whole: bool = True
) -> np.ndarray:
    """(H, W) coverage or bool, row 0 on top: what the solve would take as the object.  Raises SolverError.

    camera: whose background it is, the scene's if not given.  thing: the object, for keys that know it by its name.
    """
    eye = scene.objects.get(camera, scene.camera)
    picture, marks = silhouette.read(scene, eye, scene.frame_current, is_range=False), ()
    if mask.key in PASSES:
        parts = assembly_of(scene, find_object(scene, thing, "object"), eye, is_whole).parts
        marks = tuple(Mark.of(one.require(scene)) for one in parts)
    return mask.coverage(picture, marks)
