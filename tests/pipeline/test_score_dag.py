"""`tfx-bert compile --score`: the description of the DAG."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from score_models import write_config

from data.errors import UserError
from pipeline.commands.compile import compile_
from pipeline.config_file import load_config
from pipeline.score.dag import write_score_dag

DAILY = ("in/{{ ds }}.csv", "out/{{ ds }}.csv")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_config(tmp_path, score={"schedule": "0 4 * * *", "timeout_minutes": 90})
    return tmp_path


def described(*arguments: str, source: str = DAILY[0], output: str = DAILY[1], name: str | None = None) -> dict:
    config = load_config("mine.yaml", arguments)
    return json.loads(write_score_dag(config, "mine.yaml", arguments, source, output, name, None).read_text())


def test_a_scoring_is_one_task_that_is_started_with_the_run_s_own_files(folder: Path) -> None:
    found = described()
    assert (found["name"], found["kind"], found["format"]) == ("mine-score", "score", 1)
    assert found["airflow"]["schedule"] == "0 4 * * *"
    [task] = found["tasks"]
    assert (task["id"], task["upstream"], task["always"], task["timeout_minutes"]) == ("Score", [], False, 90)
    assert task["argv"][-4:] == [
        "score",
        str(folder / "mine.yaml"),
        str(folder / "in" / "{{ ds }}.csv"),
        str(folder / "out" / "{{ ds }}.csv"),
    ]
    assert described(name="nightly")["name"] == "nightly"


def test_braces_in_a_setting_are_no_template() -> None:
    [task] = described("data.labels=['{{ a }}', b]")["tasks"]
    assert task["argv"][-3] == "{% raw %}data.labels=['{{ a }}', b]{% endraw %}"


def test_runs_may_not_write_over_each_other_s_answers() -> None:
    with pytest.raises(UserError, match=r"^out\.csv: each run would write over the answers of the one before"):
        described(output="out.csv")
    with pytest.raises(UserError, match=r"^nowhere/out\.csv: the folder .* does not exist$"):
        described(source="in.csv", output="nowhere/out.csv")


@pytest.mark.parametrize(
    "flags", [["--score"], ["--input", "a", "--output", "b"], ["--score", "--input", "a"], ["--name", "x"]]
)
def test_the_flags_of_a_scoring_go_together(flags: list[str]) -> None:
    with pytest.raises(UserError, match=r"^--score, --input IN and --output OUT go together"):
        CliRunner().invoke(compile_, ["mine.yaml", *flags], catch_exceptions=False, standalone_mode=False)
