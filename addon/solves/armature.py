# SPDX-License-Identifier: GPL-3.0-or-later
"""Solve Armature: turns bones until their joints are at their targets."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Self

import bpy
import numpy as np

from solver_core.errors import SetupError
from solver_core.problem import take
from solver_core.problems.inverse_kinematics.bvh import END_SITE
from solver_core.problems.inverse_kinematics.files import NamedTargets, read_targets
from solver_core.problems.inverse_kinematics.kinematics import forward_kinematics
from solver_core.problems.inverse_kinematics.mapping import match_targets, skeleton_mapping
from solver_core.problems.inverse_kinematics.skeleton import Skeleton
from solver_core.problems.inverse_kinematics.solve import (
    KinematicResult,
    KinematicSettings,
    KinematicSetup,
    KinematicSolving,
)

from ..bridge.armature import (
    RestBone,
    check_armature,
    find_collection,
    key_pose,
    mute_constraints,
    pulling_bones,
    read_collection,
    read_joints,
    read_limits,
    read_pose_matrix,
    read_rest,
    unmute_constraints,
    write_pose,
)
from ..bridge.scene import evaluate, find_object, find_scene, require_editable, require_keyable
from ..bridge.transform import animation_notices, read_channels, world_matrix, write_channels
from .solve import NO_IMAGE_LINES, Step, frames_of, mean_milliseconds

USUAL_STEPS = 20  # for "step 3/20" only
Y_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # world_from_file where y points up in the file


@dataclass(frozen=True)
class BoneTarget:
    """A target and the bone whose head should be there; "<bone>_end" is the tail of a bone without children."""

    target: str
    bone: str
    weight: float = 1.0


@dataclass(frozen=True)
class ArmatureTask:
    """source: COLLECTION (of empties), ARMATURE or FILE (.bvh or .csv, y up unless up is "Z", first frame at frame_start).

    bones: empty = found by the names.  smooth: frames.  Without frame_start and frame_end only the current frame is solved,
    and no keyframe is set.
    """

    armature: str
    source: str = "COLLECTION"
    collection: str = ""
    target_armature: str = ""
    file: str = ""
    bones: tuple[BoneTarget, ...] = ()
    refine: bool = True
    smooth: float = 0.0
    frame_start: int | None = None
    frame_end: int | None = None
    use_limits: bool = True
    up: str = "Y"

    @property
    def is_range(self) -> bool:
        return self.frame_start is not None or self.frame_end is not None


class _Chain(NamedTuple):
    """The bones that take part, as a skeleton whose nodes are heads and, with END_SITE, tails; in metres.

    root: the bone at its top; rest_parent: (4, 4) its parent at rest.  rest: (N, 3, 3) frames of the bones at rest.
    root_head: (3,) in the armature's space.  is_floating: whether the root's head moves.
    """

    skeleton: Skeleton
    root: RestBone
    rest_parent: np.ndarray
    rest: np.ndarray
    root_head: np.ndarray
    is_floating: bool

    @property
    def bones(self) -> tuple[str, ...]:
        """Those that turn, parents first."""
        return self.skeleton.joint_names

    @property
    def moved(self) -> str:
        """The bone whose head moves, or ""."""
        return self.root.name if self.is_floating else ""


class _Inputs(NamedTuple):
    """What was read.  targets: (F, N, 3) metres in the space of the solve, which is the armature's as if the root's parent
    were at rest.  weights: (N,).  limits: (N, 3, 2).  world_from_solve, parent_pose: (F, 4, 4), without metres.  metres: of a
    unit of the armature.  shown: number of the frame that steps are shown at.
    """

    targets: np.ndarray
    weights: np.ndarray
    limits: np.ndarray | None
    world_from_solve: np.ndarray
    parent_pose: np.ndarray
    metres: float
    shown: int

    def to_world(self, points: np.ndarray, frame: int) -> np.ndarray:
        """(..., 3) from metres in the space of the solve."""
        matrix = self.world_from_solve[frame]
        return points / self.metres @ matrix[:3, :3].T + matrix[:3, 3]


class PoseAnswer(NamedTuple):
    """A frame's pose.  rotations: (J, 4) wxyz of the skeleton's joints.  root: (3,) metres."""

    rotations: np.ndarray
    root: np.ndarray


@dataclass(eq=False)
class ArmatureSolve:
    """See solves/solve.py.  The whole range is one part; steps are shown at the scene's current frame.

    Keyframes are set on the mapped bones and on those between them, which have to turn as well, and on no others.
    """

    scene: str
    task: ArmatureTask
    frames: tuple[int, ...]
    frame: int
    source: _Source
    chain: _Chain
    channels: dict[str, dict[str, tuple[float, ...]]]
    notices: list[str]
    muted: list[tuple[str, str]] = field(default_factory=list)
    inputs: _Inputs | None = None
    result: KinematicResult | None = None
    title = "Solve Armature"

    @classmethod
    def gather(cls, scene: bpy.types.Scene, task: ArmatureTask) -> Self:
        armature = find_object(scene, task.armature, "armature")
        check_armature(armature)
        require_editable(armature)
        if task.is_range:
            require_keyable(armature)
        source = _Source.open(scene, task)
        frames, notices = _frames(scene, task, source)
        bones, rows = read_rest(armature), task.bones or guess_bones(scene, task)
        nodes = {*bones, *(name + END_SITE for name in bones.keys() - {bone.parent for bone in bones.values()})}
        _check_rows(rows, nodes, source.names(scene), task)
        chain = _build_chain(bones, {row.bone for row in rows if row.weight > 0}, _metres(scene, armature))
        rows = tuple(row for row in rows if row.weight > 0)
        task = replace(task, bones=rows)
        channels = {name: read_channels(armature.pose.bones[name]) for name in chain.bones}
        scaled = [name for name in chain.bones if not np.allclose(channels[name]["scale"], 1, atol=1e-4)]
        if scaled:
            notices.append(f"'{scaled[0]}' is scaled in its pose, which the solve does not see: clear the pose's scale.")
        if not task.is_range:
            notices += animation_notices(armature)
        return cls(scene.name, task, frames, scene.frame_current, source, chain, channels, notices)

    @property
    def parts(self) -> tuple[int, ...]:
        """The whole range is one part, named by its first frame."""
        return self.frames[:1]

    def read(self, part: int) -> None:
        scene, task, chain = find_scene(self.scene), self.task, self.chain
        armature = find_object(scene, task.armature, "armature")
        metres = _metres(scene, armature)
        world_from_solve, parent_pose, targets = [], [], []
        for frame in self.frames:
            if scene.frame_current != frame:
                scene.frame_set(frame)
            depsgraph = evaluate(scene)
            parent = chain.root.parent
            pose = read_pose_matrix(depsgraph, armature, parent) if parent else np.eye(4)
            matrix = world_matrix(depsgraph, armature) @ pose @ np.linalg.inv(chain.rest_parent)
            points = self.source.read(scene, depsgraph, frame)
            in_world = _node_targets(chain, task.bones, points)
            targets.append(metres * ((in_world - matrix[:3, 3]) @ np.linalg.inv(matrix[:3, :3]).T))
            world_from_solve.append(matrix)
            parent_pose.append(pose)
        if scene.frame_current != self.frame:
            scene.frame_set(self.frame)
        weights = _node_weights(chain, task.bones)
        targets = np.stack(targets)
        root = chain.skeleton.root
        if not chain.is_floating:
            targets[:, root], weights[root] = metres * chain.root_head, 1
        ranges = None
        if task.use_limits:
            ranges = np.tile([-np.inf, np.inf], (chain.skeleton.num_nodes, 3, 1))
            ranges[chain.skeleton.joints] = [read_limits(armature, name) for name in chain.bones]
        shown = self.frames.index(self.frame) if self.frame in self.frames else 0
        self.inputs = _Inputs(targets, weights, ranges, np.stack(world_from_solve), np.stack(parent_pose), metres, shown)
        self.muted += mute_constraints(armature, [*chain.bones, *pulling_bones(armature, chain.bones)])

    def steps(self) -> Iterator[Step]:
        inputs, chain = self.inputs, self.chain
        setup = KinematicSetup.checked(
            inputs.targets, chain.skeleton, inputs.weights, limits=inputs.limits, limit_axes=chain.rest
        )
        solving = KinematicSolving(setup, KinematicSettings(self.task.refine, self.task.smooth))
        frame = np.array([inputs.shown])
        observation = take(setup.request.observation, frame)

        def show(index: int, phase: str, x: np.ndarray, energy: float) -> Step:
            posture = setup.problem.forward(x[frame], frame)
            shift = setup.problem.shift(observation.positions - posture.positions, observation)
            root = (setup.request.origin[frame] + shift)[0]
            points = inputs.to_world(posture.positions[0] + root, inputs.shown)
            goals = inputs.to_world(inputs.targets[inputs.shown], inputs.shown)
            return Step(
                self.parts[0],
                index,
                max(index, USUAL_STEPS),
                phase,
                energy,
                f"{100 * energy:.2f} cm",
                PoseAnswer(x[inputs.shown], root[0]),
                time.perf_counter() - solving.started,
                world_lines=np.float32(np.stack([points, goals], axis=1)[self._given]),
                world_points=np.float32(points),
            )

        for index, iteration in enumerate(solving.steps()):
            yield show(index, solving.phase, iteration.x, float(iteration.energy.mean()))
        self.result = solving.result()
        energy = float(np.nanmean(self.result.position_error))
        yield show(len(solving.history), "result", self.result.rotations[:, chain.skeleton.joints], energy)

    def apply(self, step: Step) -> None:
        scene, armature = self._find()
        frame = self.frames[self.inputs.shown]
        if scene.frame_current != frame:
            scene.frame_set(frame)
        self._write(armature, step.answer, self.inputs.shown)

    def keep(self) -> None:
        scene, armature = self._find()
        joints = self.chain.skeleton.joints
        for number, frame in enumerate(self.frames):
            answer = PoseAnswer(self.result.rotations[number, joints], self.result.root[number])
            self._write(armature, answer, number)
            if self.task.is_range:
                key_pose(armature, self.chain.bones, self.chain.moved, frame)
        unmute_constraints(armature, self.muted)
        holding = sorted({bone for bone, _ in self.muted})
        if holding:
            listed = ", ".join(f"'{name}'" for name in holding[:3]) + (", ..." if len(holding) > 3 else "")
            self.notices.append(f"The constraints of {listed} act again and may move what was solved.")
        if self.task.is_range:
            scene.frame_set(self.frame)

    def restore(self) -> None:
        scene = bpy.data.scenes.get(self.scene)
        if scene is not None and scene.frame_current != self.frame:
            scene.frame_set(self.frame)
        armature = scene and scene.objects.get(self.task.armature)
        if armature is None or armature.type != "ARMATURE":
            return
        for name, channels in self.channels.items():
            if name in armature.pose.bones:
                write_channels(armature.pose.bones[name], channels)
        unmute_constraints(armature, self.muted)

    def report(self) -> dict[str, Any]:
        result, steps = self.result, len(self.result.history)
        error_cm = 100 * np.where(self._given, result.position_error, np.nan)
        frame, node = np.unravel_index(np.nanargmax(error_cm), error_cm.shape)
        return {
            "reason": result.reason.value,
            "seconds": result.seconds,
            "steps": steps,
            "ms_per_step": mean_milliseconds(result.seconds, steps),
            "mean_cm": float(np.nanmean(error_cm)),
            "worst_cm": float(error_cm[frame, node]),
            "worst_frame": self.frames[frame],
            "worst_bone": self.chain.skeleton.names[node],
            "notices": [*self.notices, *result.notices],
        }

    @property
    def observed_image_lines(self) -> np.ndarray:
        return NO_IMAGE_LINES

    @property
    def observed_points(self) -> np.ndarray:
        inputs = self.inputs
        return np.float32(inputs.to_world(inputs.targets[inputs.shown], inputs.shown)[self._given])

    @property
    def _given(self) -> np.ndarray:
        """(N,) bool: nodes that have a target of the user's."""
        return _node_weights(self.chain, self.task.bones) > 0

    def _find(self) -> tuple[bpy.types.Scene, bpy.types.Object]:
        scene = find_scene(self.scene)
        armature = find_object(scene, self.task.armature, "armature")
        check_armature(armature)
        return scene, armature

    def _write(self, armature: bpy.types.Object, answer: PoseAnswer, number: int) -> None:
        """Poses the bones as in an answer for a frame, given by its number in the range."""
        chain, inputs = self.chain, self.inputs
        posture = forward_kinematics(chain.skeleton, chain.skeleton.offsets[None], answer.rotations[None].astype(np.float64))
        armature_from_solve = inputs.parent_pose[number] @ np.linalg.inv(chain.rest_parent)
        pose = {}
        for name, orientation, node in zip(chain.bones, posture.orientations[0], chain.skeleton.joints, strict=True):
            matrix = np.eye(4)
            matrix[:3, :3] = orientation @ chain.rest[node]
            matrix[:3, 3] = (posture.positions[0, node] + answer.root) / inputs.metres
            pose[name] = armature_from_solve @ matrix
        write_pose(armature, pose, inputs.parent_pose[number], chain.root.name, chain.is_floating)


def guess_bones(scene: bpy.types.Scene, task: ArmatureTask) -> tuple[BoneTarget, ...]:
    """Rows for the targets of a task by the names of its bones.  Raises SolverError if nothing matches."""
    armature = find_object(scene, task.armature, "armature")
    check_armature(armature)
    source = _Source.open(scene, task)
    names = source.names(scene)
    bones = read_rest(armature)
    found: dict[str, tuple[str, ...]] = {}
    for top in (bone for bone in bones.values() if not bone.parent):
        nodes = _nodes(bones, top.name)
        if len(nodes) < 2:
            continue
        try:
            matched = match_targets(names, _skeleton(nodes, 1.0))
        except SetupError:
            continue
        found = max(found, matched, key=len)
    if not found:
        raise SetupError(
            f"No target has the name of a bone of '{armature.name}': fill in the list of bones by hand, or rename the targets."
        )
    return tuple(BoneTarget(target, bone) for bone, targets in found.items() for target in targets)


class _Node(NamedTuple):
    """A head or tail.  offset: (3,) from the parent's node at rest, in the armature's space.  rest: (3, 3) of the bone."""

    name: str
    parent: str
    offset: np.ndarray
    rest: np.ndarray


def _nodes(bones: dict[str, RestBone], top: str) -> dict[str, _Node]:
    """The heads of a bone and of all below it, and the tails of those without children; parents first."""
    nodes: dict[str, _Node] = {}
    with_children = {bone.parent for bone in bones.values()}
    for bone in bones.values():
        if bone.name == top:
            nodes[top] = _Node(top, "", np.zeros(3), bone.rest[:3, :3])
        elif bone.parent in nodes:
            offset = bone.head - bones[bone.parent].head + bone.offset
            nodes[bone.name] = _Node(bone.name, bone.parent, offset, bone.rest[:3, :3])
    for bone in bones.values():
        if bone.name in nodes and bone.name not in with_children:
            name = bone.name + END_SITE
            nodes[name] = _Node(name, bone.name, bone.tail - bone.head, bone.rest[:3, :3])
    return nodes


def _skeleton(nodes: dict[str, _Node], metres: float) -> Skeleton:
    number = {name: index for index, name in enumerate(nodes)}
    parents = [number.get(node.parent, -1) for node in nodes.values()]
    return Skeleton(tuple(nodes), parents, metres * np.stack([node.offset for node in nodes.values()]))


def _lineage(bones: dict[str, RestBone], node: str) -> list[str]:
    """The bone of a node and all above it, the topmost first."""
    name = node if node in bones else node.removesuffix(END_SITE)
    lineage = []
    while name:
        lineage.insert(0, name)
        name = bones[name].parent
    return lineage


def _build_chain(bones: dict[str, RestBone], mapped: set[str], metres: float) -> _Chain:
    """The bones between the mapped nodes, with what the networks for humans know.  Raises SetupError."""
    lineages = [_lineage(bones, node) for node in sorted(mapped)]
    tops = sorted({lineage[0] for lineage in lineages})
    if len(tops) > 1:
        raise SetupError(f"The bones of '{tops[0]}' and '{tops[1]}' do not hang together: map the bones of one of them only.")
    whole = _nodes(bones, tops[0])
    if len(whole) < 2:
        raise SetupError(f"The bone '{tops[0]}' has no bone below it, so there is nothing to bend.")
    human = skeleton_mapping(_skeleton(whole, 1.0)) or {}
    shared = [name for name, *others in zip(*lineages, strict=False) if all(other == name for other in others)]
    if human.get("hip") in shared:
        root = bones[human["hip"]]
    else:
        # The lowest bone above all mapped ones may move along, if it is one of them and free; else all hangs on the topmost.
        human = {}
        lowest = bones[shared[-1]]
        root = lowest if lowest.name in mapped and not lowest.is_fixed and len(mapped) > 1 else bones[tops[0]]
    below = _nodes(bones, root.name)
    wanted = {node for node in (*mapped, *human.values()) if node in below}
    if human:
        wanted |= {name + END_SITE for name in wanted}  # so that hands, feet and the head turn as they do in motions
    kept = set(wanted).union(*(_lineage(bones, node) for node in wanted if node in below))
    nodes = {name: node for name, node in below.items() if name in kept}
    if len(nodes) < 2:
        raise SetupError(f"Only the bone '{root.name}' has a target: map one more bone below it.")
    return _Chain(
        _skeleton(nodes, metres),
        root,
        bones[root.parent].rest if root.parent else np.eye(4),
        np.stack([node.rest for node in nodes.values()]),
        root.head + root.offset,
        not root.is_fixed and (root.name in mapped or bool(human)),
    )


@dataclass(frozen=True, eq=False)
class _Source:
    """Where targets come from.  file: read already, with its first frame at frame_first of the scene."""

    task: ArmatureTask
    file: NamedTargets | None
    frame_first: int

    @classmethod
    def open(cls, scene: bpy.types.Scene, task: ArmatureTask) -> Self:
        """Raises SolverError if there is no such source."""
        file = None
        if task.source == "COLLECTION":
            find_collection(task.collection)
        elif task.source == "ARMATURE":
            other = find_object(scene, task.target_armature, "target armature")
            if other.type != "ARMATURE" or other.name == task.armature:
                raise SetupError("The target armature must be another armature than the one that is solved.")
        elif task.source == "FILE":
            if not task.file:
                raise SetupError("Choose a file with targets, .bvh or .csv.")
            file = read_targets(Path(bpy.path.abspath(task.file)))
        else:
            raise SetupError(f"The targets must come from a COLLECTION, an ARMATURE or a FILE, not from '{task.source}'.")
        return cls(task, file, scene.frame_start if task.frame_start is None else task.frame_start)

    def names(self, scene: bpy.types.Scene) -> tuple[str, ...]:
        return tuple(self.read(scene, evaluate(scene), self.frame_first))

    def read(self, scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph, frame: int) -> dict[str, np.ndarray]:
        """(3,) in the world by the target's name at a frame, which the scene shows."""
        if self.file is None:
            if self.task.source == "COLLECTION":
                return read_collection(depsgraph, find_collection(self.task.collection))
            return read_joints(depsgraph, find_object(scene, self.task.target_armature, "target armature"))
        positions = self.file.positions[frame - self.frame_first] / scene.unit_settings.scale_length
        if self.task.up == "Y":
            positions = positions @ Y_UP.T
        return dict(zip(self.file.names, positions, strict=True))


def _frames(scene: bpy.types.Scene, task: ArmatureTask, source: _Source) -> tuple[tuple[int, ...], list[str]]:
    """Frames to solve, and notices.  Raises SetupError."""
    if source.file is None:
        return frames_of(scene, task.frame_start, task.frame_end), []
    last, notices = source.frame_first + len(source.file.positions) - 1, []
    end = task.frame_end
    if task.is_range and (end is None or end > last):
        if end is not None:
            notices.append(f"The file ends at frame {last}.")
        end = last
    frames = frames_of(scene, task.frame_start, end) if task.is_range else (scene.frame_current,)
    if not source.frame_first <= frames[0] <= last:
        raise SetupError(f"The file has targets for frames {source.frame_first} to {last} and none for frame {frames[0]}.")
    rate = scene.render.fps / scene.render.fps_base
    if len(frames) > 1 and source.file.frame_time and abs(source.file.frame_time * rate - 1) > 0.01:
        notices.append(
            f"The file has {1 / source.file.frame_time:.4g} frames a second and the scene {rate:.4g}, so its speed changes."
        )
    return frames, notices


def _check_rows(rows: Sequence[BoneTarget], nodes: Collection[str], targets: Collection[str], task: ArmatureTask) -> None:
    """Raises SetupError for a row that names what is not there, or if no row counts."""
    for row in rows:
        if row.bone not in nodes:
            raise SetupError(f"The armature '{task.armature}' has no bone '{row.bone}' for the target '{row.target}'.")
        if row.target not in targets:
            raise SetupError(f"There is no target '{row.target}' for the bone '{row.bone}'.")
        if not 0 <= row.weight < np.inf:
            raise SetupError(f"The weight of the target '{row.target}' must be a number of at least 0.")
    if not any(row.weight > 0 for row in rows):
        raise SetupError("All targets have a weight of 0: give at least one of them more.")


def _node_targets(chain: _Chain, rows: Sequence[BoneTarget], points: dict[str, np.ndarray]) -> np.ndarray:
    """(N, 3) in the world, nan where none is given: the middle of a node's targets."""
    targets = np.full((chain.skeleton.num_nodes, 3), np.nan)
    for node in {row.bone for row in rows if row.weight > 0}:
        targets[chain.skeleton.index(node)] = np.mean([points[row.target] for row in rows if row.bone == node], axis=0)
    return targets


def _node_weights(chain: _Chain, rows: Sequence[BoneTarget]) -> np.ndarray:
    """(N,) mean weight of a node's targets, 0 without."""
    weights = np.zeros(chain.skeleton.num_nodes)
    for node in {row.bone for row in rows}:
        weights[chain.skeleton.index(node)] = np.mean([row.weight for row in rows if row.bone == node])
    return weights


def _metres(scene: bpy.types.Scene, armature: bpy.types.Object) -> float:
    """Of a unit of the armature, by its mean scale in the world."""
    scale = abs(np.linalg.det(world_matrix(evaluate(scene), armature)[:3, :3])) ** (1 / 3)
    if scale < 1e-9:
        raise SetupError(f"'{armature.name}' has a scale of zero: give it an extent along every axis.")
    return scale * scene.unit_settings.scale_length
