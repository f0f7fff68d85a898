"""`tfx-bert gc`: what goes as a table, and the removal where it is asked for."""

from contextlib import nullcontext

from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from data.errors import UserError
from pipeline.config import Config
from pipeline.disk import in_words
from pipeline.housekeeping.plan import Item, Plan, plan
from pipeline.housekeeping.sweep import sweep
from pipeline.lineage import open_to_read
from pipeline.lock import only_run_in
from pipeline.metadata_store import opened


def collect_garbage(config: Config, last: int, *, delete: bool, strays: bool, console: Console) -> None:
    """Shows what would be removed of a configuration's artifact root; removes it where `delete` says so.

    Args:
      last: how many runs stay in any case.
      strays: also folders that ML Metadata does not know.

    Raises:
      UserError: nothing ran, another run is at work, or a file cannot be removed.
    """
    if open_to_read(config.metadata) is None:
        raise UserError(f"{config.name} has no runs in {config.artifact_root}: there is nothing to remove")
    # Looking changes nothing, so a run may be at work.
    with only_run_in(config.artifact_root, "gc") if delete else nullcontext():
        store = opened(config.metadata)
        found = plan(config, store, last)
        goes = [*found.items, *([found.strays] if strays and found.strays.paths else [])]
        if goes:
            console.print(_table(goes))
        for line in _what_stays(found, strays):
            console.print(line, soft_wrap=True)
        total = sum(item.size for item in goes)
        if not goes:
            console.print("nothing to remove")
        elif not delete:
            console.print(f"[bold]{in_words(total)} would go[/]; nothing was removed. To remove it: --delete")
        else:
            bar = track(goes, "removing", console=console, transient=True)
            sweep(store, bar, lambda item: None)
            console.print(f"[bold green]removed[/] {in_words(total)}")


def _table(items: list[Item]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("goes", "why", "artifacts", "size"):
        table.add_column(heading, justify="right" if heading in ("artifacts", "size") else "left", no_wrap=True)
    for item in items:
        table.add_row(escape(item.what), item.why, str(len(item.artifacts) or ""), in_words(item.size))
    return table


def _what_stays(found: Plan, strays: bool) -> list[str]:
    runs = [f"{escape(run)} ({why})" for run, why in found.kept.runs.items()]
    artifacts = f"{len(found.kept.artifacts)} artifacts with all before them"
    lines = [f"[dim]stays: {', '.join(runs) or 'no run'}; {artifacts}[/]"]
    if found.strays.paths and not strays:
        lines.append(
            f"[yellow]folders among the artifacts that ML Metadata does not know: {len(found.strays.paths)}"
            f" ({in_words(found.strays.size)})[/]; another store may know them; --strays takes them, too"
        )
    return lines
