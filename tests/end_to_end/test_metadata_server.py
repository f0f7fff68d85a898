"""Whole runs of two pipelines at once, on both engines, with ML Metadata on one PostgreSQL server."""

from pathlib import Path

import pytest
import yaml
from database_servers import SECRET, PostgreSQL
from end_to_end.house import BINARY, COMPONENTS, House, build

pytestmark = pytest.mark.slow
CACHED_IN_ANY_CASE = set(COMPONENTS) - {"Evaluator", "Pusher"}


@pytest.fixture
def house(tmp_path: Path, tiny_encoder: Path, sample_csv: Path, postgresql: PostgreSQL) -> House:
    """With tiny.yaml and other.yaml, which differ by the name alone."""
    made = build(
        tmp_path, tiny_encoder, sample_csv, {**BINARY, "orchestration": {"metadata": postgresql.settings("whole")}}
    )
    config = yaml.safe_load((made.work / "tiny.yaml").read_text(encoding="utf-8"))
    (made.work / "other.yaml").write_text(yaml.safe_dump({**config, "name": "other"}), encoding="utf-8")
    return made


def test_two_pipelines_run_at_once_and_the_commands_find_what_is_theirs(house: House, postgresql: PostgreSQL) -> None:
    runs = [house.start("run", "tiny.yaml"), house.start("run", "other.yaml", "--engine", "beam")]
    assert [run.wait(1500) for run in runs] == [0, 0]

    by_name = {run["config"]: run for run in house.runs()}
    assert {name: run["status"] for name, run in by_name.items()} == {"tiny": "pushed", "other": "pushed"}
    assert all(run["id"].startswith(f"{name}.") for name, run in by_name.items())
    # Each is the first of its own: there was no model to beat.
    assert [run["production"] for run in by_name.values()] == [{}, {}]
    doubled = "join Type t on t.id = c.type_id group by t.name, c.name having count(*) > 1"
    assert postgresql.sql(f"select c.name from Context c {doubled}", "whole") == []
    assert postgresql.sql("select name from Type group by name, type_kind having count(*) > 1", "whole") == []

    again = house.tfx_bert("run", "tiny.yaml")
    assert again.returncode == 0, again.stdout + again.stderr
    states = house.states()
    assert {name for name in CACHED_IN_ANY_CASE if states[name] != "cached"} == set()

    for command in (
        ["runs"],
        ["explain", "--config", "other.yaml"],
        ["lineage", "--config", "tiny.yaml"],
        ["report", "--config", "other.yaml"],
        ["gc", "tiny.yaml"],
        ["schema", "freeze", "tiny.yaml"],
        ["schema", "diff", "tiny.yaml"],
        ["predict", "--config", "other.yaml", "how are you ?"],
    ):
        done = house.tfx_bert(*command)
        assert (done.returncode, "Traceback" in done.stderr) == (0, False), f"{command}: {done.stdout}{done.stderr}"
    back = house.tfx_bert("rollback", "--config", "tiny.yaml", "--reason", "try")
    assert (back.returncode, "Traceback" in back.stderr) == (1, False), back.stdout + back.stderr  # nothing before it

    told = [file for file in house.work.rglob("*") if file.is_file() and SECRET.encode() in file.read_bytes()]
    assert told == []
