# SPDX-License-Identifier: Apache-2.0
"""Small valid files of every kind that is read, from which the fuzzers start."""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path

import numpy as np

from solver_core.network.spec import NetworkSpec
from solver_core.network.weights import WeightsInfo, save_weights

CORNERS = np.array([[0.0, 0, 0], [3, 0, 0], [0, 2, 0], [0, 0, 1]])
FACES = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])

BVH = b"""HIERARCHY
ROOT hip
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT left arm
  {
    OFFSET 0.3 0 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    End Site
    {
      OFFSET 0.2 0 0
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.04
1 2 3 0 0 0 0 10 0
1 2 3 90 0 0 90 0 5
"""
CSV = b"hip_x,hip_y,hip_z,head_x,head_y,head_z\n0,1,2,5,4,3\n0.5,1e-3,,5,4,3\n"
CAMERA = json.dumps({"width": 40, "height": 30, "fx": 50.0, "fy": 50.0, "cx": 20.0, "cy": 15.0}).encode()
POSE = json.dumps({"camera_from_object": [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, -8], [0, 0, 0, 1]], "iou": 0.9}).encode()
MAP = json.dumps({"body": {"hip": "hip"}, "targets": {"hip": ["hip", "head"], "left arm": "head"}}).encode()
LIMITS = json.dumps({"hip": {"x": [-20, 90], "y": [0, 0]}, "left arm": {"z": [-5.5, 5.5]}}).encode()
RECIPE = b"""[training]
problem = "pose"
name = "small"
iterations = [4, 2]
batch_size = 8
learning_rate = 1e-3
[network]
convolutions = [[4, 2], [4, 2]]
hidden = [8]
[sampling]
resolutions = [64]
"""
OPENCV_YAML = b"""%YAML:1.0
image_width: 40
image_height: 30
camera_matrix: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [50., 0., 20., 0., 50., 15., 0., 0., 1.]
distortion_coefficients: !!opencv-matrix
   rows: 1
   cols: 5
   dt: d
   data: [0.1, 0., 0., 0., 0.]
"""
COLMAP = b"# CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]\n1 PINHOLE 40 30 50 50 20 15\n"
MATRIX = b"50 0 20\n0 50 15\n0 0 1\n"
BOP = json.dumps({"0": {"cam_K": [50, 0, 20, 0, 50, 15, 0, 0, 1], "depth_scale": 1.0, "width": 40, "height": 30}}).encode()
FSPY = json.dumps(
    {"principalPoint": {"x": 0, "y": 0}, "horizontalFieldOfView": 0.7, "imageWidth": 40, "imageHeight": 30}
).encode()
COCO = [
    json.dumps({"segmentation": {"size": [3, 4], "counts": [2, 3, 7]}, "id": 1}).encode(),
    json.dumps({"annotations": [{"segmentation": [[1, 1, 5, 1, 5, 6, 1.5, 6]], "id": 7}]}).encode(),
    json.dumps({"segmentation": {"size": [3, 4], "counts": "24310"}}).encode(),
]
MTL = b"newmtl red\nKd 0.8 0.1 0.1\nmap_Kd texture.png\n"


DATA = Path(__file__).resolve().parents[1] / "data"
LONG_TABLE = b"frame\tname\tx\ty\tz\n1\thip\t0\t1\t2\n1\thead\t0\t1,5\t3\n2\thip\t0\t1\t2\n2\thead\t0\t1\t3\n"
DEEPLABCUT = b"scorer,a,a,a\nbodyparts,hip,hip,hip\ncoords,x,y,z\n0,1,2,3\n1,1,2,3\n"
KEYPOINTS = [
    json.dumps({"frames": [{"keypoints3D": [{"name": "hip", "x": 0, "y": 1, "z": 2, "score": 1}]}], "fps": 30}).encode(),
    json.dumps([{"people": [{"pose_keypoints_3d": [0, 1, 2, 1] * 25}]}]).encode(),
    json.dumps({"hip": {"x": 0, "y": 1, "z": 2}, "head": {"x": 0, "y": 2, "z": 2}}).encode(),
]


def trc() -> list[bytes]:
    """The first frames of a walk."""
    return [b"\n".join((DATA / "ik" / "walk.trc").read_bytes().split(b"\n")[:8])]


def c3d() -> list[bytes]:
    import ezc3d

    content = ezc3d.c3d()
    content["parameters"]["POINT"]["RATE"]["value"] = [100]
    content["parameters"]["POINT"]["LABELS"]["value"] = ("hip", "head")
    content["data"]["points"] = np.random.default_rng(0).normal(size=(4, 2, 3))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.c3d"
        content.write(str(path))
        return [path.read_bytes()]


def mesh(suffix: str) -> list[bytes]:
    """A tetrahedron, plain and with colours or a texture where the format has them."""
    import trimesh
    from PIL import Image

    plain = trimesh.Trimesh(CORNERS, FACES, process=False)
    painted = plain.copy()
    painted.visual = trimesh.visual.ColorVisuals(painted, vertex_colors=np.arange(16, dtype=np.uint8).reshape(4, 4))
    textured = plain.copy()
    picture = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
    material = trimesh.visual.material.PBRMaterial(baseColorTexture=picture, baseColorFactor=[255, 128, 0, 255])
    textured.visual = trimesh.visual.TextureVisuals(uv=np.linspace(0, 1, 8).reshape(4, 2), material=material)
    scene = trimesh.Scene()
    scene.add_geometry(plain, geom_name="part")
    scene.graph.update(frame_to="again", geometry="part", matrix=np.diag([2.0, 2, 2, 1]))
    things = {".glb": [plain, textured, scene], ".gltf": [], ".obj": [plain], ".ply": [plain, painted]}.get(suffix, [plain])
    found = [thing.export(file_type=suffix[1:]) for thing in things]
    found = [one.encode() if isinstance(one, str) else one for one in found]
    if suffix == ".ply":
        found.append(plain.export(file_type="ply", encoding="ascii"))
    if suffix == ".gltf":
        found.append(_embedded_gltf())
    if suffix == ".obj":
        found.append(b"mtllib red.mtl\nv 0 0 0 1 0 0\nv 1 0 0 0 1 0\nv 0 1 0 0 0 1\nvt 0 0\nvt 1 0\nvt 0 1\n")
        found[-1] += b"vn 0 0 1\nusemtl red\nf 1/1/1 2/2/1 3/3/1\n"
    found += [path.read_bytes() for path in sorted((DATA / "meshes").glob(f"*{suffix}")) if path.stat().st_size < 3000]
    if suffix == ".stl":
        found.append(plain.export(file_type="stl_ascii").encode())
    return found


def _embedded_gltf() -> bytes:
    import base64

    data = CORNERS.astype("<f4").tobytes() + FACES.astype("<u4").tobytes()
    return json.dumps(
        {
            "asset": {"version": "2.0"},
            "scene": 0,
            "scenes": [{"nodes": [0]}],
            "nodes": [{"children": [1], "scale": [2, 2, 2]}, {"mesh": 0, "rotation": [0, 0, 0, 1]}],
            "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1}]}],
            "buffers": [{"byteLength": len(data), "uri": "data:;base64," + base64.b64encode(data).decode()}],
            "bufferViews": [
                {"buffer": 0, "byteOffset": 0, "byteLength": 48},
                {"buffer": 0, "byteOffset": 48, "byteLength": 48},
            ],
            "accessors": [
                {"bufferView": 0, "componentType": 5126, "count": 4, "type": "VEC3"},
                {"bufferView": 1, "componentType": 5125, "count": 12, "type": "SCALAR"},
            ],
        }
    ).encode()


def image(suffix: str) -> list[bytes]:
    """A picture of 6 x 4 pixels in the modes that the format has."""
    from PIL import Image

    grey = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10
    rgb = np.stack([grey, grey[::-1], 255 - grey], axis=-1)
    modes = [Image.fromarray(grey), Image.fromarray(rgb)]
    if suffix == ".png":
        modes += [Image.fromarray(np.dstack([rgb, grey])), Image.fromarray(grey.astype(np.uint16) * 257), modes[1].quantize(8)]
    found = []
    for one in modes:
        file = io.BytesIO()
        one.save(file, format={".jpg": "JPEG", ".tif": "TIFF"}.get(suffix, suffix[1:].upper()))
        found.append(file.getvalue())
    return found + ([_png16(rgb)] if suffix == ".png" else [])


def _png16(rgb: np.ndarray) -> bytes:
    import png

    file = io.BytesIO()
    rows = (rgb.astype(np.uint16) * 257).reshape(len(rgb), -1)
    png.Writer(width=rgb.shape[1], height=rgb.shape[0], bitdepth=16, greyscale=False).write(file, rows)
    return file.getvalue()


def exr() -> list[bytes]:
    import OpenEXR

    found = []
    rgb = np.linspace(0, 1, 72).reshape(4, 6, 3).astype(np.float32)
    with tempfile.TemporaryDirectory() as folder:
        for kind in (OpenEXR.ZIP_COMPRESSION, OpenEXR.NO_COMPRESSION, OpenEXR.PIZ_COMPRESSION):
            path = Path(folder) / "a.exr"
            header = {"compression": kind, "type": OpenEXR.scanlineimage}
            OpenEXR.File(header, {"RGB": rgb, "Z": rgb[..., 0].copy()}).write(str(path))
            found.append(path.read_bytes())
    return found


def npz() -> list[bytes]:
    """Targets, and a camera."""
    found = []
    targets = {"positions": np.arange(12.0).reshape(2, 2, 3), "names": np.array(["hip", "head"]), "frame_time": np.array(0.02)}
    for arrays in (targets, {"K": np.array([[50.0, 0, 20], [0, 50, 15], [0, 0, 1]]), "dist": np.zeros(5)}):
        file = io.BytesIO()
        np.savez(file, **arrays)
        found.append(file.getvalue())
    return found


def npy() -> list[bytes]:
    """A matrix, and a dictionary of arrays as NumPy pickles it."""
    found = []
    for content in (np.array([[50.0, 0, 20], [0, 50, 15], [0, 0, 1]]), {"K": np.eye(3), "motion": np.zeros((1, 22, 3, 2))}):
        file = io.BytesIO()
        np.save(file, content, allow_pickle=True)
        found.append(file.getvalue())
    return found


def weights() -> list[bytes]:
    """Two stages of a small network with and without an image."""
    found = []
    specs = [
        NetworkSpec(3, (4,), 5, skip=True),
        NetworkSpec(2, (4,), 3, image_size=4, image_channels=1, convolutions=((2, 2),)),
    ]
    with tempfile.TemporaryDirectory() as folder:
        for spec in specs:
            stage = {}
            for layer, shape in spec.layers():
                stage[f"{layer}.weight"] = np.full(shape, 0.5, np.float32)
                stage[f"{layer}.bias"] = np.zeros(shape[-1], np.float32)
            path = Path(folder) / "w.safetensors"
            save_weights(path, [stage, stage], WeightsInfo("pose", "pose", spec, "layout 1", "meshes", commit="0123abc"))
            found.append(path.read_bytes())
    return found


def checkpoint() -> list[bytes]:
    """A training run of RECIPE that stands in its second stage."""
    import torch

    from solver_core.config import TrainSettings
    from solver_core.training.checkpoint import Checkpoint, save_checkpoint
    from solver_core.training.files import CHECKPOINT

    network = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    frozen = [{"linear0.weight": np.ones((2, 3), np.float32)}]
    state = Checkpoint(TrainSettings("pose", "small", (4, 2)), frozen, 1, network.state_dict(), optimizer.state_dict(), 1.5)
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(Path(folder), state)
        return [Path(folder, CHECKPOINT).read_bytes()]
