"""A configuration written for an unknown file is one that the pipeline accepts, with what was guessed."""

import csv
from pathlib import Path

import pytest

from data.errors import UserError
from pipeline.config_file import load_config
from pipeline.init_config import write_config


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def table(path: Path, header: list[str], labels: list[str], delimiter: str = ",") -> str:
    """60 rows of a long text, one of the labels in turn, and a running number."""
    path.parent.mkdir(exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as file:
        rows = [[f"this is the text number {n}", labels[n % len(labels)], f"q{n}"] for n in range(60)]
        if delimiter == "\t":  # without quoting
            file.writelines("\t".join(row) + "\n" for row in [header, *rows])
        else:
            csv.writer(file).writerows([header, *rows])
    return str(path)


def test_the_sample_s_configuration_is_accepted_as_it_was_written(sample_csv: Path, tmp_path: Path) -> None:
    output, explanation = write_config(str(sample_csv), None, force=False)
    assert output == Path("questions.yaml")
    config = load_config(str(output))
    assert config.name == "questions"
    data = config.data
    assert (data.path, data.format) == (str(sample_csv), "csv")
    assert config.task == "binary"
    assert data.columns == {"id": "id", "text": "text", "label": "label"}
    assert data.labels == ("sincere", "insincere")
    assert [line.partition(":")[0] for line in explanation] == ["task", "format", "text", "label", "labels", "id"]
    assert explanation[0] == "task: binary, texts with one of two labels"
    assert "column 'text' has the longest texts" in explanation[2]
    assert config.evaluation.min == {"precision": 0.5, "recall": 0.5}


def test_the_reason_for_each_guess_stands_above_it(sample_csv: Path) -> None:
    output, explanation = write_config(str(sample_csv), None, force=False)
    lines = [line.strip() for line in output.read_text(encoding="utf-8").splitlines()]
    assert "tfx-bert run questions.yaml" in lines[0]
    key_of = {
        "task": "task",
        "format": "format",
        "text": "columns",
        "label": "columns",
        "id": "columns",
        "labels": "labels",
    }
    for sentence in explanation:
        what, _, reason = sentence.partition(": ")
        [at] = [number for number, line in enumerate(lines) if line.startswith(f"{key_of[what]}:")]
        first = max(number for number in range(at) if not lines[number].startswith("#")) + 1
        above = " ".join(line.removeprefix("# ") for line in lines[first:at])
        assert reason.removeprefix("binary, ") in above, what


def test_the_file_is_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table(tmp_path / "rows.csv", ["text", "label", "id"], ["no", "yes"])
    output, _ = write_config("rows.csv", None, force=False)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert load_config(str(tmp_path / output)).data.path == str(tmp_path / "rows.csv")


def test_names_and_labels_that_yaml_would_misread_come_back_as_they_are(tmp_path: Path) -> None:
    header = ["text: body # 1", 'the "label"', "é_id"]
    source = table(tmp_path / "größe & zahl.v2.tsv", header, ["no", "yes"], delimiter="\t")
    output, _ = write_config(source, None, force=False)
    config = load_config(str(output))
    data = config.data
    assert (data.path, data.format) == (source, "tsv")
    assert data.columns == {"id": "é_id", "text": "text: body # 1", "label": 'the "label"'}
    assert data.labels == ("no", "yes")
    assert config.name == "gr__e___zahl_v2"


def test_numeric_labels_and_a_missing_id_are_accepted(tmp_path: Path) -> None:
    output, _ = write_config(table(tmp_path / "rows.csv", ["text", "label", "number"], ["1", "0"]), None, force=False)
    data = load_config(str(output)).data
    assert (data.labels, data.columns) == (("0", "1"), {"text": "text", "label": "label"})


def test_a_file_with_three_labels_is_of_several_classes_whose_labels_are_left_to_the_data(tmp_path: Path) -> None:
    source = table(tmp_path / "rows.csv", ["text", "label", "id"], ["bad", "good", "so-so"])
    output, explanation = write_config(source, None, force=False)
    config = load_config(str(output))
    assert config.task == "multiclass"
    assert (config.data.labels, config.make_task().labels) == (None, None)
    assert config.data.columns == {"id": "id", "text": "text", "label": "label"}
    assert config.evaluation.min == {"accuracy": 0.5, "macro_f1": 0.5}
    assert config.training.epochs == 3
    assert explanation[0] == "task: multiclass, texts with one of several labels"
    written = output.read_text(encoding="utf-8")
    assert "  # 3 were found in 60 rows: 'bad' (20), 'good' (20), 'so-so' (20)\n" in written
    assert "the task has the metrics accuracy, macro_f1, " in written


def test_a_label_with_a_line_break_stays_in_its_comment(tmp_path: Path) -> None:
    source = table(tmp_path / "rows.csv", ["text", "label", "id"], ["a\nb: 1", "b", "c"])
    output, _ = write_config(source, None, force=False)
    assert load_config(str(output)).task == "multiclass"


def test_words_with_tags_are_named_entities_and_bad_rows_stop_a_run(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(
        "id,tokens,tags\n" + "".join(f"{n},Ada in Rome,B-PER O B-LOC\n" for n in range(9))
    )
    output, explanation = write_config("rows.csv", None, force=False)
    config = load_config(str(output))
    assert (config.task, config.data.labels, config.data.on_bad_rows) == ("token_classification", None, "error")
    assert config.data.columns == {"id": "id", "tokens": "tokens", "tags": "tags"}
    assert "labels: the entity types are 'PER' (9), 'LOC' (9)" in explanation


def test_questions_with_answers_have_no_labels_and_bad_rows_are_set_aside(tmp_path: Path) -> None:
    rows = "".join(f"q{n},who is it?,It is Ada {n}.,Ada,6\n" for n in range(9))
    (tmp_path / "rows.csv").write_text("id,question,context,answer,answer_start\n" + rows)
    output, _ = write_config("rows.csv", None, force=False)
    config = load_config(str(output))
    assert (config.task, config.data.on_bad_rows) == ("question_answering", "quarantine")
    assert config.data.columns == {
        "id": "id", "question": "question", "context": "context", "answer": "answer", "start": "answer_start",
    }  # fmt: skip
    assert "labels" not in output.read_text(encoding="utf-8").replace("one of several labels", "")


def test_an_existing_configuration_is_kept_unless_forced(sample_csv: Path, tmp_path: Path) -> None:
    (tmp_path / "questions.yaml").write_text("mine")
    with pytest.raises(UserError, match=r"^questions\.yaml exists: name another with -o, or .* --force$"):
        write_config(str(sample_csv), None, force=False)
    assert (tmp_path / "questions.yaml").read_text() == "mine"
    output, _ = write_config(str(sample_csv), None, force=True)
    assert load_config(str(output)).name == "questions"


def test_the_output_may_be_named_and_its_folder_must_be_there(sample_csv: Path, tmp_path: Path) -> None:
    output, _ = write_config(str(sample_csv), tmp_path / "other.yaml", force=False)
    assert load_config(str(output)).data.path == str(sample_csv)
    with pytest.raises(UserError, match=r"nowhere/other\.yaml: the folder .*nowhere does not exist"):
        write_config(str(sample_csv), Path("nowhere/other.yaml"), force=False)


@pytest.mark.parametrize("name", ["no.csv", "null.csv", "123.csv", "2024_01.csv"])
def test_a_name_that_yaml_would_not_read_as_text_is_quoted(name: str, tmp_path: Path, sample_csv: Path) -> None:
    file = tmp_path / name
    file.write_bytes(sample_csv.read_bytes())
    path, _ = write_config(str(file), tmp_path / "mine.yaml", force=False)
    assert load_config(str(path)).name == name.removesuffix(".csv")
