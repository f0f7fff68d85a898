"""ML Metadata on a real PostgreSQL server: many at once, a server that goes away, who owns what, and no password."""

import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest
from database_servers import PASSWORD, PASSWORD_ENV, SECRET, MariaDB, PostgreSQL
from ml_metadata.proto import metadata_store_pb2
from model_store import ModelStore
from small_pipeline import run_small, settings_of
from store_clients import NODES, PIPELINES
from tfx.orchestration.portable import execution_publish_utils as publish
from tfx.orchestration.portable.mlmd import context_lib
from tfx.types.standard_artifacts import Model, PushedModel

from data.errors import UserError
from modules.production_model import LatestPushedModel
from modules.push_history import PROMOTE, pushes_of
from pipeline.audit import EXECUTION_TYPES
from pipeline.audit_writer import settle
from pipeline.config import Config
from pipeline.lineage import Lineage, open_to_read
from pipeline.server_faults import Away, Missing
from pipeline.store_connection import connect
from pipeline.store_handle import StoreHandle
from pipeline.store_owner import claim

PROJECT = Path(__file__).parents[2]
RUNNING, COMPLETE, FAILED, CACHED = 2, 3, 4, 5  # of metadata_store.proto


@dataclass(frozen=True)
class Crowd:
    """What tests/store_clients.py tells of its parts, and the server with the database `crowd` that it left."""

    codes: dict[str, list[int]]
    server: PostgreSQL | MariaDB

    def sql(self, statement: str) -> list[list[str]]:
        return sorted(self.server.sql(statement, "crowd"))


@pytest.fixture(scope="module", params=["postgresql", "mariadb"])
def crowd(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Crowd:
    server = request.getfixturevalue(f"running_{request.param}")
    folder = tmp_path_factory.mktemp("crowd")
    paths = os.pathsep.join(map(str, (PROJECT, PROJECT / "tests")))
    script = str(PROJECT / "tests" / "store_clients.py")
    done = subprocess.run(
        [sys.executable, script, json.dumps(server.settings("crowd")), folder],
        env={**os.environ, "PYTHONPATH": paths, PASSWORD_ENV: PASSWORD},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return Crowd(json.loads(done.stdout.splitlines()[-1]), server)


@pytest.mark.slow
def test_nodes_of_two_runs_at_once_lose_nothing_and_double_nothing(crowd: Crowd) -> None:
    nodes = len(PIPELINES) * NODES
    assert crowd.codes["prepare"] == [0] * 4
    assert crowd.codes["r1"] == crowd.codes["r2"] == [0] * nodes
    first = crowd.sql(
        "select n.name, e.last_known_state, count(*) from Execution e"
        " join Association a on a.execution_id = e.id join Context r on r.id = a.context_id and r.name like '%.r1'"
        " join Association b on b.execution_id = e.id join Context n on n.id = b.context_id"
        " join Type t on t.id = n.type_id and t.name = 'node' group by 1, 2"
    )
    assert first == [[f"{name}.Make{number}", str(COMPLETE), "1"] for name in PIPELINES for number in range(NODES)]
    assert crowd.sql("select count(*), count(distinct uri) from Artifact") == [[str(nodes), str(nodes)]]
    # Each artifact is that of its own pipeline alone.
    assert crowd.sql(
        "select c.name, count(distinct a.artifact_id) from Attribution a join Context c on c.id = a.context_id"
        " join Type t on t.id = c.type_id and t.name = 'pipeline' group by 1"
    ) == [[name, str(NODES)] for name in PIPELINES]
    assert crowd.sql("select name from Type group by name, type_kind having count(*) > 1") == []
    same = "join Type t on t.id = c.type_id group by t.name, c.name having count(*) > 1"
    assert crowd.sql(f"select c.name from Context c {same}") == []


@pytest.mark.slow
def test_what_one_run_has_made_another_takes_from_the_cache(crowd: Crowd) -> None:
    states = crowd.sql(
        "select e.last_known_state, count(*) from Execution e join Association a on a.execution_id = e.id"
        " join Context r on r.id = a.context_id and r.name like '%.r2' group by 1"
    )
    assert states == [[str(CACHED), str(len(PIPELINES) * NODES)]]


@pytest.mark.slow
def test_a_client_that_is_killed_leaves_the_store_to_the_others(crowd: Crowd) -> None:
    assert (crowd.codes["killed"], crowd.codes["r3"]) == ([-9], [0])
    assert crowd.sql("select count(*) from Context where name = 'one.r3'") == [["1"]]


def test_the_pipelines_of_one_database_know_nothing_of_each_other(tmp_path: Path, postgresql: PostgreSQL) -> None:
    address = postgresql.address("neighbours")
    address.prepare()
    ours, theirs = (ModelStore(tmp_path / name, address, name) for name in ("ours", "theirs"))
    mine, other = ours.run("1", "ours.r1"), theirs.run("7", "theirs.r1")

    store = open_to_read(address)
    assert store is not None
    assert [push.version for push in pushes_of(store, "ours")] == ["1"]
    assert [model.id for model in Lineage(store, "ours").models()] == [mine]
    assert Lineage(store, "theirs").runs_of(other) == ["theirs.r1"]


def test_the_model_in_production_is_found_on_a_server_too(tmp_path: Path, postgresql: PostgreSQL) -> None:
    address = postgresql.address("production")
    address.prepare()
    runs = ModelStore(tmp_path, address)
    first, second = runs.run("1", "r1"), runs.run("2", "r2")
    candidate = runs.model("r3")
    models = runs.artifacts(Model)
    resolved = LatestPushedModel().resolve_artifacts(
        runs.store,
        {
            "candidate": [model for model in models if model.id == candidate],
            "model": models,
            "pushed_model": (pushed := runs.artifacts(PushedModel)),
            "withdrawn": pushed,
        },
    )
    assert [model.id for model in resolved["model"]] == [second] != [first]


def test_whole_runs_on_a_server_are_cached_and_judged_as_in_a_file(tmp_path: Path, postgresql: PostgreSQL) -> None:
    address = postgresql.address("small")
    assert run_small(tmp_path, "r1", address=address) == ["done"] * 4
    assert run_small(tmp_path, "r2", address=address) == ["cached"] * 4
    assert run_small(tmp_path, "r3", seed=2, address=address) == ["cached", "done", "done", "done"]
    assert run_small(tmp_path, "other.r1", name="other", address=address) == ["done"] * 4


def test_a_promotion_of_another_pipeline_that_is_at_work_is_left_alone(postgresql: PostgreSQL) -> None:
    address = postgresql.address("settle")
    address.prepare()
    with StoreHandle(address) as handle:
        pipeline = context_lib.register_context_if_not_exists(handle, "pipeline", "theirs")
        kind = metadata_store_pb2.ExecutionType(name=EXECUTION_TYPES[PROMOTE])
        publish.register_execution(handle, kind, [pipeline])
    state = "select last_known_state from execution"
    settle(address, "ours")
    assert postgresql.sql(state, "settle") == [[str(RUNNING)]]
    settle(address, "theirs")
    assert postgresql.sql(state, "settle") == [[str(FAILED)]]


def test_two_artifact_roots_cannot_have_pipelines_of_one_name_in_one_database(
    tmp_path: Path, postgresql: PostgreSQL
) -> None:
    here, there = (config_on(postgresql, tmp_path / name, "claims") for name in ("here", "there"))
    here.metadata.prepare()
    claim(here)
    (here.artifact_root / "artifacts" / "Trainer" / "model" / "1").mkdir(parents=True)
    claim(here)
    claim(here.model_copy(update={"name": "second"}))  # in the same artifact root
    with pytest.raises(UserError, match=r"'small' is that of the artifact root .*/here, this one is .*/there"):
        claim(there)


def test_an_artifact_root_with_the_artifacts_of_another_store_is_refused(
    tmp_path: Path, postgresql: PostgreSQL
) -> None:
    run_small(tmp_path, "r1")  # in a file
    here = config_on(postgresql, tmp_path, "moved")
    here.metadata.prepare()
    with pytest.raises(
        UserError, match=r"knows nothing of the artifact root .*, which has artifacts, of another store"
    ):
        claim(here)


def test_before_the_first_run_there_is_no_store_and_reading_makes_none(postgresql: PostgreSQL) -> None:
    address = postgresql.address("nobody_was_here")
    assert not address.exists()
    assert open_to_read(address) is None
    assert postgresql.sql("select 1 from pg_database where datname = 'nobody_was_here'") == []
    with pytest.raises(Missing, match="there is no database 'nobody_was_here'"):
        connect(address)


def test_who_reads_goes_on_when_the_server_is_back_and_who_writes_is_told(postgresql: PostgreSQL) -> None:
    address = postgresql.address("restarts", retry_seconds=60)
    address.prepare()
    store = connect(address)
    kind = metadata_store_pb2.ContextType(name="kept")
    store.put_context_type(kind)
    postgresql.stop()
    later = threading.Timer(1, postgresql.start)
    later.start()
    assert [found.name for found in store.get_context_types()] == ["kept"]
    later.join()

    postgresql.sql("select pg_terminate_backend(pid) from pg_stat_activity where datname = 'restarts'")
    with pytest.raises(Away, match="lost in the middle of a change"):
        store.put_context_type(metadata_store_pb2.ContextType(name="unknown"))


def test_a_server_that_stays_away_is_waited_for_as_long_as_was_set(postgresql: PostgreSQL) -> None:
    away = postgresql.address("any", port=1, retry_seconds=0)
    with pytest.raises(Away, match=r"postgresql://mlmd@127.0.0.1:1/any: the server cannot be reached \(Connection ref"):
        connect(away, patient=True)


def test_the_wrong_password_is_told_with_where_it_is_from(
    postgresql: PostgreSQL, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(PASSWORD_ENV, "quite another")
    with pytest.raises(UserError) as raised:
        connect(postgresql.address("any"))
    assert 'password authentication failed for user "mlmd"' in str(raised.value)
    assert f"the environment variable {PASSWORD_ENV}" in str(raised.value)
    assert "quite another" not in str(raised.value)
    assert capfd.readouterr().err == ""


def test_a_user_that_may_not_make_the_database_is_told(postgresql: PostgreSQL, monkeypatch: pytest.MonkeyPatch) -> None:
    postgresql.sql("create role humble login password 'humble one'")
    monkeypatch.setenv(PASSWORD_ENV, "humble one")
    with pytest.raises(UserError, match=r"the user 'humble' may not do that \(permission denied to create database"):
        postgresql.address("not_for_you", user="humble").prepare()


@pytest.mark.parametrize(("version", "words"), [(9, "upgrade it"), (99, "newer than this")])
def test_tables_of_another_version_of_mlmd_are_told(postgresql: PostgreSQL, version: int, words: str) -> None:
    name = f"version{version}"
    postgresql.address(name).prepare()
    postgresql.sql(f"update mlmdenv set schema_version = {version}", name)
    with pytest.raises(UserError, match=f"tables are of version {version}, this MLMD's of version 10: .*{words}"):
        connect(postgresql.address(name))


def test_the_password_is_in_nothing_that_could_be_written(
    postgresql: PostgreSQL, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    address = postgresql.address("secret")
    address.prepare()
    caplog.set_level("DEBUG")
    store = connect(address)
    secret = SECRET
    assert secret in str(address.connection())
    for told in (str(address), repr(address), str(address.connection(secrets=False)), str(store._config)):
        assert secret not in told
    assert secret not in caplog.text + capfd.readouterr().err


def test_whoever_opens_a_store_does_it_by_way_of_connect() -> None:
    """Else its connection is not renewed, its errors are MLMD's, and its types are registered twice."""
    files = {path: path.read_text(encoding="utf-8") for path in (PROJECT / "pipeline").rglob("*.py")}
    own = ("store_connection.py", "store_handle.py")
    opening = [path.name for path, text in files.items() if "MetadataStore(" in text or "metadata.Metadata(" in text]
    assert sorted(set(opening) - set(own)) == []


def test_a_command_says_what_is_wrong_and_nothing_else(postgresql: PostgreSQL, tmp_path: Path) -> None:
    config = {**settings_of(tmp_path), "orchestration": {"metadata": postgresql.settings("any")}}
    (tmp_path / "small.yaml").write_text(json.dumps(config), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "gc", "small.yaml"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(PROJECT), PASSWORD_ENV: "quite another"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: postgresql://mlmd@127.0.0.1:")
    assert len(done.stderr.splitlines()) == 1


def config_on(server: PostgreSQL, root: Path, database: str) -> Config:
    orchestration = {"artifact_root": str(root), "metadata": server.settings(database)}
    return Config.model_validate({**settings_of(root), "orchestration": orchestration})
