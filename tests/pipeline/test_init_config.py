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
    assert (data.text_column, data.label_column, data.id_column) == ("text", "label", "id")
    assert data.labels == ("sincere", "insincere")
    assert [line.partition(":")[0] for line in explanation] == ["format", "text", "label", "id", "labels"]
    assert "column 'text' has the longest texts" in explanation[1]


def test_the_reason_for_each_guess_stands_above_it(sample_csv: Path) -> None:
    output, explanation = write_config(str(sample_csv), None, force=False)
    lines = [line.strip() for line in output.read_text(encoding="utf-8").splitlines()]
    keys = ("format", "text_column", "label_column", "id_column", "labels")
    for key, sentence in zip(keys, explanation, strict=True):
        [at] = [number for number, line in enumerate(lines) if line.startswith(f"{key}:")]
        assert lines[at - 1].startswith("# ")
        assert lines[at - 1].endswith(sentence.partition(": ")[2])
    assert "tfx-bert run questions.yaml" in lines[0]


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
    assert (data.text_column, data.label_column, data.id_column) == ("text: body # 1", 'the "label"', "é_id")
    assert data.labels == ("no", "yes")
    assert config.name == "gr__e___zahl_v2"


def test_numeric_labels_and_a_missing_id_are_accepted(tmp_path: Path) -> None:
    output, _ = write_config(table(tmp_path / "rows.csv", ["text", "label", "number"], ["1", "0"]), None, force=False)
    data = load_config(str(output)).data
    assert (data.labels, data.id_column) == (("0", "1"), None)


def test_a_file_with_three_labels_is_refused_with_their_names(tmp_path: Path) -> None:
    source = table(tmp_path / "rows.csv", ["text", "label", "id"], ["bad", "good", "so-so"])
    with pytest.raises(UserError, match=r"rows\.csv: .* needs two labels and 3 were found.*'so-so' \(20\)"):
        write_config(source, None, force=False)
    assert list(tmp_path.glob("*.yaml")) == []


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
