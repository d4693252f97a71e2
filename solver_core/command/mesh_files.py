# SPDX-License-Identifier: Apache-2.0
"""Makes mesh files fit for their reader: polygons become triangles as Blender cuts them, and what it stumbles over goes.

Each function takes the bytes of a file and gives those of one that says the same in fewer ways.
"""

from __future__ import annotations

import io
import json
import re
import struct
from typing import Any
from urllib.parse import unquote

import numpy as np

from solver_core.optional import needed_for

# What an OBJ file may hold beyond triangles on plain lines: tabs, comments, continued lines, a byte order mark, indices from
# the end, faces of more than three corners.
_OBJ_NEEDS_TIDYING = re.compile(rb"[\t#\\\xef]|^f[ ]+-|^f[ ]+\S+[ ]+\S+[ ]+\S+[ ]+\S|^f.* -", re.MULTILINE)
_FLOAT, _NUMBERS_IN = 5126, {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
# glTF's integer components: their type, and what the largest of them stands for where they are normalised.
_INTEGERS: dict[int, tuple[type, int]] = {
    5120: (np.int8, 127),
    5121: (np.uint8, 255),
    5122: (np.int16, 32767),
    5123: (np.uint16, 65535),
}
_PACKED = {"KHR_draco_mesh_compression": "Draco", "EXT_meshopt_compression": "meshopt"}

# Words after which a kind of file names others.
_NAMES = {
    ".obj": re.compile(rb"mtllib[ \t]+(.+)"),
    ".mtl": re.compile(rb"^[ \t]*(?:map_\w+|bump|disp|decal|refl|norm)[ \t]+(.+)", re.MULTILINE),
    ".ply": re.compile(rb"comment TextureFile[ \t]+(.+)"),
}


def files_named_in(content: bytes, kind: str) -> list[str]:
    """What an OBJ, MTL or PLY file calls its materials and textures; the kind is its suffix."""
    if kind not in _NAMES:
        return []
    head = content.partition(b"end_header")[0] if kind == ".ply" else content
    found = [name.decode("utf-8", "replace").strip() for name in _NAMES[kind].findall(head)]
    return found + [name.rpartition(" ")[2] for name in found if kind == ".mtl"]  # where options stand before it


def files_named_in_gltf(header: dict[str, Any]) -> list[str]:
    """What a glTF calls its buffers and textures; those within it have no name."""
    names = [one.get("uri", "data:") for kind in ("buffers", "images") for one in header.get(kind, [])]
    return [unquote(name) for name in names if not name.startswith("data:")]


def triangles_of_polygon(corners: np.ndarray) -> np.ndarray:
    """(N - 2, 3) or fewer: indices of the corners of triangles that cover a polygon.

    Args:
        corners: (N, 3) in order around it; it may be concave, and nearly flat.
    """
    if len(corners) == 3:
        return np.array([[0, 1, 2]])
    with needed_for("reading meshes with polygons", extra="cli"):
        import mapbox_earcut
    following = np.roll(corners, -1, axis=0)
    normal = np.cross(corners, following).sum(axis=0)  # Newell
    flat = np.delete(corners - corners.mean(axis=0), int(np.argmax(np.abs(normal))), axis=1)
    found = mapbox_earcut.triangulate_float64(np.ascontiguousarray(flat, np.float64), np.array([len(flat)], np.uint32))
    triangles = np.asarray(found, dtype=np.int64).reshape(-1, 3)
    if len(triangles) == 0:  # no area; a fan keeps its corners
        return np.stack([np.zeros(len(corners) - 2, int), np.arange(1, len(corners) - 1), np.arange(2, len(corners))], axis=1)
    is_turned = _winding(flat[triangles]).sum() * _area(flat) < 0
    return triangles[:, ::-1] if is_turned else triangles


def _winding(corners: np.ndarray) -> np.ndarray:
    """(T,) twice the signed areas of triangles (T, 3, 2)."""
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]


def _area(flat: np.ndarray) -> float:
    """Twice the signed area of a polygon (N, 2)."""
    following = np.roll(flat, -1, axis=0)
    return float(np.sum(flat[:, 0] * following[:, 1] - flat[:, 1] * following[:, 0]))


def tidy_obj(content: bytes) -> bytes:
    """OBJ with triangles only, one blank between words, no comments, indices from 1."""
    if not _OBJ_NEEDS_TIDYING.search(content):
        return content
    text = content.decode("utf-8-sig", errors="replace").replace("\\\r\n", " ").replace("\\\n", " ")
    rows = [words for line in text.splitlines() if (words := line.partition("#")[0].split())]
    vertices = np.array([[float(word) for word in words[1:4]] for words in rows if words[0] == "v"]).reshape(-1, 3)
    counts = {"v": 0, "vt": 0, "vn": 0}
    lines = []
    for words in rows:
        if words[0] in counts:
            counts[words[0]] += 1
        if words[0] == "f" and len(words) > 3:
            corners = [_from_the_start(word, list(counts.values())) for word in words[1:]]
            places = vertices[[int(corner.partition("/")[0]) - 1 for corner in corners]]
            lines += [f"f {corners[a]} {corners[b]} {corners[c]}" for a, b, c in triangles_of_polygon(places)]
        else:
            lines.append(" ".join(words))
    return ("\n".join(lines) + "\n").encode()


def _from_the_start(corner: str, counts: list[int]) -> str:
    """A corner such as -3/2/1 with its indices counted from the start of the file."""
    parts = corner.split("/")
    for index, part in enumerate(parts):
        if part.startswith("-"):
            parts[index] = str(counts[index] + 1 + int(part))
    if parts[0] == "" or not 1 <= int(parts[0]) <= counts[0]:
        raise ValueError(f"a face names the vertex {parts[0] or 'nothing'} of {counts[0]}")
    return "/".join(parts)


def tidy_ply(content: bytes) -> bytes:
    """PLY with triangles only; the properties of a face go to each of its triangles."""
    with needed_for("reading ply files", extra="cli"):
        import plyfile
    if _holds_triangles_only(content):
        return content
    data = plyfile.PlyData.read(io.BytesIO(content))
    if "face" not in data or "vertex" not in data:
        return content
    vertex, face = data["vertex"].data, data["face"].data
    name = next((one for one in ("vertex_indices", "vertex_index") if one in face.dtype.names), None)
    if name is None:
        return content
    polygons = face[name]
    if all(len(polygon) == 3 for polygon in polygons):
        return content
    places = np.stack([vertex["x"], vertex["y"], vertex["z"]], axis=1).astype(np.float64)
    cut = [np.asarray(polygon)[triangles_of_polygon(places[polygon])] for polygon in polygons if len(polygon) > 2]
    owner = np.repeat([index for index, polygon in enumerate(polygons) if len(polygon) > 2], [len(one) for one in cut])
    kept = [one for one in face.dtype.names if one != name and face.dtype[one].kind != "O"]
    triangles = np.empty(len(owner), dtype=[(name, "i4", (3,)), *((one, face.dtype[one]) for one in kept)])
    triangles[name] = np.concatenate(cut)
    for one in kept:
        triangles[one] = face[one][owner]
    elements = [plyfile.PlyElement.describe(vertex, "vertex"), plyfile.PlyElement.describe(triangles, "face")]
    output = io.BytesIO()
    plyfile.PlyData(elements, text=False, byte_order="<").write(output)
    return output.getvalue()


_PLY_SIZES = {"char": 1, "uchar": 1, "short": 2, "ushort": 2, "int": 4, "uint": 4, "float": 4, "double": 8}
_PLY_SIZES |= {"int8": 1, "uint8": 1, "int16": 2, "uint16": 2, "int32": 4, "uint32": 4, "float32": 4, "float64": 8}


def _holds_triangles_only(content: bytes) -> bool:
    """Whether a binary file is exactly as long as one of triangles would be; also true if it is no PLY file.

    Raises ValueError if it is shorter than what it claims to hold: room is made for that.
    """
    header, mark, rest = content.partition(b"end_header")
    if not mark:
        return True
    is_ascii = b"format ascii" in header
    found, expected, least, count = len(rest.partition(b"\n")[2]), 0, 0, 0
    for line in header.decode("ascii", errors="replace").splitlines():
        words = line.split()
        if words[:1] == ["element"]:
            count = int(words[2])
        elif words[:2] == ["property", "list"]:
            expected += count * (_PLY_SIZES[words[2]] + 3 * _PLY_SIZES[words[3]])
            least += count * (1 if is_ascii else _PLY_SIZES[words[2]])
        elif words[:1] == ["property"]:
            expected += count * _PLY_SIZES[words[1]]
            least += count * (1 if is_ascii else _PLY_SIZES[words[1]])
    if least > found or count < 0:
        raise ValueError(f"it is cut short: it claims to hold more than its {found} bytes")
    return not is_ascii and found == expected


def tidy_glb(content: bytes) -> bytes:
    """GLB whose normalised integers are floats.  Raises ValueError for meshes that are packed."""
    header, binary = _glb_chunks(content)
    check_gltf_packing(header)
    is_changed = False
    for index in _coordinates(header):
        accessor = header["accessors"][index]
        if not accessor.get("normalized") or accessor["componentType"] not in _INTEGERS:
            continue
        values = _read_accessor(header, binary, accessor)
        binary += b"\0" * (-len(binary) % 4)
        header["bufferViews"].append({"buffer": 0, "byteOffset": len(binary), "byteLength": values.nbytes})
        binary += values.tobytes()
        header["accessors"][index] = accessor | {
            "bufferView": len(header["bufferViews"]) - 1,
            "byteOffset": 0,
            "componentType": _FLOAT,
            "normalized": False,
            "min": values.min(axis=0).tolist(),
            "max": values.max(axis=0).tolist(),
        }
        is_changed = True
    if not is_changed:
        return content
    header["buffers"][0]["byteLength"] = len(binary)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 4)
    binary += b"\0" * (-len(binary) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def check_gltf_packing(header: dict[str, Any]) -> None:
    """Raises ValueError if a glTF's meshes are compressed."""
    packed = [_PACKED[name] for name in header.get("extensionsRequired", []) if name in _PACKED]
    if packed:
        raise ValueError(f"its meshes are packed by {packed[0]}; save it without compression")


def _glb_chunks(content: bytes) -> tuple[dict[str, Any], bytes]:
    (length,) = struct.unpack("<I", content[12:16])
    header = json.loads(content[20 : 20 + length])
    return header, content[28 + length :]


def _coordinates(header: dict[str, Any]) -> list[int]:
    """Accessors of positions and texture coordinates."""
    primitives = [primitive for mesh in header.get("meshes", []) for primitive in mesh.get("primitives", [])]
    found = {
        index
        for primitive in primitives
        for name, index in primitive.get("attributes", {}).items()
        if name == "POSITION" or name.startswith("TEXCOORD")
    }
    return sorted(found)


def _read_accessor(header: dict[str, Any], binary: bytes, accessor: dict[str, Any]) -> np.ndarray:
    """(N, C) float32 of normalised integers."""
    kind, largest = _INTEGERS[accessor["componentType"]]
    width = _NUMBERS_IN[accessor["type"]]
    view = header["bufferViews"][accessor["bufferView"]]
    start = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
    stride = view.get("byteStride", width * np.dtype(kind).itemsize)
    if start + stride * (accessor["count"] - 1) + width * np.dtype(kind).itemsize > len(binary):
        raise ValueError("an accessor reaches beyond its buffer")
    window = np.ndarray((accessor["count"], width), kind, binary, start, (stride, np.dtype(kind).itemsize))
    return np.maximum(window.astype(np.float32) / largest, -1)
