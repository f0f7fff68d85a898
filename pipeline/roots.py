"""Which artifact roots a command looks into."""

from pathlib import Path

from pipeline.config_file import load_config


def artifact_roots(config: str | None) -> list[Path]:
    """The artifact root of a configuration, or all under ./output."""
    if config is not None:
        return [load_config(config).artifact_root]
    return sorted(path for path in Path("output").glob("*") if path.is_dir())
