"""ML Metadata as runs leave it: a real store, written by TFX's own functions, and the models behind it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ml_metadata as mlmd
import tensorflow as tf
from evaluator import example
from ml_metadata.proto import metadata_store_pb2
from serving_models import labels_of, write_model
from tfx.orchestration.portable import execution_publish_utils as publish
from tfx.orchestration.portable.mlmd import artifact_lib, context_lib
from tfx.types import Artifact
from tfx.types.standard_artifacts import Examples, InfraBlessing, Model, ModelBlessing, PushedModel

from pipeline.store_address import SqliteFile, StoreAddress
from pipeline.store_connection import connect
from pipeline.store_handle import StoreHandle

PIPELINE = "mine"


class ModelStore:
    """The store of a pipeline, `mine`, under a root; the methods are what components do, and return artifact ids."""

    def __init__(self, root: Path, address: StoreAddress | None = None, pipeline: str = PIPELINE):
        self.root = root
        self.address = address or SqliteFile(root / "metadata.db")
        self.pipeline = pipeline
        self._count = 0

    @property
    def store(self) -> mlmd.MetadataStore:
        return connect(self.address)

    @property
    def serving(self) -> Path:
        return self.root / "serving" / self.pipeline

    def examples(self, texts: Sequence[str] = ("short", "x" * 700), run: str = "r1") -> int:
        """ExampleGen: rows of the column text."""
        uri = self.root / "artifacts" / "examples" / str(self._next())
        (uri / "Split-eval").mkdir(parents=True)
        with tf.io.TFRecordWriter(str(uri / "Split-eval" / "data.gz"), "GZIP") as file:
            for text in texts:
                file.write(example(text, 0, "label"))
        return self._execute("CsvExampleGen", run, {}, {"examples": _made(Examples(), uri)})["examples"]

    def model(
        self, run: str = "r1", examples: int | None = None, *, base: int | None = None, files: bool = True, **facts: Any
    ) -> int:
        """Trainer: a model, with a SavedModel behind it unless `files` is false; `facts` go over its model.json.

        `base`: the model whose weights it began with.

        All have the same labels; their answers tell them apart."""
        uri = self.root / "artifacts" / "model" / str(self._next())
        if files:
            write_model(uri, self._count, folder_name="Format-Serving")
            file = uri / "Format-Serving" / "assets.extra" / "model.json"
            file.write_text(json.dumps(json.loads(file.read_text()) | {"labels": list(labels_of(1))} | facts))
        given = {"examples": examples, "base_model": base}
        inputs = {key: [id_] for key, id_ in given.items() if id_ is not None}
        return self._execute("Trainer", run, inputs, {"model": _made(Model(), uri)})["model"]

    def cached(self, model: int, run: str) -> None:
        """Another run whose Trainer took the model from the cache."""
        with self._opened() as handle:
            [artifact] = artifact_lib.get_artifacts_by_ids(handle, [model])
        self._execute("Trainer", run, {}, {"model": artifact})

    def judged(self, model: int, blessed: bool = True, run: str = "r1") -> int:
        """Evaluator's blessing."""
        blessing = _made(ModelBlessing(), self.root / "artifacts" / "blessing" / str(self._next()))
        blessing.set_int_custom_property("blessed", int(blessed))
        blessing.set_int_custom_property("current_model_id", model)
        return self._execute("Evaluator", run, {"model": [model]}, {"blessing": blessing})["blessing"]

    def tried(self, model: int, blessing: int, served: bool = True, run: str = "r1") -> int:
        """The canary's blessing, with a copy of the model that has warm-up requests."""
        uri = self.root / "artifacts" / "infra" / str(self._next())
        if served and self.folder(model).is_dir():
            _copy(self.folder(model), uri / "stamped_model")
            (uri / "stamped_model" / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"")
        infra = _made(InfraBlessing(), uri)
        infra.set_int_custom_property("blessed", int(served))
        infra.set_int_custom_property("has_model", int(served))
        inputs = {"model": [model], "model_blessing": [blessing]}
        return self._execute("Canary", run, inputs, {"blessing": infra})["blessing"]

    def pushed(
        self,
        model: int,
        version: str = "1",
        *,
        run: str = "r1",
        pushed: bool = True,
        blessing: int | None = None,
        infra: int | None = None,
        **properties: int | str,
    ) -> int:
        """Pusher's artifact, as versions before `model_id` left it; the files too, where the model has some.

        `properties` are set besides: model_id, kind, restores.
        """
        uri = self.root / "artifacts" / "pushed" / str(self._next())
        artifact = _made(PushedModel(), uri)
        artifact.set_int_custom_property("pushed", int(pushed))
        if pushed:
            artifact.set_string_custom_property("pushed_version", version)
            artifact.set_string_custom_property("pushed_destination", str(self.serving / version))
            if self.folder(model).is_dir():
                _copy(self.folder(model), self.serving / version)
                _copy(self.folder(model), uri)
        for name, value in properties.items():
            setter = artifact.set_int_custom_property if isinstance(value, int) else artifact.set_string_custom_property
            setter(name, value)
        if blessing is None and infra is None:
            blessing = self.judged(model, run=run)
        given = {"model_blessing": blessing, "infra_blessing": infra}
        inputs = {key: [id_] for key, id_ in given.items() if id_ is not None}
        return self._execute("Pusher", run, inputs, {"pushed_model": artifact})["pushed_model"]

    def run(self, version: str, run: str = "r1", **facts: Any) -> int:
        """A whole run that pushed: its model."""
        model = self.model(run, self.examples(run=run), **facts)
        blessing = self.judged(model, run=run)
        self.pushed(model, version, run=run, blessing=blessing, infra=self.tried(model, blessing, run=run))
        return model

    def folder(self, model: int) -> Path:
        """Where a model's SavedModel is."""
        [artifact] = self.store.get_artifacts_by_id([model])
        return Path(artifact.uri, "Format-Serving")

    def artifacts(self, kind: type[Artifact]) -> list[Artifact]:
        """All live artifacts of a type, as TFX hands them to a resolver."""
        found = [a.id for a in self.store.get_artifacts() if a.type == kind.TYPE_NAME and a.state == _LIVE]
        with self._opened() as handle:
            return list(artifact_lib.get_artifacts_by_ids(handle, sorted(found))) if found else []

    def _execute(
        self, node: str, run: str, inputs: Mapping[str, Sequence[int]], outputs: Mapping[str, Artifact]
    ) -> dict[str, int]:
        with self._opened() as handle:
            named = [("pipeline", self.pipeline), ("pipeline_run", run), ("node", f"{self.pipeline}.{node}")]
            contexts = [context_lib.register_context_if_not_exists(handle, *name) for name in named]
            given = {key: artifact_lib.get_artifacts_by_ids(handle, list(ids)) for key, ids in inputs.items()}
            kind = metadata_store_pb2.ExecutionType(name=f"tfx.{node}")
            execution = publish.register_execution(handle, kind, contexts, given)
            made = {key: [artifact] for key, artifact in outputs.items()}
            published, _ = publish.publish_succeeded_execution(handle, execution.id, contexts, made)
        return {key: artifact.id for key, [artifact] in published.items()}

    def _opened(self) -> Any:
        return StoreHandle(self.address)

    def _next(self) -> int:
        self._count += 1
        return self._count


_LIVE = metadata_store_pb2.Artifact.LIVE


def _made(artifact: Artifact, uri: Path) -> Artifact:
    artifact.uri = str(uri)
    return artifact


def _copy(source: Path, target: Path) -> None:
    for path in source.rglob("*"):
        if path.is_file():
            to = target / path.relative_to(source)
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_bytes(path.read_bytes())
