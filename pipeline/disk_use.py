"""How much room the runs of an artifact root take, by run and by kind."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from pipeline.chosen import located, metadata_of
from pipeline.disk import in_words, size_of, size_of_all
from pipeline.housekeeping.folders import owned_folders
from pipeline.housekeeping.plan import ARTIFACTS, without_part
from pipeline.lineage import open_to_read

SHOWN = 4


def disk_by_run(roots: Iterable[Path]) -> dict[str, int]:
    """By run id, the bytes of the artifacts that the run made itself; what it took from the cache is another run's."""
    folders: dict[str, list[Path]] = defaultdict(list)
    for root, address in {(root, metadata_of(record, root)) for record, root in located(roots)}:
        store = open_to_read(address)
        for folder in owned_folders(store, root / ARTIFACTS) if store else ():
            folders[without_part(folder.run)].append(folder.path)
    return {run: size_of_all(paths) for run, paths in folders.items()}


def disk_in_words(root: Path) -> str:
    """All that lies under an artifact root, and its largest parts."""
    sizes = {path.name: size_of(path) for path in root.iterdir()}
    largest = sorted(sizes.items(), key=lambda pair: -pair[1])[:SHOWN]
    parts = ", ".join(f"{name} {in_words(size)}" for name, size in largest)
    return f"disk: {in_words(sum(sizes.values()))} in {root} ({parts})"
