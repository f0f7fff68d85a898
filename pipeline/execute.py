"""From a prepared run to TFX: runs the pipeline on an engine and reads what came of it. Imports TensorFlow."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from tfx.orchestration.pipeline import Pipeline
from tfx.proto.orchestration import pipeline_pb2

from data.staging import Staged
from modules.devices import grow_memory
from pipeline import engines
from pipeline.arrangement import Arrangement
from pipeline.assemble import assemble
from pipeline.audit_writer import settle
from pipeline.complete import complete, in_production, keep_warnings, pushed_is_stale, refused_by_the_canary_before
from pipeline.config import Config
from pipeline.leftovers import give_up, settle_killed
from pipeline.metadata_store import RunReader
from pipeline.records import RecordKeeper
from pipeline.selection import Selection
from pipeline.store_owner import claim
from pipeline.view import RunView
from pipeline.watch import Listener, Watcher


@dataclass(frozen=True)
class Order:
    """A run about to be made: what of, on which engine, and who hears of it.

    selection: of a partial run.
    """

    config: Config
    staged: Staged
    encoder: str
    engine: str
    keeper: RecordKeeper
    view: RunView
    others: Sequence[Listener] = ()
    selection: Selection | None = None

    @property
    def listeners(self) -> list[Listener]:
        return [self.keeper, self.view, *self.others]


def execute(order: Order) -> None:
    """Runs the pipeline and completes the run's record: status, metrics, blessing, pushed version.

    Raises:
      ComponentFailed: from the first component that failed.
    """
    config, keeper, view, selection = order.config, order.keeper, order.view, order.selection
    pipeline = _prepared(order)
    run_id = keeper.record.id
    runs = Arrangement(config, keeper.record, view, order.listeners, selection)
    try:
        reader = _run(pipeline, order, run_id, uncached=selection.starts if selection else (), arrangement=runs)
    finally:
        keep_warnings(keeper, config)
    if reader and not runs.asked_for("Pusher"):
        complete(keeper, reader, None, pushes=False)
        return
    if reader and runs.asked_for("Canary") and refused_by_the_canary_before(reader):
        # Its limits are of this machine, now: what was measured then need not hold.
        view.note("the canary refused this model in an earlier run: trying it again")
        reader = _run(pipeline, order, f"{run_id}-canary", uncached=["Canary", "Pusher"])
    elif reader and pushed_is_stale(reader, config):
        # The cache says pushed, but production has moved on since, or its folder is gone.
        view.note(f"the model is not the newest version in {config.push_folder}: pushing it again, from the cache")
        reader = _run(pipeline, order, f"{run_id}-push", uncached=["Pusher"])
    if reader:
        complete(keeper, reader, in_production(reader, config))


def look(order: Order) -> None:
    """Runs the data part of the pipeline alone.

    Raises:
      ComponentFailed: as `execute`; from DataGate where the data would stop a run.
    """
    record = order.keeper.record
    pipeline = _prepared(order, data_only=True)
    try:
        _run(pipeline, order, record.id)
    finally:
        keep_warnings(order.keeper, order.config)
    record.status = "eda"
    order.keeper.save()


def tune(order: Order) -> None:
    """Runs the pipeline up to Transform, and the search for settings after it, which goes on from what it has found.

    Raises:
      ComponentFailed: as `execute`.
    """
    try:
        _run(_prepared(order, tuning=True), order, order.keeper.record.id, uncached=["Tuner"])
    finally:
        keep_warnings(order.keeper, order.config)
    order.keeper.record.status = "tuned"
    order.keeper.save()


def abandon(config: Config, run_id: str) -> None:
    """Gives up what a run that was asked to end was at."""
    give_up(config, run_id)


def _prepared(order: Order, **part: bool) -> Pipeline:
    grow_memory()
    order.config.metadata.prepare()
    claim(order.config)
    settle(order.config.metadata, order.config.name)
    settle_killed(order.config)
    return assemble(order.config, order.staged, order.encoder, **part)


def _run(
    pipeline: Pipeline,
    order: Order,
    run_id: str,
    uncached: Collection[str] = (),
    arrangement: Arrangement | None = None,
) -> RunReader | None:
    """Runs the graph; None where the runner was only asked to look at it (`tfx pipeline create`)."""
    readers: list[RunReader] = []

    def state(component: str) -> str:
        return readers[0].node(component).state

    watcher = Watcher(state, order.listeners)

    def arrange(graph: pipeline_pb2.Pipeline) -> None:
        readers.append(RunReader(order.config.metadata, order.config.name, run_id))
        if arrangement is not None:
            arrangement(graph, watcher)

    engines.run(order.engine, pipeline, run_id, watcher, order.config.metadata, uncached, arrange)
    return readers[0] if readers else None
