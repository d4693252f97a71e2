# SPDX-License-Identifier: Apache-2.0
"""What other packages do with our problems: python -m training.benchmarks.peers --data DATA, after

pip install --constraint tests/constraints.txt '.[peers]'

Each peer gets the test samples of our tables and is driven by its own gradients; one that is not installed is listed with
the reason.  Mitsuba 3: a sun by Adam through its renderer, and a pose from a silhouette by Adam through its projective
integrator.
pytorch-kinematics: joint angles by Adam through its forward kinematics.
mink: joint values of an arm by quadratic programs, as in its examples, one pose after the other.
Mitsuba 3.9 needs LLVM 17 or newer (DRJIT_LIBLLVM_PATH); with 16 its compiler
ends the process.
"""

import argparse
import importlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from solver_core import rotations
from solver_core.loop import LoopSettings

LIGHT_STEPS, LIGHT_RATE, LIGHT_SAMPLES_PER_PIXEL = 100, 0.05, 4
POSE_STEPS, POSE_RATE, POSE_SAMPLES_PER_PIXEL = 150, 0.02, 16  # radians and object diagonals
ROBOT_POSES, ROBOT_STEPS = 500, 100
ARM_JOINTS = (("0 0 0.3", "0 0 1"), ("0 0 0.1", "0 1 0"), ("0 0 0.45", "0 1 0"))
ARM_JOINTS += (("0.05 0 0.2", "1 0 0"), ("0.25 0 0", "0 1 0"), ("0.08 0 0", "1 0 0"))
ARM = "".join(
    f'<body pos="{place}"><joint axis="{axis}" range="-2.6 2.6"/><inertial pos="0 0 0" mass="1" diaginertia="1 1 1"/>'
    for place, axis in ARM_JOINTS
)
ARM = f'<mujoco><compiler angle="radian"/><worldbody>{ARM}<site name="tool" pos="0.1 0 0"/>{6 * "</body>"}</worldbody></mujoco>'
JOINT_STEPS = LoopSettings(steps=300, patience=300)

Row = dict[str, str | float | int]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--samples", type=int, default=5)
    parser.add_argument("--only", type=int, metavar="N", help="the peer of this number, in this process")
    args = parser.parse_args()
    if args.only is not None:
        package, _, measure = PEERS[args.only]
        print(json.dumps(measure(importlib.import_module(package), args.data, args.samples)))
        return
    for number, (package, task, _) in enumerate(PEERS):
        # A process each, because a peer's compiler may take the process with it.
        command = [sys.executable, __file__, "--data", str(args.data), "--samples", str(args.samples), "--only", str(number)]
        finished = subprocess.run(command, capture_output=True, text=True)
        row: Row = {"peer": package, "task": task}
        if finished.returncode == 0:
            row |= json.loads(finished.stdout.splitlines()[-1])
        else:
            row["left out"] = reason(finished.stderr) or f"ended with code {finished.returncode}"
        print(json.dumps(row))


def reason(stderr: str) -> str:
    """The line that says what went wrong."""
    lines = [line for line in stderr.splitlines() if "Error" in line or "error" in line or "ERROR" in line]
    return lines[-1] if lines else ""


def measure_mitsuba_sun(mitsuba: Any, data: Path, count: int) -> Row:
    """Angle to the true sun on samples of Table 4 with the strength known, from the usual start; and ours on the same."""
    from solver_core.mesh_library import MeshPool, load_library
    from solver_core.problems.lighting.lights import LIGHTS
    from solver_core.problems.lighting.metrics import angle_deg
    from solver_core.problems.lighting.solve import solve_lighting
    from training.paper.tables import table4

    mitsuba.set_variant("llvm_ad_rgb")
    meshes = MeshPool(load_library(data, "test")).measured
    cases = table4.draw_cases("sun", meshes, np.random.default_rng([0, 0]), count)
    strength = float(np.pi * table4.BRIGHTNESS["sun"])
    angles, seconds, our_angles, our_seconds = [], [], [], []
    for case in cases:
        vertices = case.mesh.vertices @ case.camera_from_object[:3, :3].T + case.camera_from_object[:3, 3]
        light = {"type": "directional", "direction": [0, 0, -1], "irradiance": strength}
        scene = mitsuba_scene(mitsuba, case, vertices, {"type": "direct"}, {"type": "twosided", "bsdf": white()}, light)
        wanted = mitsuba.TensorXf(np.ascontiguousarray(case.image, np.float32))
        parameters = mitsuba.traverse(scene)
        optimizer = mitsuba.ad.Adam(lr=LIGHT_RATE)
        optimizer["light"] = mitsuba.Vector3f(*LIGHTS["sun"].start[0].tolist())
        started = time.perf_counter()
        for step in range(LIGHT_STEPS):
            towards = drjit().normalize(optimizer["light"])
            parameters["light.to_world"] = mitsuba.Transform4f().look_at(origin=[0, 0, 0], target=-towards, up=[0.1, 1, 0.2])
            parameters.update()
            image = mitsuba.render(scene, parameters, spp=LIGHT_SAMPLES_PER_PIXEL, seed=step)
            drjit().backward(drjit().mean(drjit().square(image - wanted), axis=None))
            optimizer.step()
        found = np.array(optimizer["light"]).ravel()
        seconds.append(time.perf_counter() - started)
        angles.append(float(angle_deg(found[None], case.light[None])[0]))
        mesh, camera, white_albedo = case.mesh, case.camera, np.ones(3)
        ours = solve_lighting(
            case.image, mesh.vertices, mesh.faces, camera, case.camera_from_object, albedo=white_albedo, strength=strength
        )
        our_angles.append(float(angle_deg(ours.direction[None], case.light[None])[0]))
        our_seconds.append(ours.seconds)
    return {
        "angle_median_deg": float(np.median(angles)),
        "seconds": float(np.median(seconds)),
        "our_angle_median_deg": float(np.median(our_angles)),
        "our_seconds": float(np.median(our_seconds)),
        "num_samples": count,
    }


def measure_mitsuba_silhouette(mitsuba: Any, data: Path, count: int) -> Row:
    """Errors of the pose on samples of Table 1, canonical view; and ours on the same."""
    from solver_core.frames import matrix_from_pose, pose_from_matrix
    from solver_core.problems.pose.metrics import pose_errors
    from solver_core.problems.pose.sampler import PoseSampling
    from solver_core.problems.pose.solve import solve_pose
    from training.paper.tables.pose_cases import draw_cases, draw_from, load_test_meshes

    mitsuba.set_variant("llvm_ad_rgb")
    cases = draw_cases(load_test_meshes(data), draw_from(PoseSampling(canonical=1.0)), np.random.default_rng(0), count)
    poses, seconds, our_poses, our_seconds = [], [], [], []
    for case in cases:
        glow = {"type": "area", "radiance": {"type": "rgb", "value": 1.0}}
        integrator = {"type": "direct_projective", "sppi": 0}
        in_camera = rotations.rotate(case.start[:4], case.mesh.vertices) + case.start[4:]
        scene = mitsuba_scene(mitsuba, case, in_camera, integrator, {"type": "diffuse"}, None, glow)
        wanted = mitsuba.TensorXf(np.repeat(case.mask[..., None], 3, axis=2).astype(np.float32))
        parameters = mitsuba.traverse(scene)
        at_origin = mitsuba.Point3f((in_camera - case.start[4:]).T.astype(np.float32))
        optimizer = mitsuba.ad.Adam(lr=POSE_RATE)
        optimizer["turn"], optimizer["shift"] = mitsuba.Vector3f(1e-4, 0, 0), mitsuba.Vector3f(0, 0, 0)
        started = time.perf_counter()
        for step in range(POSE_STEPS):
            turned = rotate(optimizer["turn"], at_origin)
            moved = turned + optimizer["shift"] + mitsuba.Vector3f(*case.start[4:].tolist())
            parameters["object.vertex_positions"] = drjit().ravel(moved)
            parameters.update()
            image = mitsuba.render(scene, parameters, spp=POSE_SAMPLES_PER_PIXEL, seed=step)
            drjit().backward(drjit().mean(drjit().square(image - wanted), axis=None))
            optimizer.step()
        turn, shift = (np.array(optimizer[name]).ravel() for name in ("turn", "shift"))
        seconds.append(time.perf_counter() - started)
        wxyz = rotations.multiply(rotations.wxyz_from_rotvec(turn), case.start[:4])
        poses.append(np.concatenate([wxyz, case.start[4:] + shift]))
        ours = solve_pose(case.mask, case.mesh.vertices, case.mesh.faces, case.camera, matrix_from_pose(case.start))
        our_poses.append(pose_from_matrix(ours.camera_from_object))
        our_seconds.append(ours.seconds)
    truth = np.stack([case.truth for case in cases])
    rotation_deg, translation = pose_errors(np.stack(poses), truth)
    our_rotation_deg, our_translation = pose_errors(np.stack(our_poses), truth)
    return {
        "rotation_median_deg": float(np.median(rotation_deg)),
        "translation_median": float(np.median(translation)),
        "seconds": float(np.median(seconds)),
        "our_rotation_median_deg": float(np.median(our_rotation_deg)),
        "our_translation_median": float(np.median(our_translation)),
        "our_seconds": float(np.median(our_seconds)),
        "num_samples": count,
    }


def measure_pytorch_kinematics(module: Any, data: Path, count: int) -> Row:
    """Distance of the nodes on frames of Table 5, with the objective of our own Adam and L-BFGS."""
    import torch

    from solver_core.manifolds import Euclidean
    from solver_core.problems.inverse_kinematics.files.bodies import human
    from solver_core.problems.inverse_kinematics.problem import KinematicProblem, Targets
    from solver_core.problems.inverse_kinematics.skeleton.euler import euler_from_wxyz
    from solver_core.problems.inverse_kinematics.solver.start import mean_pose_start
    from solver_core.problems.inverse_kinematics.training.clips import load_rotations, split_clips
    from training.paper.baselines import kinematics
    from training.paper.baselines.adam import adam_update
    from training.paper.baselines.autograd import slope
    from training.paper.baselines.descent import Descent, Slope, descend

    skeleton = human().skeleton
    frames = load_rotations(split_clips(data, "test"))
    frames = frames[:: max(1, len(frames) // count)][:count]
    problem = KinematicProblem(human(), np.tile(skeleton.offsets.astype(np.float32), (len(frames), 1, 1)))
    positions = problem.forward(frames, np.arange(len(frames))).positions
    targets = Targets.exact(positions, np.ones(positions.shape[:2], np.float32))
    prior = kinematics.AnglePrior.of_poses(skeleton, load_rotations(split_clips(data, "train"))[::4])
    chain = module.build_chain_from_urdf(urdf(skeleton))
    order = [skeleton.joint_names.index(name[:-1]) * 3 + "zxy".index(name[-1]) for name in chain.get_joint_parameter_names()]
    links = [chain.frame_to_idx[name] for name in skeleton.names]
    wanted = torch.from_numpy(100 * positions)
    mean, whitening = (torch.from_numpy(array.astype(np.float32)) for array in (prior.mean, prior.whitening))

    def objective(x: np.ndarray, rows: np.ndarray) -> Slope:
        def value(step: torch.Tensor) -> torch.Tensor:
            angles = torch.from_numpy(x) + step
            frames = chain.forward_kinematics_tensor(angles[:, order])
            found = 100 * torch.stack([frames[link] for link in links], dim=1)[:, :, :3, 3]
            squared = (found - wanted[rows]).square().sum(dim=2).mean(dim=1)
            return squared + kinematics.PRIOR_WEIGHT * ((angles - mean) @ whitening).square().sum(dim=1)

        return slope(value, len(x), x.shape[1])

    x0 = mean_pose_start(problem, targets)
    angles = euler_from_wxyz(x0, kinematics.ORDER).reshape(len(x0), -1).astype(np.float32)
    update = adam_update(len(x0), kinematics.ADAM_RATE, decay=lambda stage: 1 - stage / JOINT_STEPS.steps)
    theirs = descend(Descent(Euclidean(angles.shape[1]), objective), update, angles, JOINT_STEPS)
    ours = kinematics.adam(problem, targets, x0, prior, JOINT_STEPS)
    return {
        "objective_mean": float(theirs.energy.mean()),
        "ms_per_frame_and_step": 1000 * theirs.seconds / len(x0) / JOINT_STEPS.steps,
        "our_adam_objective_mean": float(ours.energy.mean()),
        "our_adam_ms_per_frame_and_step": 1000 * ours.seconds / len(x0) / JOINT_STEPS.steps,
        "num_samples": len(x0),
    }


def measure_mink(mink: Any, data: Path, count: int) -> Row:
    """Poses of a six-axis arm with limits that are reached, each from the arm's zero; position and orientation of its tool."""
    import tempfile

    import solver_core as sc

    mujoco = importlib.import_module("mujoco")  # mink's own dependency
    with tempfile.TemporaryDirectory() as folder:
        (path := Path(folder) / "arm.xml").write_text(ARM)
        robot = sc.read_robot(path)
    values = np.random.default_rng(0).uniform(*robot.limits.T, size=(ROBOT_POSES, len(robot.joint_names)))
    tool, poses = robot.link_names.index("tool"), robot.poses(values)
    wanted = np.concatenate([poses.positions[:, tool], rotations.wxyz_from_matrix(poses.orientations[:, tool])], axis=1)
    model = mujoco.MjModel.from_xml_string(ARM)
    task = mink.FrameTask("tool", "site", position_cost=1.0, orientation_cost=1.0, lm_damping=1e-3)
    limits = [mink.ConfigurationLimit(model)]
    num_reached, started = 0, time.perf_counter()
    for pose in wanted:
        configuration = mink.Configuration(model)
        task.set_target(mink.SE3(np.concatenate([pose[3:], pose[:3]])))
        for _ in range(ROBOT_STEPS):
            left = task.compute_error(configuration)
            if np.linalg.norm(left[:3]) < 1e-3 and np.linalg.norm(left[3:]) < np.radians(0.5):
                num_reached += 1
                break
            velocity = mink.solve_ik(configuration, [task], dt=1.0, solver="daqp", limits=limits)
            configuration.integrate_inplace(velocity, dt=1.0)
    seconds = time.perf_counter() - started
    alone, ours = (sc.solve_robot({"tool": wanted}, robot, restarts=restarts) for restarts in (0, 16))
    return {
        "reached": num_reached / ROBOT_POSES,
        "ms_per_pose": 1000 * seconds / ROBOT_POSES,
        "our_reached_without_restarts": float(alone.is_reached.mean()),
        "our_ms_per_pose_without_restarts": 1000 * alone.seconds / ROBOT_POSES,
        "our_reached": float(ours.is_reached.mean()),
        "our_ms_per_pose": 1000 * ours.seconds / ROBOT_POSES,
        "num_samples": ROBOT_POSES,
    }


def mitsuba_scene(
    mitsuba: Any, case: Any, vertices: np.ndarray, integrator: dict, bsdf: dict, light: dict | None, glow: dict | None = None
) -> Any:
    """Mesh with vertices in the camera's frame, seen by the case's camera."""
    properties = mitsuba.Properties()
    properties["bsdf"] = mitsuba.load_dict(bsdf)
    if glow is not None:
        properties["emitter"] = mitsuba.load_dict(glow)
    mesh = mitsuba.Mesh("object", len(vertices), len(case.mesh.faces), props=properties)
    parameters = mitsuba.traverse(mesh)
    parameters["vertex_positions"] = np.ascontiguousarray(vertices, np.float32).ravel()
    parameters["faces"] = np.ascontiguousarray(case.mesh.faces, np.uint32).ravel()
    parameters.update()
    camera = case.camera
    sensor = {
        "type": "perspective",
        "fov_axis": "y",
        "fov": float(np.degrees(2 * np.arctan(camera.height / 2 / camera.fy))),
        "to_world": mitsuba.ScalarTransform4f().look_at(origin=[0, 0, 0], target=[0, 0, -1], up=[0, 1, 0]),
        "film": {
            "type": "hdrfilm",
            "width": camera.width,
            "height": camera.height,
            "rfilter": {"type": "box"},
            "sample_border": True,
        },
    }
    content = {"type": "scene", "integrator": integrator, "sensor": sensor, "object": mesh}
    return mitsuba.load_dict(content if light is None else content | {"light": light})


def white() -> dict:
    return {"type": "diffuse", "reflectance": {"type": "rgb", "value": 1.0}}


def drjit() -> Any:
    """Mitsuba's arithmetic; it comes with Mitsuba."""
    return importlib.import_module("drjit")


def rotate(turn: Any, points: Any) -> Any:
    """Points turned by a rotation vector (Rodrigues), in Dr.Jit."""
    angle = drjit().norm(turn)
    axis = turn / angle
    sine, cosine = drjit().sin(angle), drjit().cos(angle)
    return cosine * points + sine * drjit().cross(axis, points) + (1 - cosine) * drjit().dot(axis, points) * axis


def urdf(skeleton: Any) -> str:
    """A skeleton as URDF: each joint turns about z, x and y, one after the other."""
    robot = ElementTree.Element("robot", name="human")
    ElementTree.SubElement(robot, "link", name="world")
    for node, name in enumerate(skeleton.names):
        parent = "world" if skeleton.parents[node] < 0 else skeleton.names[skeleton.parents[node]]
        offset = np.zeros(3) if skeleton.parents[node] < 0 else skeleton.offsets[node]
        axes = "zxy" if skeleton.joint_of_node[node] >= 0 else " "
        for number, axis in enumerate(axes):
            is_last = number == len(axes) - 1
            link = name if is_last else f"{name}_{axis}"
            ElementTree.SubElement(robot, "link", name=link)
            kind = "fixed" if axis == " " else "continuous"
            joint = ElementTree.SubElement(robot, "joint", name=f"{name}{axis}".strip(), type=kind)
            ElementTree.SubElement(joint, "parent", link=parent)
            ElementTree.SubElement(joint, "child", link=link)
            ElementTree.SubElement(joint, "origin", xyz=" ".join(map(str, offset)), rpy="0 0 0")
            ElementTree.SubElement(joint, "axis", xyz={"z": "0 0 1", "x": "1 0 0", "y": "0 1 0", " ": "1 0 0"}[axis])
            parent, offset = link, np.zeros(3)
    return ElementTree.tostring(robot, encoding="unicode")


PEERS: list[tuple[str, str, Callable[[Any, Path, int], Row]]] = [
    ("mitsuba", "sun from an image", measure_mitsuba_sun),
    ("mitsuba", "pose from a silhouette", measure_mitsuba_silhouette),
    ("pytorch_kinematics", "joint angles", measure_pytorch_kinematics),
    ("mink", "joint values of an arm", measure_mink),
]

if __name__ == "__main__":
    main()
