"""Staging writes what CsvExampleGen reads back unchanged, accounts for every row, and leaves all or nothing."""

import csv
import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import pytest
from data_sources import changed, labelled_source

from data import staging
from data.errors import DataError
from data.labelled_rows import LabelledRows
from data.row_rules import Cells
from data.source import Source, Staged
from data.staging import read_staged, stage
from data.tagged_rows import TaggedRows

SAMPLE = Path(__file__).parents[2] / "data" / "samples" / "questions.csv"
HARD_TEXTS = [
    'say "hi", then\ngo',
    "a\rb",
    "c\r\nd",
    '"',
    " outer spaces ",
    "007",
    "寿司 🍣",
    "line\u2028separator",
    "ends with a backslash\\",
    "\n",
]


@pytest.fixture
def source_of(tmp_path: Path) -> Callable[..., Source]:
    """Returns a function that writes rows into a file and describes it."""

    def make(rows: list[tuple[str, ...]], header: tuple[str, ...] = ("text", "label"), **settings: object) -> Source:
        file = tmp_path / "t.csv"
        with file.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream, quoting=csv.QUOTE_ALL).writerows([header, *rows])
        return labelled_source(str(file), **settings)

    return make


def rows_of(n: int, seed: int = 0) -> list[tuple[str, ...]]:
    rng = random.Random(seed)
    return [(f"text number {n}", rng.choice(["no", "no", "yes"])) for n in range(n)]


def read_as_example_gen(file: Path) -> list[dict[str, str]]:
    """Reads as TFX 1.21's CsvExampleGen does: the header split at commas, lines joined until their quotes are even."""
    with file.open("rb") as stream:
        header = stream.readline().decode().strip().split(",")
        rows, record = [], ""
        for line in stream:
            record += line.decode()
            if record.count('"') % 2 == 0:
                [fields] = csv.reader([record])
                rows.append(dict(zip(header, fields, strict=True)))
                record = ""
    assert record == ""
    return rows


def staged_rows(staged: Staged) -> dict[str, list[dict[str, str]]]:
    return {split: read_as_example_gen(staged.folder / split / "rows.csv") for split in staged.rows}


def everything_under(folder: Path) -> dict[str, int]:
    return {str(file.relative_to(folder)): file.stat().st_mtime_ns for file in folder.rglob("*")}


def test_the_sample_that_comes_with_the_project_is_clean(tmp_path: Path) -> None:
    source = labelled_source(str(SAMPLE), id="id", labels=("sincere", "insincere"))
    staged = stage(source, tmp_path)
    assert (staged.rows_in, staged.ignored, staged.quarantined, staged.not_sampled) == (177, 0, 0, 0)
    assert sum(counts["insincere"] for counts in staged.label_counts.values()) == 56
    texts = [row["text"] for rows in staged_rows(staged).values() for row in rows]
    assert len(set(texts)) == 177


def test_rows_are_written_with_the_users_columns_and_the_labels_index(tmp_path: Path, source_of: Callable) -> None:
    rows = [(f"q{n}", "x", f"why {n}", " yes " if n % 3 else "no") for n in range(50)]
    source = source_of(
        rows, ("qid", "other", "question", "kind"), id="qid", text_column="question", label_column="kind"
    )
    staged = stage(source, tmp_path)
    assert staged.folder.parent == tmp_path / "staged"
    assert staged.folder.name == staged.fingerprint
    found = [row for rows in staged_rows(staged).values() for row in rows]
    assert sorted(map(tuple, (row.items() for row in found))) == sorted(
        (("qid", qid), ("question", text), ("kind", "1" if kind == " yes " else "0")) for qid, _, text, kind in rows
    )
    assert (staged.folder / "train" / "rows.csv").read_text().splitlines()[0] == "qid,question,kind"


def test_hard_texts_reach_example_gen_exactly(tmp_path: Path, source_of: Callable) -> None:
    texts = [text for text in HARD_TEXTS if text.strip()] * 4
    rows = [(f"{n}:{text}", "no" if n % 2 else "yes") for n, text in enumerate(texts)]
    staged = stage(source_of(rows), tmp_path)
    found = [(row["text"], ["no", "yes"][int(row["label"])]) for part in staged_rows(staged).values() for row in part]
    assert sorted(found) == sorted(rows)


@pytest.mark.parametrize("sample", [None, {"train": 0.5, "eval": 0.3}])
@pytest.mark.parametrize("seed", range(6))
def test_what_goes_in_comes_out_or_is_quarantined(
    tmp_path: Path, source_of: Callable, seed: int, sample: dict[str, float] | None
) -> None:
    rng = random.Random(seed)
    rows = [
        (
            "".join(rng.choices([*HARD_TEXTS, "word ", ",", "e"], k=rng.randint(0, 4))),
            rng.choice(["no", "yes", "?", "-"]),
        )
        for _ in range(300)
    ]
    source = source_of(rows, on_bad_rows="quarantine", ignore_labels=("-",), sample=sample)
    staged = stage(source, tmp_path)
    names = ["no", "yes"]
    out = [(row["text"], names[int(row["label"])]) for part in staged_rows(staged).values() for row in part]
    with (staged.folder / "quarantine.csv").open(encoding="utf-8", newline="") as stream:
        aside = [tuple(next(csv.reader([record["raw"]]))) for record in csv.DictReader(stream)]
    bad = [row for row in rows if row[1] != "-" and (row[1] == "?" or not row[0].strip())]
    good = [row for row in rows if row[1] != "-" and row not in bad]
    assert Counter(aside) == Counter(bad)
    assert (staged.rows_in, staged.ignored, staged.quarantined) == (300, sum(r[1] == "-" for r in rows), len(bad))
    if sample is None:
        assert Counter(out) == Counter(good)
    else:
        assert not Counter(out) - Counter(good)
        assert staged.not_sampled == len(good) - len(out) > 0


def test_quarantine_with_an_unbalanced_quote_in_the_middle_loses_only_that_line(tmp_path: Path) -> None:
    lines = [f"text {n},{'yes' if n % 3 else 'no'}" for n in range(3_000)]
    lines[1_500] = '"' + lines[1_500]
    (tmp_path / "t.csv").write_text("\n".join(["text,label", *lines]))
    staged = stage(labelled_source(str(tmp_path / "t.csv"), on_bad_rows="quarantine"), tmp_path)
    assert (staged.rows_in, staged.quarantined) == (3_000, 1)
    [header, record] = list(csv.reader((staged.folder / "quarantine.csv").open(newline="")))
    assert header == ["line", "reason", "raw"]
    assert (record[0], record[2]) == ("1502", lines[1_500] + "\n")
    assert record[1].startswith("unbalanced quote")


def test_bad_rows_are_an_error_that_lists_them_and_the_remedy(tmp_path: Path, source_of: Callable) -> None:
    source = source_of([*rows_of(30), ("bad", "maybe"), ("", "no")])
    with pytest.raises(DataError) as caught:
        stage(source, tmp_path / "new" / "root")
    assert str(caught.value).splitlines() == [
        f"{source.path}: 2 of 32 rows cannot be used:",
        f"{source.path}:32: label 'maybe' is unknown (known: 'no', 'yes')",
        f"{source.path}:33: column 'text' is empty: ''",
        "Mend the file, or set data.on_bad_rows: quarantine to go on without these rows",
    ]
    assert not (tmp_path / "new").exists()


def test_a_file_fault_is_an_error_even_with_quarantine(tmp_path: Path, source_of: Callable) -> None:
    with pytest.raises(DataError, match="has a header and no rows"):
        stage(source_of([], on_bad_rows="quarantine"), tmp_path / "root")
    assert not (tmp_path / "root").exists()


def test_a_failed_check_leaves_what_was_there(tmp_path: Path, source_of: Callable) -> None:
    kept = stage(source_of(rows_of(50)), tmp_path).folder
    before = everything_under(kept)
    with pytest.raises(DataError):
        stage(source_of([*rows_of(50), ("bad", "maybe")]), tmp_path)
    assert [folder.name for folder in (tmp_path / "staged").iterdir()] == [kept.name]
    assert everything_under(kept) == before


def test_a_second_call_writes_nothing_and_reads_the_same_numbers(tmp_path: Path, source_of: Callable) -> None:
    source = source_of([*rows_of(50), ("bad", "?")], on_bad_rows="quarantine")
    first = stage(source, tmp_path)
    before = everything_under(tmp_path)
    calls: list[int] = []
    assert stage(source, tmp_path, calls.append) == first
    assert everything_under(tmp_path) == before
    assert calls == []


@pytest.mark.parametrize(
    "change",
    [
        {"labels": ("yes", "no")},
        {"splits": {"train": 0.7, "eval": 0.3}},
        {"sample": {"train": 0.5, "eval": 0.5}},
        {"on_bad_rows": "quarantine"},
        {"ignore_labels": ("?",)},
        {"min_rows": {"train": 1}},
    ],
)
def test_any_setting_but_the_path_changes_the_fingerprint(
    tmp_path: Path, source_of: Callable, change: dict[str, object]
) -> None:
    source = source_of(rows_of(60))
    moved = tmp_path / "moved.csv"
    moved.write_bytes(Path(source.path).read_bytes())
    first = stage(source, tmp_path)
    assert stage(replace(source, path=str(moved)), tmp_path) == first
    assert stage(changed(source, **change), tmp_path).fingerprint != first.fingerprint


def test_other_bytes_change_the_fingerprint(tmp_path: Path, source_of: Callable) -> None:
    first = stage(source_of(rows_of(60)), tmp_path)
    assert stage(source_of(rows_of(61)), tmp_path).fingerprint != first.fingerprint


def test_the_manifest_says_what_was_staged(tmp_path: Path, source_of: Callable) -> None:
    source = source_of(rows_of(60))
    staged = stage(source, tmp_path)
    manifest = json.loads((staged.folder / "manifest.json").read_text())
    assert manifest["source"] == [source.path]
    assert manifest["sha256"] == [sha256(Path(source.path).read_bytes()).hexdigest()]
    assert manifest["staged"]["rows"] == staged.rows
    assert manifest["staged"]["label_counts"] == staged.label_counts


def test_a_damaged_folder_is_staged_again(tmp_path: Path, source_of: Callable) -> None:
    source = source_of(rows_of(60))
    staged = stage(source, tmp_path)
    rows = staged.folder / "train" / "rows.csv"
    whole = rows.read_bytes()
    rows.write_bytes(whole[:-5])
    assert read_staged(staged.folder) is None
    assert stage(source, tmp_path) == staged
    assert rows.read_bytes() == whole


def test_numbers_that_do_not_add_up_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="10 rows were read but 9 are accounted for"):
        Staged(tmp_path, 10, 1, 2, 3, {"train": 3}, ("no",), {"train": {"no": 3}}, "f")


def test_the_split_of_a_row_is_known_beforehand(tmp_path: Path, source_of: Callable) -> None:
    # `printf %s TEXT | b2sum -l 64` starts with a7b6, 5306, 134c and 488d: 0.66, 0.32, 0.08 and 0.28 of 2**64.
    rows = [("hello", "no"), ("alpha", "yes"), ("beta", "no"), ("sushi", "yes")]
    parts = staged_rows(stage(source_of(rows, splits={"train": 0.3, "eval": 0.7}), tmp_path))
    assert [row["text"] for row in parts["train"]] == ["beta", "sushi"]
    assert [row["text"] for row in parts["eval"]] == ["hello", "alpha"]


def test_equal_texts_never_straddle_the_splits(tmp_path: Path, source_of: Callable) -> None:
    rows = [(f"text {n % 40}", "yes" if n % 3 else "no") for n in range(400)]
    for sample in (None, {"train": 0.5, "eval": 0.5}):
        parts = staged_rows(stage(source_of(rows, sample=sample), tmp_path))
        assert not {row["text"] for row in parts["train"]} & {row["text"] for row in parts["eval"]}


def test_a_row_with_an_id_is_split_by_its_id(tmp_path: Path, source_of: Callable) -> None:
    def ids_in_eval(word: str) -> list[str]:
        rows = [(f"q{n}", f"{word} {n}", "yes" if n % 3 else "no") for n in range(60)]
        return [
            r["id"] for r in staged_rows(stage(source_of(rows, ("id", "text", "label"), id="id"), tmp_path))["eval"]
        ]

    assert ids_in_eval("one") == ids_in_eval("two")


def test_a_sample_has_exact_counts_and_the_rest_is_not_sampled(tmp_path: Path, source_of: Callable) -> None:
    rows = [(f"text {n}", "yes" if n < 590 else "no") for n in range(10_000)]
    staged = stage(source_of(rows, sample={"train": 0.1, "eval": 0.01}), tmp_path)
    # 941 and 59 of 1,000; then 90 of the other 9,000, of which 84.69 and 5.31.
    assert staged.label_counts == {"train": {"no": 941, "yes": 59}, "eval": {"no": 85, "yes": 5}}
    assert staged.not_sampled == 8_910
    assert sorted(file.name for file in staged.folder.iterdir()) == ["eval", "manifest.json", "train"]


def test_too_few_rows_name_the_split_the_counts_and_the_remedy(tmp_path: Path, source_of: Callable) -> None:
    source = source_of([*rows_of(30), ("bad", "?")], min_rows={"train": 99}, on_bad_rows="quarantine")
    with pytest.raises(DataError) as caught:
        stage(source, tmp_path / "root")
    message = str(caught.value)
    assert "split 'train' has " in message
    assert "rows, data.min_rows asks for 99 ('no': " in message
    assert "Bring more data, or change data.splits or data.min_rows." in message
    assert "31 rows were read, 0 ignored, 1 quarantined, the first of them:" in message
    assert "t.csv:32: label '?' is unknown" in message
    assert not (tmp_path / "root").exists()


def test_a_label_that_is_absent_from_a_split_is_an_error(tmp_path: Path, source_of: Callable) -> None:
    rows = [(f"text {n}", "no") for n in range(50)]
    with pytest.raises(DataError, match=r"split 'eval' has no row with label 'yes' \('no': \d+, 'yes': 0\)") as caught:
        stage(source_of(rows), tmp_path)
    assert "\nNo row at all has label 'yes': bring rows with it, or correct data.labels. 50 rows" in str(caught.value)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError("disk full"), SystemExit])
def test_interrupted_staging_leaves_nothing(
    tmp_path: Path, source_of: Callable, stop: BaseException | type[BaseException]
) -> None:
    def interrupt(rows: int) -> None:
        assert len(list((tmp_path / "deep" / "root" / "staged").glob(".tmp-*/train/rows.csv"))) == 1
        raise stop

    with pytest.raises((KeyboardInterrupt, OSError, SystemExit)):
        stage(source_of(rows_of(20_000)), tmp_path / "deep" / "root", interrupt)
    assert [file.name for file in tmp_path.iterdir()] == ["t.csv"]


def test_what_a_killed_process_left_goes_and_what_a_living_one_writes_stays(
    tmp_path: Path, source_of: Callable
) -> None:
    code = (
        "import sys, os, signal; from pathlib import Path; from data.whole_folder import new_folder\n"
        "with new_folder(Path(sys.argv[1])) as work: (work / 'x').touch(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    staged = tmp_path / "staged"
    subprocess.run([sys.executable, "-c", code, str(staged / "killed")], cwd=SAMPLE.parents[2], check=False)
    [left] = staged.iterdir()
    # As in a container, where the next run may well have the process id of the one that was killed.
    same_pid = staged / f".tmp-{os.getpid()}-{left.name.split('-', 2)[2]}"
    left.rename(same_pid)
    subprocess.run([sys.executable, "-c", code, str(staged / "killed")], cwd=SAMPLE.parents[2], check=False)
    assert len(list(staged.iterdir())) == 2

    def look(rows: int) -> None:
        assert len(list(staged.iterdir())) == 1
        staging.whole_folder.remove_leftovers(staged)
        assert len(list(staged.iterdir())) == 1

    done = stage(source_of(rows_of(60)), tmp_path, look)
    assert list(staged.iterdir()) == [done.folder]


def test_a_source_that_changes_while_it_is_read_is_an_error(tmp_path: Path, source_of: Callable) -> None:
    source = source_of(rows_of(60))

    def append(rows: int) -> None:
        with Path(source.path).open("a") as stream:
            stream.write("one more,no\n")

    with pytest.raises(DataError, match="changed while it was being read; run again"):
        stage(source, tmp_path, append)
    assert not (tmp_path / "staged").exists()


def test_progress_is_told_every_ten_thousand_rows_and_at_the_end(tmp_path: Path, source_of: Callable) -> None:
    calls: list[int] = []
    stage(source_of(rows_of(25_000)), tmp_path, calls.append)
    assert calls == [10_000, 20_000, 25_000]


def test_a_split_whose_texts_are_all_numbers_is_an_error_and_one_word_is_enough(
    tmp_path: Path, source_of: Callable
) -> None:
    rows = [(str(n), "yes" if n % 3 else "no") for n in range(60)]
    with pytest.raises(DataError, match="column 'text' holds nothing but numbers in split 'train'"):
        stage(source_of(rows), tmp_path)
    rows += [(f"word {n}", "yes") for n in range(60)]
    assert stage(source_of(rows), tmp_path).rows_in == 120


def test_labels_that_are_not_given_are_found_and_put_in_order(tmp_path: Path, source_of: Callable) -> None:
    rows = [(f"text {n}", ["pear", "fig", "apple"][n % 3]) for n in range(90)]
    staged = stage(source_of([*rows, ("x", "nut")], labels=None, ignore_labels=("nut",)), tmp_path)
    assert staged.labels == ("apple", "fig", "pear")
    assert {r["label"] for r in staged_rows(staged)["train"] if r["text"] in ("text 0", "text 3", "text 6")} == {"2"}
    assert stage(source_of([*rows, ("x", "nut")], labels=None, ignore_labels=("nut",)), tmp_path) == staged


def test_one_label_alone_is_an_error_that_names_it(tmp_path: Path, source_of: Callable) -> None:
    rows = [(f"text {n}", "pear") for n in range(90)]
    with pytest.raises(
        DataError, match=r"column 'label' holds one label alone, 'pear': two are needed to tell them ap"
    ):
        stage(source_of(rows, labels=None, labels_in_every_split=False), tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_dir() and "staged" in path.name] == []


def test_a_rare_label_may_be_absent_from_eval_but_not_from_train(tmp_path: Path, source_of: Callable) -> None:
    rows = [(f"text {n}", "no" if n % 2 else "yes") for n in range(90)]
    # `printf %s TEXT | b2sum -l 64` of hello and beta: 0.66 and 0.08 of 2**64.
    for text, splits in (("beta", {"train": 0.5, "eval": 0.5}), ("hello", {"train": 0.9, "eval": 0.1})):
        source = source_of([*rows, (text, "rare")], labels=None, labels_in_every_split=False, splits=splits)
        assert stage(source, tmp_path).label_counts["train"]["rare"] == 1
    source = source_of(
        [*rows, ("hello", "rare")], labels=None, labels_in_every_split=False, splits={"train": 0.5, "eval": 0.5}
    )
    with pytest.raises(DataError, match="split 'train' has no row with label 'rare'"):
        stage(source, tmp_path)


def test_an_eval_file_of_its_own_is_the_eval_split(tmp_path: Path, source_of: Callable) -> None:
    train = source_of([(f"q{n}", f"text {n}", "no" if n % 2 else "yes") for n in range(30)], ("id", "text", "label"))
    eval_file = tmp_path / "test.csv"
    eval_file.write_text("label,text,id\n" + "".join(f"{w},other {n},e{n}\n" for n, w in enumerate(["no", "yes"] * 5)))
    source = changed(train, id="id", eval_path=str(eval_file))
    staged = stage(source, tmp_path)
    assert staged.rows == {"train": 30, "eval": 10}
    assert {row["text"] for row in staged_rows(staged)["eval"]} == {f"other {n}" for n in range(10)}
    eval_file.write_text(eval_file.read_text().replace("e3", "q3"))
    with pytest.raises(DataError, match=r"test.csv:5: id 'q3' is also in line 5 of .*t.csv: ids must differ"):
        stage(source, tmp_path)


def test_rows_of_one_group_are_never_parted(tmp_path: Path, source_of: Callable) -> None:
    rows = [(f"q{n}", f"text {n}", "no" if n % 2 else "yes", f"g{n % 40}") for n in range(400)]
    source = source_of(rows, ("id", "text", "label", "group"), id="id", group="group")
    groups = [{int(row["id"][1:]) % 40 for row in part} for part in staged_rows(stage(source, tmp_path)).values()]
    assert all(groups)
    assert not groups[0] & groups[1]


@dataclass(frozen=True)
class Mending(LabelledRows):
    """Mends the label "jes"."""

    def read(self, values: Sequence[str]) -> Cells | str | None:
        if values[1] == "jes":
            return Cells((values[0], 1), values[0], ("yes",), "'jes' is 'yes'")
        return super().read(values)


def test_repaired_rows_are_counted_and_the_first_are_shown(tmp_path: Path, source_of: Callable) -> None:
    rows = [*rows_of(60), *[(f"more {n}", "jes") for n in range(9)], ("bad", "?")]
    source = source_of(rows, on_bad_rows="quarantine")
    staged = stage(replace(source, rules=Mending("text", "label", ("no", "yes"))), tmp_path)
    assert (staged.repaired, staged.quarantined, sum(staged.rows.values())) == (9, 1, 69)
    assert staged.shown[0] == f"{source.path}:71: label '?' is unknown (known: 'no', 'yes')"
    assert staged.shown[1] == f"{source.path}:62: 'jes' is 'yes' (repaired)"
    assert len(staged.shown) == 6


def test_data_without_any_entity_are_refused(tmp_path: Path, source_of: Callable) -> None:
    rows = [(f"word number {n}", "O O O") for n in range(40)]
    source = replace(source_of(rows, ("tokens", "tags")), rules=TaggedRows("tokens", "tags", None))
    with pytest.raises(DataError, match="column 'tags' has no entity, all its tags are O"):
        stage(source, tmp_path / "root")
    assert not (tmp_path / "root").exists()


def test_a_label_that_only_the_eval_file_has_is_told_with_that_file(tmp_path: Path, source_of: Callable) -> None:
    train = source_of([(f"text {n}", "no" if n % 2 else "yes") for n in range(30)])
    eval_file = tmp_path / "test.csv"
    eval_file.write_text("text,label\n" + "".join(f"other {n},{w}\n" for n, w in enumerate(["no", "yes", "new"] * 5)))
    source = changed(train, labels=None, labels_in_every_split=False, eval_path=str(eval_file))
    with pytest.raises(DataError, match=r"split 'train' has no row with label 'new', which .*test\.csv has") as caught:
        stage(source, tmp_path)
    assert "change data.eval_path" in str(caught.value)
