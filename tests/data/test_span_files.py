"""Which files of a folder are read, wait, or are passed over."""

import os
import time
from pathlib import Path

import pytest

from data.errors import DataError
from data.span_files import look_into


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def put(folder: Path, name: str, content: str = "", seconds_ago: float = 3600) -> None:
    (folder / name).write_text(content or f"text,label\n{name},no\n", encoding="utf-8")
    then = time.time() - seconds_ago
    os.utime(folder / name, (then, then))


def test_whole_tables_are_read_in_the_order_of_their_names_however_they_came(folder: Path) -> None:
    for name in ("b.csv", "2026-02.csv.gz", "a.CSV", "2026-01.tsv"):
        put(folder, name)
    (folder / "done").mkdir()
    put(folder / "done", "old.csv")
    found = look_into(str(folder), 60)
    assert [file.path.name for file in found.ready] == ["2026-01.tsv", "2026-02.csv.gz", "a.CSV", "b.csv"]
    assert (found.waiting, found.passed_over) == ({}, [])


def test_a_file_that_may_be_half_a_file_waits_with_the_reason(folder: Path) -> None:
    put(folder, "young.csv", seconds_ago=5)
    put(folder, "later.csv", seconds_ago=-600)
    put(folder, "big.csv.part")
    put(folder, "big.tmp")
    put(folder, "old.csv", seconds_ago=61)
    put(folder, ".big.csv.Xa3x")
    found = look_into(str(folder), 60)
    assert [file.path.name for file in found.ready] == ["old.csv"]
    assert set(found.waiting) == {"young.csv", "later.csv", "big.csv.part", "big.tmp"}
    assert found.waiting["young.csv"] == "changed 5 s ago; new_data.settle_seconds is 60"
    assert found.waiting["later.csv"] == "changed in the future; new_data.settle_seconds is 60"
    assert found.waiting["big.tmp"] == "by its name, it is still being written"
    assert found.passed_over == []


def test_what_is_no_table_and_what_is_there_twice_is_passed_over(folder: Path) -> None:
    put(folder, "a.csv", "text,label\nx,no\n")
    put(folder, "copy of a.csv", "text,label\nx,no\n")
    put(folder, "README.md")
    found = look_into(str(folder), 60)
    assert [file.path.name for file in found.ready] == ["a.csv"]
    assert found.passed_over == ["README.md", "copy of a.csv (the same as a.csv)"]


def test_a_file_is_known_by_its_bytes(folder: Path) -> None:
    put(folder, "a.csv", "text,label\nx,no\n")
    [first] = look_into(str(folder), 0).ready
    (folder / "a.csv").rename(folder / "z.csv")
    [renamed] = look_into(str(folder), 0).ready
    assert (first.sha256, renamed.path.name) == (renamed.sha256, "z.csv")
    put(folder, "z.csv", "text,label\nx,yes\n")
    assert look_into(str(folder), 0).ready[0].sha256 != first.sha256


def test_a_folder_that_is_not_there_is_an_error_with_the_setting(folder: Path) -> None:
    with pytest.raises(DataError, match=r"new_data\.folder: .*nowhere cannot be read \(No such file or directory\)"):
        look_into(str(folder / "nowhere"), 60)
