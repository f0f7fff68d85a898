"""What a run needs before TFX starts: the data checked, split and staged, and the encoder at hand."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from data.staging import Source, Staged, stage
from data.whole_file import put_file
from modules.slices import columns_of
from pipeline.config import Config


def source_of(config: Config) -> Source:
    """The `data` section as the checker's own plain values."""
    data, task = config.data, config.make_task()
    return Source(
        path=data.path,
        eval_path=data.eval_path,
        format=data.format,
        rules=task.row_rules(data.ignore_labels),
        id=data.columns.get("id"),
        group=data.columns.get("group"),
        splits=data.splits.model_dump(),
        sample=data.sample.model_dump() if data.sample else None,
        on_bad_rows=data.on_bad_rows or task.on_bad_rows,
        min_rows=data.min_rows.model_dump(),
        extra=tuple(columns_of(config.slices)),
    )


def stage_data(config: Config, on_progress: Callable[[int], None] | None = None) -> Staged:
    """Checks every row and writes the splits under the artifact root; raises DataError, leaving nothing behind."""
    return stage(source_of(config), config.artifact_root, on_progress)


def keep_vocabulary(tokens: list[str], root: Path) -> Path:
    """Writes a vocabulary under a name made of its content, so that Transform's cache depends on that alone."""
    content = "".join(f"{token}\n" for token in tokens).encode()
    path = root / "vocabularies" / f"{hashlib.sha256(content).hexdigest()[:16]}.txt"
    if not path.exists():
        put_file(path, content)
    return path
