"""What a component's result depends on beside its inputs: the code it loads and the packages it runs on.

TFX's cache key covers inputs and settings alone. Each component gets one more setting, the fingerprint of what it
depends on, so that editing `modules/trainer.py` reruns the Trainer, and does not rerun Transform.
"""

import ast
import hashlib
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

OWN_PACKAGES = ("data", "modules")
ROOT = Path(__file__).parents[1]


def fingerprint(module: str | None, packages: Iterable[str]) -> str:
    """Hex digest of the sources of `module` and all of our own modules it imports, and of these packages' versions."""
    digest = hashlib.sha256()
    for name in sorted(own_imports(module) if module else ()):
        digest.update(name.encode() + b"\0" + _source(name).read_bytes() + b"\0")
    for package in sorted(packages):
        digest.update(f"{package}=={version(package)}\0".encode())
    return digest.hexdigest()


def own_imports(module: str) -> set[str]:
    """`module` and every module of `data` and `modules` that it imports, directly or through others."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in found and name.partition(".")[0] in OWN_PACKAGES and _source(name).is_file():
            found.add(name)
            waiting += _imported(ast.parse(_source(name).read_bytes()))
    return found


def _imported(tree: ast.Module) -> list[str]:
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return names


def _source(name: str) -> Path:
    return ROOT / (name.replace(".", "/") + ".py")
