"""One scoring from command line to file: find or begin the job, answer its shards, put them together."""

import hashlib
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from data.csv_source import locate, sha256_of
from data.errors import DataError, UserError
from pipeline.config import Config
from pipeline.fingerprint import fingerprint
from pipeline.lock import only_run_in
from pipeline.quiet import console_and_log
from pipeline.request_table import RequestTable, check_place, format_of
from pipeline.run import load_tfx
from pipeline.score.faults import told
from pipeline.score.job import FOLDER, WORK, Job, new_job, place_of, quarantined_rows, read_job, superseded
from pipeline.score.model import ScoringModel, in_production
from pipeline.score.output import quarantine_file, write_output
from pipeline.score.traces import clean_up
from pipeline.score.view import ScoreProgress, summary
from serving.lite import FOLDER as INT8_FOLDER
from serving.predictor import read_task

# What answers depend on beside the model and the file.
MODULES = ("modules.request_examples", "modules.bulk_scorer", "modules.answer_writer")
PACKAGES = ("tensorflow", "tensorflow-text", "ai-edge-litert")


def score(
    config: Config,
    source: Path,
    output: Path,
    *,
    anew: bool = False,
    scheduled_as: str | None = None,
    verbose: bool = False,
) -> Job:
    """Answers every row of `source` with the model in production; goes on where an earlier attempt stopped.

    Args:
      anew: drops what an earlier attempt has left, and begins with the model that is in production now.
      scheduled_as: the scheduler's name of the run.

    Returns:
      The finished job.

    Raises:
      UserError: the file, the model, a setting or the disk; what was answered so far is kept.
      RunFailed: a component failed for another reason.
    """
    begun = time.time()
    check_place(output, source, config.model_dump(mode="json"))
    log = config.artifact_root / "logs" / "score.log"
    with told(None if verbose else str(log)):
        scoring = _Scoring(config, source, output, scheduled_as)
        with scoring.alone(), console_and_log(log, verbose) as console:
            job = scoring.job(console, anew)
            peak_mib = scoring.answer(job, console)
            job = replace(job, seconds=time.time() - begun, output=str(output.absolute()))
            job.save(config.artifact_root / FOLDER / f"{job.id}.json")
            # First what says that there is something to go on with: a job is whole, or is not there.
            shutil.rmtree(scoring.place, ignore_errors=True)
            clean_up(config, job)
            console.print(summary(job, output, quarantine_file(output) if job.quarantined else None, peak_mib))
    return job


class _Scoring:
    """A file, and where its answers go."""

    def __init__(self, config: Config, source: Path, output: Path, scheduled_as: str | None):
        self._config, self._source, self._output, self._scheduled_as = config, source, output, scheduled_as
        self._production = in_production(config)
        self._sha256 = sha256_of(locate(str(source)))
        self._fingerprint = self._key()
        self.place = place_of(config.artifact_root, self._fingerprint)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Holds the job's place; nothing is left of it where no job has begun."""
        self.place.mkdir(parents=True, exist_ok=True)
        with only_run_in(self.place):
            try:
                yield
            finally:
                if read_job(self.place) is None:
                    shutil.rmtree(self.place, ignore_errors=True)

    def job(self, console: Console, anew: bool) -> Job:
        """The job that an earlier attempt has left, where there is one, with the model that it began with."""
        found = read_job(self.place)
        if found and not anew and found.model.is_there():
            console.print(f"going on with {found.id}, begun with version {found.model.version} of the model")
            if found.model.version != self._production.version:
                now = f"version {self._production.version} is in production now"
                console.print(f"  [yellow]{now}[/]: --anew begins with it")
            return found
        if found:
            why = "as --anew says" if anew else f"version {found.model.version}, which it began with, is gone"
            console.print(f"dropping what {found.id} had answered: {why}")
            shutil.rmtree(self.place / WORK)
            clean_up(self._config, found)
        job = self._new_job(console)
        for other in superseded(self._config.artifact_root, job):
            self._drop(other)
        return job

    def _drop(self, other: Job) -> None:
        """Unless it is at work."""
        place = place_of(self._config.artifact_root, other.fingerprint)
        with suppress(UserError), only_run_in(place):
            shutil.rmtree(place, ignore_errors=True)
            clean_up(self._config, other)

    def answer(self, job: Job, console: Console) -> int:
        """Answers the shards that are not done and writes the file; returns the peak memory in MiB, 0 if none was."""
        task, _ = read_task(Path(job.model.folder))
        header = [self._config.data.columns.get("id") or "row", *task.answer_columns]
        if not job.shards:
            write_output(self._output, header, ())
            return 0
        with console.status("loading TensorFlow and TFX"):
            runner = load_tfx("pipeline.score.execute").ShardRunner(self._config, job, task, self._scheduled_as)
            found = [runner.answers(shard) for shard in range(job.shards)]
        parts = self._answer_shards(job, runner, found, console)
        with console.status(f"writing {self._output}"):
            write_output(self._output, header, parts)
            if job.quarantined:
                shutil.copyfile(quarantined_rows(self.place), quarantine_file(self._output))
        return int(runner.memory.mib)

    def _answer_shards(self, job: Job, runner: Any, found: Sequence[Path | None], console: Console) -> list[Path]:
        """All parts: those that were found, and of the other shards what is answered now.

        Raises:
          UserError: a shard is done by ML Metadata, and its answers are gone.
        """
        answered = sum(self._rows_of(job, shard) for shard, part in enumerate(found) if part is not None)
        if answered:
            console.print(f"  {answered:,} of {job.rows:,} rows are answered already")
        parts = []
        with ScoreProgress(console, job.rows, answered) as progress:
            for shard, part in enumerate(found):
                if part is None:
                    runner.run(shard)
                    part = runner.answers(shard)
                    progress.shard_done(shard, job.shards)
                if part is None:
                    raise UserError(f"the answers of shard {shard + 1} were removed by somebody: --anew begins anew")
                parts.append(part)
        return parts

    def _rows_of(self, job: Job, shard: int) -> int:
        most = self._config.score.shard_rows
        return min(most, job.rows - shard * most)

    def _new_job(self, console: Console) -> Job:
        config, model = self._config, self._production
        task, _ = read_task(Path(model.folder))
        engine = self._engine(model)
        table = RequestTable(
            self._source,
            format_of(self._source, config.data.format),
            task.request_columns(),
            config.data.columns.get("id"),
        )
        with console.status(f"checking {self._source}") as status:
            job = new_job(
                self.place,
                self._fingerprint,
                table,
                task,
                model,
                sha256=self._sha256,
                engine=engine,
                shard_rows=config.score.shard_rows,
                quarantine=config.score.on_bad_rows == "quarantine",
                on_progress=lambda rows: status.update(f"checking {self._source}: {rows:,} rows"),
            )
        if sha256_of(locate(str(self._source))) != self._sha256:
            shutil.rmtree(self.place / WORK)
            raise DataError(f"{self._source}: changed while it was being read; run again when it is whole")
        bad = f", {job.quarantined:,} of the file cannot be read" if job.quarantined else ""
        console.print(
            f"{job.rows:,} rows in {job.shards:,} shards{bad}; {escape(config.name)} version {model.version} answers"
        )
        return job

    def _engine(self, model: ScoringModel) -> str:
        """That which a server would take by the flag of the same name."""
        asked, has_int8 = self._config.score.engine, (Path(model.folder) / INT8_FOLDER).is_dir()
        if asked == "int8" and not has_int8:
            raise UserError(
                f"version {model.version} of {self._config.name} has no int8 engine: push one that was run with"
                " --set export.int8=true, or leave out --engine=int8"
            )
        return "int8" if has_int8 and asked != "savedmodel" else "savedmodel"

    def _key(self) -> str:
        """Of all that decides on the answers but the model, and on how they are parted."""
        config = self._config
        score = config.score.model_dump(mode="json", include={"shard_rows", "engine", "on_bad_rows"})
        settings = [config.task, config.data.format, config.data.columns, score]
        code = fingerprint(MODULES, PACKAGES)
        return hashlib.sha256(json.dumps([self._sha256, self._source.suffixes, settings, code]).encode()).hexdigest()
