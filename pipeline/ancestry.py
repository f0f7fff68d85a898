"""What an artifact in ML Metadata was made of, back to the first: without TFX."""

from collections.abc import Iterable
from typing import Any

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2

_Event = metadata_store_pb2.Event
INPUTS, OUTPUTS = (_Event.INPUT, _Event.DECLARED_INPUT), (_Event.OUTPUT, _Event.DECLARED_OUTPUT)


class Ancestry:
    """Executions and artifacts of a store, by the events between them."""

    def __init__(self, store: mlmd.MetadataStore):
        self.store = store

    def maker(self, artifact_id: int) -> Any | None:
        """The execution that made an artifact; those that took it from the cache came later."""
        events = self.store.get_events_by_artifact_ids([artifact_id])
        made = min((event.execution_id for event in events if event.type in OUTPUTS), default=None)
        return None if made is None else self.store.get_executions_by_id([made])[0]

    def inputs(self, execution_id: int) -> list[tuple[str, Any]]:
        """What an execution read: keys with artifacts, in the order of the keys."""
        events = [e for e in self.store.get_events_by_execution_ids([execution_id]) if e.type in INPUTS]
        found = {a.id: a for a in self.store.get_artifacts_by_id(sorted({e.artifact_id for e in events}))}
        named = {(event.path.steps[0].key if event.path.steps else "", event.artifact_id) for event in events}
        return [(key, found[artifact_id]) for key, artifact_id in sorted(named) if artifact_id in found]

    def before(self, artifact_ids: Iterable[int]) -> set[int]:
        """The ids of these artifacts and of all that they were made of, whoever made them or found them cached."""
        found: set[int] = set()
        new = set(artifact_ids)
        while new:
            found |= new
            events = self.store.get_events_by_artifact_ids(sorted(new))
            makers = {event.execution_id for event in events if event.type in OUTPUTS}
            read = self.store.get_events_by_execution_ids(sorted(makers)) if makers else []
            new = {event.artifact_id for event in read if event.type in INPUTS} - found
        return found

    def place(self, execution_id: int) -> tuple[str, str]:
        """The node and the run of an execution; empty where ML Metadata does not say."""
        node = run = ""
        for context in self.store.get_contexts_by_execution(execution_id):
            if context.type == "node":
                node = context.name.rpartition(".")[2]
            elif context.type == "pipeline_run":
                run = context.name
        return node, run
