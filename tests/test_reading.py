# SPDX-License-Identifier: Apache-2.0
import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from solver_core.errors import ConfigError, MissingDependency, ObservationError, ResourceError, SetupError, SolverError
from solver_core.reading import (
    MAX_NESTING,
    check_count,
    numbers,
    read_arrays,
    read_bytes,
    read_json,
    read_toml,
    reading,
    without_limits,
)


def sentence_of(error: BaseException, path: Path) -> SolverError:
    """What `reading` makes of an error."""
    with pytest.raises(SolverError) as caught, reading(path, "mask file", ObservationError):
        raise error
    return caught.value


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "mask.png"
    path.write_text("content")
    return path


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (ValueError("no  header\n"), ObservationError, "no header"),
        (ValueError("x" * 10_000), ObservationError, "xxx..."),
        (KeyError("count"), ObservationError, "it is damaged (KeyError: 'count')"),
        (ZeroDivisionError(), ObservationError, "it is damaged (ZeroDivisionError)"),
        (RecursionError("maximum"), ObservationError, "it is nested too deeply"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"), ObservationError, "it is no text in UTF-8"),
        (PermissionError(13, "Permission denied"), ObservationError, "Permission denied"),
        (OSError(24, "Too many open files"), ResourceError, "Too many open files"),
        (MemoryError(), ResourceError, "out of memory"),
        (SetupError("the mesh has no faces"), SetupError, "the mesh has no faces"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_whatever_a_reader_meets_becomes_one_sentence_with_the_file(error, kind, words, file):
    found = sentence_of(error, file)

    assert type(found) is kind
    assert str(file) in str(found)
    assert words in str(found)
    assert len(str(found)) < 600
    assert "\n" not in str(found)


def test_a_sentence_that_names_the_file_stays_as_it_is(file):
    known = ConfigError(f"{file} is for another problem")

    assert sentence_of(known, file) is known
    missing = MissingDependency("reading needs pillow")
    assert sentence_of(missing, file) is missing


def test_ctrl_c_is_no_damage(file):
    with pytest.raises(KeyboardInterrupt), reading(file, "mask file"):
        raise KeyboardInterrupt


@pytest.mark.parametrize(("name", "words"), [("none", "No such file"), ("folder", "it is a folder"), ("a\0b", "null")])
def test_what_is_no_file_is_said(tmp_path, name, words):
    (tmp_path / "folder").mkdir()

    with pytest.raises(SetupError, match=words), reading(tmp_path / name, "camera"):
        pass


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes with a name")
def test_a_pipe_nobody_writes_to_is_refused_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(SetupError, match="a device or a pipe"):
        read_json(tmp_path / "pipe", "camera")


def test_limits_are_said_and_can_be_lifted(file):
    with pytest.raises(SetupError, match=r"it has 7 bytes, more than the 6 that are read; --no-limits"), reading(file, "file"):
        read_bytes(file, 6)

    with without_limits(), reading(file, "file"):
        assert read_bytes(file, 6) == b"content"
        check_count(10**12, 10, "pixels")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "\ufeff[1",
        "[" * 100_000,
        "[" * (MAX_NESTING + 1) + "]" * (MAX_NESTING + 1),
        '{"a":' * 5000 + "1" + "}" * 5000,
        "1" * 5000,
    ],
    ids=lambda text: f"{text[:5]} {len(text)}",
)
def test_bad_json_is_a_sentence(text, tmp_path):
    (tmp_path / "camera.json").write_text(text, encoding="utf-8")

    with pytest.raises(SetupError, match=r"camera\.json"):
        read_json(tmp_path / "camera.json", "camera")


def test_json_with_a_byte_order_mark_and_of_our_own_depth_is_read(tmp_path):
    content = {"a": [[1, 2], {"b": [3.5, "ü"]}]}
    (tmp_path / "a.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8-sig")

    assert read_json(tmp_path / "a.json", "map") == content


@pytest.mark.parametrize(
    "text",
    [
        "a = ",
        "a = [" + "[" * 5000,
        ".".join("a" * 20_000) + " = 1",
        '"a" . ' * 20_000 + "b = 1",
        "a = " + "1" * 5000,
        "a = 1\na = 2",
        "\x00",
    ],
    ids=lambda text: f"{text[:8]} {len(text)}",
)
def test_bad_toml_is_a_sentence_at_once(text, tmp_path):
    (tmp_path / "recipe.toml").write_text(text)

    with pytest.raises(ConfigError, match=r"recipe\.toml"):
        read_toml(tmp_path / "recipe.toml", "configuration", ConfigError)


def test_toml_with_many_paths_is_read(tmp_path):
    motions = [f"../data/set.{number}/walk.bvh" for number in range(2000)]
    (tmp_path / "recipe.toml").write_text(f"[sampling]\nmotions = {json.dumps(motions)}\n")

    assert read_toml(tmp_path / "recipe.toml", "configuration") == {"sampling": {"motions": motions}}


ARRAYS = {
    "positions": np.arange(6.0).reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "names": np.array(["a", "bü"]),
    "scalar": np.array(0.5),
    "empty": np.zeros((0, 3)),
}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_are_read_as_numpy_reads_them(save, tmp_path):
    save(tmp_path / "a.npz", **ARRAYS)

    found = read_arrays(tmp_path / "a.npz")

    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
        assert found[name].flags.writeable


def npy(shape: object, descr: object = "<f8", content: bytes = bytes(24)) -> bytes:
    """An array file that says what it likes."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"shape": shape, "fortran_order": False, "descr": descr})
    return file.getvalue() + content


@pytest.mark.parametrize(
    "entry",
    [
        npy((10**12,)),
        npy((10**6, 10**6, 10**6)),
        npy((-3,)),
        npy((-1, -3)),
        npy((3,), "|O"),
        npy((10**9,), "<U0"),
        npy((1,), "<U100000000"),
        npy((4,)),
        npy((3,))[:20],
        b"\x93NUMPY\x09\x00",
        b"no array",
        b"",
    ],
    ids=lambda entry: str(entry[8:60]),
)
def test_an_array_that_claims_more_than_there_is_is_refused(entry, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("positions.npy", entry)

    with (
        pytest.raises(ObservationError, match=r"cannot read the targets .*a\.npz"),
        reading(tmp_path / "a.npz", "targets", ObservationError),
    ):
        read_arrays(tmp_path / "a.npz")


def test_an_archive_that_unpacks_to_very_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("solver_core.reading.MAX_ARCHIVE_BYTES", 1000)
    np.savez_compressed(tmp_path / "bomb.npz", a=np.zeros(1000))

    with pytest.raises(SetupError, match="bytes, more than the 1,000"), reading(tmp_path / "bomb.npz", "targets"):
        read_arrays(tmp_path / "bomb.npz")


@pytest.mark.parametrize(
    "value", [[1, 2], [[1, 2], [3, True]], [[1, 2], [3, "4"]], [[1, 2], [3]], "12", None, {"0": 1}], ids=str
)
def test_text_and_truth_are_no_numbers(value):
    with pytest.raises(ValueError, match="pose must be 2 x 2 numbers"):
        numbers(value, (2, 2), "pose")

    np.testing.assert_array_equal(numbers([[1, 2], [3, 4.5]], (2, 2), "pose"), [[1, 2], [3, 4.5]])
