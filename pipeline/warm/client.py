"""The front of a node's process: has a function run by the warm server. Imports nothing heavy, takes 0.1 s."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any

from pipeline.warm import wire
from pipeline.warm.identity import ROOT, Order, code_digest, search_path, server_key
from pipeline.warm.place import Place, Unsafe

PRELOAD = ("pipeline.warm.preload",)
# More than what pipeline.signals gives a training for its checkpoint. A scheduler that waits less ends it all itself.
GRACE_SECONDS = 90.0
ATTEMPTS = 3
HANDED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


class Unavailable(Exception):
    """There is no warm server to be had, and why."""


def run_warm(
    function: str,
    arguments: dict[str, Any],
    *,
    minutes: float,
    log: Path,
    preload: Sequence[str] = PRELOAD,
    grace_seconds: float = GRACE_SECONDS,
) -> int:
    """Calls a function in a process forked from the warm server, with this process's environment, folder and streams.

    What this process is sent, SIGTERM among it, is handed on; when it ends, the function's process and all that this
    has started end, too. Where no server can be had, the function is called here, after a line on stderr.

    Args:
      function: `module:name`; it returns an exit code, and has told the user what is wrong.
      arguments: its keyword arguments; JSON must be able to hold them.
      minutes: how long a server that this call starts stays without work; 0 calls the function here.
      log: where such a server writes to.
      preload: modules that it imports.
      grace_seconds: from SIGTERM to SIGKILL.

    Returns:
      The function's exit code, 128 and the signal's number where it was ended by one.

    Raises:
      RunFailed: the server was killed while the function ran, and the function's process with it.
    """
    streams = [_stream(number) for number in range(3)]
    if minutes > 0:
        try:
            connection = _connection(minutes, log, preload)
        except Unavailable as problem:
            print(f"no warm process to be had, TensorFlow is loaded here: {problem}", file=sys.stderr, flush=True)
        else:
            with connection:
                return _Conversation(connection).run(_request(function, arguments, grace_seconds), streams)
    module, _, name = function.partition(":")
    return int(getattr(import_module(module), name)(**arguments))


def _connection(minutes: float, log: Path, preload: Sequence[str]) -> socket.socket:
    """To a server that is ready: one that runs, or a new one.

    Raises:
      Unavailable: with the reason.
    """
    try:
        place = Place()
        try:
            code = code_digest(search_path())
            key = server_key(code, preload)
            for _ in range(ATTEMPTS):
                connection = place.connect(key) or _started(place, key, code, minutes, log, preload)
                # A server that has not finished its imports keeps clients waiting; one that fails ends the connection.
                greeting = wire.receive(connection) if wire.is_own(connection) else None
                if greeting and "ready" in greeting:
                    return connection
                connection.close()
                if greeting:
                    raise Unavailable(str(greeting["refused"]))
        finally:
            place.close()
    except (OSError, subprocess.SubprocessError, Unsafe) as error:
        raise Unavailable(str(error)) from error
    raise Unavailable(f"it ended before it could take work; {log} has the reason")


def _started(place: Place, key: str, code: str, minutes: float, log: Path, preload: Sequence[str]) -> socket.socket:
    """A connection to a server that is starting: this process's own, or that of one who was quicker."""
    with place.locked():
        connection = place.connect(key)
        if connection:
            return connection
        place.sweep()
        with place.listen(key) as listener:
            interpreter = [sys.executable, *subprocess._args_from_interpreter_flags(), "-P"]  # type: ignore[attr-defined]
            order = Order(listener.fileno(), key, code, minutes * 60, search_path(), list(preload))
            environment = {
                **os.environ,
                "PYTHONPATH": str(ROOT),  # the order has the search path
                # Its threads, started at import, would have to survive a fork: scipy's OpenBLAS 0.3.30 hangs
                # after one in some functions (OpenMathLib/OpenBLAS pull request 5556).
                "OPENBLAS_NUM_THREADS": "1",
            }
            with _appending(log) as output:
                subprocess.run(
                    [*interpreter, "-m", "pipeline.warm.server", json.dumps(asdict(order))],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    cwd="/",
                    env=environment,
                    pass_fds=[listener.fileno()],
                    start_new_session=True,  # not the terminal's, nor of the group that a scheduler kills
                    check=True,
                )
        connection = place.connect(key)
    if not connection:
        raise Unavailable("it ended at once")
    return connection


def _appending(log: Path) -> Any:
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        return open(log, "ab")
    except OSError:
        return open(os.devnull, "ab")


def _request(function: str, arguments: dict[str, Any], grace_seconds: float) -> dict[str, Any]:
    umask = os.umask(0o077)
    os.umask(umask)
    return {
        "function": function,
        "arguments": arguments,
        "argv": sys.argv,
        "folder": os.getcwd(),
        "environment": dict(os.environ),
        "umask": umask,
        "ignored": [number for number in HANDED_ON if signal.getsignal(number) is signal.SIG_IGN],
        "grace_seconds": grace_seconds,
    }


class _Conversation:
    """From the request to the exit code; signals are handed on in between."""

    def __init__(self, connection: socket.socket):
        self._connection = connection
        self._begun = False

    def run(self, request: dict[str, Any], streams: Sequence[int]) -> int:
        sys.stdout.flush()
        sys.stderr.flush()
        before = {number: signal.getsignal(number) for number in (*HANDED_ON, signal.SIGTSTP)}
        try:
            for number, handler in before.items():
                if handler is not signal.SIG_IGN:
                    signal.signal(number, self._stop if number == signal.SIGTSTP else self._hand_on)
            with suppress(OSError):  # what came of it is asked below
                wire.send(self._connection, request, streams)
            return self._end()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _end(self) -> int:
        while message := wire.receive(self._connection):
            if "exit" in message:
                return int(message["exit"])
            self._begun = True
        from pipeline.run import RunFailed

        raise RunFailed("the warm server was killed, and what it ran with it; the same command starts another")

    def _hand_on(self, number: int, _: FrameType | None) -> None:
        if not self._begun:
            raise SystemExit(128 + number)  # the keeper sees the connection's end
        with suppress(OSError):
            wire.send(self._connection, {"signal": number})

    def _stop(self, *_: object) -> None:
        """Ctrl-Z: stops both, and lets both go on when this process is told to."""
        with suppress(OSError):
            wire.send(self._connection, {"signal": int(signal.SIGSTOP)})
        os.kill(os.getpid(), signal.SIGSTOP)
        with suppress(OSError):
            wire.send(self._connection, {"signal": int(signal.SIGCONT)})


def _stream(number: int) -> int:
    """The descriptor, or one that leads nowhere where it is closed."""
    try:
        os.fstat(number)
    except OSError:
        return os.open(os.devnull, os.O_RDWR)
    return number
