"""Watching a run: which component is running, how long it took, how much memory it needed at its peak."""

import ctypes
import gc
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Protocol

import psutil

from modules import stop
from modules.stop import Terminated

SAMPLE_SECONDS = 0.2
CHILDREN_EVERY = 5
"""Samples between two looks for children: each look reads of all processes of the machine, for tens of milliseconds."""
MIB = 1024 * 1024


@dataclass
class ComponentReport:
    """One component in one run; `state` is running, done, cached, reused, failed, interrupted or skipped.

    reused: of a partial run, what is another run's.
    """

    id: str
    state: str
    seconds: float
    peak_mib: int


class Listener(Protocol):
    """Whoever shows or records a run."""

    def component_changed(self, report: ComponentReport) -> None: ...


class ComponentFailed(Exception):
    """A component ended without its outputs; `cause` is what it raised, if anything."""

    def __init__(self, component: str, cause: BaseException | None):
        super().__init__(f"{component} failed" + (f": {cause}" if cause else ": its inputs are missing"))
        self.component = component
        self.cause = cause


class Watcher:
    """Tells its listeners of each component's start and end, and samples memory in between.

    Attributes:
      finished: nodes that an earlier attempt of the run has finished; they are not to be launched.
    """

    def __init__(self, read_state: Callable[[str], str], listeners: list[Listener]):
        self._read_state = read_state
        self._listeners = listeners
        self.failure: ComponentFailed | None = None
        self.finished: set[str] = set()

    @contextmanager
    def watching(self, component: str) -> Iterator[None]:
        """Wraps the launch of one component.

        Raises:
          ComponentFailed: where the component raised, or where the launcher returned quietly without having run it.
          Terminated: where the process was asked to end, before the component or in it.
        """
        if stop.requested():
            raise Terminated
        report = ComponentReport(component, "running", 0.0, 0)
        self._tell(report)
        started = time.monotonic()
        cause: BaseException | None = None
        with _peak_memory(report):
            try:
                yield
            except BaseException as error:
                cause = error
        report.seconds = time.monotonic() - started
        if cause is not None and (stop.requested() or not isinstance(cause, Exception)):
            report.state = "interrupted"
            self._tell(report)
            raise cause if isinstance(cause, Terminated | KeyboardInterrupt) else Terminated from cause
        give_back_memory()
        report.state = "failed" if cause else self._read_state(component)
        self._tell(report)
        if report.state not in ("done", "cached"):
            self.failure = ComponentFailed(component, cause)
            raise self.failure from cause

    def _tell(self, report: ComponentReport) -> None:
        for listener in self._listeners:
            listener.component_changed(report)


@contextmanager
def _peak_memory(report: ComponentReport) -> Iterator[None]:
    """Keeps `report.peak_mib` at the most resident memory seen, this process and its children together."""
    stop = threading.Event()

    def sample() -> None:
        for number in itertools.count():
            if number % CHILDREN_EVERY == 0:
                children = psutil.Process().children(recursive=True)
            report.peak_mib = max(report.peak_mib, resident_mib(children))
            if stop.wait(SAMPLE_SECONDS):
                return

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def give_back_memory() -> None:
    """Returns what was freed to the system: glibc keeps it, gigabytes after a training or a loaded model."""
    gc.collect()
    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def resident_mib(children: Sequence[psutil.Process] | None = None) -> int:
    """Resident memory of this process and its children now, in MiB; `children`: those that are known."""
    own = psutil.Process()
    total = own.memory_info().rss
    for child in own.children(recursive=True) if children is None else children:
        try:
            total += child.memory_info().rss
        except psutil.Error:
            continue
    return int(total / MIB)
