"""What a component's result depends on beside its inputs: the code it loads and the packages it runs on.

TFX's cache key covers inputs and settings alone. Each component gets one more setting, the fingerprint of what it
depends on, so that editing `modules/trainer.py` reruns the Trainer, and does not rerun Transform.
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path

OWN_PACKAGES = ("data", "modules", "serving")
# The tasks import these in functions that no component calls: for `tfx-bert init`, the eval config, the report and the
# terminal.
OF_NO_COMPONENT = (
    "data.guesses",
    "data.inspect_csv",
    "modules.judges.answers",
    "modules.judges.classification",
    "modules.judges.entities",
    "modules.tasks.gates",
    "modules.tasks.tables",
)
ROOT = Path(__file__).parents[1]


def fingerprint(modules: Iterable[str], packages: Iterable[str]) -> str:
    """Hex digest of the sources of `modules` and of all our own that they import, and of these packages' versions."""
    digest = hashlib.sha256()
    for name in sorted(own_imports(modules)):
        digest.update(name.encode() + b"\0" + _source(name).read_bytes() + b"\0")
    for package in sorted(packages):
        digest.update(f"{package}=={version(package)}\0".encode())
    return digest.hexdigest()


def own_imports(modules: Iterable[str]) -> set[str]:
    """`modules` and every module of OWN_PACKAGES that they import, directly or through others.

    The packages that a module is in, whose `__init__.py` is run before it, are among them.
    """
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        package = name.partition(".")[0]
        if name in found or name in OF_NO_COMPONENT or package not in OWN_PACKAGES or not _source(name).is_file():
            continue
        found.add(name)
        waiting += [name.rpartition(".")[0], *_imported(_source(name).read_bytes())]
    return found


@cache
def _imported(source: bytes) -> tuple[str, ...]:
    """What a module imports. Components share most of their modules, and parsing them takes longest."""
    names = []
    for node in _run_nodes(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(names)


def _run_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those under `if TYPE_CHECKING:`, which never run."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        yield node
        yield from _run_nodes(node)


def _source(name: str) -> Path:
    path = ROOT / name.replace(".", "/")
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
