"""A file is converted by what its ending says, and a table appears whole or not at all."""

import bz2
import json
from pathlib import Path

import pytest

from data.convert import convert
from data.converted import Converted, counted, new_table
from data.errors import DataError

SQUAD = {"data": [{"paragraphs": [{"context": "c", "qas": [{"id": 1, "question": "q", "answers": []}]}]}]}


@pytest.mark.parametrize("name", ["dev.json", "DEV-v2.0.JSON"])
def test_json_is_read_as_squad(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(json.dumps(SQUAD))
    convert(tmp_path / name, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text().startswith("id,article,question,context,answer,answer_start\n")


def test_compressed_json_is_read_as_squad(tmp_path: Path) -> None:
    (tmp_path / "dev.json.bz2").write_bytes(bz2.compress(json.dumps(SQUAD).encode()))
    assert convert(tmp_path / "dev.json.bz2", tmp_path / "out.csv").rows == 1


@pytest.mark.parametrize("name", ["train.conll", "emerging.test.annotated", "train", "my.json.txt"])
def test_anything_else_is_read_as_conll(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("Ada B-person\n")
    assert convert(tmp_path / name, tmp_path / "out.csv") == Converted(1, [])
    assert (tmp_path / "out.csv").read_text() == 'tokens,tags\n"Ada","B-person"\n'


def test_a_missing_source_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    for name in ("no.json", "no.conll"):
        with pytest.raises(DataError, match=rf"{name}: cannot be read \(FileNotFoundError"):
            convert(tmp_path / name, tmp_path / "out.csv")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_not_overwritten_by_itself_or_another(tmp_path: Path) -> None:
    source = tmp_path / "train.conll"
    source.write_text("Ada B-person\n")
    with pytest.raises(DataError, match=r"train\.conll: exists already; remove it, or name another file"):
        convert(source, source)
    assert source.read_text() == "Ada B-person\n"


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "train.conll").write_text("Ada B-person\n")
    with pytest.raises(DataError, match=r"no/out\.csv: cannot be written .* in a folder that exists"):
        convert(tmp_path / "train.conll", tmp_path / "no" / "out.csv")


def test_a_table_has_its_name_only_once_it_is_whole(tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    with new_table(output, ("a", "b")) as writer:
        writer.writerow(("x\ry", 1))
        assert not output.exists()
    assert output.read_bytes() == b'a,b\n"x\ry",1\n'


def test_a_table_that_was_interrupted_goes(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), new_table(tmp_path / "out.csv", ("a",)):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_counts_agree_with_their_noun() -> None:
    assert [counted(n, "tag") for n in (0, 1, 1_203)] == ["0 tags", "1 tag", "1,203 tags"]
