# SPDX-License-Identifier: Apache-2.0
"""Cameras as other programs write them.

| file | from |
|---|---|
| .json | solver_core, BOP (camera.json, scene_camera.json), Open3D, MegaPose, nerfstudio (transforms.json), fSpy |
| .yaml, .yml | OpenCV's FileStorage, ROS CameraInfo |
| .txt | COLMAP (cameras.txt), a 3 x 3 matrix |
| .npz, .npy | a 3 x 3 matrix K, and distortion, as calibration scripts save them |
| .fspy | fSpy's own project |
| .jpg, .jpeg, .tif, .tiff, .heic | a photograph: its focal length in the terms of 35 mm film |

Their images begin at the top left with y down; so do the intrinsics of a Camera, and nothing has to be turned.
"""

from __future__ import annotations

import io
import json
import math
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from solver_core.checks import checked_count, checked_path
from solver_core.errors import SetupError, shown
from solver_core.frames import Camera
from solver_core.optional import needed_for
from solver_core.reading import MAX_TEXT_BYTES, read_array, read_arrays, read_bytes, read_json, read_yaml, reading

Size = tuple[int, int]  # width, height in pixels
OPENCV_NAMES = ("k1", "k2", "p1", "p2", "k3", "k4", "k5", "k6")
MATRIX_NAMES = ("K", "cam_K", "camera_matrix", "Camera_Matrix", "intrinsic_matrix", "intrinsics", "mtx", "k")
DISTORTION_NAMES = ("distortion_coefficients", "Distortion_Coefficients", "dist_coeffs", "distortion", "dist", "D", "d")
SIZE_NAMES = (("width", "height"), ("w", "h"), ("image_width", "image_height"), ("imageWidth", "imageHeight"))
MAX_PROJECT_BYTES = 2**30  # of a project of fSpy with its image, or of a photograph
FILM_DIAGONAL_MM = math.hypot(36, 24)
# Names of COLMAP's models and what their numbers are.
COLMAP_MODELS = {
    "SIMPLE_PINHOLE": ("f", "cx", "cy"),
    "PINHOLE": ("fx", "fy", "cx", "cy"),
    "SIMPLE_RADIAL": ("f", "cx", "cy", "k1"),
    "RADIAL": ("f", "cx", "cy", "k1", "k2"),
    "OPENCV": ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2"),
    "FULL_OPENCV": ("fx", "fy", "cx", "cy", *OPENCV_NAMES),
    "OPENCV_FISHEYE": ("fx", "fy", "cx", "cy", "k1", "k2", "k3", "k4"),
}


def read_camera(path: str | Path, size: Size | None = None) -> Camera:
    """The camera of a file.

    Args:
        path: a file of one of the kinds above.
        size: (width, height) of the image it belongs to, for files that do not say.

    Returns:
        The camera, with the distortion that the file gives.

    Raises:
        SetupError: if the file cannot be read, is of no known kind, or leaves something open.
    """
    path = checked_path(path, "path")
    if size is not None:
        if not isinstance(size, tuple | list) or len(size) != 2:
            raise SetupError(f"size must be width and height in pixels, got {shown(size)}")
        size = checked_count(size[0], "width"), checked_count(size[1], "height")
    kinds: dict[str, Callable[[Path, Size | None], Camera]] = {
        ".json": _read_json_camera,
        ".yaml": _read_yaml_camera,
        ".yml": _read_yaml_camera,
        ".txt": _read_text_camera,
        ".npz": _read_numpy_camera,
        ".npy": _read_numpy_camera,
        ".fspy": _read_fspy_camera,
    }
    read = kinds.get(path.suffix.lower(), _read_exif_camera)
    with reading(path, "camera file"):
        return read(path, size)


def _read_json_camera(path: Path, size: Size | None) -> Camera:
    return camera_from_content(read_json(path, "camera"), size)


def camera_from_content(content: Any, size: Size | None) -> Camera:
    """The camera that the keys of a JSON or YAML file describe.  Raises SetupError."""
    if not isinstance(content, Mapping):
        raise SetupError(
            f"a camera must be an object with keys such as width, height, fx, fy, cx, cy, not {type(content).__name__}"
        )
    if isinstance(content.get("cameraParameters"), Mapping):  # fSpy's state
        content = content["cameraParameters"]
    if "principalPoint" in content and "horizontalFieldOfView" in content:
        return _fspy_camera(content)
    images = [value for key, value in content.items() if str(key).isdigit() and isinstance(value, Mapping)]
    if images:  # BOP's scene_camera.json: one entry an image
        matrices = [matrix for image in images if (matrix := _matrix_of(image)) is not None]
        if len(matrices) < len(images) or any(not np.allclose(matrix, matrices[0]) for matrix in matrices):
            raise SetupError("it holds several different cameras; save the one of your image as a file of its own")
        content = images[0]
    size = _size_of(content) or size
    return _camera(_focal_and_centre(content, size), size, *_distortion_of(content))


def _focal_and_centre(content: Mapping[str, Any], size: Size | None) -> tuple[float, float, float, float]:
    """fx, fy, cx, cy in pixels."""
    matrix = _matrix_of(content)
    if matrix is not None:
        return matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2]
    fx = content.get("fx", content.get("fl_x", content.get("f")))
    if fx is None and "camera_angle_x" in content and size is not None:
        fx = size[0] / 2 / math.tan(_number(content["camera_angle_x"], "camera_angle_x") / 2)
    fy = content.get("fy", content.get("fl_y", fx))
    if fx is None:
        keys = ", ".join(map(str, list(content)[:12])) or "no keys"
        raise SetupError(
            "it gives no focal length: it needs the keys fx, fy, cx, cy, width, height, or a matrix K; it holds " + keys
        )
    if ("cx" not in content or "cy" not in content) and size is None:
        raise SetupError("it gives no principal point; add cx and cy, in pixels from the left and from the top")
    centre = (0.0, 0.0) if size is None else (size[0] / 2, size[1] / 2)
    return (
        _number(fx, "fx"),
        _number(fy, "fy"),
        _number(content.get("cx", centre[0]), "cx"),
        _number(content.get("cy", centre[1]), "cy"),
    )


def _camera(
    intrinsics: tuple[float, float, float, float],
    size: Size | None,
    distortion: tuple[float, ...] = (),
    is_fisheye: bool = False,
) -> Camera:
    if size is None:
        raise SetupError("it does not say how large the image is; add width and height, in pixels")
    return Camera(*size, *map(float, intrinsics), distortion=distortion, is_fisheye=is_fisheye)


def _size_of(content: Mapping[str, Any]) -> Size | None:
    for width, height in SIZE_NAMES:
        if width in content and height in content:
            return int(_number(content[width], width)), int(_number(content[height], height))
    if isinstance(content.get("resolution"), list):  # MegaPose: rows first
        height, width = (int(_number(value, "resolution")) for value in content["resolution"])
        return width, height
    return None


def _matrix_of(content: Mapping[str, Any]) -> np.ndarray | None:
    """(3, 3) K under any of its names; lists of nine are row by row, Open3D's column by column."""
    for name in MATRIX_NAMES:
        if name not in content:
            continue
        value = content[name]
        value = value.get("data", value) if isinstance(value, Mapping) else value
        matrix = np.asarray(value, dtype=np.float64)
        if matrix.size != 9:
            raise SetupError(f"{name} must hold the 3 x 3 numbers of a camera matrix, got shape {matrix.shape}")
        matrix = matrix.reshape(3, 3)
        is_transposed = np.any(matrix[2, :2] != 0) and not np.any(matrix[:2, 2] != 0)
        return matrix.T if is_transposed else matrix
    return None


def _distortion_of(content: Mapping[str, Any]) -> tuple[tuple[float, ...], bool]:
    """OpenCV's coefficients, and whether they are those of its fisheye model."""
    model = str(content.get("distortion_model", content.get("camera_model", ""))).lower()
    is_fisheye = "fisheye" in model or "equidistant" in model
    for name in DISTORTION_NAMES:
        if name in content and content[name] is not None:
            value = content[name]
            value = value.get("data", value) if isinstance(value, Mapping) else value
            found = tuple(float(one) for one in np.asarray(value, dtype=np.float64).ravel())
            return _whole(found, is_fisheye)
    if any(_number(content.get(name, 0), name) for name in OPENCV_NAMES):
        names = ("k1", "k2", "k3", "k4") if is_fisheye else OPENCV_NAMES
        return _whole(tuple(_number(content.get(name, 0), name) for name in names), is_fisheye)
    return (), False


def _whole(coefficients: tuple[float, ...], is_fisheye: bool) -> tuple[tuple[float, ...], bool]:
    """Coefficients without what is zero, in one of the lengths that Camera takes."""
    if not any(coefficients):
        return (), False
    if is_fisheye:
        return (*coefficients, 0.0, 0.0, 0.0, 0.0)[:4], True
    length = next((count for count in (4, 5, 8) if not any(coefficients[count:])), len(coefficients))
    return (*coefficients, *[0.0] * 8)[:length], False


def _read_yaml_camera(path: Path, size: Size | None) -> Camera:
    return camera_from_content(read_yaml(path), size)


def _read_text_camera(path: Path, size: Size | None) -> Camera:
    text = read_bytes(path, MAX_TEXT_BYTES).decode("utf-8-sig")
    rows = [line.split() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if rows and len(rows[0]) > 1 and rows[0][1].isupper():
        return _colmap_camera(rows)
    matrix = np.array([[float(word.strip(",;[]")) for word in row if word.strip(",;[]")] for row in rows])
    return camera_from_content({"K": matrix}, size)


def _colmap_camera(rows: list[list[str]]) -> Camera:
    if len(rows) > 1:
        raise SetupError(f"it holds {len(rows)} cameras; save the line of your image's camera as a file of its own")
    _, model, width, height, *numbers = rows[0]
    names = COLMAP_MODELS.get(model)
    if names is None or len(names) != len(numbers):
        raise SetupError(
            f"the COLMAP model {model} is not known; undistort with COLMAP, or use one of {', '.join(COLMAP_MODELS)}"
        )
    content = dict(zip(names, map(float, numbers), strict=True))
    return camera_from_content(content | {"width": int(width), "height": int(height), "camera_model": model}, None)


def _read_numpy_camera(path: Path, size: Size | None) -> Camera:
    if path.suffix.lower() == ".npy":
        content = read_array(path)
        return camera_from_content(content if isinstance(content, dict) else {"K": content}, size)
    return camera_from_content(read_arrays(path), size)


def _read_fspy_camera(path: Path, size: Size | None) -> Camera:
    """FSpy's project: a mark, its version, the length of the state, that of the image, then both."""
    content = read_bytes(path, MAX_PROJECT_BYTES)
    if content[:4] != b"fspy" or len(content) < 16:
        raise SetupError("it is no project of fSpy")
    (length,) = struct.unpack("<I", content[8:12])
    return camera_from_content(json.load(io.BytesIO(content[16 : 16 + length])), size)


def _fspy_camera(content: Mapping[str, Any]) -> Camera:
    """FSpy measures from the image's centre, in halves of its longer side, y up."""
    size = _size_of(content)
    if size is None:
        raise SetupError("fSpy's camera must say imageWidth and imageHeight")
    width, height = size
    focal = width / 2 / math.tan(_number(content["horizontalFieldOfView"], "horizontalFieldOfView") / 2)
    half = max(width, height) / 2
    point = content["principalPoint"]
    centre_x = width / 2 + half * _number(point["x"], "principalPoint.x")
    centre_y = height / 2 - half * _number(point["y"], "principalPoint.y")
    return Camera(width, height, focal, focal, centre_x, centre_y)


def _read_exif_camera(path: Path, size: Size | None) -> Camera:
    """A photograph's focal length in the terms of 35 mm film, which compares the diagonals."""
    with needed_for("reading photographs", extra="cli"):
        from PIL import Image
    with Image.open(
        io.BytesIO(read_bytes(path, MAX_PROJECT_BYTES)), formats=("JPEG", "TIFF", "PNG", "MPO")
    ) as image:  # no pixels are read
        exif = image.getexif()
        width, height = image.size if exif.get(0x0112, 1) < 5 else image.size[::-1]  # its sides are turned
    focal_mm = exif.get_ifd(0x8769).get(0xA405)
    if not focal_mm:
        raise SetupError(
            "the photograph does not say its focal length in terms of 35 mm film; give a camera file with fx, fy, cx, cy, "
            "width and height, where fx is width x focal length / sensor width"
        )
    focal = float(focal_mm) / FILM_DIAGONAL_MM * math.hypot(width, height)
    return Camera(width, height, focal, focal, width / 2, height / 2)


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise SetupError(f"camera {name} must be a number, got {value!r}")
    return float(value)
