"""Which run's statistics data are compared with, in a real ML Metadata store."""

from pathlib import Path

import ml_metadata as mlmd
import pytest
from ml_metadata.proto import metadata_store_pb2 as mlmd_pb2

from modules.last_statistics import LastPassedStatistics
from modules.text_artifacts import ExampleTextStatistics

GATE = "modules.data_gate.DataGate"


class Store:
    """A store with statistics and what was done with them."""

    def __init__(self, path: Path):
        config = mlmd_pb2.ConnectionConfig()
        config.sqlite.filename_uri = str(path)
        config.sqlite.connection_mode = mlmd_pb2.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
        self.store = mlmd.MetadataStore(config)
        self._kind = self.store.put_artifact_type(mlmd_pb2.ArtifactType(name="ExampleTextStatistics"))

    def statistics(
        self, user: str = "", state: mlmd_pb2.Execution.State = mlmd_pb2.Execution.COMPLETE, look_only: int = 0
    ) -> int:
        """The id of new statistics, which a component `user` read and came to `state` with."""
        [artifact] = self.store.put_artifacts([mlmd_pb2.Artifact(type_id=self._kind)])
        self.use(artifact, user, state, look_only)
        return artifact

    def use(
        self,
        artifact: int,
        user: str,
        state: mlmd_pb2.Execution.State = mlmd_pb2.Execution.COMPLETE,
        look_only: int = 0,
    ) -> None:
        if user:
            kind = self.store.put_execution_type(mlmd_pb2.ExecutionType(name=user))
            made = mlmd_pb2.Execution(type_id=kind, last_known_state=state)
            made.custom_properties["look_only"].int_value = look_only
            [execution] = self.store.put_executions([made])
            event = mlmd_pb2.Event(artifact_id=artifact, execution_id=execution, type=mlmd_pb2.Event.INPUT)
            self.store.put_events([event])

    def resolved(self, own: int, *known: int) -> list[int]:
        def made(id_: int) -> ExampleTextStatistics:
            artifact = ExampleTextStatistics()
            artifact.id = id_
            return artifact

        inputs = {"statistics": [made(own)], "baseline": [made(id_) for id_ in known]}
        outputs = LastPassedStatistics().resolve_artifacts(self.store, inputs)
        assert outputs["statistics"] is inputs["statistics"]
        return [artifact.id for artifact in outputs["baseline"]]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "metadata.db")


def test_a_first_run_has_nothing_to_compare_with(store: Store) -> None:
    own = store.statistics()
    assert store.resolved(own, own) == []


def test_the_newest_that_passed_the_gate_is_taken_but_not_the_run_s_own(store: Store) -> None:
    first, second, own = store.statistics(GATE), store.statistics(GATE), store.statistics(GATE)
    assert store.resolved(own, first, second, own) == [second]
    assert store.resolved(first, own, first, second) == [own]


def test_the_last_one_is_that_of_the_last_run_however_old_its_data_are(store: Store) -> None:
    first, second = store.statistics(GATE), store.statistics(GATE)
    store.use(first, GATE, mlmd_pb2.Execution.CACHED)
    assert store.resolved(store.statistics(), first, second) == [first]


def test_data_that_were_only_looked_at_are_passed_over(store: Store) -> None:
    trained_on, looked_at, own = store.statistics(GATE), store.statistics(GATE, look_only=1), store.statistics()
    assert store.resolved(own, trained_on, looked_at, own) == [trained_on]


def test_what_the_gate_stopped_or_never_saw_is_passed_over(store: Store) -> None:
    passed = store.statistics(GATE, mlmd_pb2.Execution.CACHED)
    stopped = store.statistics(GATE, mlmd_pb2.Execution.FAILED)
    validated = store.statistics("modules.text_validator.TextValidator")
    own = store.statistics()
    assert store.resolved(own, passed, stopped, validated, own) == [passed]
    assert store.resolved(own, stopped, validated, own) == []
