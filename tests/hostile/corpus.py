# SPDX-License-Identifier: Apache-2.0
"""Small bad files, one for each kind of fault that was found, and what is said of them.

Everything is made here: python -m tests.hostile.corpus DIR writes the files, to try other programs on them.
"""

from __future__ import annotations

import base64
import io
import json
import struct
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from . import seeds


class Bad(NamedTuple):
    """target: of targets.py, whose reader is tried.  words: of the sentence; "" where it may also be read."""

    target: str
    content: bytes
    words: str


def bad_files() -> dict[str, Bad]:
    """By what is bad about them."""
    return {**_texts(), **_meshes(), **_images(), **_motions(), **_numbers()}


def _texts() -> dict[str, Bad]:
    deep = b"[" * 100_000
    return {
        "JSON deeper than the stack": Bad("camera.json", b'{"width":' + deep, "nested too deeply"),
        "JSON that is deep and closed": Bad("pose.json", b'{"camera_from_object":' + b"[" * 900 + b"]" * 900 + b"}", "nested"),
        "JSON with a number of 5000 digits": Bad("camera.json", b'{"width":' + b"9" * 5000 + b"}", "not valid JSON"),
        "JSON with half a letter": Bad("camera.json", b'{"width": "\\ud83d"}', "halves of letters"),
        "JSON in UTF-16": Bad("camera.json", seeds.CAMERA.decode().encode("utf-16"), "no text in UTF-8"),
        "a camera of 10^300 pixels": Bad("camera.json", seeds.CAMERA.replace(b"40", b"1" + b"0" * 300), "below"),
        "a camera of true pixels": Bad("camera.json", seeds.CAMERA.replace(b"40", b"true"), "must be a number"),
        "a focal length that is text": Bad("camera.json", seeds.CAMERA.replace(b"50.0", b'"50"', 1), "must be a number"),
        "a pose of texts": Bad("pose.json", seeds.POSE.replace(b"-8", b'"-8"'), "4 x 4 numbers"),
        "a pose with a number beyond all": Bad("pose.json", seeds.POSE.replace(b"-8", b"-" + b"8" * 400), "damaged"),
        "a name of a million letters": Bad("limits.json", b'{"' + b"x" * 1_000_000 + b'": {}}', "names 'xxx"),
        "limits that are text": Bad("limits.json", b'{"hip": {"x": "12"}}', "must look like"),
        "TOML deeper than the stack": Bad("recipe.toml", b"a = " + deep, "nested too deeply"),
        "a key of TOML with 20,000 parts": Bad("recipe.toml", b"a." * 20_000 + b"b = 1", "nested too deeply"),
        "a recipe that writes elsewhere": Bad("recipe.toml", seeds.RECIPE.replace(b'"small"', b'"../../small"'), "file name"),
        "a recipe with no end": Bad("recipe.toml", seeds.RECIPE.replace(b"4, 2", b"4, 99999999999", 1), "positive number"),
        "YAML whose names stand for billions": Bad("camera.yaml", _laughs(), "references"),
        "YAML deeper than the stack": Bad("camera.yaml", b"K: " + deep[:3000], "nested too deeply"),
        "YAML that makes objects": Bad("camera.yaml", b"K: !!python/object/apply:os.getpid []", "could not determine"),
        "run lengths that never end": Bad(
            "mask.json", b'{"segmentation": {"size": [3, 4], "counts": "' + b"o" * 99_999 + b'"}}', "COCO"
        ),
        "a mask of 10^18 pixels": Bad(
            "mask.json", b'{"segmentation": {"size": [1000000000, 1000000000], "counts": [1]}}', "COCO"
        ),
    }


def _laughs() -> bytes:
    """The billion laughs: each line stands for ten of the one before."""
    lines = ["a0: &a0 [1]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    return "\n".join([*lines, "K: *a11"]).encode()


def _gltf(**changes: Any) -> bytes:
    content = json.loads(seeds.mesh(".gltf")[0])
    return json.dumps(content | changes).encode()


def _meshes() -> dict[str, Bad]:
    buffer = [{"byteLength": 96, "uri": "data.bin"}]
    zeros = [{"componentType": 5126, "count": 10**12, "type": "VEC3"}, {"componentType": 5125, "count": 12, "type": "SCALAR"}]
    chain = [{"children": [number + 1]} for number in range(2000)] + [{"mesh": 0}]
    many = [{"children": list(range(1, 5001))}, *[{"mesh": 0}] * 5000]
    glb = seeds.mesh(".glb")[0]
    ply = b"ply\nformat binary_little_endian 1.0\nelement vertex 999999999999\nproperty float x\nproperty float y\n"
    ply += b"property float z\nelement face 1\nproperty list uchar int vertex_indices\nend_header\n" + bytes(40)
    return {
        "a glTF with a system's file": Bad("mesh.gltf", _gltf(buffers=[buffer[0] | {"uri": "/etc/passwd"}]), "cannot"),
        "a glTF with a file above its folder": Bad(
            "mesh.gltf", _gltf(buffers=[buffer[0] | {"uri": "../../etc/passwd"}]), "cannot"
        ),
        "a glTF with a page of the web": Bad(
            "mesh.gltf", _gltf(buffers=[buffer[0] | {"uri": "http://127.0.0.1:9/a"}]), "cannot"
        ),
        "a glTF of 10^12 zeros": Bad("mesh.gltf", _gltf(accessors=zeros), "more than the 320,000,000"),
        "a glTF with a chain of 2000 nodes": Bad("mesh.gltf", _gltf(nodes=chain), "levels of nodes"),
        "a glTF whose nodes form a circle": Bad(
            "mesh.gltf", _gltf(nodes=[{"children": [1], "mesh": 0}, {"children": [0]}]), "circle"
        ),
        "a glTF whose nodes share a child": Bad(
            "mesh.gltf", _gltf(nodes=[{"children": [2]}, {"children": [2]}, {"mesh": 0}]), "parents"
        ),
        "a glTF with one part in 5000 places": Bad("mesh.gltf", _gltf(nodes=many), ""),
        "a binary glTF that claims 4 GB": Bad("mesh.glb", glb[:12] + struct.pack("<I", 2**32 - 5) + glb[16:], "cut short"),
        "a ply of 10^12 vertices": Bad("mesh.ply", ply, "claims to hold more"),
        "an stl of 4 billion faces": Bad("mesh.stl", bytes(80) + struct.pack("<I", 2**32 - 1) + bytes(50), "no faces"),
        "an off of 10^18 faces": Bad("mesh.off", b"OFF\n4 999999999999999999 0\n0 0 0\n1 0 0\n0 1 0\n0 0 1\n3 0 1 2\n", ""),
        "an obj with a system's file": Bad("albedo.obj", b"mtllib /etc/passwd\n" + seeds.mesh(".obj")[0], ""),
        "an obj beyond float32": Bad("mesh.obj", b"v 1e300 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", "above 1e+15"),
        "an obj without faces": Bad("mesh.obj", b"v 0 0 0\nv 1 0 0\n", "no faces"),
        "a mesh that is a point": Bad("mesh.off", b"OFF\n3 1 0\n1 1 1\n1 1 1\n1 1 1\n3 0 1 2\n", ""),
    }


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png(width: int, height: int, bits: int = 8, kind: int = 2) -> bytes:
    """A PNG that claims a size, with hardly any pixels."""
    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    pixels = _png_chunk(b"IDAT", zlib.compress(bytes(100)))
    return b"\x89PNG\r\n\x1a\n" + _png_chunk(b"IHDR", header) + pixels + _png_chunk(b"IEND", b"")


def _images() -> dict[str, Bad]:
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n(%pipe%touch trapped) (w) file\n%%EOF\n"
    exr = seeds.exr()[1]
    window = exr.index(b"dataWindow\0box2i\0") + 21
    wide = exr[:window] + struct.pack("<iiii", 0, 0, 99_999, 99_999) + exr[window + 16 :]
    bmp = seeds.image(".bmp")[0]
    return {
        "a PNG of 3.6 billion pixels": Bad("mask.png", _png(60_000, 60_000), "pixels"),
        "a PNG of 90 million pixels": Bad("mask.png", _png(10_000, 9_000), "more than the 80,000,000"),
        "a PNG of 3.6 billion pixels of 16 bits": Bad("radiance.png", _png(60_000, 60_000, 16), "more than the 80,000,000"),
        "a PNG cut short": Bad("mask.png", seeds.image(".png")[0][:60], "cannot read"),
        "a program in the name of a PNG": Bad("mask.png", eps, "it is no picture"),
        "an EXR of 10 billion pixels": Bad("radiance.exr", wide, "cannot read"),
        "an EXR cut short": Bad("radiance.exr", exr[:-40], "cannot read"),
        "a BMP of 4 billion rows": Bad("photo.bmp", bmp[:22] + struct.pack("<i", 2**31 - 1) + bmp[26:], "cannot read"),
        "an empty image": Bad("mask.png", b"", "it is no picture"),
    }


def _bvh_chain(depth: int) -> bytes:
    joints = "".join(f"JOINT j{n} {{ OFFSET 0 1 0 CHANNELS 3 Zrotation Xrotation Yrotation\n" for n in range(depth))
    text = f"HIERARCHY\nROOT hip {{ OFFSET 0 0 0 CHANNELS 0\n{joints} End Site {{ OFFSET 0 1 0 }} {'}' * (depth + 1)}\n"
    return f"{text}MOTION\nFrames: 1\nFrame Time: 0.1\n{'0 ' * 3 * depth}\n".encode()


def _motions() -> dict[str, Bad]:
    still = b"HIERARCHY\nROOT hip { OFFSET 0 0 0 CHANNELS 0 End Site { OFFSET 0 1 0 } }\n"
    still += b"MOTION\nFrames: 999999999999\nFrame Time: 1\n"
    return {
        "a chain of 5000 joints": Bad("motion.bvh", _bvh_chain(5000), "levels of joints"),
        "a chain of 400 joints": Bad("motion.bvh", _bvh_chain(400), ""),
        "10^12 frames of nothing": Bad("motion.bvh", still, "numbers of motion"),
        "10^9 channels": Bad("motion.bvh", seeds.BVH.replace(b"CHANNELS 3", b"CHANNELS 999999999"), "unknown channel"),
        "a joint at infinity": Bad("motion.bvh", seeds.BVH.replace(b"0.3 0 0", b"1e999 0 0"), "finite"),
        "frames of infinite length": Bad("motion.bvh", seeds.BVH.replace(b"0.04", b"inf"), "positive seconds"),
        "an angle that is nan": Bad("motion.bvh", seeds.BVH.replace(b" 90 ", b" nan "), "finite"),
        "two joints of one name": Bad("motion.bvh", seeds.BVH.replace(b"left arm", b"hip"), ""),
        "a BVH cut short": Bad("motion.bvh", seeds.BVH[:200], "HIERARCHY and MOTION"),
        "a table with a NUL": Bad("targets.csv", seeds.CSV.replace(b"1e-3", b"\0"), "cannot read"),
        "a cell of a million letters": Bad("targets.csv", seeds.CSV.replace(b"1e-3", b"1" * 1_000_000), "cannot read"),
        "a table with a quote that is not closed": Bad("targets.csv", seeds.CSV.replace(b"0,1,2", b'"0,1,2'), "line"),
        "a table in another code": Bad("targets.csv", "hüfte_x,hüfte_y,hüfte_z\n1,2,3\n".encode("latin-1"), "UTF-8"),
    }


def _npz(**entries: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in entries.items():
            archive.writestr(f"{name}.npy", content)
    return file.getvalue()


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, allow_pickle=True)
    return file.getvalue()


def _lying_npy(shape: tuple[int, ...]) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"shape": shape, "fortran_order": False, "descr": "<f8"})
    return file.getvalue() + bytes(64)


class _Trap:
    def __reduce__(self) -> tuple:
        return (Path("trapped").touch, ())


def _safetensors(tensors: dict[str, Any], metadata: dict[str, str], data: bytes = bytes(64)) -> bytes:
    header = json.dumps({"__metadata__": metadata, **tensors}).encode()
    return struct.pack("<Q", len(header)) + header + data


def _weights(**changes: str | None) -> bytes:
    """The first of the seeds with other metadata; None leaves one out."""
    content = seeds.weights()[0]
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    metadata = {key: value for key, value in (header.pop("__metadata__") | changes).items() if value is not None}
    return _safetensors(header, metadata, content[8 + length :])


def _numbers() -> dict[str, Bad]:
    names = _npy(np.array(["hip", "head"]))
    spec = json.dumps({"outputs": 3, "hidden": [4], "vector_size": 5, "convolutions": [], "skip": True})
    bf16 = {"stage0.linear0.weight": {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]}}
    text = base64.b64encode(bytes(30)).decode()
    return {
        "an array of 10^12 numbers": Bad("targets.npz", _npz(names=names, positions=_lying_npy((10**6, 10**6))), "damaged"),
        "an array of -3 numbers": Bad("targets.npz", _npz(names=names, positions=_lying_npy((-3,))), "damaged"),
        "an array that runs a program": Bad("targets.npz", _npz(names=names, positions=_npy(np.array([_Trap()]))), "damaged"),
        "positions that are text": Bad("targets.npz", _npz(names=names, positions=names), "must be numbers"),
        "positions that are complex": Bad(
            "targets.npz", _npz(names=names, positions=_npy(np.zeros((2, 3), complex))), "numbers"
        ),
        "names that are numbers": Bad(
            "targets.npz", _npz(names=_npy(np.zeros(2)), positions=_npy(np.zeros((2, 3)))), "have no names"
        ),
        "no archive": Bad("targets.npz", b"PK\x03\x04" + bytes(40), "damaged"),
        "a matrix of 10^12 numbers": Bad("camera.npy", _lying_npy((10**6, 10**6)), "damaged"),
        "weights with a header of 2^60 bytes": Bad("weights", struct.pack("<Q", 2**60) + bytes(64), "is damaged"),
        "weights of a type that NumPy lacks": Bad("weights", _safetensors(bf16, {"format": "x"}), "weights file"),
        "weights of no stages": Bad("weights", _weights(stages="0"), "at least one stage"),
        "weights of -1 stages": Bad("weights", _weights(stages="-1"), "at least one stage"),
        "weights of 10^9 stages": Bad("weights", _weights(stages="1000000000"), "lacks stage2"),
        "weights with text for a width": Bad("weights", _weights(spec=spec.replace("[4]", '["4"]')), "whole numbers"),
        "weights with a width of -4": Bad("weights", _weights(spec=spec.replace("[4]", "[-4]")), "whole numbers"),
        "weights with a width of 10^9": Bad("weights", _weights(spec=spec.replace("[4]", "[1000000000]")), "whole numbers"),
        "weights that skip a text": Bad("weights", _weights(spec=spec.replace("true", f'"{text}"')), "do not fit"),
        "weights without a commit": Bad("weights", _weights(commit=None), "metadata"),
        "weights whose description is deep": Bad("weights", _weights(spec="[" * 100_000), "metadata"),
    }


def main() -> int:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, bad in bad_files().items():
        suffix = Path(bad.target).suffix or ".safetensors"
        (folder / f"{name.replace(' ', '_')}{suffix}").write_bytes(bad.content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
