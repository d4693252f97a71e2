"""Which joint is which: finds the human's joints in skeletons and marker sets that follow a common naming."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

import numpy as np

from solver_core.errors import SetupError
from solver_core.problems.inverse_kinematics.files.bodies import human
from solver_core.problems.inverse_kinematics.files.targets import NamedTargets
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton, check_names

# The human's nodes, and below their names elsewhere: without case, separators and a prefix such as "mixamorig:".  {S} is
# left or right, {s} l or r.  Several names mean the middle of them.
_CENTRE = ("hip", "abdomen", "chest", "neck", "head")
_SIDE = ("Collar", "Shldr", "ForeArm", "Hand", "Buttock", "Thigh", "Shin", "Foot", "Foot_end")
_FINGERS = ("Thumb", "Index", "Mid", "Ring", "Pinky")

Names = str | tuple[str, ...]


def _convention(centre: Sequence[Names | None], side: Sequence[Names | None], fingers: Sequence[str] = ()) -> dict[str, Names]:
    """A convention from the names of the nodes in _CENTRE and _SIDE, and of two joints for each finger in _FINGERS."""
    table: dict[str, Names | None] = dict(zip(_CENTRE, centre, strict=True))
    finger_nodes = [finger + joint for finger in _FINGERS for joint in "12"] if fingers else []
    for letter, word in (("l", "left"), ("r", "right")):
        for node, name in zip((*_SIDE, *finger_nodes), (*side, *fingers), strict=True):
            if isinstance(name, tuple):
                table[letter + node] = tuple(part.format(s=letter, S=word) for part in name)
            elif name is not None:
                table[letter + node] = name.format(s=letter, S=word)
    return {node: name for node, name in table.items() if name is not None}


def _fingers(pattern: str, names: Sequence[str], thumb: Sequence[str], others: Sequence[str]) -> list[str]:
    """Names of two joints a finger; `pattern` holds {name} and {joint}."""
    joints = [thumb] + [others] * 4
    return [
        pattern.replace("{name}", name).replace("{joint}", joint)
        for name, pair in zip(names, joints, strict=True)
        for joint in pair
    ]


_LONG = ("thumb", "index", "middle", "ring", "pinky")
_SMPL_SIDE = ("{s}collar", "{s}shoulder", "{s}elbow", "{s}wrist", None, "{s}hip", "{s}knee", "{s}ankle", "{s}foot")
_MARKERS = ("{S}shoulder", "{S}elbow", "{S}wrist", None, "{S}hip", "{S}knee", "{S}ankle")

CONVENTIONS: dict[str, dict[str, Names]] = {
    "CMU MotionBuilder": _convention(
        ("hips", "lowerback", "spine1", "neck1", "head"),
        ("{S}shoulder", "{S}arm", "{S}forearm", "{S}hand", None, "{S}upleg", "{S}leg", "{S}foot", "{S}toebase"),
    ),
    "Mixamo": _convention(
        ("hips", "spine", "spine2", "neck", "head"),
        ("{S}shoulder", "{S}arm", "{S}forearm", "{S}hand", None, "{S}upleg", "{S}leg", "{S}foot", "{S}toebase"),
        _fingers("{S}hand{name}{joint}", _LONG, "23", "12"),
    ),
    "Rigify metarig": _convention(
        ("spine", "spine001", "spine003", "spine004", "spine006"),
        ("shoulder{s}", "upperarm{s}", "forearm{s}", "hand{s}", None, "thigh{s}", "shin{s}", "foot{s}", "toe{s}"),
        _fingers("{name}{joint}{s}", ("thumb", "findex", "fmiddle", "fring", "fpinky"), ("02", "03"), ("01", "02")),
    ),
    "Unreal mannequin": _convention(
        ("pelvis", "spine01", "spine03", "neck01", "head"),
        ("clavicle{s}", "upperarm{s}", "lowerarm{s}", "hand{s}", None, "thigh{s}", "calf{s}", "foot{s}", "ball{s}"),
        _fingers("{name}{joint}{s}", _LONG, ("02", "03"), ("01", "02")),
    ),
    "SMPL": _convention(("pelvis", "spine1", "spine2", "neck", "head"), _SMPL_SIDE),
    "SMPL, long names": _convention(
        ("pelvis", "spine1", "spine2", "neck", "head"),
        tuple(None if name is None else name.replace("{s}", "{S}") for name in _SMPL_SIDE),
    ),
    "Kinect": _convention(
        ("spinebase", None, "spinemid", "neck", "head"),
        (None, "shoulder{S}", "elbow{S}", "wrist{S}", None, "hip{S}", "knee{S}", "ankle{S}", "foot{S}"),
    ),
    "MediaPipe": _convention(
        (("lefthip", "righthip"), None, None, ("leftshoulder", "rightshoulder"), ("leftear", "rightear")),
        (None, *_MARKERS, "{S}footindex"),
    ),
    "COCO": _convention(
        (("lefthip", "righthip"), None, None, ("leftshoulder", "rightshoulder"), ("leftear", "rightear")),
        (None, *_MARKERS, None),
    ),
}


def find_mapping(names: Sequence[str]) -> dict[str, tuple[str, ...]] | None:
    """Names of the human's nodes -> the given names that stand for them, by the convention that fits best.

    None if no convention has all of its limbs among the names.
    """
    own = {name: _plain(name) for name in human().skeleton.names}  # CMU in the Daz convention
    by_plain = {_plain(name): name for name in reversed(names)}
    best: dict[str, tuple[str, ...]] = {}
    for convention in (own, *CONVENTIONS.values()):
        found = {}
        for node, wanted in convention.items():
            parts = (wanted,) if isinstance(wanted, str) else wanted
            if all(part in by_plain for part in parts):
                found[node] = tuple(by_plain[part] for part in parts)
        has_limbs = all(side + node in found for side in "lr" for node in ("ForeArm", "Hand", "Shin", "Foot"))
        if has_limbs and "hip" in found and len(found) > len(best):
            best = found
    return best or None


@functools.lru_cache(maxsize=8)
def skeleton_mapping(skeleton: Skeleton) -> dict[str, str] | None:
    """Names of the human's nodes -> the skeleton's, those that stand for one node alone; None for what is no human."""
    mapping = find_mapping(skeleton.names) or {}
    single = {node: names[0] for node, names in mapping.items() if len(names) == 1}
    return single if "hip" in single else None


def match_targets(names: Sequence[str], skeleton: Skeleton) -> dict[str, tuple[str, ...]]:
    """Names of the skeleton's nodes -> the target names that stand for them: by equal names, else by both conventions.

    Raises SetupError if there is no match.
    """
    equal = {name: (name,) for name in names if name in skeleton.names}
    of_human, of_skeleton = find_mapping(names) or {}, skeleton_mapping(skeleton) or {}
    by_convention = {own: of_human[node] for node, own in of_skeleton.items() if node in of_human}
    matched = max(equal, by_convention, key=len)
    if not matched:
        raise SetupError(
            f"none of the targets ({', '.join(names[:4])}, ...) matches a joint of the skeleton "
            f"({', '.join(skeleton.names[:4])}, ...); give a map"
        )
    return matched


def targets_of_skeleton(targets: NamedTargets, skeleton: Skeleton, joints: dict[str, Sequence[str]] | None) -> np.ndarray:
    """(F, N, 3) for the nodes of a skeleton, nan where none is given.

    joints: names of the skeleton's nodes -> one or several target names, whose middle is taken; found when None.
    """
    if joints is None:
        joints = dict(match_targets(targets.names, skeleton))
    check_names(joints.keys(), skeleton.names, "the skeleton")
    positions = np.full((len(targets.positions), skeleton.num_nodes, 3), np.nan)
    for node, names in joints.items():
        check_names(names, targets.names, "the targets file")
        columns = [targets.names.index(name) for name in names]
        positions[:, skeleton.index(node)] = targets.positions[:, columns].mean(axis=1)
    return positions


def _plain(name: str) -> str:
    """Lower case letters and digits, without what stands before a colon or a common prefix."""
    name = name.rsplit(":", 1)[-1].lower()
    name = re.sub(r"^(def|mixamorig\d*|bip0?1)[-_. ]", "", name)
    return re.sub(r"[^a-z0-9]", "", name)
