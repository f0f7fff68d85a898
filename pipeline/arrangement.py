"""What of a compiled graph is to run: all of it, or a selection; never what an earlier attempt of the run finished."""

from collections.abc import Sequence
from dataclasses import replace

from tfx.proto.orchestration import pipeline_pb2

from pipeline import partial
from pipeline.config import Config
from pipeline.metadata_store import RunReader
from pipeline.records import RunRecord, read_records
from pipeline.resume import NEW_RUN
from pipeline.selection import Refused, Selection
from pipeline.view import RunView
from pipeline.watch import ComponentReport, Listener, Watcher

# Looks up the model that a candidate is judged against.
PRODUCTION = "LatestPushedModel"


class Arrangement:
    """Arranges a run's graph before its first node runs, and tells of what is taken from elsewhere."""

    def __init__(
        self,
        config: Config,
        record: RunRecord,
        view: RunView,
        listeners: Sequence[Listener],
        selection: Selection | None,
    ):
        self._config, self._record, self._view = config, record, view
        self._listeners, self._selection = listeners, selection
        self._runs: set[str] | None = None

    def asked_for(self, component: str) -> bool:
        """Whether a component is of the part that runs; all are where there is no selection."""
        return self._runs is None or component in self._runs

    def __call__(self, graph: pipeline_pb2.Pipeline, watcher: Watcher) -> None:
        """Marks what is to be skipped in the graph, and tells the watcher what has been finished.

        Raises:
          Refused: what is to be taken is not there, or is not what would be made now.
        """
        if self._selection is not None:
            self._select(graph, self._selection)
        if self._record.attempts:
            self._keep_finished(graph, watcher)

    def _select(self, graph: pipeline_pb2.Pipeline, selection: Selection) -> None:
        config, record = self._config, self._record
        earlier = [r.id for r in read_records([config.artifact_root]) if r.config == config.name and r.id != record.id]
        bases = [selection.base] if selection.base else partial.passes(earlier)
        part = partial.arrange(graph, selection, config.metadata, bases)
        self._runs = part.runs
        record.selection = replace(selection, base=part.base).record()
        self._view.show_only({*part.runs, *part.reused})
        if part.base is not None:
            self._view.note(f"{selection}: what comes before is that of run {part.base}")
        for name in part.reused:
            self._tell(ComponentReport(name, "reused", 0.0, 0))
        self._warn_of_code(part.older_code)

    def _keep_finished(self, graph: pipeline_pb2.Pipeline, watcher: Watcher) -> None:
        watcher.finished, older = partial.finished(graph, self._config.metadata, self._record.id)
        for component in self._record.components:
            if component["id"] in watcher.finished:
                # One that was killed between its own end and the record's is done all the same.
                state = component["state"] if component["state"] in ("cached", "reused") else "done"
                self._tell(ComponentReport(**{**component, "state": state}))
        self._warn_of_code(older)
        if PRODUCTION in watcher.finished and "Pusher" not in watcher.finished:
            self._check_production()

    def _check_production(self) -> None:
        """The model to beat has been looked up; a promotion or a rollback since then makes it another one."""
        record = self._record
        pushes = RunReader(self._config.metadata, self._config.name, record.id).pushes()
        if pushes and pushes[-1].at > record.started:
            raise Refused(
                f"run {record.id} cannot go on: version {pushes[-1].version} went into production after it had begun,"
                f" and its model is to be judged against that; {NEW_RUN}"
            )

    def _tell(self, report: ComponentReport) -> None:
        if report.id in self._view.components:
            for listener in self._listeners:
                listener.component_changed(report)

    def _warn_of_code(self, components: Sequence[str]) -> None:
        if components:
            made = ", ".join(components)
            self._view.note(f"[yellow]made by other code or packages than there are now:[/] {made}")
