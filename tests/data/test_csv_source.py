"""A source is opened by its ending or inside a package; what cannot be opened is said in one line."""

import bz2
import gzip
import sys
import zipfile
from pathlib import Path

import pytest

from data.csv_source import locate, open_lines, sha256_of
from data.errors import DataError

TABLE = b"text,label\nhello,a\nworld,b"
LINES = [b"text,label\n", b"hello,a\n", b"world,b"]


def read(path: Path | str) -> list[bytes]:
    with open_lines(locate(str(path))) as lines:
        return list(lines)


def zip_of(file: Path, *members: str) -> Path:
    with zipfile.ZipFile(file, "w") as archive:
        for name in members:
            archive.writestr(name, TABLE if name.endswith(("csv", "tsv")) else b"something else")
    return file


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".txt", ".CSV"])
def test_a_plain_file_is_read_as_it_is(tmp_path: Path, ending: str) -> None:
    (tmp_path / f"t{ending}").write_bytes(TABLE)
    assert read(tmp_path / f"t{ending}") == LINES


@pytest.mark.parametrize(("ending", "compress"), [(".gz", gzip.compress), (".bz2", bz2.compress)])
def test_a_compressed_file_is_unpacked(tmp_path: Path, ending: str, compress: object) -> None:
    assert callable(compress)
    (tmp_path / f"t.csv{ending}").write_bytes(compress(TABLE))
    assert read(tmp_path / f"t.csv{ending}") == LINES


@pytest.mark.parametrize(
    "members",
    [
        ("any_name.tsv",),
        ("data/train.csv", "data/test.csv", "readme.md"),
        ("table.csv", "readme.md", "license"),
        ("table.csv", "__MACOSX/._table.csv"),
    ],
)
def test_a_zip_archive_gives_its_one_table(tmp_path: Path, members: tuple[str, ...]) -> None:
    assert read(zip_of(tmp_path / "t.zip", *members)) == LINES


def test_a_zip_archive_with_two_tables_lists_its_members(tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "t.zip", "a.csv", "b.csv")
    with pytest.raises(DataError, match=r"t\.zip.*holds 'a\.csv', 'b\.csv'\. Unpack it"):
        read(archive)


def test_a_table_inside_a_package_is_found_without_importing_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "package_with_a_table"
    (package / "tables").mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('was imported')")
    (package / "tables" / "t.csv.gz").write_bytes(gzip.compress(TABLE, mtime=0))
    monkeypatch.syspath_prepend(tmp_path)

    assert read("package://package_with_a_table/tables/t.csv.gz") == LINES
    assert "package_with_a_table" not in sys.modules
    with pytest.raises(DataError, match=r"is installed but holds no 'tables/u\.csv'"):
        locate("package://package_with_a_table/tables/u.csv")


def test_a_package_that_is_not_installed_is_named_with_the_remedy() -> None:
    with pytest.raises(DataError, match=r"'no_such_package' is not installed; install it \(`pip install"):
        locate("package://no_such_package/t.csv")


@pytest.mark.parametrize("path", ["package://json", "package:///t.csv", "package://a.b/t.csv"])
def test_a_package_path_without_package_or_file_is_refused(path: str) -> None:
    with pytest.raises(DataError, match="write it as package://PACKAGE/path/inside"):
        locate(path)


def test_a_missing_file_is_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.csv: no such file; correct its path"):
        locate(str(tmp_path / "gone.csv"))


def test_a_folder_is_no_source(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is a folder; data\.path must name one file"):
        locate(str(tmp_path))


def test_an_unknown_ending_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / "t.xlsx").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"ending '\.xlsx'.*one of \.csv, \.tsv, \.txt, \.gz, \.bz2, \.zip"):
        locate(str(tmp_path / "t.xlsx"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("cut.csv.gz", gzip.compress(TABLE * 99, mtime=0)[:-9]),
        ("damaged.csv.gz", gzip.compress(TABLE, mtime=0)[:12] + b"\xff\xff" + gzip.compress(TABLE, mtime=0)[14:]),
        ("not.csv.gz", TABLE),
        ("not.csv.bz2", TABLE),
        ("cut.csv.bz2", bz2.compress(TABLE)[:-9]),
        ("not.zip", TABLE),
    ],
)
def test_a_corrupt_archive_is_one_clear_error(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"{name}: cannot be read \(.*\); check that the file is whole"):
        read(tmp_path / name)


def test_an_error_of_the_caller_is_not_taken_for_one_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(TABLE)
    with pytest.raises(OSError, match="disk full"), open_lines(tmp_path / "t.csv"):
        raise OSError("disk full")


def test_the_digest_is_that_of_the_bytes_on_disk(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"abc")
    # The one-block example of FIPS 180-2, appendix B.1.
    assert sha256_of(tmp_path / "t.csv") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
