"""Reading ML Metadata without TFX: which model a run made, which rows it was judged by, whether it can be served."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2

from modules.push_history import property_of
from pipeline.store_address import StoreAddress
from pipeline.store_connection import connect

_Event = metadata_store_pb2.Event
_INPUTS, _OUTPUTS = (_Event.INPUT, _Event.DECLARED_INPUT), (_Event.OUTPUT, _Event.DECLARED_OUTPUT)
STAMPED, INFRA = "stamped_model", "InfraBlessing"


def open_to_read(metadata: StoreAddress) -> mlmd.MetadataStore | None:
    """The store, to read alone, whoever writes it meanwhile; None where there is none yet."""
    return connect(metadata, readonly=True) if metadata.exists() else None


class Lineage:
    """What ML Metadata says of a pipeline's models."""

    def __init__(self, store: mlmd.MetadataStore, pipeline: str):
        self._store = store
        self._pipeline = pipeline

    def model_of(self, run_id: str) -> Any | None:
        """The Model artifact that a run's Trainer made or took from the cache."""
        run = self._store.get_context_by_type_and_name("pipeline_run", run_id)
        node = self._store.get_context_by_type_and_name("node", f"{self._pipeline}.Trainer")
        if run is None or node is None:
            return None
        of_node = {execution.id for execution in self._store.get_executions_by_context(node.id)}
        ids = [e.id for e in self._store.get_executions_by_context(run.id) if e.id in of_node]
        models = [a for a in self._neighbours(ids, _OUTPUTS) if a.type == "Model"]
        return max(models, key=lambda model: model.id, default=None)

    def model(self, model_id: int) -> Any | None:
        """A Model artifact of this pipeline by its id."""
        return next((model for model in self.models() if model.id == model_id), None)

    def models(self) -> list[Any]:
        """The pipeline's models, the newest first."""
        context = self._store.get_context_by_type_and_name("pipeline", self._pipeline)
        found = [] if context is None else self._store.get_artifacts_by_context(context.id)
        live = metadata_store_pb2.Artifact.LIVE
        return sorted((a for a in found if a.type == "Model" and a.state == live), key=lambda model: -model.id)

    def runs_of(self, model_id: int) -> list[str]:
        """The ids of the runs that have made the model or found it in the cache, the newest first."""
        names = []
        for execution_id in sorted(self._executions([model_id], _OUTPUTS), reverse=True):
            contexts = self._store.get_contexts_by_execution(execution_id)
            names += [context.name for context in contexts if context.type == "pipeline_run"]
        return names

    def servable_copies(self, model_id: int) -> list[tuple[int, Path]]:
        """Of a model: the canary's copies of it, which have warm-up requests, with their blessings' ids."""
        blessings = [a for a in self._neighbours(self._executions([model_id], _INPUTS), _OUTPUTS) if a.type == INFRA]
        blessings.sort(key=lambda blessing: -blessing.id)
        return [
            (blessing.id, Path(blessing.uri, STAMPED))
            for blessing in blessings
            if property_of(blessing, "blessed").int_value == 1 and property_of(blessing, "has_model").int_value == 1
        ]

    def raw_examples(self, model_id: int) -> Any | None:
        """The Examples that a model was made of, as they came in: the first in its lineage, base models left out."""
        found, ids = {}, {model_id}
        while ids:
            before = self._neighbours(self._executions(ids, _OUTPUTS), _INPUTS)
            new = {a.id: a for a in before if a.id not in found and a.type != "Model"}
            found.update(new)
            ids = set(new)
        examples = [artifact for artifact in found.values() if artifact.type == "Examples"]
        return min(examples, key=lambda artifact: artifact.id, default=None)

    def _executions(self, artifact_ids: Iterable[int], kinds: tuple[int, ...]) -> set[int]:
        """The executions that had artifacts as inputs, or as outputs."""
        events = self._store.get_events_by_artifact_ids(sorted(artifact_ids))
        return {event.execution_id for event in events if event.type in kinds}

    def _neighbours(self, execution_ids: Iterable[int], kinds: tuple[int, ...]) -> list[Any]:
        """The inputs or outputs of executions."""
        ids = sorted(execution_ids)
        events = self._store.get_events_by_execution_ids(ids) if ids else []
        found = sorted({event.artifact_id for event in events if event.type in kinds})
        return list(self._store.get_artifacts_by_id(found)) if found else []
