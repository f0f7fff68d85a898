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
from pipeline.local_airflow.environment import Place

# Alerts of late runs go by the executor: no triggerer is needed. Logs are read from the folder: none are served.
COMMANDS = {
    "api-server": ("api-server",),
    "scheduler": ("scheduler", "--skip-serve-logs"),
    "dag-processor": ("dag-processor",),
}
PATIENCE = 15.0
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
            all_of_them = self._descendants()  # tasks among them: the scheduler would wait for their ends
            for process in self._processes.values():
                process.terminate()
            for started in all_of_them:
                with contextlib.suppress(psutil.NoSuchProcess):
                    started.terminate()
            end = time.monotonic() + PATIENCE
            psutil.wait_procs(all_of_them, timeout=PATIENCE)
            for process in self._processes.values():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, end - time.monotonic()))
            for left in {*all_of_them, *self._descendants()}:
                with contextlib.suppress(psutil.NoSuchProcess):
                    left.kill()
            for process in self._processes.values():
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    def _descendants(self) -> list[psutil.Process]:
        found: list[psutil.Process] = []
        for process in self._processes.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                found += psutil.Process(process.pid).children(recursive=True)
        return found

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
