# SPDX-License-Identifier: Apache-2.0
import errno
import os
from pathlib import Path

import pytest

from solver_core.errors import ConfigError, ResourceError
from solver_core.writing import (
    append_line,
    check_place,
    file_identity,
    make_folder,
    refuse_overwriting,
    remove_unfinished,
    whole_file,
    write_bytes,
    write_text,
)

on_posix = pytest.mark.skipif(os.name != "posix", reason="links, devices and modes of POSIX")


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_file_is_written_and_nothing_beside_it(tmp_path):
    write_text(tmp_path / "a.json", "new: ü\n")

    assert (tmp_path / "a.json").read_text(encoding="utf-8") == "new: ü\n"
    assert names(tmp_path) == {"a.json"}


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt(), MemoryError(), ValueError("no such kind")]
)
def test_whatever_happens_on_the_way_leaves_the_old_file(tmp_path, error):
    (tmp_path / "a.json").write_text("old")

    def write_half():
        with whole_file(tmp_path / "a.json") as part:
            part.write_text("half of the n")
            raise error

    with pytest.raises((ResourceError, ConfigError, KeyboardInterrupt, MemoryError)):
        write_half()

    assert (tmp_path / "a.json").read_text() == "old"
    assert names(tmp_path) == {"a.json"}


def test_what_does_not_reach_the_disk_leaves_the_old_file(tmp_path, monkeypatch):
    (tmp_path / "a.json").write_text("old")

    def lose(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", lose)
    with pytest.raises(ResourceError, match=r"cannot write the file .*a\.json: No space left on device"):
        write_text(tmp_path / "a.json", "new")

    assert (tmp_path / "a.json").read_text() == "old"
    assert names(tmp_path) == {"a.json"}


def test_a_file_that_its_check_refuses_leaves_the_old_one(tmp_path):
    def refuse(part):
        raise OSError(errno.EIO, "it is cut short")

    (tmp_path / "a.blend").write_text("old")
    with pytest.raises(ResourceError, match="cut short"), whole_file(tmp_path / "a.blend", check=refuse) as part:
        part.write_text("ne")

    assert (tmp_path / "a.blend").read_text() == "old"


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    with whole_file(tmp_path / "a.bvh") as one, whole_file(tmp_path / "a.bvh") as other:
        one.write_text("one")
        other.write_text("other")
        assert one.suffix == other.suffix == ".bvh"

    assert (tmp_path / "a.bvh").read_text() == "one"


@on_posix
def test_a_link_stays_and_the_mode_too(tmp_path):
    (tmp_path / "folder").mkdir()
    target = tmp_path / "folder" / "target.json"
    target.write_text("old")
    target.chmod(0o640)
    (tmp_path / "link.json").symlink_to(target)

    write_text(tmp_path / "link.json", "new")

    assert (tmp_path / "link.json").is_symlink()
    assert target.read_text() == "new"
    assert target.stat().st_mode & 0o777 == 0o640


@on_posix
def test_a_device_is_written_to_not_replaced():
    write_bytes("/dev/null", b"gone")

    assert Path("/dev/null").is_char_device()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_the_machine_s_fault():
    with pytest.raises(ResourceError, match="No space left on device"):
        write_bytes("/dev/full", b"more")


@pytest.mark.parametrize("name", ["nowhere/a.json", "folder", "a\0b", "long" * 100])
def test_a_name_no_file_can_have_is_a_sentence(tmp_path, name):
    (tmp_path / "folder").mkdir()

    with pytest.raises(ConfigError, match="cannot write the result"):
        write_text(tmp_path / name, "new", "result")
    with pytest.raises(ConfigError, match="cannot write the result"):
        check_place(tmp_path / name, "result")

    assert names(tmp_path) == {"folder"}


def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")

    make_folder(tmp_path / "a" / "b")
    with pytest.raises(ConfigError, match="cannot make the folder"):
        make_folder(tmp_path / "file" / "b")


def test_a_line_stays_whole_below_one_that_was_broken_off(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"loss": 1}\n{"lo')

    append_line(tmp_path / "log.jsonl", '{"loss": 2}')
    append_line(tmp_path / "log.jsonl", '{"loss": 3}')

    assert (tmp_path / "log.jsonl").read_text() == '{"loss": 1}\n{"lo\n{"loss": 2}\n{"loss": 3}\n'


def test_what_kills_left_is_removed_and_nothing_else(tmp_path):
    (tmp_path / "a.blend").write_text("old")
    (tmp_path / ".hidden").write_text("mine")
    with whole_file(tmp_path / "a.blend") as part:
        part.write_text("new")
        (tmp_path / f"{part.name}2").write_text("of a kill")
        remove_unfinished(tmp_path)
        part.write_text("new")

    assert names(tmp_path) == {"a.blend", ".hidden"}


@on_posix
def test_an_output_that_is_an_input_is_refused_under_any_name(tmp_path):
    mask = tmp_path / "mask.png"
    mask.write_text("mask")
    (tmp_path / "link.png").symlink_to(mask)
    (tmp_path / "hard.png").hardlink_to(mask)

    for other in ("mask.png", "link.png", "hard.png", "../" + tmp_path.name + "/mask.png"):
        with pytest.raises(ConfigError, match="--picture would overwrite --mask"):
            refuse_overwriting({"--picture": tmp_path / other}, {"--mask": mask})
    with pytest.raises(ConfigError, match="--out would overwrite --picture"):
        refuse_overwriting({"--picture": tmp_path / "new.png", "--out": tmp_path / "x" / ".." / "new.png"}, {})
    refuse_overwriting({"--picture": tmp_path / "other.png"}, {"--mask": mask})


def test_files_that_are_not_there_yet_have_an_identity(tmp_path):
    assert file_identity(tmp_path / "a") == file_identity(tmp_path / "b" / ".." / "a")
    assert file_identity(tmp_path / "a") != file_identity(tmp_path / "b")
