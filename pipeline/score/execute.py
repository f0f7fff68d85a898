"""From a scoring job to TFX: runs the pipeline of each shard that is not done. Imports TensorFlow."""

import json
from dataclasses import dataclass
from pathlib import Path

from modules.answer_writer import FILE
from modules.tasks.task import Task
from pipeline import engines
from pipeline.config import Config
from pipeline.metadata_store import RunReader, describe_run
from pipeline.score.graph import create_score_pipeline
from pipeline.score.job import Job, place_of, shard_file
from pipeline.score.traces import artifacts_folder, pipeline_name, run_id_of
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
        self._name = pipeline_name(config)
        self.memory = PeakMemory()
        config.metadata.prepare()

    def answers(self, shard: int) -> Path | None:
        """The file of a shard's answers; None where it is not done."""
        written = RunReader(self._config.metadata, self._name, run_id_of(self._name, self._job, shard)).node(WRITER)
        if written.state != "done":
            return None
        file = Path(written.outputs["answers"].uri, FILE)
        return file if file.is_file() else None

    def run(self, shard: int) -> None:
        """Answers a shard; one that was left half-way goes on with the component that it was in.

        Raises:
          ComponentFailed: from the component that failed.
        """
        run_id = run_id_of(self._name, self._job, shard)
        pipeline = create_score_pipeline(
            name=self._name,
            root=str(artifacts_folder(self._config.artifact_root)),
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
