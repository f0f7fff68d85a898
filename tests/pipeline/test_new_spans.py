"""Which files are new: by what became of the runs before, with real records and a real ML Metadata store."""

from pathlib import Path
from typing import Any

import pytest
from model_store import PIPELINE, ModelStore

from data.errors import DataError, UserError
from data.span_files import look_into
from pipeline.config import Config, config_class
from pipeline.new_spans import NothingNew, Spans, find_spans, spans_in_words
from pipeline.records import RecordKeeper, RunRecord
from pipeline.rollback import rollback


class Folder:
    """A folder of new data, and the runs of a pipeline with files of it."""

    def __init__(self, root: Path):
        self.root, self.files = root, root / "incoming"
        self.files.mkdir()
        self.runs = ModelStore(root)
        self.with_models = False
        self._count = 0

    def put(self, *names: str, content: str = "") -> None:
        for name in names:
            (self.files / name).write_text(content or f"text,label\n{name},short\n", encoding="utf-8")

    def config(self, **new_data: Any) -> Config:
        settings = {"folder": str(self.files), "settle_seconds": 0} | new_data
        values = {
            "name": PIPELINE,
            "data": {"path": "my.csv", "labels": ["short", "long"]},
            "new_data": settings,
            "orchestration": {"artifact_root": str(self.root)},
        }
        return config_class("binary").model_validate(values)

    def ran(self, *, new: tuple[str, ...] = (), old: tuple[str, ...] = (), **outcome: Any) -> str:
        """A run with these files; where it pushed, its number is the version."""
        self._count += 1
        run = f"r{self._count}"
        status = outcome.pop("status", "pushed")
        digests = {file.path.name: file.sha256 for file in look_into(str(self.files), 0).ready}
        spans = [
            {"path": str(self.files / name), "sha256": digests[name], "role": role, "rows": {"train": 8, "eval": 2}}
            for role, names in (("old", old), ("new", new))
            for name in names
        ]
        settings = self.config().model_dump(mode="json")
        pushed = {"pushed_version": str(self._count)} if status == "pushed" else {}
        record = RunRecord(run, PIPELINE, "local", settings, float(self._count), status=status, spans=spans, **pushed)
        RecordKeeper(record, self.root).save()
        if status == "pushed":
            model = self.runs.model(run, files=self.with_models)
            self.runs.pushed(model, str(self._count), run=run)
        return run

    def find(self) -> tuple[list[str], list[str]]:
        """Names of the new and of the old files."""
        spans = find_spans(self.config())
        return names(spans.new), names(spans.old)

    def nothing(self) -> str:
        with pytest.raises(NothingNew) as nothing:
            find_spans(self.config())
        return str(nothing.value)


def names(files: Any) -> list[str]:
    return [file.path.name for file in files]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_all_files_are_new_to_a_model_of_the_first_rows_alone(folder: Folder) -> None:
    folder.ran()
    folder.put("b.csv", "a.csv")
    assert folder.find() == (["a.csv", "b.csv"], [])


def test_an_empty_folder_holds_nothing_new(folder: Folder) -> None:
    assert folder.nothing() == f"nothing is new in {folder.files}: no file yet"


def test_without_a_model_in_production_there_is_nothing_to_go_on_from(folder: Folder) -> None:
    folder.put("a.csv")
    with pytest.raises(UserError, match=r"nothing in production yet.*tfx-bert run CONFIG makes the first model"):
        folder.find()


def test_what_the_model_in_production_was_made_of_is_old_and_alone_no_reason_to_train(folder: Folder) -> None:
    folder.ran()
    folder.put("a.csv")
    run = folder.ran(new=("a.csv",))
    assert folder.nothing().split("\n") == [
        f"nothing is new in {folder.files} since run {run}",
        "  version 2 has learned a.csv",
    ]
    folder.put("b.csv")
    assert folder.find() == (["b.csv"], ["a.csv"])
    folder.ran(new=("b.csv",), old=("a.csv",))
    folder.put("c.csv")
    assert folder.find() == (["c.csv"], ["a.csv", "b.csv"])


def test_files_of_a_model_that_was_not_good_enough_are_tried_again_with_the_next_one(folder: Folder) -> None:
    folder.ran()
    folder.put("a.csv")
    run = folder.ran(new=("a.csv",), status="rejected")
    assert f"a.csv: judged in run {run}, whose model is not in production" in folder.nothing()
    folder.put("b.csv")
    assert folder.find() == (["a.csv", "b.csv"], [])
    assert f"a.csv was tried in run {run}" in find_spans(folder.config()).notes


@pytest.mark.parametrize("status", ["failed", "interrupted", "terminated"])
def test_a_run_that_was_not_judged_has_learned_and_tried_nothing(folder: Folder, status: str) -> None:
    folder.ran()
    folder.put("a.csv")
    folder.ran(new=("a.csv",), status=status)
    assert folder.find() == (["a.csv"], [])


def test_a_rejected_model_that_was_promoted_has_learned_its_files(folder: Folder) -> None:
    folder.ran()
    folder.put("a.csv")
    run = folder.ran(new=("a.csv",), status="rejected")
    model = folder.runs.model(run, files=False)
    folder.runs.pushed(model, "7", run=run, model_id=model, kind="promote")
    [file] = folder.root.glob(f"runs/{run}.json")
    file.write_text(
        file.read_text().replace('"rejected"', '"promoted"').replace('"pushed_version": null', '"pushed_version": "7"')
    )
    assert "version 7 has learned a.csv" in folder.nothing()


def test_after_a_rollback_its_files_are_new_again_but_have_been_tried(folder: Folder) -> None:
    folder.with_models = True
    folder.ran()
    folder.put("a.csv")
    run = folder.ran(new=("a.csv",))
    rollback(folder.config(), None, "it is worse", "ann")
    assert f"a.csv: judged in run {run}" in folder.nothing()
    folder.put("b.csv")
    assert folder.find() == (["a.csv", "b.csv"], [])
    rollback(folder.config(), "2", "it is not", "ann")
    assert folder.find() == (["b.csv"], ["a.csv"])


def test_a_newer_model_of_the_first_rows_alone_has_learned_nothing(folder: Folder) -> None:
    folder.put("a.csv")
    folder.ran()
    folder.ran(new=("a.csv",))
    folder.ran()
    assert folder.find() == (["a.csv"], []), "or the file would be lost"


def test_a_run_in_which_nothing_changed_leaves_what_was_tried_before_it(folder: Folder) -> None:
    folder.put("a.csv")
    folder.ran()
    folder.ran(new=("a.csv",), status="rejected")
    record = RunRecord("r3", PIPELINE, "local", folder.config().model_dump(mode="json"), 3.0, status="current")
    record.pushed_version = "1"
    RecordKeeper(record, folder.root).save()
    assert "a.csv: judged in run r2" in folder.nothing()


def test_a_file_is_known_under_another_name_and_missed_where_it_is_gone(folder: Folder) -> None:
    folder.put("a.csv", "b.csv")
    folder.ran()
    folder.ran(new=("a.csv", "b.csv"))
    (folder.files / "a.csv").rename(folder.files / "january.csv")
    (folder.files / "b.csv").unlink()
    folder.put("c.csv")
    found: Spans = find_spans(folder.config())
    assert (names(found.new), names(found.old)) == (["c.csv"], ["january.csv"])
    assert list(found.notes) == ["b.csv was learned, and is no longer there: none of its rows is trained on again"]


def test_a_file_that_changed_after_it_was_learned_is_an_error_with_what_to_do(folder: Folder) -> None:
    folder.put("a.csv")
    folder.ran()
    folder.ran(new=("a.csv",))
    folder.put("a.csv", content="text,label\nother,long\n")
    with pytest.raises(DataError, match=r"a\.csv: changed after version 2 had learned from it\. Put it back"):
        folder.find()


def test_a_file_that_was_mended_after_its_model_was_refused_is_tried_again(folder: Folder) -> None:
    folder.put("a.csv")
    folder.ran()
    folder.ran(new=("a.csv",), status="rejected")
    folder.put("a.csv", content="text,label\nmended,long\n")
    assert folder.find() == (["a.csv"], [])


def test_files_that_wait_and_files_that_are_no_tables_are_named(folder: Folder) -> None:
    folder.ran()
    folder.put("b.csv.part", "notes.md")
    told = folder.nothing()
    assert "b.csv.part waits: by its name, it is still being written" in told
    assert "notes.md is passed over" in told
    folder.put("a.csv")
    assert [note.split(":")[0] for note in find_spans(folder.config()).notes] == [
        "b.csv.part waits",
        "notes.md is passed over",
    ]


def test_without_a_folder_in_the_configuration_it_is_asked_for(folder: Folder) -> None:
    with pytest.raises(DataError, match=r"new_data\.folder is not set"):
        find_spans(folder.config(folder=None))


def test_a_run_s_files_are_told_by_role_with_their_rows(folder: Folder) -> None:
    rows = {"train": 1200, "eval": 300}
    spans = [
        {"path": f"/in/{name}", "sha256": "", "role": role, "rows": rows}
        for name, role in (("a.csv", "old"), ("b.csv", "new"), ("c.csv", "new"))
    ]
    assert spans_in_words(spans) == [
        "new data: b.csv (train 1,200, eval 300), c.csv (train 1,200, eval 300)",
        "learned before: a.csv (train 1,200, eval 300)",
    ]
    assert spans_in_words([]) == []
