# SPDX-License-Identifier: Apache-2.0
"""Deep feedback solver for inverse problems: object pose, lighting, inverse kinematics (after Ma et al., ECCV 2020).

import solver_core as sc
camera = sc.Camera(width, height, fx, fy, cx, cy)
result = sc.solve_pose(mask, vertices, faces, camera, start=camera_from_object)

problem = sc.inverse_problem(forward=my_simulation, space=sc.Box(low, high))  # any program as the forward process
result = sc.solve(problem, observed, weights=sc.train(problem))
"""

from solver_core import loop, problem
from solver_core import network as networks
from solver_core.camera_files import read_camera
from solver_core.errors import (
    ConfigError,
    MissingDependency,
    ObservationError,
    ResourceError,
    SetupError,
    SolverError,
    WeightsError,
)
from solver_core.executable import Executable
from solver_core.frames import Camera
from solver_core.inverse import inverse_problem
from solver_core.manifolds import Box, Euclidean, SO3Power, UnitSphere
from solver_core.problem_kind import ProblemKind
from solver_core.problems.inverse_kinematics.files.targets import NamedTargets, read_targets
from solver_core.problems.inverse_kinematics.robots.files import read_robot
from solver_core.problems.inverse_kinematics.robots.robot import Robot
from solver_core.problems.inverse_kinematics.robots.solve import RobotResult, solve_robot
from solver_core.problems.inverse_kinematics.skeleton.skeleton import Skeleton
from solver_core.problems.inverse_kinematics.solve import KinematicResult, solve_inverse_kinematics
from solver_core.problems.lighting.solve import LightingSolution, solve_lighting
from solver_core.problems.pose.labels import solve_pose_labels
from solver_core.problems.pose.photograph import PhotoSolution, solve_pose_from_image
from solver_core.problems.pose.smooth import smooth_poses
from solver_core.problems.pose.solve import PoseOptions, PoseSolution, solve_pose, solve_pose_batch
from solver_core.problems.pose.solve_views import PoseViewsSolution, solve_pose_views
from solver_core.problems.pose.track import TrackedPose, track_pose
from solver_core.segmentation.mask import ImageMask, mask_from_image
from solver_core.solution import Cancelled, StopReason, Verdict
from solver_core.solving import ProblemSolution, solve
from solver_core.training import train

solve_ik = solve_inverse_kinematics  # the short name

__version__ = "0.1.0"

__all__ = [
    "Box",
    "Camera",
    "Cancelled",
    "ConfigError",
    "Euclidean",
    "Executable",
    "ImageMask",
    "KinematicResult",
    "LightingSolution",
    "MissingDependency",
    "NamedTargets",
    "ObservationError",
    "PhotoSolution",
    "PoseOptions",
    "PoseSolution",
    "PoseViewsSolution",
    "ProblemKind",
    "ProblemSolution",
    "ResourceError",
    "Robot",
    "RobotResult",
    "SO3Power",
    "SetupError",
    "Skeleton",
    "SolverError",
    "StopReason",
    "TrackedPose",
    "UnitSphere",
    "Verdict",
    "WeightsError",
    "inverse_problem",
    "loop",
    "mask_from_image",
    "networks",
    "problem",
    "read_camera",
    "read_robot",
    "read_targets",
    "smooth_poses",
    "solve",
    "solve_ik",
    "solve_inverse_kinematics",
    "solve_lighting",
    "solve_pose",
    "solve_pose_batch",
    "solve_pose_from_image",
    "solve_pose_labels",
    "solve_pose_views",
    "solve_robot",
    "track_pose",
    "train",
]
