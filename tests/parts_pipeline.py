"""A pipeline of small components that TFX really runs, to run parts of it. No TensorFlow in them.

Data ─┬─ Train ─┬─ (Production) ─ Judge ─ Push
      │         └─ Judge
      └─ Describe
"""

import gc
from pathlib import Path

import ml_metadata as mlmd
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.components.common.resolver import Resolver, ResolverStrategy
from tfx.orchestration.pipeline import Pipeline
from tfx.proto.orchestration import pipeline_pb2
from tfx.types import Artifact, Channel
from tfx.types.standard_artifacts import Examples, ExampleStatistics, Model, ModelBlessing, PushedModel

from modules import stop
from pipeline import engines
from pipeline.metadata_store import RunReader
from pipeline.store_address import SqliteFile
from pipeline.watch import ComponentReport, Watcher

NAME = "parts"
NODES = ("Data", "Describe", "Train", "Production", "Judge", "Push")
COMPONENTS = tuple(node for node in NODES if node != "Production")


@component
def Data(examples: OutputArtifact[Examples], input_base: Parameter[str]) -> None:
    Path(examples.uri, "rows").write_text(input_base)


@component
def Describe(examples: InputArtifact[Examples], statistics: OutputArtifact[ExampleStatistics]) -> None:
    Path(statistics.uri, "counts").touch()


@component
def Train(
    examples: InputArtifact[Examples],
    model: OutputArtifact[Model],
    epochs: Parameter[int],
    depends_on: Parameter[str],
) -> None:
    Path(model.uri, "weights").write_text(f"{Path(examples.uri, 'rows').read_text()} {epochs}")


class Newest(ResolverStrategy):
    """What was pushed last."""

    def resolve_artifacts(
        self, store: mlmd.MetadataStore, input_dict: dict[str, list[Artifact]]
    ) -> dict[str, list[Artifact]]:
        pushed = sorted(input_dict["pushed"], key=lambda artifact: artifact.id)
        return {"candidate": input_dict["candidate"], "pushed": pushed[-1:]}


@component
def Judge(
    model: InputArtifact[Model],
    blessing: OutputArtifact[ModelBlessing],
    trap: Parameter[str],
    better_than: InputArtifact[PushedModel] = None,  # type: ignore[assignment]
) -> None:
    """Fails where the file `trap` says so, or is asked to end there; else writes down what it was held against."""
    Path(blessing.uri, "half-written").touch()
    if Path(trap).is_file():
        word = Path(trap).read_text()
        if word == "terminate":
            stop.request()
            raise stop.Terminated
        raise ValueError(word)
    Path(blessing.uri, "half-written").unlink()
    Path(blessing.uri, "against").write_text(str(better_than.id if better_than else None))


@component
def Push(blessing: InputArtifact[ModelBlessing], pushed_model: OutputArtifact[PushedModel]) -> None:
    Path(pushed_model.uri, "copy").touch()


class Parts:
    """The pipeline under an artifact root; `told` are the states of components in the order in which they came."""

    def __init__(self, root: Path, engine: str = "local"):
        self.root, self._engine = root, engine
        self.trap = root / "trap"
        self.address = SqliteFile(root / "metadata.db")
        self.address.prepare()
        self.told: list[tuple[str, str]] = []
        gc.freeze()  # as a run does: each component's end collects garbage, and there is none among TFX's modules

    def component_changed(self, report: ComponentReport) -> None:
        self.told.append((report.id, report.state))

    def run(
        self, run_id: str, arrange=None, *, data: str = "a", epochs: int = 1, code: str = "c1", uncached=()
    ) -> None:
        """Runs it; `arrange` is given the graph and the watcher."""
        watcher = Watcher(lambda node: self.node(run_id, node).state, [self])
        self.told.clear()

        def arranged(graph: pipeline_pb2.Pipeline) -> None:
            if arrange is not None:
                arrange(graph, watcher)

        engines.run(self._engine, self._pipeline(data, epochs, code), run_id, watcher, self.address, uncached, arranged)

    def node(self, run_id: str, node: str):
        return RunReader(self.address, NAME, run_id).node(node)

    def states(self, run_id: str) -> dict[str, str]:
        return {node: self.node(run_id, node).state for node in COMPONENTS}

    def _pipeline(self, data: str, epochs: int, code: str) -> Pipeline:
        examples = Data(input_base=data)
        rows = examples.outputs["examples"]
        train = Train(examples=rows, epochs=epochs, depends_on=code)
        model = train.outputs["model"]
        production = Resolver(strategy_class=Newest, candidate=model, pushed=Channel(type=PushedModel)).with_id(
            "Production"
        )
        judge = Judge(model=model, better_than=production.outputs["pushed"], trap=str(self.trap))
        push = Push(blessing=judge.outputs["blessing"])
        return Pipeline(
            pipeline_name=NAME,
            pipeline_root=str(self.root / "artifacts"),
            components=[examples, Describe(examples=rows), train, production, judge, push],
            enable_cache=True,
            metadata_connection_config=self.address.connection(),
        )
