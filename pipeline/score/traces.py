"""What a job leaves in ML Metadata, and the files behind it."""

import shutil
from pathlib import Path

from ml_metadata.proto import metadata_store_pb2

from pipeline.config import Config
from pipeline.metadata_store import opened
from pipeline.score.job import FOLDER, Job


def pipeline_name(config: Config) -> str:
    """With a dot in it: no configuration can be called so."""
    return f"{config.name}.score"


def run_id_of(pipeline: str, job: Job, shard: int) -> str:
    """The run of a shard, the same one whenever it is tried."""
    return f"{pipeline}.{job.id}.{shard:05d}"


def artifacts_folder(root: Path) -> Path:
    """Where examples and answers are on their way."""
    return (root / FOLDER / "artifacts").absolute()


def clean_up(config: Config, job: Job) -> None:
    """Removes what a job wrote on its way; ML Metadata keeps the record of it, as of deleted artifacts."""
    if not job.shards or not config.metadata.exists():
        return
    store = opened(config.metadata)
    for shard in range(job.shards):
        context = store.get_context_by_type_and_name("pipeline_run", run_id_of(pipeline_name(config), job, shard))
        found = [] if context is None else store.get_artifacts_by_context(context.id)
        own = [a for a in found if Path(a.uri).is_relative_to(artifacts_folder(config.artifact_root))]
        for artifact in own:
            shutil.rmtree(artifact.uri, ignore_errors=True)
            artifact.state = metadata_store_pb2.Artifact.DELETED
        if own:
            store.put_artifacts(own)
