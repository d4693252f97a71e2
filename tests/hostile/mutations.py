# SPDX-License-Identifier: Apache-2.0
"""Valid files made bad: Hypothesis draws what is changed, so that it can also find the smallest change that does harm."""

from __future__ import annotations

import io
import json
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence

from hypothesis import strategies as st

LONG = 5000  # digits, levels, letters: more than Python's own limits
NUMBERS = ("0", "-1", "1", "2", "1e9", "1e308", "1e999", "-0.0", "nan", "inf", "-inf", "2147483648", "4294967295", "1e-320")
NUMBERS += ("9223372036854775808", "9" * LONG, "0x10", "1_0", "", "1,5", "½", "٣", "true", "null", '"1"', "[]", "{}", "[1, 2]")
SNIPPETS = (
    "\x00",
    "\x1b[2J",
    "\ufeff",
    "\u2028",
    "é",
    "\r",
    "\t",
    '"',
    "'",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "#",
    "\\",
    "../../x",
)
SNIPPETS += ("[" * LONG, "{" * LONG, "a." * LONG, "x" * LONG, "\n" * 100, " " * LONG, "/dev/zero", "http://example.org/a.png")
INTEGERS = (0, 1, -1, 2, 127, 128, 255, 256, 32767, 65535, 2**31 - 1, -(2**31), 2**32 - 1, 2**40, 2**63 - 1, -(2**63))
WORD = re.compile(rb"[^\s,:;=\[\]{}\"]+")
DIGITS = re.compile(rb"-?\d[\d.eE+-]*")


@st.composite
def mutated(draw: st.DrawFn, seeds: Sequence[bytes], most: int = 6) -> bytes:
    """A seed after a few changes, of bytes or of words, whatever it is."""
    content = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(1, most))):
        content = draw(st.sampled_from(CHANGES))(draw, content, seeds)
    return content


@st.composite
def mutated_parts(draw: st.DrawFn, seeds: Sequence[bytes], form: Form) -> bytes:
    """A seed in which the parts are changed that lie behind lengths and checksums, and those made right again."""
    if draw(st.integers(0, 3)) == 0:
        return draw(mutated(seeds))
    parts = form.split(draw(st.sampled_from(seeds)))
    number = draw(st.integers(0, len(parts) - 1))
    parts[number] = draw(mutated([parts[number]], most=3))
    return form.join(parts)


class Form:
    """How a kind of file is taken apart and put together again."""

    def __init__(self, split: Callable[[bytes], list[bytes]], join: Callable[[list[bytes]], bytes]) -> None:
        self.split, self.join = split, join


def _place(draw: st.DrawFn, content: bytes) -> int:
    return draw(st.integers(0, len(content)))


def _flip(draw: st.DrawFn, content: bytes, seeds: Sequence[bytes]) -> bytes:
    place = _place(draw, content[:-1])
    changed = bytearray(content or b"\0")
    changed[place] ^= 1 << draw(st.integers(0, 7))
    return bytes(changed)


def _overwrite(draw: st.DrawFn, content: bytes, seeds: Sequence[bytes]) -> bytes:
    """With an integer that is often at the edge of something, in either order of bytes."""
    size = draw(st.sampled_from((1, 2, 4, 8)))
    number = draw(st.sampled_from(INTEGERS)) % (1 << 8 * size)
    place = _place(draw, content)
    return content[:place] + number.to_bytes(size, draw(st.sampled_from(("little", "big")))) + content[place + size :]


def _cut(draw: st.DrawFn, content: bytes, seeds: Sequence[bytes]) -> bytes:
    return content[: _place(draw, content)]


def _remove(draw: st.DrawFn, content: bytes, seeds: Sequence[bytes]) -> bytes:
    first, last = sorted((_place(draw, content), _place(draw, content)))
    return content[:first] + content[last:]


def _repeat(draw: st.DrawFn, content: bytes, seeds: Sequence[bytes]) -> bytes:
    first, last = sorted((_place(draw, content), _place(draw, content)))
    return content[:last] + content[first:last] * draw(st.integers(1, 3)) + content[last:]


def _insert(draw: st.DrawFn, content: bytes, seeds: Sequence[bytes]) -> bytes:
    place = _place(draw, content)
    return content[:place] + draw(st.binary(min_size=1, max_size=32)) + content[place:]


def _splice(draw: st.DrawFn, content: bytes, seeds: Sequence[bytes]) -> bytes:
    """The end of another seed at the end."""
    other = draw(st.sampled_from(seeds))
    return content[: _place(draw, content)] + other[_place(draw, other) :]


def _snippet(draw: st.DrawFn, content: bytes, seeds: Sequence[bytes]) -> bytes:
    place = _place(draw, content)
    return content[:place] + draw(st.sampled_from(SNIPPETS)).encode() + content[place:]


def _number(draw: st.DrawFn, content: bytes, seeds: Sequence[bytes]) -> bytes:
    """Another number, or what is none, in the place of one."""
    found = list(DIGITS.finditer(content))
    if not found:
        return content
    one = draw(st.sampled_from(found))
    return content[: one.start()] + draw(st.sampled_from(NUMBERS)).encode() + content[one.end() :]


def _word(draw: st.DrawFn, content: bytes, seeds: Sequence[bytes]) -> bytes:
    """A word of the file in the place of another."""
    found = list(WORD.finditer(content))
    if not found:
        return content
    one, other = draw(st.sampled_from(found)), draw(st.sampled_from(found))
    return content[: one.start()] + other.group() + content[one.end() :]


def _line(draw: st.DrawFn, content: bytes, seeds: Sequence[bytes]) -> bytes:
    """A line moved, left out or repeated."""
    lines = content.splitlines(keepends=True) or [b""]
    line = lines[draw(st.integers(0, len(lines) - 1))]
    if draw(st.booleans()):
        lines.remove(line)
    if draw(st.booleans()):
        lines.insert(draw(st.integers(0, len(lines))), line)
    return b"".join(lines)


CHANGES = (_flip, _overwrite, _cut, _remove, _repeat, _insert, _splice, _snippet, _number, _number, _word, _word, _line)


def _split_png(content: bytes) -> list[bytes]:
    """The kinds and contents of its chunks; that of pixels unpacked."""
    parts, place = [], 8
    while place + 12 <= len(content):
        (length,) = struct.unpack(">I", content[place : place + 4])
        kind, data = content[place + 4 : place + 8], content[place + 8 : place + 8 + length]
        parts.append(kind + (zlib.decompress(data) if kind == b"IDAT" else data))
        place += 12 + length
    return parts


def _join_png(parts: list[bytes]) -> bytes:
    chunks = [part[:4] + zlib.compress(part[4:], 1) if part[:4] == b"IDAT" else part for part in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", max(0, len(chunk) - 4)) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks
    )


def _split_zip(content: bytes) -> list[bytes]:
    """Name and content of each entry, with a line's end between."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return [name.encode() + b"\n" + archive.read(name) for name in archive.namelist()]


def _join_zip(parts: list[bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that stand twice, which is as bad an input as any
        for number, part in enumerate(parts):
            name, _, data = part.partition(b"\n")
            archive.writestr(zipfile.ZipInfo(name.decode("latin-1")[:100] or str(number)), data)
    return file.getvalue()


def _split_glb(content: bytes) -> list[bytes]:
    (length,) = struct.unpack("<I", content[12:16])
    return [content[20 : 20 + length], content[28 + length :]]


def _join_glb(parts: list[bytes]) -> bytes:
    header, data = parts
    header += b" " * (-len(header) % 4)
    chunks = struct.pack("<II", len(header), 0x4E4F534A) + header + struct.pack("<II", len(data), 0x004E4942) + data
    return struct.pack("<III", 0x46546C67, 2, 12 + len(chunks)) + chunks


def _split_safetensors(content: bytes) -> list[bytes]:
    """The metadata, whose text holds more JSON, the header without it, and the numbers."""
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    metadata = header.pop("__metadata__")
    return [json.dumps(metadata).encode(), json.dumps(header).encode(), content[8 + length :]]


def _join_safetensors(parts: list[bytes]) -> bytes:
    header = b'{"__metadata__":' + parts[0] + b"," + parts[1].lstrip()[1:]
    return struct.pack("<Q", len(header)) + header + parts[2]


PNG, ZIP = Form(_split_png, _join_png), Form(_split_zip, _join_zip)
GLB, SAFETENSORS = Form(_split_glb, _join_glb), Form(_split_safetensors, _join_safetensors)
