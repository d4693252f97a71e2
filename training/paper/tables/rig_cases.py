# SPDX-License-Identifier: Apache-2.0
"""Other skeletons that carry the motions of the human, so that their true rotations are known exactly.

Each joint of a rig has the orientation of a joint of the human, or one between two of them, turned by what its rest pose
differs: bones of arms and legs point in both as they do at rest, the trunk, hands and feet stand alike.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from solver_core import rotations
from solver_core.problems.inverse_kinematics.files.bodies import human
from solver_core.problems.inverse_kinematics.skeleton.kinematics import forward_kinematics
from solver_core.problems.inverse_kinematics.skeleton.motion import Motion
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton
from solver_core.problems.inverse_kinematics.solver.closed_form import shortest_arc

Follows = str | tuple[str, str, float]  # a joint of the human, or a share of the way from one to another; "" = none
Bones = dict[str, tuple[str, tuple[float, float, float], Follows]]  # name -> parent, offset in cm, what it follows
LIMB_JOINTS = ("Shldr", "ForeArm", "Thigh", "Shin")
FINGERS = {"Thumb": "Thumb", "Index": "Index", "Middle": "Mid", "Ring": "Ring", "Pinky": "Pinky"}
Z_UP = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
FACING_BACK = np.diag([-1.0, 1, -1])


@dataclass(frozen=True, eq=False)
class Rig:
    """A skeleton that follows the human.

    follows: of each joint.  alignment: (J, 3, 3) axes of what it follows from its own.  turn: (3, 3) world of the rig from
    the human's.  size: of its steps over the human's.  rest: (N, 4) rotations in which it stands, None where it does without.
    """

    skeleton: Skeleton
    follows: tuple[Follows, ...]
    alignment: np.ndarray
    turn: np.ndarray
    size: float = 1.0
    rest: np.ndarray | None = None

    def carried(self, motion: Motion) -> tuple[np.ndarray, np.ndarray]:
        """Rotations (F, N, 4) and root (F, 3) of the rig for a motion of the human."""
        body, own = human().skeleton, self.skeleton
        offsets = np.broadcast_to(body.offsets, (motion.num_frames, *body.offsets.shape))
        of_human = forward_kinematics(body, offsets, motion.rotations[:, body.joints]).orientations

        def orientation(name: str) -> np.ndarray:
            return of_human[:, body.joint_of_node[body.index(name)]] if name else np.tile(np.eye(3), (len(of_human), 1, 1))

        followed = [
            orientation(one) if isinstance(one, str) else _between(orientation(one[0]), orientation(one[1]), one[2])
            for one in self.follows
        ]
        orientations = self.turn @ np.stack(followed, axis=1) @ self.alignment
        return _local_rotations(own, orientations), self.size * motion.root @ self.turn.T


def rigs(first_pose: np.ndarray) -> dict[str, Rig]:
    """The rigs of the protocol.  first_pose: (N, 4) of the human, which one of them has as its rest pose."""
    plain = built(_mixamo(finger_joints=0))
    demo, unreal = built(_demo_figure()), built(_unreal())
    of_pose = replace(_still(), rotations=first_pose[None])
    return {
        "trained body, other names": built(_renamed_human()),
        "Mixamo names, fingers": built(_mixamo(finger_joints=4)),
        "Mixamo names": plain,
        "Unreal names, A pose, twist bones, root": unreal,
        "Rigify names, A pose, four spine bones": built(_rigify()),
        "arms lowered, two spine bones": demo,
        "one spine bone, no collars, no toes": built(_one_spine_bone()),
        "shoulders without width": built(_no_shoulder_width()),
        "hips without width": built(_no_shoulder_width(hip_width=0.0)),
        "z up, 1.25 times": moved(plain, Z_UP, 1.25),
        "facing back, 0.8 times": moved(demo, FACING_BACK, 0.8),
        "a frame as rest pose": reframed(plain, _pose_frames(plain, of_pose)),
        "bone-local rest pose": reframed(plain, _bone_frames(plain.skeleton)),
        "rolled bones": reframed(unreal, _rolled_frames(unreal.skeleton)),
    }


def built(bones: Bones) -> Rig:
    """A rig from its bones at rest, upright and looking along z."""
    body, names = human().skeleton, list(bones)
    parents = [names.index(parent) if parent else -1 for parent, _, _ in bones.values()]
    skeleton = Skeleton(names, parents, 0.01 * np.array([offset for _, offset, _ in bones.values()], float))
    follows = tuple(bones[name][2] for name in skeleton.joint_names)
    alignment = np.tile(np.eye(3), (skeleton.num_joints, 1, 1))
    for level in skeleton.levels:
        for place, joint in zip(level.inner, level.joints, strict=True):
            alignment[joint] = alignment[level.parent_joints[place]]
            followed = follows[joint]
            if isinstance(followed, str) and any(part in followed for part in LIMB_JOINTS):
                children = np.flatnonzero(skeleton.parents == level.nodes[place])
                longest = children[np.argmax(skeleton.bone_lengths[children])]
                bone = body.offsets[np.flatnonzero(body.parents == body.index(followed))]
                alignment[joint] = (
                    shortest_arc((alignment[joint] @ skeleton.offsets[longest])[None], bone)[0] @ alignment[joint]
                )
    return Rig(skeleton, follows, alignment, np.eye(3))


def moved(rig: Rig, turn: np.ndarray, size: float) -> Rig:
    """The rig with another up or forward axis, and larger."""
    skeleton = Skeleton(rig.skeleton.names, rig.skeleton.parents, size * rig.skeleton.offsets @ turn.T)
    return replace(rig, skeleton=skeleton, alignment=rig.alignment @ turn.T, turn=turn, size=size)


def reframed(rig: Rig, frames: np.ndarray) -> Rig:
    """The rig with other axes: frames (J, 3, 3) the axes of each joint before from those now."""
    own = rig.skeleton
    offsets = own.offsets.copy()
    inner = np.flatnonzero(own.parents >= 0)
    above = frames[own.joint_of_node[own.parents[inner]]]
    offsets[inner] = (above.swapaxes(1, 2) @ own.offsets[inner, :, None])[..., 0]
    skeleton = Skeleton(own.names, own.parents, offsets)
    rest = _local_rotations(skeleton, frames[None])[0]
    return replace(rig, skeleton=skeleton, alignment=rig.alignment @ frames, rest=rest)


def _bone_frames(skeleton: Skeleton) -> np.ndarray:
    """(J, 3, 3) the x axis along each joint's longest bone."""
    frames = np.tile(np.eye(3), (skeleton.num_joints, 1, 1))
    for joint, node in enumerate(skeleton.joints):
        children = np.flatnonzero(skeleton.parents == node)
        longest = children[np.argmax(skeleton.bone_lengths[children])]
        frames[joint] = shortest_arc(np.eye(3)[:1], skeleton.offsets[[longest]])[0]
    return frames


def _rolled_frames(skeleton: Skeleton) -> np.ndarray:
    """(J, 3, 3) joints with one bone rolled about it, so that the bones at rest are the same."""
    rng, along = np.random.default_rng(0), _bone_frames(skeleton)[:, :, 0]
    has_one_bone = np.array([(skeleton.parents == node).sum() == 1 for node in skeleton.joints])
    rolls = rng.uniform(-np.pi, np.pi, size=(len(along), 1)) * has_one_bone[:, None]
    return rotations.matrix_from_wxyz(rotations.wxyz_from_rotvec(rolls * along))


def _pose_frames(rig: Rig, motion: Motion) -> np.ndarray:
    """(J, 3, 3) under which the first pose of a motion becomes the rest pose."""
    own = rig.skeleton
    rotation, _ = rig.carried(motion)
    posture = forward_kinematics(own, own.offsets[None], rotation[:1, own.joints])
    return posture.orientations[0].swapaxes(1, 2)


def _still() -> Motion:
    body = human().skeleton
    rest = np.tile([1.0, 0, 0, 0], (1, body.num_nodes, 1))
    return Motion(body, rest, np.zeros((1, 3)), 1.0, ("ZXY",) * body.num_nodes, 0.01)


def _between(start: np.ndarray, end: np.ndarray, share: float) -> np.ndarray:
    """(F, 3, 3) rotations a share of the way."""
    turn = rotations.rotvec_from_wxyz(rotations.wxyz_from_matrix(start.swapaxes(1, 2) @ end))
    return start @ rotations.matrix_from_wxyz(rotations.wxyz_from_rotvec(share * turn))


def _local_rotations(skeleton: Skeleton, orientations: np.ndarray) -> np.ndarray:
    """(F, N, 4) in the parents' frames, from orientations (F, J, 3, 3)."""
    parents = skeleton.parents[skeleton.joints]
    above = orientations[:, skeleton.joint_of_node[parents]].swapaxes(2, 3)
    above[:, parents < 0] = np.eye(3)
    rotation = np.tile([1.0, 0, 0, 0], (len(orientations), skeleton.num_nodes, 1))
    rotation[:, skeleton.joints] = rotations.wxyz_from_matrix(above @ orientations)
    return rotation


def _figure(centre: Bones, side: Bones, words: tuple[str, str]) -> Bones:
    """Bones of the middle and of both sides; {S} stands for a word for the side, {s} for l or r."""
    bones = dict(centre)
    for letter, word, sign in (("l", words[0], 1), ("r", words[1], -1)):
        for name, (parent, (x, y, z), follows) in side.items():
            named = [part.format(S=word, s=letter) for part in (name, parent)]
            parts = (follows,) if isinstance(follows, str) else follows
            filled = tuple(part.format(s=letter) if isinstance(part, str) else part for part in parts)
            bones[named[0]] = (named[1], (sign * x, y, z), filled[0] if len(filled) == 1 else filled)  # pyright: ignore[reportArgumentType]
    return bones


def _renamed_human() -> Bones:
    body = human().skeleton
    return {
        f"j_{name}": (
            f"j_{body.names[parent]}" if parent >= 0 else "",
            tuple(100 * offset),
            name if body.joint_of_node[node] >= 0 else body.names[parent],
        )
        for node, (name, parent, offset) in enumerate(zip(body.names, body.parents, body.offsets, strict=True))
    }


def _mixamo(finger_joints: int) -> Bones:
    centre: Bones = {
        "mixamorig:Hips": ("", (0, 0, 0), "hip"),
        "mixamorig:Spine": ("mixamorig:Hips", (0, 9.7, -1.1), ("hip", "chest", 1 / 3)),
        "mixamorig:Spine1": ("mixamorig:Spine", (0, 11.3, -1.3), ("hip", "chest", 2 / 3)),
        "mixamorig:Spine2": ("mixamorig:Spine1", (0, 12.9, -1.5), "chest"),
        "mixamorig:Neck": ("mixamorig:Spine2", (0, 14.5, -1.7), "neck"),
        "mixamorig:Head": ("mixamorig:Neck", (0, 6.9, 2), "head"),
        "mixamorig:HeadTop_End": ("mixamorig:Head", (0, 22.8, 6.5), "head"),
    }
    side: Bones = {
        "mixamorig:{S}Shoulder": ("mixamorig:Spine2", (6.7, 12.8, -1.6), "{s}Collar"),
        "mixamorig:{S}Arm": ("mixamorig:{S}Shoulder", (13.6, -3.4, 0.1), "{s}Shldr"),
        "mixamorig:{S}ForeArm": ("mixamorig:{S}Arm", (27.3, 0, 0), "{s}ForeArm"),
        "mixamorig:{S}Hand": ("mixamorig:{S}ForeArm", (20.9, 0, 0), "{s}Hand"),
        "mixamorig:{S}UpLeg": ("mixamorig:Hips", (8.7, -5.4, -0.4), "{s}Thigh"),
        "mixamorig:{S}Leg": ("mixamorig:{S}UpLeg", (0.2, -41, -2.2), "{s}Shin"),
        "mixamorig:{S}Foot": ("mixamorig:{S}Leg", (-0.2, -41.8, -4.3), "{s}Foot"),
        "mixamorig:{S}ToeBase": ("mixamorig:{S}Foot", (2, -9.6, 15.9), "{s}Foot"),
        "mixamorig:{S}Toe_End": ("mixamorig:{S}ToeBase", (0.9, 0.6, 7), "{s}Foot"),
    }
    knuckles = {
        "Thumb": (3.9, -1.3, 2.6),
        "Index": (11.4, -0.4, 2.5),
        "Middle": (11.2, 0, 0),
        "Ring": (11.2, 0, -2.3),
        "Pinky": (9.9, -0.4, -4.4),
    }
    for finger, offset in knuckles.items():
        parent = "mixamorig:{S}Hand"
        for number in range(1, finger_joints + 1):
            name = "mixamorig:{S}Hand" + f"{finger}{number}"
            side[name] = (parent, offset, "{s}" + FINGERS[finger] + ("1" if number == 1 else "2"))
            parent, offset = name, (2.8, -1.6, 1.6) if finger == "Thumb" else (3, 0, 0)
    return _figure(centre, side, ("Left", "Right"))


def _unreal() -> Bones:
    centre: Bones = {
        "root": ("", (0, 0, 0), ""),
        "pelvis": ("root", (0, 0, 0), "hip"),
        "spine_01": ("pelvis", (0, 10, -1), "abdomen"),
        "spine_02": ("spine_01", (0, 14, 0), ("abdomen", "chest", 0.5)),
        "spine_03": ("spine_02", (0, 13, 1), "chest"),
        "neck_01": ("spine_03", (0, 17, -2), "neck"),
        "head": ("neck_01", (0, 9, 2), "head"),
        "head_end": ("head", (0, 18, 3), "head"),
    }
    side: Bones = {
        "clavicle_{S}": ("spine_03", (4, 12, 0), "{s}Collar"),
        "upperarm_{S}": ("clavicle_{S}", (15, -2, -2), "{s}Shldr"),
        "upperarm_twist_01_{S}": ("upperarm_{S}", (0.5, -0.5, 0), "{s}Shldr"),
        "lowerarm_{S}": ("upperarm_{S}", (20, -21, -1), "{s}ForeArm"),
        "lowerarm_twist_01_{S}": ("lowerarm_{S}", (10, -11, 3), ("{s}ForeArm", "{s}Hand", 0.5)),
        "hand_{S}": ("lowerarm_{S}", (18, -19, 6), "{s}Hand"),
        "hand_end_{S}": ("hand_{S}", (7, -7, 2), "{s}Hand"),
        "thigh_{S}": ("pelvis", (9, -1.5, 0), "{s}Thigh"),
        "thigh_twist_01_{S}": ("thigh_{S}", (1, -22, 0), "{s}Thigh"),
        "calf_{S}": ("thigh_{S}", (3, -42, 0.5), "{s}Shin"),
        "foot_{S}": ("calf_{S}", (2, -40, -4), "{s}Foot"),
        "ball_{S}": ("foot_{S}", (1, -11, 16), "{s}Foot"),
        "ball_end_{S}": ("ball_{S}", (0, 0, 6), "{s}Foot"),
    }
    return _figure(centre, side, ("l", "r"))


def _rigify() -> Bones:
    centre: Bones = {
        "spine": ("", (0, 0, 0), "hip"),
        "spine.001": ("spine", (0, 15, -2), ("hip", "chest", 0.4)),
        "spine.002": ("spine.001", (0, 12, 0.5), ("hip", "chest", 0.7)),
        "spine.003": ("spine.002", (0, 13, 2), "chest"),
        "spine.004": ("spine.003", (0, 17, -3), ("chest", "head", 0.33)),
        "spine.005": ("spine.004", (0, 5, 1), ("chest", "head", 0.67)),
        "spine.006": ("spine.005", (0, 5, 1), "head"),
        "spine.006_end": ("spine.006", (0, 19, 0), "head"),
    }
    side: Bones = {
        "shoulder.{S}": ("spine.003", (2, 12, 6), "{s}Collar"),
        "upper_arm.{S}": ("shoulder.{S}", (15, 1, -6), "{s}Shldr"),
        "forearm.{S}": ("upper_arm.{S}", (20, -20, 2), "{s}ForeArm"),
        "hand.{S}": ("forearm.{S}", (17, -18, -3), "{s}Hand"),
        "hand.{S}_end": ("hand.{S}", (6, -6, -1), "{s}Hand"),
        "thigh.{S}": ("spine", (10, -1, 0), "{s}Thigh"),
        "shin.{S}": ("thigh.{S}", (0, -46, 2), "{s}Shin"),
        "foot.{S}": ("shin.{S}", (0, -42, -4), "{s}Foot"),
        "toe.{S}": ("foot.{S}", (0, -7, 15), "{s}Foot"),
        "toe.{S}_end": ("toe.{S}", (0, 0, 6), "{s}Foot"),
    }
    return _figure(centre, side, ("L", "R"))


def _demo_figure() -> Bones:
    centre: Bones = {
        "Hips": ("", (0, 0, 0), "hip"),
        "Spine": ("Hips", (0, 11, -1), "abdomen"),
        "Spine1": ("Spine", (0, 13, 0), "chest"),
        "Neck": ("Spine1", (0, 26, -2), "neck"),
        "Head": ("Neck", (0, 10, 2), "head"),
        "HeadTop": ("Head", (0, 18, 0), "head"),
    }
    side: Bones = {
        "{S}Shoulder": ("Spine1", (5, 20, 0), "{s}Collar"),
        "{S}Arm": ("{S}Shoulder", (13, 0, -1), "{s}Shldr"),
        "{S}ForeArm": ("{S}Arm", (22, -16, 0), "{s}ForeArm"),
        "{S}Hand": ("{S}ForeArm", (20, -14, 2), "{s}Hand"),
        "{S}HandTip": ("{S}Hand", (13, -9, 1), "{s}Hand"),
        "{S}UpLeg": ("Hips", (10, -5, 0), "{s}Thigh"),
        "{S}Leg": ("{S}UpLeg", (0, -42, 1), "{s}Shin"),
        "{S}Foot": ("{S}Leg", (0, -41, -3), "{s}Foot"),
        "{S}ToeBase": ("{S}Foot", (0, -7, 14), "{s}Foot"),
    }
    return _figure(centre, side, ("Left", "Right"))


def _one_spine_bone() -> Bones:
    centre: Bones = {
        "Hips": ("", (0, 0, 0), "hip"),
        "Spine": ("Hips", (0, 20, -1), "chest"),
        "Neck": ("Spine", (0, 30, -1), "neck"),
        "Head": ("Neck", (0, 9, 2), "head"),
        "Head_end": ("Head", (0, 18, 0), "head"),
    }
    side: Bones = {
        "{S}Arm": ("Spine", (18, 25, -1), "{s}Shldr"),
        "{S}ForeArm": ("{S}Arm", (28, 0, 0), "{s}ForeArm"),
        "{S}Hand": ("{S}ForeArm", (24, 0, 0), "{s}Hand"),
        "{S}HandTip": ("{S}Hand", (13, 0, 0), "{s}Hand"),
        "{S}UpLeg": ("Hips", (10, -3, 0), "{s}Thigh"),
        "{S}Leg": ("{S}UpLeg", (0, -42, 0), "{s}Shin"),
        "{S}Foot": ("{S}Leg", (0, -41, 0), "{s}Foot"),
        "{S}Foot_end": ("{S}Foot", (0, -7, 14), "{s}Foot"),
    }
    return _figure(centre, side, ("Left", "Right"))


def _no_shoulder_width(hip_width: float = 11.5) -> Bones:
    """Collars that start where the neck does, as in the files of inertial suits."""
    centre: Bones = {
        "Hips": ("", (0, 0, 0), "hip"),
        "Spine": ("Hips", (0, 13, 0), ("hip", "chest", 0.4)),
        "Spine1": ("Spine", (0, 10, 0), ("hip", "chest", 0.7)),
        "Spine2": ("Spine1", (0, 12, 0), "chest"),
        "Neck": ("Spine2", (0, 14, 0), "neck"),
        "Head": ("Neck", (0, 9, 1), "head"),
        "Head_end": ("Head", (0, 18, 0), "head"),
    }
    side: Bones = {
        "{S}Shoulder": ("Spine2", (0, 14, 0), "{s}Collar"),
        "{S}Arm": ("{S}Shoulder", (16, 0, 0), "{s}Shldr"),
        "{S}ForeArm": ("{S}Arm", (29, 0, 0), "{s}ForeArm"),
        "{S}Hand": ("{S}ForeArm", (28, 0, 0), "{s}Hand"),
        "{S}HandTip": ("{S}Hand", (16, 0, 0), "{s}Hand"),
        "{S}UpLeg": ("Hips", (hip_width, 0, 0), "{s}Thigh"),
        "{S}Leg": ("{S}UpLeg", (0, -48, 0), "{s}Shin"),
        "{S}Foot": ("{S}Leg", (0, -48, 0), "{s}Foot"),
        "{S}Foot_end": ("{S}Foot", (0, -7, 18), "{s}Foot"),
    }
    return _figure(centre, side, ("Left", "Right"))
