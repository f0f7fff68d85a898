"""Freezing a schema and going by it: TFX's own data components on the questions, with their records and MLMD."""

import csv
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from data.errors import UserError
from pipeline.config_file import load_config, schema_place
from pipeline.run import run as run_pipeline
from pipeline.schema import freeze, newest, schema_in_words
from pipeline.schema_diff import differences
from pipeline.schema_file import read_schema

PROJECT = Path(__file__).parents[2]
TEXTS = ("TextStatisticsGen", "TextValidator")
DATA_PART = (
    "CsvExampleGen",
    "StatisticsGen",
    "SchemaGen",
    "ImportSchemaGen",
    "ExampleValidator",
    "DataGate",
    *TEXTS,
)
States = dict[str, str]
KINDS = {"how": "manner", "what": "thing"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, sample_csv: Path, tiny_encoder: Path) -> Path:
    """A user's folder with kinds.yaml and kinds.csv: the sample's questions, labelled by how they begin."""
    folder = tmp_path_factory.mktemp("user")
    with open(sample_csv, encoding="utf-8", newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    write(folder, [(text, KINDS.get(text.split()[0].lower(), "other")) for text in texts])
    config = {
        "name": "kinds",
        "task": "multiclass",
        "data": {
            "path": "kinds.csv",
            "columns": {"id": "id"},
            "splits": {"train": 0.7, "eval": 0.3},
            "drift": {"action": "warn"},  # other labels are of no other texts
        },
        "encoder": {"handle": str(tiny_encoder)},
        "preprocessing": {"max_seq_length": 64},
    }
    (folder / "kinds.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return folder


def write(folder: Path, rows: list[tuple[str, str]]) -> None:
    with open(folder / "kinds.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("id", "text", "label"), *((f"q{n}", *row) for n, row in enumerate(rows))])


def read(folder: Path) -> list[tuple[str, str]]:
    with open(folder / "kinds.csv", encoding="utf-8", newline="") as file:
        return [(row["text"], row["label"]) for row in csv.DictReader(file)]


def run(folder: Path) -> States:
    """Runs the data part of the pipeline as `tfx-bert eda` does; raises what a component raised."""
    record = run_pipeline(load_config(str(folder / "kinds.yaml")), "local", data_only=True)
    return {component["id"]: component["state"] for component in record.components}


def in_states(states: States, *wanted: str) -> set[str]:
    return {component for component, state in states.items() if state in wanted}


def frozen_by(folder: Path, *, force: bool = False) -> Path:
    source = str(folder / "kinds.yaml")
    config = load_config(source)
    file = schema_place(source, config)
    freeze(config, source, file, force=force)
    return file


def test_without_a_run_there_is_nothing_to_freeze_and_what_to_do_is_said(folder: Path) -> None:
    with pytest.raises(UserError) as raised:
        frozen_by(folder)
    assert f"`tfx-bert eda {folder}/kinds.yaml`" in str(raised.value)
    assert f"`tfx-bert run {folder}/kinds.yaml`" in str(raised.value)
    assert not (folder / "data").exists()


@pytest.fixture(scope="module")
def first_run(folder: Path) -> States:
    return run(folder)


@pytest.fixture(scope="module")
def frozen(folder: Path, first_run: States) -> Path:
    return frozen_by(folder)


def test_what_is_frozen_is_what_a_person_would_write(folder: Path, frozen: Path) -> None:
    assert frozen == folder / "data" / "schemas" / "kinds.pbtxt"
    schema = read_schema(frozen)
    features = {feature.name: feature for feature in schema.feature}
    assert set(features) == {"id", "text", "label"}
    assert all(feature.presence.min_fraction == 1 for feature in features.values())
    assert (features["label"].int_domain.min, features["label"].int_domain.max) == (0, 2)
    assert not features["text"].WhichOneof("domain_info"), "TFDV took the few texts for a closed set"
    assert [(domain.name, list(domain.value)) for domain in schema.string_domain] == [
        ("data.labels", ["manner", "other", "thing"])
    ]
    comment = "\n".join(line for line in frozen.read_text(encoding="utf-8").splitlines() if line.startswith("#"))
    config = load_config(str(folder / "kinds.yaml"))
    record = newest(config, "kinds.yaml").record
    assert record.id in comment
    assert f"train {record.rows['train']} rows, eval {record.rows['eval']} rows" in comment
    assert str(folder / "kinds.csv") in comment
    assert "tfx-bert schema freeze kinds.yaml --force" in comment
    assert list(frozen.parent.iterdir()) == [frozen]


def test_a_run_finds_the_frozen_schema_by_itself_and_its_own_data_pass(folder: Path, frozen: Path) -> None:
    config = load_config(str(folder / "kinds.yaml"))
    assert config.data.schema_file == str(frozen)
    assert schema_in_words(config) == f"schema: frozen, {frozen}"
    assert in_states(run(folder), "cached") == {"CsvExampleGen", "StatisticsGen", "SchemaGen", *TEXTS}
    again = run(folder)
    assert in_states(again, "cached") == set(DATA_PART)


def test_a_comment_changes_nothing_and_a_rule_is_read_anew(folder: Path, frozen: Path) -> None:
    text = frozen.read_text(encoding="utf-8")
    frozen.write_text("# Reviewed.\n" + text, encoding="utf-8")
    assert in_states(run(folder), "cached") == set(DATA_PART)
    frozen.write_text(text.replace("max: 2", "max: 1"), encoding="utf-8")
    try:
        with pytest.raises(UserError) as raised:
            run(folder)
    finally:
        frozen.write_text(text, encoding="utf-8")
    told = str(raised.value)
    assert "train: column 'label': expected whole numbers from 0 to 1; came 2 ('thing') in " in told
    assert "\n    such as: id 'q" in told
    assert "tfx-bert schema diff" in told


def test_other_labels_are_refused_compared_and_accepted_by_force(folder: Path, frozen: Path) -> None:
    source = str(folder / "kinds.yaml")
    rows = read(folder)
    write(folder, [(text, "a question" if text.startswith(("Why", "Is")) else label) for text, label in rows])
    with pytest.raises(UserError) as refused:
        run(folder)
    assert "column 'label': expected the labels 'manner', 'other', 'thing'; came 'a question', " in str(refused.value)
    assert "(new: 'a question')\n    'a question' is in " in str(refused.value)
    assert ", such as: id 'q" in str(refused.value)

    config = load_config(source)
    found = newest(config, source)
    assert found.passed is False
    changes = differences(read_schema(frozen), found.schema)
    assert [(change.column, change.what) for change in changes] == [("label", "values"), ("data.labels", "labels")]
    assert changes[0].now == "whole numbers from 0 to 3"
    assert changes[1].now.endswith("(new: 'a question')")

    text = frozen.read_text(encoding="utf-8")
    with pytest.raises(
        UserError, match="label, values: frozen whole numbers from 0 to 2; now whole numbers from 0 to 3"
    ):
        frozen_by(folder)
    assert frozen.read_text(encoding="utf-8") == text

    frozen_by(folder, force=True)
    assert "refused these data" in frozen.read_text(encoding="utf-8")
    assert in_states(run(folder), "done", "cached") == set(DATA_PART)


def test_what_is_frozen_already_is_left_alone_with_its_comments(folder: Path, frozen: Path) -> None:
    commented = "# By hand.\n" + frozen.read_text(encoding="utf-8")
    frozen.write_text(commented, encoding="utf-8")
    frozen_by(folder, force=True)
    assert frozen.read_text(encoding="utf-8") == commented


def tfx_bert(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the command in the user's folder; its last words on stderr are what it imported of the slow packages."""
    program = (
        "import atexit, sys; from pipeline.cli import main; slow = {'tensorflow', 'apache_beam'}; "
        "atexit.register(lambda: print('imported', *sorted(slow & set(sys.modules)), file=sys.stderr)); main()"
    )
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-c", program, "schema", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_commands_show_what_is_frozen_and_what_differs_and_exit_as_diff_does(folder: Path, frozen: Path) -> None:
    frozen.unlink()
    none = tfx_bert(folder, "diff", "kinds.yaml")
    assert none.returncode == 2
    assert "no schema is frozen in " in none.stderr
    assert "tfx-bert schema freeze kinds.yaml" in none.stderr

    made = tfx_bert(folder, "freeze", "kinds.yaml")
    assert made.returncode == 0, made.stderr
    assert made.stderr == "imported\n", "a command that is to be quick"
    assert re.search(r"label +whole numbers \(INT\) +in every row +whole numbers from 0 to 3", made.stdout)
    assert re.search(r"data\.labels +'a question', 'manner', 'other', 'thing'", made.stdout)
    assert f"wrote {frozen}; review it, then: tfx-bert run kinds.yaml\n" in made.stdout

    equal = tfx_bert(folder, "diff", "kinds.yaml")
    assert (equal.returncode, equal.stderr) == (0, "imported\n")
    assert equal.stdout.endswith("no difference\n")

    text = frozen.read_text(encoding="utf-8")
    frozen.write_text(text.replace('  value: "thing"\n', ""), encoding="utf-8")
    other = tfx_bert(folder, "diff", "kinds.yaml")
    assert other.returncode == 1
    assert re.search(r"data\.labels +labels +'a question', 'manner', 'other' .* \(new: 'thing'\)", other.stdout)

    refused = tfx_bert(folder, "freeze", "kinds.yaml")
    assert refused.returncode == 1
    assert "Overwrite it with --force" in refused.stderr
    elsewhere = tfx_bert(folder, "freeze", "kinds.yaml", "-o", "mine.pbtxt")
    assert "then: tfx-bert run kinds.yaml with data.schema_file: mine.pbtxt" in elsewhere.stdout
    assert read_schema(folder / "mine.pbtxt").string_domain[0].value[-1] == "thing"
    forced = tfx_bert(folder, "freeze", "kinds.yaml", "--force")
    assert forced.returncode == 0
    assert "changed:" in forced.stdout


def test_a_damaged_file_is_told_by_line_and_overwritten_by_force_alone(folder: Path, frozen: Path) -> None:
    frozen.write_text('feature {\n  name: "text"\n  type: WORDS\n}\n', encoding="utf-8")
    with pytest.raises(UserError, match=r"kinds\.pbtxt:3:\d+: this is no schema: .*WORDS"):
        schema_in_words(load_config(str(folder / "kinds.yaml")))
    with pytest.raises(UserError, match=r"kinds\.pbtxt:3:"):
        frozen_by(folder)
    frozen_by(folder, force=True)
    assert read_schema(frozen).string_domain[0].name == "data.labels"
