"""W&B's own side: its runs, one at a time, online or in a folder, and what it may do and tell of this machine."""

from __future__ import annotations

import importlib
import os
import shlex
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import psutil

from pipeline.tracking.tracker import Whereabouts

INIT_SECONDS = 10.0
# What a killed run may lose of its files.
FLUSHED_SECONDS = 2.0
SERVICE = "wandb-core"
# Nothing of the machine, the user or the code around: a run's page has what the pipeline tells, and that is all.
PRIVACY = {
    "console": "off",
    "disable_code": True,
    "save_code": False,
    "disable_git": True,
    "disable_job_creation": True,
    "host": "",
    "program": "tfx-bert",
    "label_disable": True,
    "sagemaker_disable": True,
    "x_disable_machine_info": True,
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
}


class Session:
    """The W&B runs of one pipeline run, in one group; `folder` is theirs alone.

    Online where there is an API key (or identity token) and the server answers, otherwise offline: then the runs stay
    in the folder until `wandb sync` takes them. Nobody is ever asked for a key.
    """

    def __init__(
        self,
        *,
        project: str,
        entity: str | None,
        group: str,
        offline: bool,
        folder: Path,
        upload_seconds: float,
        say: Callable[[str], None],
    ):
        self._project, self._entity, self._group, self._folder = project, entity, group, folder
        self._upload_seconds, self._say = upload_seconds, say
        self._left_behind = self._whole = False
        self._url: str | None = None
        self._runs: dict[str, str] = {}
        self.run: Any = None
        folder.mkdir(parents=True)
        os.environ.update(
            WANDB_SILENT="true",
            WANDB_ERROR_REPORTING="false",
            WANDB_CACHE_DIR=str(folder / "cache"),
            WANDB_DATA_DIR=str(folder / "data"),  # files wait here for their upload
            WANDB_ARTIFACT_DIR=str(folder / "artifacts"),
        )
        self._wandb: Any = importlib.import_module("wandb")  # reads the environment when it is imported
        self._online = not offline and self._has_credentials()

    @property
    def online(self) -> bool:
        return self._online

    def open(self, job_type: str, config: Mapping[str, Any], notes: str) -> Any:
        """Finishes the W&B run before it and starts one."""
        self.finish(0)
        if self._online:
            try:
                self.run = self._init(job_type, config, notes, "online")
            except self._wandb.Error as error:
                self._go_offline(f"cannot be reached ({_first_line(error)})")
        if not self._online:
            self.run = self._init(job_type, config, notes, "offline")
        elif self.run.project_url:
            self._url = f"{self.run.project_url.partition('?')[0]}/groups/{quote(self._group, safe='')}"
        self._runs[job_type] = self.run.url if self._online else str(Path(self.run.dir).parent)
        return self.run

    def finish(self, exit_code: int) -> None:
        """Ends the open W&B run, if any, once it is uploaded, or time is up."""
        run, self.run = self.run, None
        if run is None:
            return
        try:
            run.finish(exit_code=exit_code)
        except TimeoutError:
            self._left_behind = True
            self._say(f"W&B: not everything was uploaded within {self._upload_seconds:g} s")

    def end(self, exit_code: int) -> None:
        """Ends the open run and W&B's service process."""
        self.finish(exit_code)
        self._wandb.teardown(exit_code)
        self._whole = self._online and not self._left_behind

    def kill_service(self) -> None:
        """Ends W&B's service process, whatever it was at."""
        for child in psutil.Process().children():
            if child.name() == SERVICE:
                child.kill()

    def whereabouts(self) -> Whereabouts:
        """With the folder and the command that uploads it unless all is known to be uploaded."""
        return Whereabouts(
            url=self._url,
            folder=None if self._whole else str(self._folder),
            upload=None if self._whole else f"wandb sync {shlex.quote(str(self._folder / 'wandb'))}/*run-*",
            runs=dict(self._runs),
        )

    def _has_credentials(self) -> bool:
        try:
            return bool(self._wandb.login(prompt=False, verify=False))
        except self._wandb.Error as error:
            self._say(f"W&B: {_first_line(error)}; this run is tracked offline")
            return False

    def _init(self, job_type: str, config: Mapping[str, Any], notes: str, mode: Literal["online", "offline"]) -> Any:
        settings = self._wandb.Settings(
            **PRIVACY,
            silent=True,
            symlink=False,
            root_dir=str(self._folder),
            init_timeout=INIT_SECONDS,
            finish_timeout=self._upload_seconds,
            finish_timeout_raises=True,
            stop_fn=_ignore_stop,
            x_transaction_log_flush_interval=FLUSHED_SECONDS,
        )
        return self._wandb.init(
            project=self._project,
            entity=self._entity,
            group=self._group,
            job_type=job_type,
            name=f"{self._group} {job_type}",
            notes=notes,
            config=dict(config),
            mode=mode,
            reinit="create_new",
            settings=settings,
        )

    def _go_offline(self, why: str) -> None:
        self._online = False
        self._say(f"W&B {why}: this run is tracked offline" if not self._runs else f"W&B {why}: the rest stays offline")
        self._left_behind = True
        known = {Path(folder).name for folder in self._runs.values()}
        for folder in (self._folder / "wandb").glob("run-*"):  # of the run that could not be started
            if not self._runs and folder.name not in known:
                shutil.rmtree(folder, ignore_errors=True)


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0].rstrip(".")


def _ignore_stop() -> None:
    """A stop button on a web page does not interrupt the pipeline."""
