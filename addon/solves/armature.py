# SPDX-License-Identifier: GPL-3.0-or-later
"""Solve Armature: turns bones until their joints are at their targets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

import bpy
import numpy as np

from solver_core.errors import ObservationError, SetupError
from solver_core.problems.inverse_kinematics.names.mapping import Matching
from solver_core.problems.inverse_kinematics.setup import KinematicSetup
from solver_core.problems.inverse_kinematics.skeleton.kinematics import forward_kinematics, local_rotations
from solver_core.problems.inverse_kinematics.skeleton.rest_pose import RestPose
from solver_core.problems.inverse_kinematics.solve import (
    KinematicResult,
    KinematicSession,
)
from solver_core.problems.inverse_kinematics.solver.guide import Trained
from solver_core.problems.inverse_kinematics.solver.orientations import carried_orientations
from solver_core.problems.inverse_kinematics.solver.start import nearest_rotation
from solver_core.problems.inverse_kinematics.verdict import judge
from solver_core.solution import Judgement

from ..bridge.armature import (
    LocalPose,
    Muted,
    check_armature,
    key_pose,
    local_pose,
    mute,
    node_names,
    pulling_bones,
    read_joints,
    read_limits,
    read_pose_matrix,
    read_rest,
    unmute,
    write_pose,
)
from ..bridge.controls import Control, find_controls, pose_controls
from ..bridge.holds import animation_holds, bone_holds, bone_limits, nla_holds
from ..bridge.keyframes import Keys, require_keyable
from ..bridge.moment import Moment
from ..bridge.scene import Handle, as_played, evaluate, find_object, require_editable, show_frame
from ..bridge.transform import read_channels, rotation_channel, world_matrix, write_channels
from ..options import as_in_panel
from .armature_chain import Chain, build_chain, metres_per_unit
from .armature_inputs import Inputs
from .armature_source import TargetSource, frames_to_solve
from .armature_task import ArmatureOptions, ArmatureTask
from .bone_map import (
    check_rows,
    control_rows,
    match_bones,
    node_targets,
    node_weights,
    rows_of,
    single_targets,
    targets_of_nodes,
)
from .found import BoneMotion, FoundRotations
from .measured import farthest, joint_gap, judge_gap, sentence
from .solve import Step, mean_milliseconds

TOLERANCE = 1e-3  # metres by which a joint in the scene may be elsewhere than was solved
SAME_SIZE = 1e-6  # share by which sizes differ that are not the same
MOST_MEASURED = 250  # frames of a range that are looked at: what moves a joint does so in most frames


class PoseAnswer(NamedTuple):
    """A frame's pose.  rotations: (J, 4) wxyz of the skeleton's joints.  root: (3,) metres."""

    rotations: np.ndarray
    root: np.ndarray


@dataclass(eq=False)
class ArmatureSolve:
    """See solves/solve.py.  The whole range is one part; steps are shown at the scene's current frame.

    Keyframes are set on the mapped bones and on those between them, which have to turn as well, and on no others.
    """

    scene: Handle
    task: ArmatureTask
    frames: tuple[int, ...]
    moment: Moment  # before the solve
    source: TargetSource
    armature: Handle
    seen: Handle  # the armature whose joints are to be at the targets; where it copies another one, that one is posed
    seen_nodes: dict[str, str]  # its nodes by the names of those that are posed
    controls: list[Control]  # that hold the solved bones
    chain: Chain
    channels: dict[str, dict[str, tuple[float, ...]]]
    notices: list[str]
    matching: Matching | None
    muted: list[Muted] = field(default_factory=list)
    inputs: Inputs | None = None
    session: KinematicSession | None = None
    result: KinematicResult | None = None
    has_kept: bool = False
    error: np.ndarray | None = None  # (F, N) metres from the targets in the scene, nan where none is given
    judgement: Judgement | None = None
    keys: dict[str, Keys] = field(default_factory=dict)  # of bones, before any were set

    @classmethod
    def gather(cls, scene: bpy.types.Scene, task: ArmatureTask) -> Self:
        seen = find_object(scene, task.armature, "armature")
        check_armature(seen)
        source = TargetSource.open(scene, task)
        frames, notices = frames_to_solve(scene, task, source)
        matching = None if task.bones else match_bones(scene, task)
        rows = task.bones if matching is None else rows_of(matching)
        check_rows(rows, node_names(seen), source.names(scene), task)
        rows = tuple(row for row in rows if row.weight > 0)
        armature, seen_nodes = seen, {row.bone: row.bone for row in rows}
        if source.file is not None:
            notices += [f"The file: {notice}." for notice in source.file.notices]
        if matching is not None:
            notices += map(sentence, matching.notices)
        if not task.options.mute:
            armature, seen_nodes, rows = control_rows(seen, rows)
        if any(node != name for node, name in seen_nodes.items()) or armature != seen:
            matching = None  # it is of the bones that copy the others
            notices.append(f"The bones that the mapped ones copy were posed, in '{armature.name}'.")
        if armature.name == task.target_armature:
            raise SetupError(f"'{seen.name}' copies the target armature '{armature.name}' already: turn on Mute Constraints.")
        check_armature(armature)
        require_editable(armature)
        chain = build_chain(read_rest(armature), {row.bone for row in rows}, metres_per_unit(scene, armature))
        pulling, controls = pulling_bones(armature, chain.bones), []
        held = "" if task.options.mute else next(bone_holds(armature, [*chain.bones, *pulling]), "")
        if held:
            controls = [] if pulling else find_controls(armature, chain.bones)
            if not controls:
                raise SetupError(f"{held} The setting Mute Constraints does so for all bones.")
            listed = ", ".join(f"'{control.name}'" for control in controls)
            notices.append(f"The controls that hold solved bones were posed as well: {listed}.")
        posed = [*chain.bones, *(name for control in controls for name in control.names)]
        if task.is_range:
            for bone in map(armature.pose.bones.get, posed):
                require_keyable(bone, "location", rotation_channel(bone))
        channels = {name: read_channels(armature.pose.bones[name]) for name in posed}
        scaled = [name for name in chain.bones if not np.allclose(channels[name]["scale"], 1, atol=1e-4)]
        if scaled:
            notices.append(f"'{scaled[0]}' is scaled in its pose, which the solve does not see: clear the pose's scale.")
        return cls(
            Handle.of(scene),
            replace(task, bones=rows),
            frames,
            Moment.of(scene),
            source,
            Handle.of(armature),
            Handle.of(seen),
            seen_nodes,
            controls,
            chain,
            channels,
            notices,
            matching,
        )

    @property
    def parts(self) -> tuple[int, ...]:
        """The whole range is one part, named by its first frame."""
        return self.frames[:1]

    def read(self, part: int) -> tuple[()]:
        scene, task, chain = self.scene.require_scene(), self.task, self.chain
        armature = self.armature.require(scene)
        metres = metres_per_unit(scene, armature)
        rest = None if task.options.rest_frame is None else self._read_stance(scene, armature, task.options.rest_frame)
        standing = chain.skeleton if rest is None else RestPose.checked(chain.skeleton, rest).skeleton
        world_from_solve, parent_pose, targets, turned, names = [], [], [], [], targets_of_nodes(chain, task.bones)
        source = None if task.options.positions_only else self.source.skeleton(scene, {row.target for row in task.bones})
        parents = (armature.data.bones[name].parent for control in self.controls for name in control.names)
        above = {parent.name: [] for parent in parents if parent is not None and parent.name not in chain.bones}
        for frame in self.frames:
            if task.is_range:  # also at the current frame, which may not be as its animation plays it
                scene.frame_set(frame)
            depsgraph = evaluate(scene)
            parent = chain.root.parent
            pose = read_pose_matrix(depsgraph, armature, parent) if parent else np.eye(4)
            matrix = world_matrix(depsgraph, armature) @ pose @ np.linalg.inv(chain.rest_parent)
            points = self.source.read(scene, depsgraph, frame)
            in_world = node_targets(chain, names, points)
            targets.append(metres * ((in_world - matrix[:3, 3]) @ np.linalg.inv(matrix[:3, :3]).T))
            if source is not None:
                orientations = self.source.read_orientations(scene, depsgraph, frame, source)
                turned.append(nearest_rotation(matrix[None, :3, :3])[0].T @ orientations)
            world_from_solve.append(matrix)
            parent_pose.append(pose)
            for name, poses in above.items():
                poses.append(read_pose_matrix(depsgraph, armature, name))
        self.moment.restore()
        above = {name: np.stack(poses) for name, poses in above.items()}
        weights = node_weights(chain, task.bones)
        targets = np.stack(targets)
        root = chain.skeleton.root
        if not chain.is_floating:
            targets[:, root], weights[root] = metres * chain.root_head, 1
        ranges = None
        if task.options.use_limits:
            ranges = np.tile([-np.inf, np.inf], (chain.skeleton.num_nodes, 3, 1))
            ranges[chain.skeleton.joints] = [read_limits(armature, name) for name in chain.bones]
        if rest is not None and ranges is not None and np.isfinite(ranges).any():
            self.notices.append(
                "Limits count from the rest pose of the edit mode: with a rest pose of a frame they are not kept."
            )
        if rest is not None:
            ranges = None
        shown = self.frames.index(self.moment.frame) if self.moment.frame in self.frames else 0
        orientations = None
        if source is not None:
            node_of = single_targets(task.bones, source.names, chain.skeleton.names)
            orientations = carried_orientations(standing, source, np.stack(turned), node_of) if node_of else None
        matrices = np.stack(world_from_solve), np.stack(parent_pose)
        self.inputs = Inputs(targets, weights, ranges, *matrices, metres, shown, above, orientations, rest)
        self.muted += mute(armature, [*chain.bones, *pulling_bones(armature, chain.bones)])
        return ()

    def _read_stance(self, scene: bpy.types.Scene, armature: bpy.types.Object, frame: int) -> np.ndarray:
        """(N, 4) rotations of the skeleton as the armature is posed at a frame."""
        chain = self.chain
        scene.frame_set(frame)
        depsgraph = evaluate(scene)
        parent = chain.root.parent
        pose = read_pose_matrix(depsgraph, armature, parent) if parent else np.eye(4)
        armature_from_solve = pose @ np.linalg.inv(chain.rest_parent)
        turned = [
            read_pose_matrix(depsgraph, armature, name)[:3, :3] @ chain.rest[node].T
            for name, node in zip(chain.bones, chain.skeleton.joints, strict=True)
        ]
        orientations = nearest_rotation(np.linalg.inv(armature_from_solve[:3, :3]) @ np.stack(turned))
        rest = np.tile([1.0, 0, 0, 0], (chain.skeleton.num_nodes, 1))
        rest[chain.skeleton.joints] = local_rotations(chain.skeleton, orientations[None])[0]
        return rest

    def steps(self) -> Iterator[Step]:
        inputs, chain = self.inputs, self.chain
        setup = KinematicSetup.checked(
            inputs.targets,
            chain.skeleton,
            inputs.weights,
            limits=inputs.limits,
            trained=Trained.of(self.task.options.weights),
            limit_axes=chain.rest,
            orientations=inputs.orientations,
            rest=inputs.rest,
        )
        session = KinematicSession(replace(setup, matching=self.matching), self.task.options)
        self.session, shown = session, self.inputs.shown
        for number, step in enumerate(session):
            yield self._step(number, step.phase, step.x[shown], shown, step.energy, session.expected_steps)
        self.result = session.result()
        energy = float(np.nanmean(self.result.position_error))
        solved = self.result.rotations[shown, chain.skeleton.joints]
        yield self._step(len(session.history), "result", solved, shown, energy, len(session.history))

    def _step(self, index: int, phase: str, x: np.ndarray, shown: int, energy: float, count: int) -> Step:
        """A step with a pose x (J, 4) of one of the frames."""
        session, inputs = self.session, self.inputs
        pose, row = session.setup.from_own(x[None]), np.array([shown])
        root = session.root_of(pose, row)[0]
        points = inputs.to_world(session.setup.problem.forward(pose, row).positions[0] + root, shown)
        goals = inputs.to_world(inputs.targets[shown], shown)
        given = self._given
        return Step(
            self.parts[0],
            index,
            count,
            phase,
            energy,
            f"{100 * energy:.2f} cm",
            PoseAnswer(x, root),
            session.seconds,
            world_lines=np.float32(np.stack([points, goals], axis=1)[given]),
            world_points=np.float32(points),
            observed_points=np.float32(goals[given]),
            frame=self.frames[shown],
        )

    def step_at(self, step: Step, frame: int) -> Step | None:
        shown = frame - self.frames[0]
        if not 0 <= shown < len(self.frames):
            return None
        history = self.session.history
        x = history[step.index].x if step.index < len(history) else None  # long motions keep the last ones only
        x = self.result.rotations[:, self.chain.skeleton.joints] if x is None else x
        return self._step(step.index, step.phase, x[shown], shown, step.energy, step.count)

    def apply(self, step: Step) -> None:
        scene, armature = self._find()
        show_frame(scene, step.shown_at)
        number = step.shown_at - self.frames[0]
        answer = step.answer
        pose = self._local_pose(armature, answer.rotations[None], answer.root[None], slice(number, number + 1))
        write_pose(armature, pose)

    def keep(self) -> bool:
        _, armature = self._find()
        write_pose(armature, self._solved_pose(armature, slice(self.inputs.shown, self.inputs.shown + 1)))
        self.has_kept = True
        return True

    def skip(self, error: ObservationError) -> bool:
        return False

    def finish(self, end: str = "") -> Iterator[None]:
        scene, armature = self._find()
        is_keyed = self.task.is_range or scene.tool_settings.use_keyframe_insert_auto
        if is_keyed:
            pose = self._solved_pose(armature, slice(None))
            for bone in (armature.pose.bones[name] for name in {*pose.rotations, *pose.locations}):
                self.keys[bone.name] = Keys.of(bone, "location", rotation_channel(bone))
            key_pose(armature, self.frames, pose)
            yield
        for_good = [one for one in self.muted if one.is_holding and self.task.options.mute]
        unmute(armature, [one for one in self.muted if one not in for_good])
        if for_good:
            bones = sorted({one.bone for one in for_good})
            listed = ", ".join(f"'{name}'" for name in bones[:3]) + (", ..." if len(bones) > 3 else "")
            self.notices.append(f"What held {listed} is muted: constraints or drivers.")
        yield from self._measure(scene, armature, is_keyed)
        self.moment.show()

    def restore(self) -> None:
        self.moment.restore()
        self.reset()

    def reset(self) -> list[str]:
        armature = self.armature.find(self.scene.find_scene())
        if armature is None:
            return []
        for name, keys in self.keys.items():
            if name in armature.pose.bones:
                keys.put_back(armature.pose.bones[name])
        for name, channels in self.channels.items():
            if name in armature.pose.bones:
                write_channels(armature.pose.bones[name], channels)
        unmute(armature, self.muted)
        return []

    def report(self) -> dict[str, Any]:
        result, steps = self.result, len(self.result.history)
        error_cm = 100 * self.error
        frame, node = np.unravel_index(np.nanargmax(error_cm), error_cm.shape)
        pose = self._solved_pose(self._find()[1], slice(0, 1))
        return {
            "verdict": self.judgement.verdict.value,
            "explanation": self.judgement.explanation,
            "reason": result.reason.value,
            "seconds": result.seconds,
            "steps": steps,
            "ms_per_step": mean_milliseconds(result.seconds, steps),
            "mean_cm": float(np.nanmean(error_cm)),
            "worst_cm": float(error_cm[frame, node]),
            "worst_frame": self.frames[frame],
            "worst_bone": self.chain.skeleton.names[node],
            "armature": self.armature.name,
            "turned": list(pose.rotations),
            "moved": list(pose.locations),
            "notices": self.notices + [as_in_panel(notice, ArmatureOptions) for notice in result.notices],
        }

    def found(self) -> FoundRotations:
        scene, armature = self._find()
        pose = self._solved_pose(armature, slice(None))
        frame_rate = scene.render.fps / scene.render.fps_base
        bones = {}
        for name, wxyz in pose.rotations.items():
            location = pose.locations.get(name)
            moved = None if location is None else tuple(map(tuple, location.tolist()))
            bones[name] = BoneMotion(tuple(map(tuple, wxyz.tolist())), moved)
        return FoundRotations(armature.name, self.inputs.metres, frame_rate, tuple(self.frames), bones)

    def _goals(self, number: int) -> np.ndarray:
        """(N, 3) what the joints are to meet at a frame, nan where that is not given: the targets at the skeleton's size."""
        targets = self.inputs.targets[number]
        return np.where(np.isfinite(targets), self.session.evidence.positions[number], targets)

    @property
    def _given(self) -> np.ndarray:
        """(N,) bool: nodes that have a target of the user's."""
        return node_weights(self.chain, self.task.bones) > 0

    def _find(self) -> tuple[bpy.types.Scene, bpy.types.Object]:
        scene = self.scene.require_scene()
        armature = self.armature.require(scene)
        check_armature(armature)
        return scene, armature

    def _measure(self, scene: bpy.types.Scene, armature: bpy.types.Object, is_keyed: bool) -> Iterator[None]:
        """Looks where the joints are in the scene: at every frame of a short range, and at some frames of a long one."""
        given, inputs, names, seen = self._given, self.inputs, self.chain.skeleton.names, self.seen.require(scene)
        solved, metres = np.where(given, self.result.position_error, np.nan), scene.unit_settings.scale_length
        at_own_size = solved.copy()  # as the solve measures, where it brings targets to the skeleton's size
        self.error = solved.copy()
        unkeyed = () if is_keyed else [armature.pose.bones[name] for name in self.channels]
        worst = np.nanargmax(np.nanmax(solved, axis=1))
        for number in {worst, *np.linspace(0, len(self.frames) - 1, min(len(self.frames), MOST_MEASURED)).astype(int)}:
            with as_played(scene, self.frames[number], unkeyed):
                joints = read_joints(evaluate(scene), seen)
            places = np.stack([joints[self.seen_nodes[names[node]]] for node in np.flatnonzero(given)])
            for error, goals in ((self.error, inputs.targets[number]), (at_own_size, self._goals(number))):
                off = places - inputs.to_world(goals, number)[given]
                error[number, given] = np.linalg.norm(off, axis=1) * metres
            yield
        self.judgement = Judgement(self.result.verdict, self.result.explanation)
        if farthest(at_own_size, solved)[1] > TOLERANCE:
            bones = [*pulling_bones(armature, self.chain.bones), *self.chain.bones]
            causes = [*(nla_holds if is_keyed else animation_holds)(armature), *bone_holds(armature, bones)]
            causes += bone_limits(armature, bones)
            verdict = judge(at_own_size, self.chain.skeleton).verdict
            self.judgement = judge_gap(verdict, joint_gap(names, self.frames, at_own_size, solved, "as was solved"), causes)
        elif abs(self.result.scale - 1) > SAME_SIZE and farthest(self.error, solved)[1] > TOLERANCE:
            cause = (
                f"The targets are those of a body {self.result.scale:.2f} times as large as the skeleton, which follows at its "
                f"own size: set their Scale under Placement to {self.task.target_scale / self.result.scale:.2f}, or Scale "
                "in the settings to 1."
            )
            gap = joint_gap(names, self.frames, self.error, solved, "as it is at the skeleton's size")
            self.judgement = judge_gap(self.result.verdict, gap, [cause])

    def _solved_pose(self, armature: bpy.types.Object, numbers: slice) -> LocalPose:
        rotations = self.result.rotations[numbers, self.chain.skeleton.joints]
        return self._local_pose(armature, rotations, self.result.root[numbers], numbers)

    def _local_pose(self, armature: bpy.types.Object, rotations: np.ndarray, root: np.ndarray, numbers: slice) -> LocalPose:
        """What the bones are set to.  rotations: (F, J, 4) of the skeleton's joints.  root: (F, 3) metres.  numbers: of the
        frames in the range.
        """
        chain, inputs = self.chain, self.inputs
        offsets = np.broadcast_to(chain.skeleton.offsets, (len(root), *chain.skeleton.offsets.shape))
        posture = forward_kinematics(chain.skeleton, offsets, rotations.astype(np.float64))
        parent_pose = inputs.parent_pose[numbers]
        armature_from_solve = parent_pose @ np.linalg.inv(chain.rest_parent)
        pose = {}
        for number, (name, node) in enumerate(zip(chain.bones, chain.skeleton.joints, strict=True)):
            matrix = np.tile(np.eye(4), (len(root), 1, 1))
            matrix[:, :3, :3] = posture.orientations[:, number] @ chain.rest[node]
            matrix[:, :3, 3] = (posture.positions[:, node] + root) / inputs.metres
            pose[name] = armature_from_solve @ matrix
        solved = local_pose(armature, pose, parent_pose, chain.is_floating)
        above = {name: poses[numbers] for name, poses in inputs.above.items()}
        controls = pose_controls(armature, self.controls, pose, above)
        return LocalPose(solved.rotations | controls.rotations, solved.locations | controls.locations)
