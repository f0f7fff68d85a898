"""Airflow's processes: started together, ended together, and all that they have started with them."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

import psutil

from data.errors import UserError
from pipeline.local_airflow.environment import MARK, Place

# Alerts of late runs go by the executor: no triggerer is needed. Logs are read from the folder: none are served.
COMMANDS = {
    "api-server": ("api-server",),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
}
PATIENCE = (4.0, 10.0)
LAST_LINES = 15


class Services:
    """A context in which Airflow runs; however it is left, none of its processes outlives it."""

    def __init__(self, place: Place):
        self._place = place
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "Services":
        try:
            for name, arguments in COMMANDS.items():
                self._processes[name] = self._start(name, arguments)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    @property
    def pids(self) -> dict[str, int]:
        return {name: process.pid for name, process in self._processes.items()}

    def log(self, name: str) -> Path:
        return self._place.logs / f"{name}.log"

    def check(self) -> None:
        """Raises: UserError: one of the processes has ended; with the last lines of its log."""
        for name, process in self._processes.items():
            code = process.poll()
            if code is not None:
                raise UserError(f"Airflow's {name} ended (exit code {code}):\n{last_lines(self.log(name))}")

    def stop(self) -> None:
        """SIGTERM to the services and to what they have started; after a while SIGKILL to what is left of it all."""
        with signals_held():
            found = self._found()
            for process in found:  # tasks among them, for whose ends the scheduler would wait
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.terminate()
            for patience in PATIENCE:  # a second SIGTERM ends an api-server that lingers after its end
                for service in self._processes.values():
                    service.terminate()
                psutil.wait_procs([*found, *self._services()], timeout=patience)
            for service in self._processes.values():
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(service.pid, signal.SIGKILL)
            for process in {*found, *self._found()}:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(found, timeout=PATIENCE[0])
            for service in self._processes.values():
                service.wait()

    def _services(self) -> list[psutil.Process]:
        return [psutil.Process(service.pid) for service in self._processes.values() if service.poll() is None]

    def _found(self) -> list[psutil.Process]:
        """What the services have started: their descendants, and what has taken leave of them but has the mark.

        The mark alone would not do: Airflow's processes write their titles over their environment.
        """
        services = self._services()
        found = {process for process in psutil.process_iter() if has_mark(process, self._place.mark)}
        for service in services:
            with contextlib.suppress(psutil.NoSuchProcess):
                found.update(service.children(recursive=True))
        return list(found - set(services))

    def _start(self, name: str, arguments: tuple[str, ...]) -> subprocess.Popen[bytes]:
        with open(self.log(name), "ab") as log:
            return subprocess.Popen(
                [str(self._place.bin / "airflow"), *arguments],
                env=self._place.environment(),
                cwd=self._place.home,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


def has_mark(process: psutil.Process, mark: str) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        return bool(process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE)
    return False


def airflow(place: Place, *arguments: str) -> str:
    """Runs one command of Airflow's to its end; returns what it printed.

    Raises:
      UserError: it failed; with the last lines of what it printed.
    """
    done = subprocess.run(
        [str(place.bin / "airflow"), *arguments],
        env=place.environment(),
        cwd=place.home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-LAST_LINES:])
        raise UserError(f"airflow {' '.join(arguments)} failed (exit code {done.returncode}):\n{said}")
    return done.stdout


def last_lines(log: Path) -> str:
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    return "\n".join([*text.splitlines()[-LAST_LINES:], f"(all of it: {log})"])


@contextlib.contextmanager
def signals_held() -> Iterator[None]:
    """Ctrl-C and SIGTERM wait until the end of the block: what is being ended is ended wholly."""
    wanted = {signal.SIGINT, signal.SIGTERM}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def wait_until(ready: Callable[[], bool], services: Services, otherwise: str, seconds: float = 180) -> None:
    """Waits for Airflow to get somewhere.

    Raises:
      UserError: a process ended meanwhile, or it took longer; `otherwise` begins the message.
    """
    end = time.monotonic() + seconds
    while not ready():
        services.check()
        if time.monotonic() > end:
            raise UserError(f"{otherwise} after {seconds:.0f} s; the logs: {services.log('scheduler').parent}")
        time.sleep(1)
