"""Promotions and rollbacks as commands: which configuration, what is shown; TensorFlow's noise goes to a log."""

import getpass
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape

from data.errors import UserError
from pipeline.chosen import chosen_config
from pipeline.config import Config
from pipeline.quiet import noise_to, own_stdout
from pipeline.view import console as new_console


def promote_and_tell(model: str, reason: str, by: str | None, config: str | None) -> None:
    """Promotes a model and says where it is."""
    if not reason.strip():
        raise UserError('--reason is empty: say why this model is pushed though it was refused, --reason "..."')
    settings = chosen_config(config, model)
    with _quiet(settings, "promote") as console:
        with console.status("trying the model"):
            from pipeline.promotion import promote

            done = promote(settings, model, reason, by or getpass.getuser())
        audit, found = done.audit, done.findings
        console.print(f"[bold green]promoted[/] model {audit.model_id} of run {audit.run}, by {escape(audit.by)}")
        console.print(f"  because: {escape(audit.reason)}")
        for missed in audit.missed:
            console.print(f"  it had missed: {escape(missed)}")
        if found is not None:
            console.print(f"  served by the canary: p50 {found.p50_ms:.1f} ms, {found.memory_mib:,} MiB")
        console.print(f"pushed version {audit.version} to {escape(str(done.folder))}", soft_wrap=True)
        console.print(f"back again: tfx-bert rollback{_whose(config)}")


def roll_back_and_tell(to: str | None, reason: str, by: str | None, config: str | None) -> None:
    """Rolls back and says to what."""
    settings = chosen_config(config)
    with _quiet(settings, "rollback") as console:
        with console.status("rolling back"):
            from pipeline.rollback import rollback

            done = rollback(settings, to, reason, by or getpass.getuser())
        audit = done.audit
        console.print(f"[bold green]rolled back[/] from version {audit.came_from} to {audit.back_to}", end="")
        console.print(f" (model {audit.model_id}), by {escape(audit.by)}" if audit.model_id else "")
        if audit.reason:
            console.print(f"  because: {escape(audit.reason)}")
        console.print(f"pushed again as version {audit.version} to {escape(str(done.folder))}", soft_wrap=True)
        console.print(f"back again: tfx-bert rollback --to {audit.came_from}{_whose(config)}")


def _whose(config: str | None) -> str:
    return f" --config {config}" if config else ""


@contextmanager
def _quiet(config: Config, name: str) -> Iterator[Console]:
    if not config.artifact_root.is_dir():
        raise UserError(f"{config.name} has no runs in {config.artifact_root}: tfx-bert run CONFIG makes models")
    log = config.artifact_root / "logs" / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}.log"
    with own_stdout() as stdout, noise_to(log):
        yield new_console(file=stdout)
