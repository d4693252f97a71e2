# SPDX-License-Identifier: Apache-2.0
"""Cameras as other programs write them; the files of tests/data/cameras all mean the same camera."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from solver_core.camera_files import read_camera
from solver_core.errors import SetupError
from solver_core.frames import Camera

CAMERAS = Path(__file__).parent / "data" / "cameras"
CAMERA = Camera(640, 480, 800.0, 800.0, 320.0, 240.0)
SIZE = (640, 480)
K = np.array([[800.0, 0, 320], [0, 800, 240], [0, 0, 1]])


@pytest.mark.parametrize("name", ["bopcam.json", "scene_camera.json", "o3d.json", "camera_info.yaml"])
def test_file_of_another_program_is_read(name):
    assert read_camera(CAMERAS / name, SIZE) == CAMERA


def test_distortion_is_read_with_the_camera():
    assert read_camera(CAMERAS / "dist.json").distortion == (-0.2, 0.05, 0, 0)
    assert read_camera(CAMERAS / "cameras.txt").distortion == (-0.05, 0, 0, 0)


OPENCV_YAML = """\
%YAML:1.0
---
image_width: 640
image_height: 480
camera_matrix: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [ 800., 0., 320., 0., 800., 240., 0., 0., 1. ]
distortion_coefficients: !!opencv-matrix
   rows: 5
   cols: 1
   dt: d
   data: [ -2.0e-01, 5.0e-02, 0., 0., 0. ]
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("megapose.json", json.dumps({"K": K.tolist(), "resolution": [480, 640]})),
        (
            "transforms.json",
            json.dumps({"fl_x": 800.0, "fl_y": 800.0, "cx": 320.0, "cy": 240.0, "w": 640, "h": 480, "frames": []}),
        ),
        ("angle.json", json.dumps({"camera_angle_x": 2 * np.arctan(0.4), "w": 640, "h": 480})),
        ("two.json", json.dumps({str(i): {"cam_K": K.ravel().tolist()} for i in range(2)})),
        ("marked.json", "\ufeff" + json.dumps({"width": 640, "height": 480, "fx": 800, "fy": 800, "cx": 320, "cy": 240})),
        (
            "fspy.json",
            json.dumps(
                {
                    "principalPoint": {"x": 0.0, "y": 0.0},
                    "horizontalFieldOfView": 2 * np.arctan(0.4),
                    "imageWidth": 640,
                    "imageHeight": 480,
                }
            ),
        ),
        ("K.txt", "800 0 320\n0 800 240\n0 0 1\n"),
        ("brackets.txt", "[[800, 0, 320],\n [0, 800, 240],\n [0, 0, 1]]\n"),
        ("colmap.txt", "# cameras\n1 PINHOLE 640 480 800 800 320 240\n"),
    ],
)
def test_text_of_another_program_is_read(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")

    camera = read_camera(tmp_path / name, SIZE)

    np.testing.assert_allclose(camera.intrinsics, CAMERA.intrinsics, rtol=1e-12)
    assert (camera.width, camera.height, camera.distortion) == (640, 480, ())


def test_opencv_matrices_are_read_with_their_distortion(tmp_path):
    (tmp_path / "camera.yml").write_text(OPENCV_YAML)

    camera = read_camera(tmp_path / "camera.yml")

    assert camera.pinhole == CAMERA
    assert camera.distortion == (-0.2, 0.05, 0, 0)


def test_arrays_of_a_calibration_are_read(tmp_path):
    np.savez(tmp_path / "calibration.npz", mtx=K, dist=np.array([[-0.2, 0.05, 0.001, 0, 0.3]]))
    np.save(tmp_path / "K.npy", K)

    assert read_camera(tmp_path / "calibration.npz", SIZE).distortion == (-0.2, 0.05, 0.001, 0, 0.3)
    assert read_camera(tmp_path / "K.npy", SIZE) == CAMERA


def test_fspy_project_is_read_with_its_shifted_centre(tmp_path):
    state = {
        "cameraParameters": {
            "principalPoint": {"x": 0.25, "y": -0.1},
            "horizontalFieldOfView": 2 * np.arctan(0.4),
            "imageWidth": 640,
            "imageHeight": 480,
        }
    }
    text = json.dumps(state).encode()
    (tmp_path / "shot.fspy").write_bytes(b"fspy" + struct.pack("<III", 1, len(text), 4) + text + b"JPEG")

    camera = read_camera(tmp_path / "shot.fspy")

    np.testing.assert_allclose(camera.intrinsics, (800, 800, 320 + 0.25 * 320, 240 + 0.1 * 320))


def test_photograph_gives_its_focal_length(tmp_path):
    image_module = pytest.importorskip("PIL.Image")
    image = image_module.new("RGB", (640, 480))
    exif = image.getexif()
    exif.get_ifd(0x8769)[0xA405] = 50
    exif[0x0112] = 6  # turned by a quarter
    image.save(tmp_path / "photo.jpg", exif=exif)

    camera = read_camera(tmp_path / "photo.jpg")

    assert (camera.width, camera.height) == (480, 640)
    assert camera.fx == pytest.approx(50 / np.hypot(36, 24) * 800)


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.json", "[]", "must be an object with keys such as width"),
        ("a.json", '{"focal": 60}', "it gives no focal length.*it holds focal"),
        ("a.json", '{"fx": "wide", "cx": 1, "cy": 1}', "fx must be a number, got 'wide'"),
        ("a.json", '{"fx": 800, "fy": 800, "cx": 320, "cy": 240}', "does not say how large the image is"),
        (
            "a.json",
            json.dumps({"0": {"cam_K": [800.0, 0, 320, 0, 800, 240, 0, 0, 1]}, "1": {"cam_K": [9.0] * 9}}),
            "several different",
        ),
        ("a.json", '{"K": [1, 2, 3], "width": 4, "height": 4}', "3 x 3"),
        ("a.txt", "1 WEIRD 640 480 1 2 3\n", "model WEIRD is not known"),
        ("a.txt", "1 PINHOLE 640 480 1 2 3 4\n2 PINHOLE 640 480 1 2 3 4\n", "holds 2 cameras"),
        ("a.txt", "hello\n", "cannot read the camera file"),
        ("a.yaml", "{", "cannot read the camera file"),
        ("a.fspy", "rubbish", "no project of fSpy"),
        ("a.xyz", "rubbish", "cannot read the camera file"),
    ],
)
def test_file_that_is_no_camera_is_refused_with_its_name(tmp_path, name, text, sentence):
    (tmp_path / name).write_text(text)

    with pytest.raises(SetupError, match=sentence) as caught:
        read_camera(tmp_path / name)

    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_photograph_without_a_focal_length_is_refused(tmp_path):
    image_module = pytest.importorskip("PIL.Image")
    image_module.new("RGB", (64, 48)).save(tmp_path / "photo.jpg")

    with pytest.raises(SetupError, match="35 mm film"):
        read_camera(tmp_path / "photo.jpg")
