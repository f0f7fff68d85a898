"""`tfx-bert score` before TFX is needed: what is refused, how a file is parted, how answers become a file."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
from model_store import ModelStore
from score_models import write_config

from data.errors import DataError, UserError
from modules.tasks.binary import Binary
from pipeline.config_file import load_config
from pipeline.request_table import RequestTable
from pipeline.score.job import new_job, quarantined_rows, read_job, shard_file
from pipeline.score.model import ScoringModel
from pipeline.score.output import quarantine_file, write_output
from pipeline.score.run import score

Refused = Callable[..., str]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelStore:
    """An empty folder with mine.yaml and in.csv."""
    monkeypatch.chdir(tmp_path)
    Path("in.csv").write_text("id,text\na,one\nb,two\n", encoding="utf-8")
    return write_config(tmp_path)


@pytest.fixture
def refused(store: ModelStore) -> Refused:
    """What is said; nothing is left behind but a log."""

    def ask(source: str = "in.csv", output: str = "out.csv", *overrides: str) -> str:
        before = sorted(path for path in Path().rglob("*") if "logs" not in path.parts)
        with pytest.raises(UserError) as raised:
            score(load_config("mine.yaml", overrides), Path(source), Path(output), verbose=True)
        left = [path for path in Path().rglob("*") if "logs" not in path.parts and path not in before]
        assert [path for path in left if path.parts[-1] != "score"] == []
        return str(raised.value)

    return ask


def test_without_a_pushed_model_the_command_that_pushes_one_is_told(refused: Refused) -> None:
    assert refused().startswith("no pushed model of mine in")
    assert "tfx-bert run CONFIG trains and pushes one" in refused()


def test_a_version_whose_files_are_gone_is_told(store: ModelStore, refused: Refused) -> None:
    store.run("7")
    (store.serving / "7" / "saved_model.pb").unlink()
    assert refused() == (
        f"{store.serving / '7'}, the version in production, is not there any more: tfx-bert run CONFIG pushes it anew"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"in.csv: is empty; give a file with a header and rows"),
        ("id,body\na,one\n", r"in.csv: no column 'text' (data.columns of the model's configuration); it has"),
        ("text\none\n", r"in.csv: no column 'id'"),
        (
            "id,text\na,one\nb,\nc\n",
            "in.csv:3: column 'text' is empty\nin.csv:4: 1 field, 2 expected",
        ),
    ],
)
def test_a_file_that_cannot_be_answered_is_told(
    content: str, message: str, store: ModelStore, refused: Refused
) -> None:
    store.run("7")
    Path("in.csv").write_text(content, encoding="utf-8")
    assert refused().startswith(message)


def test_files_that_are_not_there_or_in_each_others_way_are_told(store: ModelStore, refused: Refused) -> None:
    store.run("7")
    assert refused("none.csv").startswith("none.csv: no such file")
    assert refused("in.csv", "nowhere/out.csv").startswith("nowhere/out.csv: the folder ")
    assert refused("in.csv", "in.csv") == "in.csv is the file of the questions, too: the answers would take its place"
    assert refused("in.csv", "output").startswith("output is a folder")
    for name in ("rows.csv", "judge.csv"):
        Path(name).write_text("id,text,label\n1,a,no\n", encoding="utf-8")
    new = Path("new")
    new.mkdir()
    (new / "monday.csv").write_text("id,text,label\n1,a,no\n", encoding="utf-8")
    for key, value, output, told in (
        ("data.path", "rows.csv", "rows.csv", "rows.csv is data.path of the configuration: the answers would take"),
        ("data.eval_path", "judge.csv", "judge.csv", "judge.csv is data.eval_path of the configuration: the answers"),
        ("new_data.folder", "new", "new/monday.csv", "new/monday.csv is a file of new_data.folder: the answers would"),
    ):
        assert refused("in.csv", output, f"{key}={value}").startswith(told)
        assert Path(output).read_text(encoding="utf-8") == "id,text,label\n1,a,no\n"


def test_rows_without_ids_are_bad_rows_and_a_file_without_them_is_numbered_when_that_is_set(
    store: ModelStore, refused: Refused
) -> None:
    store.run("7")
    Path("in.csv").write_text("id,text\na,one\n ,two\n", encoding="utf-8")
    assert refused().startswith("in.csv:3: column 'id' is empty")
    assert load_config("mine.yaml", ["data.columns.id=null"]).data.columns.get("id") is None


def test_an_engine_that_the_version_has_not_is_told_before_any_row_is_read(store: ModelStore, refused: Refused) -> None:
    store.run("7")
    assert refused("in.csv", "out.csv", "score.engine=int8").startswith("version 7 of mine has no int8 engine")


def test_a_header_without_rows_is_answered_with_a_header(store: ModelStore) -> None:
    store.run("7")
    Path("in.csv").write_text("id,text\n", encoding="utf-8")
    job = score(load_config("mine.yaml"), Path("in.csv"), Path("out.csv"), verbose=True)
    assert Path("out.csv").read_text() == "id,label,probability\n"
    assert (job.rows, job.shards, job.model.version) == (0, 0, "7")
    assert not list((store.root / "score").glob("*/job"))


def job_of(content: str, *, shard_rows: int = 2, quarantine: bool = False, id_column: str | None = None) -> Path:
    """A new job's place."""
    Path("in.csv").write_text(content, encoding="utf-8")
    new_job(
        Path("place"),
        "f" * 64,
        RequestTable(Path("in.csv"), "csv", [("text",)], id_column),
        Binary({}, ["no", "yes"], {}),
        ScoringModel("7", "folder", 1, 2),
        sha256="",
        engine="auto",
        shard_rows=shard_rows,
        quarantine=quarantine,
        on_progress=lambda rows: None,
    )
    return Path("place")


@pytest.mark.usefixtures("store")
def test_rows_are_parted_in_their_order_whatever_is_in_their_texts() -> None:
    place = job_of('text\none\n"two, or\n""more"""\nthree\n', shard_rows=2)
    assert shard_file(place, 0).read_text() == '"row","id","text"\n1,"1","one"\n2,"2","two, or\n""more"""\n'
    assert shard_file(place, 1).read_text() == '"row","id","text"\n3,"3","three"\n'
    job = read_job(place)
    assert job is not None
    assert (job.rows, job.shards, job.quarantined) == (3, 2, 0)


@pytest.mark.usefixtures("store")
def test_bad_rows_are_set_apart_and_the_others_keep_their_numbers() -> None:
    place = job_of("text,x\none,1\n ,2\nthree,3\n", quarantine=True)
    assert shard_file(place, 0).read_text() == '"row","id","text"\n1,"1","one"\n2,"3","three"\n'
    assert quarantined_rows(place).read_text().splitlines()[1].startswith("3,\"column 'text' is empty\"")


@pytest.mark.usefixtures("store")
def test_bad_rows_leave_no_job() -> None:
    with pytest.raises(DataError, match=r"^in\.csv:3: column 'text' is empty\nmend these rows, or set score\.on_bad"):
        job_of("text,x\none,1\n ,2\n")
    assert read_job(Path("place")) is None
    assert not Path("place").exists()


def test_answers_are_put_together_whole_and_compressed_by_their_name(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1,x\n")
    (tmp_path / "b").write_text("2,y\n")
    parts = [tmp_path / "a", tmp_path / "b"]
    for name in ("one.csv", "two.csv.gz", "three.csv.gz"):
        write_output(tmp_path / name, ["id", "a,b"], parts)
    assert (tmp_path / "one.csv").read_text() == 'id,"a,b"\n1,x\n2,y\n'
    assert gzip.decompress((tmp_path / "two.csv.gz").read_bytes()) == (tmp_path / "one.csv").read_bytes()
    assert (tmp_path / "two.csv.gz").read_bytes() == (tmp_path / "three.csv.gz").read_bytes()
    (tmp_path / "one.csv").write_text("of yesterday")
    with pytest.raises(OSError, match="No such file"):
        write_output(tmp_path / "one.csv", ["id"], [*parts, tmp_path / "gone"])
    assert (tmp_path / "one.csv").read_text() == "of yesterday"
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("name", ["answers.csv", "answers.csv.gz", "answers", "answers.tsv"])
def test_bad_rows_go_beside_the_answers(name: str) -> None:
    assert quarantine_file(Path("to", name)) == Path("to", "answers.quarantine.csv")
