# SPDX-License-Identifier: Apache-2.0
"""Calls of the Python interface with arguments that are of a wrong type, shape, size or value."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import solver_core as sc
from solver_core.errors import SolverError
from solver_core.mesh import Mesh

from . import seeds
from .guard import guarded, one_sentence

CAMERA = sc.Camera(32, 24, 40.0, 40.0, 16.0, 12.0)
SKELETON = sc.Skeleton(["hip", "left arm", "left arm_end"], [-1, 0, 1], np.array([[0.0, 0, 0], [0.3, 0, 0], [0.2, 0, 0]]))
POSE = np.array([[1.0, 0, 0, -1], [0, 1, 0, -0.7], [0, 0, 1, -8], [0, 0, 0, 1]])
VERTICES, FACES = seeds.CORNERS, seeds.FACES
MASK = np.zeros((24, 32), bool)
MASK[8:18, 10:22] = True
IMAGE = np.linspace(0, 1, 24 * 32 * 3, dtype=np.float32).reshape(24, 32, 3)
TARGETS = np.array([[[0.0, 0, 0], [0.2, 0.2, 0], [0.2, 0.4, 0]]])

NUMBERS = st.sampled_from(
    [0, 1, -1, 2.5, 1e-40, 1e15, 1e30, -1e300, 1e308, np.nan, np.inf, -np.inf, 2**31, 2**63, -(2**63), 10**400]
)
DTYPES = st.sampled_from(["?", "i1", "u1", "i8", "u8", "f2", "f4", "f8", ">f4", "c8", "U3", "S3", "O", "M8[s]"])


class Odd:
    """An object that is nothing that anybody expects."""

    def __repr__(self) -> str:
        return "odd"


THINGS = st.one_of(
    st.none(),
    st.booleans(),
    NUMBERS,
    st.sampled_from([1j, "text", b"bytes", "", Odd(), [], (), {}, {"a": 1}, [[1, 2], [3]], [None], [[["a"]]], range(3)]),
    st.sampled_from([Path("a"), CAMERA, SKELETON, np.float16(1), np.str_("x"), np.array(None), np.array([]), iter([1])]),
    DTYPES.flatmap(lambda dtype: arrays.arrays(dtype, arrays.array_shapes(min_dims=0, max_dims=4, max_side=5, min_side=0))),
)


@st.composite
def changed(draw: st.DrawFn, usual: np.ndarray) -> Any:
    """The usual array with some of its values, its type, its shape or its place in memory changed."""
    array = usual.astype(draw(st.sampled_from([usual.dtype, np.float64, np.float32, np.float16, np.int64, ">f8", bool])))
    if array.dtype.kind == "f" and draw(st.booleans()):
        flat = array.ravel()
        number = draw(st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 1e-40, -1e30, 1e15, 1e300]))
        with np.errstate(over="ignore"):
            flat[draw(st.integers(0, flat.size - 1)) :: draw(st.integers(1, 7))] = number
        array = flat.reshape(array.shape)
    kind = draw(st.integers(0, 7))
    if kind == 1:
        return array[::-1]
    if kind == 2:
        return np.asfortranarray(array)
    if kind == 3:
        return array[:0]
    if kind == 4:
        return array[..., :1]
    if kind == 5:
        return array.tolist()
    if kind == 6:
        return np.ma.masked_array(array)
    if kind == 7:
        array.setflags(write=False)
    return array


def cases(usual: dict[str, Any]) -> Callable[[], st.SearchStrategy[dict[str, Any]]]:
    """Arguments, one or two of which are not as usual."""

    def odd(value: Any) -> st.SearchStrategy[Any]:
        return st.one_of(THINGS, changed(value)) if isinstance(value, np.ndarray) else THINGS

    def some(names: list[str]) -> st.SearchStrategy[dict[str, Any]]:
        return st.fixed_dictionaries({name: odd(usual[name]) for name in names})

    return lambda: st.lists(st.sampled_from(sorted(usual)), min_size=1, max_size=2, unique=True).flatmap(some)


def call(function: Callable[..., Any], usual: dict[str, Any], check: Callable[[Any], None]) -> Callable[[dict, Path], None]:
    def run(case: dict[str, Any], folder: Path) -> None:
        before = {name: value.copy() for name, value in usual.items() if isinstance(value, np.ndarray)}
        with guarded(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                check(function(**usual | case))
            except SolverError as error:
                one_sentence(error)
        for name, value in before.items():
            np.testing.assert_array_equal(usual[name], value)

    return run


def _finite_pose(result: sc.PoseSolution) -> None:
    assert np.isfinite(result.camera_from_object).all()
    assert 0 <= result.iou <= 1
    for other in result.alternatives:
        assert np.isfinite(other.camera_from_object).all()


def _finite_views(result: sc.PoseViewsSolution) -> None:
    assert np.isfinite(result.world_from_object).all()
    assert all(0 <= iou <= 1 for iou in result.ious)


def _finite_motion(result: sc.KinematicResult) -> None:
    assert np.isfinite(result.rotations).all()
    assert np.isfinite(result.root).all()
    np.testing.assert_allclose(np.linalg.norm(result.rotations, axis=-1), 1, atol=1e-3)


def _finite_light(result: sc.LightingSolution) -> None:
    assert np.isfinite(result.light).all()
    assert np.isfinite(result.strength).all()
    assert np.isfinite(result.image_error)


def _checked_mesh(mesh: Mesh) -> None:
    assert np.isfinite(mesh.unit().mesh.vertices).all()


POSE_CALL = {"mask": MASK, "vertices": VERTICES, "faces": FACES, "camera": CAMERA, "start": POSE}
POSE_CALL |= {"steps": 1, "refine": True, "restarts": 0, "seed": 0, "on_step": None, "rng": None}
MOTION_CALL = {"targets": TARGETS, "skeleton": SKELETON, "target_weights": np.ones(3), "start": None, "limits": None}
MOTION_CALL |= {"refine": True, "restarts": 1, "smooth": 0.0, "seed": 0, "on_step": None, "mapping": None}
MOTION_CALL |= {"target_map": None, "weights": None, "limit_axes": None}
LIGHT_CALL = {"image": IMAGE, "vertices": VERTICES, "faces": FACES, "camera": CAMERA, "camera_from_object": POSE}
LIGHT_CALL |= {"kind": "sun", "albedo": None, "strength": None, "mask": MASK, "start": None, "restarts": 0, "refine": False}
LIGHT_CALL |= {"normals": None, "steps": 1, "on_step": None}
CAMERA_CALL = {"width": 32, "height": 24, "fx": 40.0, "fy": 40.0, "cx": 16.0, "cy": 12.0, "distortion": (0.1, 0.0, 0.0, 0.0)}
SKELETON_CALL = {"names": SKELETON.names, "parents": SKELETON.parents, "offsets": SKELETON.offsets}

BATCH_CALL = {"masks": [MASK, MASK], "vertices": [VERTICES, VERTICES], "faces": [FACES, FACES], "cameras": [CAMERA, CAMERA]}
BATCH_CALL |= {"starts": [POSE, None], "steps": 1, "restarts": 0}
VIEWS_CALL = {"masks": [MASK], "vertices": VERTICES, "faces": FACES, "cameras": [CAMERA], "worlds_from_cameras": [np.eye(4)]}
VIEWS_CALL |= {"start": POSE, "steps": 1, "restarts": 0}
LABELS_CALL = {"labels": MASK.astype(np.uint8), "meshes": {1: (VERTICES, FACES)}, "camera": CAMERA, "starts": {1: POSE}}
LABELS_CALL |= {"steps": 1, "restarts": 0}
NAMED_CALL = {"names": ("hip", "left arm", "left arm_end"), "positions": TARGETS, "frame_time": 0.04, "parents": (-1, 0, 1)}
NAMED_CALL |= {"up": "y", "is_unit_known": True}
SPOT_CALL = {"kind": "spot", "position": [0.0, 1, -5], "aim": [0.0, 0, -1], "cone_deg": 40.0, "blend": 0.1, "strength": 1.0}
DEMO = Path(__file__).resolve().parents[2] / "assets" / "demo"
TARGETS_FILE_CALL = {"path": DEMO / "ik_targets.csv", "unit": "m", "up": "y", "fps": 30.0}
INVERSE_CALL = {"forward": np.cumsum, "space": sc.Euclidean(2), "sampler": None, "name": "sums", "start": np.array([0.5, 0.5])}
INVERSE_CALL |= {"noise": 0.1}
EXECUTABLE_CALL = {"command": ["true"], "format": "json", "timeout": 60.0, "processes": 1}
ROBOT_FILE = Path(__file__).resolve().parents[1] / "data" / "ik" / "arm.urdf"
ROBOT_CALL = {
    "targets": {"b": np.array([[0.3, 0.1, 0.1]])},
    "robot": sc.read_robot(ROBOT_FILE),
    "start": np.zeros(2),
    "restarts": 1,
}
TRAIN_CALL = {"problem": "pose", "data": "no such folder", "recipe": None, "changes": [], "device": "cpu"}


def _solve_named(**fields: Any) -> sc.KinematicResult:
    return sc.solve_inverse_kinematics(sc.NamedTargets(**fields), SKELETON, restarts=1)


def _finite_values(result: sc.RobotResult) -> None:
    assert np.isfinite(result.joint_values).all()


def _solve_beside(**light: Any) -> sc.LightingSolution:
    return sc.solve_lighting(**LIGHT_CALL | {"known": [light], "albedo": np.full(3, 0.5)})


def _solve_inverse(**arguments: Any) -> sc.ProblemSolution:
    return sc.solve(sc.inverse_problem(**arguments), np.array([1.0, 2.0]), restarts=1)


def _train(**arguments: Any) -> Path:
    with tempfile.TemporaryDirectory() as folder:
        return sc.train(out=Path(folder), **arguments)


CALLS = {
    "solve_pose": (sc.solve_pose, POSE_CALL, _finite_pose),
    "solve_inverse_kinematics": (sc.solve_inverse_kinematics, MOTION_CALL, _finite_motion),
    "solve_lighting": (sc.solve_lighting, LIGHT_CALL, _finite_light),
    "Mesh": (Mesh.checked, {"vertices": VERTICES, "faces": FACES}, _checked_mesh),
    "Camera": (sc.Camera, CAMERA_CALL, lambda camera: None),
    "Skeleton": (sc.Skeleton, SKELETON_CALL, lambda skeleton: skeleton.rest_positions()),
    "solve_pose_batch": (sc.solve_pose_batch, BATCH_CALL, lambda results: [_finite_pose(one) for one in results]),
    "solve_pose_labels": (sc.solve_pose_labels, LABELS_CALL, lambda results: [_finite_pose(one) for one in results.values()]),
    "solve_pose_views": (sc.solve_pose_views, VIEWS_CALL, _finite_views),
    "NamedTargets": (_solve_named, NAMED_CALL, _finite_motion),
    "known light": (_solve_beside, SPOT_CALL, _finite_light),
    "read_camera": (sc.read_camera, {"path": DEMO / "camera.json", "size": (32, 24)}, lambda camera: None),
    "read_targets": (sc.read_targets, TARGETS_FILE_CALL, lambda targets: None),
    "inverse_problem": (_solve_inverse, INVERSE_CALL, lambda result: None),
    "Box": (sc.Box, {"low": (0.0, 1.0), "high": (1.0, 2.0)}, lambda box: box.random(np.random.default_rng(0), 2)),
    "Executable": (sc.Executable, EXECUTABLE_CALL, lambda program: None),
    "read_robot": (sc.read_robot, {"path": ROBOT_FILE}, lambda robot: None),
    "solve_robot": (sc.solve_robot, ROBOT_CALL, _finite_values),
    "train": (_train, TRAIN_CALL, lambda weights: None),
}
