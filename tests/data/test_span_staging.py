"""New files beside the first rows: no row changes its split, each says whether it is new, and none gets lost."""

import csv
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from data_sources import labelled_source

from data.errors import DataError
from data.labelled_rows import LabelledRows
from data.source import NEW, OLD, Source, Staged
from data.span_files import SpanFile, look_into
from data.span_staging import Batch, TooFewNewRows, stage_spans
from data.staging import read_staged, stage
from data.tagged_rows import TaggedRows

LABELS = ("no", "yes")


def write(file: Path, rows: list[tuple[str, ...]], header: tuple[str, ...] = ("text", "label")) -> str:
    file.parent.mkdir(exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])
    return str(file)


def rows_of(name: str, count: int) -> list[tuple[str, ...]]:
    draw = random.Random(name)
    return [(f'{name} number {n}, "quoted"\nand more', draw.choice(LABELS)) for n in range(count)]


def classes_of(row: Any) -> tuple[str, ...]:
    return (LABELS[int(row["label"])],)


def files(folder: Path) -> list[SpanFile]:
    return look_into(str(folder), 0).ready


class Place:
    """A folder with first rows and files of new ones."""

    def __init__(self, root: Path, **settings: Any):
        self.root, self.new = root, root / "new"
        self.source = labelled_source(write(root / "first.csv", rows_of("first", 300)), **settings)

    def stage(self, *, old: tuple[str, ...] = (), source: Source | None = None, **changes: Any) -> Staged:
        """Stages all files of the folder, those named in `old` as learned ones."""
        found = files(self.new)
        batch = Batch(
            [file for file in found if file.path.name not in old],
            [file for file in found if file.path.name in old],
            changes.pop("old_share", 0.3),
            changes.pop("min_eval_rows", 1),
        )
        source = source or self.source
        return stage_spans(stage(source, self.root), source, batch, classes_of, self.root)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path)
    write(made.new / "a.csv", rows_of("a", 100))
    return made


def read(staged: Staged) -> dict[str, list[dict[str, str]]]:
    found = {}
    for split in staged.rows:
        with (staged.folder / split / "rows.csv").open(encoding="utf-8", newline="") as stream:
            found[split] = list(csv.DictReader(stream))
    return found


def texts(staged: Staged, split: str, span: str = OLD) -> set[str]:
    return {row["text"] for row in read(staged)[split] if row.get("span", OLD) == span}


def test_old_rows_keep_their_split_and_a_share_of_them_is_trained_on_again(place: Place) -> None:
    first = stage(place.source, place.root)
    staged = place.stage()
    assert texts(staged, "eval") == texts(first, "eval")
    again = texts(staged, "train")
    assert again < texts(first, "train")
    assert 0.2 < len(again) / first.rows["train"] < 0.4
    assert place.stage(old_share=0.0).rows["train"] == len(texts(staged, "train", NEW))
    assert texts(place.stage(old_share=1.0), "train") == texts(first, "train")


def test_new_rows_are_all_there_and_fall_into_the_split_that_they_would_have_in_a_file_of_their_own(
    place: Place,
) -> None:
    alone = stage(replace(place.source, path=str(place.new / "a.csv")), place.root)
    staged = place.stage()
    for split in ("train", "eval"):
        assert texts(staged, split, NEW) == texts(alone, split)
    [span] = staged.spans
    assert (span.path, span.role, span.rows) == (str(place.new / "a.csv"), NEW, alone.rows)
    assert staged.rows_in == 400
    assert staged.not_sampled == 300 + 100 - sum(staged.rows.values())
    counts = {split: [row["label"] for row in rows] for split, rows in read(staged).items()}
    assert staged.label_counts == {
        split: {label: found.count(str(index)) for index, label in enumerate(LABELS)} for split, found in counts.items()
    }


def test_a_file_that_was_learned_is_old_and_its_rows_keep_their_split(place: Place) -> None:
    before = place.stage()
    write(place.new / "b.csv", rows_of("b", 80))
    after = place.stage(old=("a.csv",))
    assert texts(after, "eval") == texts(before, "eval") | texts(before, "eval", NEW)
    assert {row for row in texts(after, "train") if row.startswith("a ")} < texts(before, "train", NEW)
    assert {row[0] for row in texts(after, "train", NEW) | texts(after, "eval", NEW)} == {"b"}
    assert [(Path(span.path).name, span.role) for span in after.spans] == [("a.csv", OLD), ("b.csv", NEW)]


def test_each_batch_draws_other_old_rows_and_a_rerun_the_same_without_writing_them_again(place: Place) -> None:
    first = place.stage()
    file = first.folder / "train" / "rows.csv"
    written = file.stat().st_mtime_ns
    assert place.stage() == first == read_staged(first.folder)
    assert file.stat().st_mtime_ns == written
    write(place.new / "b.csv", rows_of("b", 80))
    second = place.stage()
    assert second.folder != first.folder
    assert texts(first, "train") - texts(second, "train")


def test_what_a_run_without_new_data_stages_stays_as_it_was(place: Place) -> None:
    first = stage(place.source, place.root)
    before = {path: path.stat().st_mtime_ns for path in first.folder.rglob("*")}
    place.stage()
    again = stage(place.source, place.root)
    assert again == first
    assert {path: path.stat().st_mtime_ns for path in again.folder.rglob("*")} == before
    assert "span" not in read(first)["train"][0]


@pytest.mark.parametrize("how", ["sample", "eval_path"])
def test_first_rows_that_were_sampled_or_came_in_two_files_keep_their_split_too(place: Place, how: str) -> None:
    settings: dict[str, Any] = {"sample": {"train": 0.5, "eval": 0.2}}
    if how == "eval_path":
        settings = {"eval_path": write(place.root / "eval.csv", rows_of("eval", 60))}
    source = replace(place.source, **settings)
    first, staged = stage(source, place.root), place.stage(source=source)
    assert texts(staged, "eval") == texts(first, "eval")
    assert texts(staged, "train") < texts(first, "train")
    shared_out = stage(replace(place.source, path=str(place.new / "a.csv")), place.root)
    assert texts(staged, "eval", NEW) == texts(shared_out, "eval")


def test_a_row_whose_id_is_known_already_is_told_with_both_places(tmp_path: Path) -> None:
    header = ("id", "text", "label")
    first = write(tmp_path / "first.csv", [(f"q{n}", f"text {n}", LABELS[n % 2]) for n in range(60)], header)
    source = labelled_source(first, id="id")
    write(tmp_path / "new" / "a.csv", [("n1", "new text", "no"), ("q7", "text 7 again", "yes")], header)
    batch = Batch(files(tmp_path / "new"), [], 1.0, 1)
    with pytest.raises(DataError, match=r"a\.csv:3: id 'q7' is also in line 9 of .*first\.csv: ids must differ"):
        stage_spans(stage(source, tmp_path), source, batch, classes_of, tmp_path)


def test_a_label_that_no_row_before_had_is_refused_with_place_and_remedy_and_nothing_is_left(place: Place) -> None:
    write(place.new / "b.csv", [*rows_of("b", 20), ("who knows", "perhaps")])
    source = replace(place.source, rules=replace(place.source.rules, labels=None))  # type: ignore[type-var]
    stage(source, place.root)
    before = set((place.root / "staged").iterdir())
    with pytest.raises(DataError) as refused:
        place.stage(source=source)
    assert "b.csv: 1 of 21 rows cannot be used" in str(refused.value)
    assert "b.csv:42: label 'perhaps' is unknown (known: 'no', 'yes')" in str(refused.value)
    assert "takes a training from the start" in str(refused.value)
    assert set((place.root / "staged").iterdir()) == before


def test_quarantined_rows_of_all_files_are_in_one_place_each_with_its_file(place: Place) -> None:
    write(place.root / "first.csv", [*rows_of("first", 300), ("", "no")])
    write(place.new / "a.csv", [*rows_of("a", 100), ("", "yes"), ("fine", "maybe")])
    staged = place.stage(source=replace(place.source, on_bad_rows="quarantine"))
    assert staged.quarantined == 3
    with (staged.folder / "quarantine.csv").open(encoding="utf-8", newline="") as stream:
        reasons = [row["reason"] for row in csv.DictReader(stream)]
    assert reasons[0] == "column 'text' is empty: ''"
    assert reasons[1] == "a.csv: column 'text' is empty: ''"
    assert reasons[2].startswith("a.csv: label 'maybe' is unknown")


def test_too_few_new_rows_to_judge_by_are_told_and_nothing_is_left(place: Place) -> None:
    there = len(texts(place.stage(), "eval", NEW))
    write(place.new / "b.csv", rows_of("b", 10))
    before = set((place.root / "staged").iterdir())
    with pytest.raises(TooFewNewRows, match=r"of the new rows fall into the eval split, 50 are asked"):
        place.stage(min_eval_rows=50)
    assert set((place.root / "staged").iterdir()) == before
    (place.new / "b.csv").unlink()
    with pytest.raises(TooFewNewRows, match=f"{there} of the new rows"):
        place.stage(min_eval_rows=there + 1)


def test_new_rows_that_lack_a_label_cannot_judge_where_each_split_needs_it(place: Place) -> None:
    write(place.new / "a.csv", [(text, "no") for text, _ in rows_of("a", 100)])
    with pytest.raises(TooFewNewRows, match="new rows that fall into the eval split, none has the label 'yes'"):
        place.stage()
    relaxed = replace(place.source.rules, labels_in_every_split=False)  # type: ignore[type-var]
    assert place.stage(source=replace(place.source, rules=relaxed)).spans


def test_training_on_new_rows_alone_needs_each_label_among_them(place: Place) -> None:
    write(place.new / "a.csv", [(text, "no") for text, _ in rows_of("a", 100)])
    with pytest.raises(DataError, match=r"no row with label 'yes': raise new_data\.old_share"):
        place.stage(old_share=0.0)


def test_a_column_of_the_name_that_is_needed_cannot_be_had(place: Place) -> None:
    rules = LabelledRows("span", "label", LABELS)
    write(place.root / "first.csv", rows_of("first", 300), ("span", "label"))
    with pytest.raises(DataError, match="column 'span' is what new and old rows are told apart by; rename it"):
        place.stage(source=replace(place.source, rules=rules))


def test_tagged_words_are_counted_by_their_types(tmp_path: Path) -> None:
    def sentences(name: str, count: int) -> list[tuple[str, ...]]:
        return [(f"{name} {n} met Ann", "O O O B-PER") for n in range(count)]

    header = ("tokens", "tags")
    rules = TaggedRows("tokens", "tags", ("PER",))
    source = Source(
        path=write(tmp_path / "first.csv", sentences("first", 60), header),
        format="csv",
        rules=rules,
        id=None,
        splits={"train": 0.8, "eval": 0.2},
        sample=None,
        on_bad_rows="error",
        min_rows={},
    )
    write(tmp_path / "new" / "a.csv", sentences("a", 40), header)
    batch = Batch(files(tmp_path / "new"), [], 0.5, 1)
    staged = stage_spans(stage(source, tmp_path), source, batch, lambda row: ("PER",), tmp_path)
    assert staged.label_counts == {split: {"PER": rows} for split, rows in staged.rows.items()}
    assert {row["tags"] for row in read(staged)["train"]} == {"O O O B-PER"}
