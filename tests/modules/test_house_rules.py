"""Rules that hold for all of the product's code: one Keras, and nothing happens on import."""

import ast
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

PROJECT = Path(__file__).parents[2]
PACKAGES = ("modules", "pipeline", "data", "serving")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND
EVENTS = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.putenv", "socket.connect", "subprocess.Popen"}


def sources(*packages: str) -> list[Path]:
    found = [path for package in packages for path in sorted((PROJECT / package).rglob("*.py"))]
    assert found
    return found


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f"{node.value.id}.{node.attr}"


def test_the_product_s_modules_use_one_keras_and_it_is_tf_keras() -> None:
    others = ("keras", "keras_hub", "keras_nlp", "tensorflow.keras", "tf.keras")
    found = [
        f"{path.relative_to(PROJECT)}: {name}"
        for path in sources("modules", "serving")
        for name in imported(path)
        if name in others or name.startswith(tuple(f"{other}." for other in others))
    ]
    assert found == []


def test_the_command_line_starts_without_tensorflow_and_tfx() -> None:
    program = "import sys; import pipeline.cli; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True)
    slow = {"tensorflow", "tfx", "tf_keras", "keras", "apache_beam", "ml_metadata", "numpy", "sklearn"}
    assert slow & set(done.stdout.split()) == set()


class Watched(dict[str, str]):
    """The environment, which remembers who of our own modules has looked into it."""

    def __init__(self, environment: os._Environ[str]):
        super().__init__(environment)
        self.seen: list[str] = []

    def _note(self) -> None:
        self.seen += [name for name in [our_caller(sys._getframe(2))] if name]

    def __getitem__(self, key: str) -> str:
        self._note()
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self._note()
        return super().get(key, default)

    def __contains__(self, key: object) -> bool:
        self._note()
        return super().__contains__(key)

    def __setitem__(self, key: str, value: str) -> None:
        self._note()
        super().__setitem__(key, value)

    def setdefault(self, key: str, default: str = "") -> str:
        self._note()
        return super().setdefault(key, default)


def our_caller(frame: FrameType | None) -> str | None:
    """The module of ours that made this call itself or through the standard library, not through another package."""
    while frame is not None:
        file = frame.f_code.co_filename
        if "site-packages" in file or "importlib" in file or Path(file) == Path(__file__):
            return None
        if file.startswith(str(PROJECT)):
            return str(Path(file).relative_to(PROJECT))
        frame = frame.f_back
    return None


def test_importing_a_module_writes_no_file_reads_no_environment_and_starts_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    environment = Watched(os.environ)
    monkeypatch.setattr(os, "environ", environment)
    events: list[str] = []
    watching = True

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if not watching or not (event in EVENTS or (event == "open" and arguments[2] & WRITING)):
            return
        caller = our_caller(sys._getframe(1))
        if caller:
            events.append(f"{caller}: {event} {arguments[:1]}")

    sys.addaudithook(hook)
    try:
        for number, path in enumerate(
            p for p in sources(*PACKAGES) if p.name != "airflow_dag.py"
        ):  # Airflow imports it
            # Under a name of its own, so that it is run anew though it may have been imported long ago.
            spec = importlib.util.spec_from_file_location(f"watched_{number}", path)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            monkeypatch.setitem(sys.modules, spec.name, module)
            spec.loader.exec_module(module)
    finally:
        watching = False
    assert events == []
    assert environment.seen == []
    assert list(tmp_path.iterdir()) == []
