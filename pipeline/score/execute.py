"""From a scoring job to TFX: runs the pipeline of each shard that is not done. Imports TensorFlow."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from ml_metadata.proto import metadata_store_pb2

from modules.answer_writer import FILE
from modules.tasks.task import Task
from pipeline import engines
from pipeline.config import Config
from pipeline.metadata_store import RunReader, describe_run, opened
from pipeline.score.graph import create_score_pipeline
from pipeline.score.job import FOLDER, Job, place_of, shard_file
from pipeline.watch import ComponentReport, Watcher
from serving.row_engine import one_thread_an_operation

WRITER = "AnswerWriter"


@dataclass
class PeakMemory:
    """The most resident memory of this process that a component has seen."""

    mib: int = 0

    def component_changed(self, report: ComponentReport) -> None:
        self.mib = max(self.mib, report.peak_mib)


class ShardRunner:
    """Answers a job's shards, one at a time; what is done stands in ML Metadata."""

    def __init__(self, config: Config, job: Job, task: Task, scheduled_as: str | None):
        """`scheduled_as` is the scheduler's name of the run, noted in ML Metadata."""
        one_thread_an_operation()
        self._config, self._job, self._task, self._scheduled_as = config, job, task, scheduled_as
        self._name = f"{config.name}.score"  # with a dot, no configuration can be called so
        self.memory = PeakMemory()
        config.metadata.prepare()

    def answers(self, shard: int) -> Path | None:
        """The file of a shard's answers; None where it is not done."""
        written = RunReader(self._config.metadata, self._name, self._run_id(shard)).node(WRITER)
        if written.state != "done":
            return None
        file = Path(written.outputs["answers"].uri, FILE)
        return file if file.is_file() else None

    def run(self, shard: int) -> None:
        """Answers a shard; one that was left half-way goes on with the component that it was in.

        Raises:
          ComponentFailed: from the component that failed.
        """
        run_id = self._run_id(shard)
        pipeline = create_score_pipeline(
            name=self._name,
            root=str(artifacts_folder(self._config)),
            metadata=self._config.metadata.connection(secrets=False),
            rows=str(shard_file(place_of(self._config.artifact_root, self._job.fingerprint), shard).absolute()),
            inputs=json.dumps(list(self._task.inputs)),
            model_id=self._job.model.model_id,
            pushed_id=self._job.model.pushed_id,
            engine=self._job.engine,
            task=json.dumps(self._task.spec()),
            beam_args=self._config.orchestration.beam_args,
        )

        def state(component: str) -> str:
            return RunReader(self._config.metadata, self._name, run_id).node(component).state

        engines.run("local", pipeline, run_id, Watcher(state, [self.memory]), self._config.metadata)
        facts = {"input": self._job.source, "input_sha256": self._job.sha256, "model_version": self._job.model.version}
        if self._scheduled_as:
            facts["scheduled_as"] = self._scheduled_as
        describe_run(self._config.metadata, run_id, facts)

    def clean_up(self) -> None:
        """Removes what was written on the way; ML Metadata keeps the record of it, as of deleted artifacts."""
        store = opened(self._config.metadata)
        for shard in range(self._job.shards):
            context = store.get_context_by_type_and_name("pipeline_run", self._run_id(shard))
            found = [] if context is None else store.get_artifacts_by_context(context.id)
            own = [artifact for artifact in found if self._is_ours(artifact.uri)]
            for artifact in own:
                shutil.rmtree(artifact.uri, ignore_errors=True)
                artifact.state = metadata_store_pb2.Artifact.DELETED
            if own:
                store.put_artifacts(own)

    def _is_ours(self, uri: str) -> bool:
        return Path(uri).is_relative_to(artifacts_folder(self._config))

    def _run_id(self, shard: int) -> str:
        return f"{self._name}.{self._job.id}.{shard:05d}"


def artifacts_folder(config: Config) -> Path:
    return (config.artifact_root / FOLDER / "artifacts").absolute()
