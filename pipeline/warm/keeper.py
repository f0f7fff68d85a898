"""One client's process in the server: forks the child, hands signals on, and leaves nothing of it running."""

import ctypes
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import psutil

from pipeline.warm import wire
from pipeline.warm.child import run_child

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
SERVER_DIED = signal.SIGUSR1
REQUEST_SECONDS = 10.0
WATCHED = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, SERVER_DIED)
# As a terminal does it: to the whole group. What a scheduler or a person sends goes to the one process.
TO_THE_GROUP = (signal.SIGINT, signal.SIGQUIT, signal.SIGSTOP, signal.SIGCONT)
# A process in the kernel's hands (a hung file system) can't be waited for.
SWEEP_SECONDS = 5.0


def prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def keep(connection: socket.socket, server: int, close: Callable[[], None]) -> None:
    """Runs what the client asks for, from request to exit code; returns when all of it has ended.

    Args:
      server: process id of the server, this process's parent.
      close: closes what the server has open; while a keeper had it, clients would wait for a server that is dead.
    """
    awake, waker = socket.socketpair()
    for end in (awake, waker):
        end.setblocking(False)
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
    for number in WATCHED:
        signal.signal(number, lambda *_: None)
    close()
    prctl(PR_SET_PDEATHSIG, SERVER_DIED)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    if os.getppid() != server:
        return
    connection.settimeout(REQUEST_SECONDS)
    try:
        wire.send(connection, {"ready": os.getpid()})
        request, streams = wire.receive_with_descriptors(connection, 3)
    except OSError:
        return  # it only looked whether somebody listens
    connection.settimeout(None)
    if request is None:
        return
    keeper = os.getpid()
    child = os.fork()
    if child == 0:
        try:
            _in_the_child(keeper)
            for opened in (awake, waker, connection):
                opened.close()
            run_child(request, streams)
        finally:
            os._exit(1)
    for stream in streams:
        os.close(stream)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)
    _Watch(connection, awake, child, float(request["grace_seconds"])).until_the_end()


def _in_the_child(keeper: int) -> None:
    signal.set_wakeup_fd(-1)
    for number in WATCHED:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.setsid()
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != keeper:
        os._exit(1)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)


class _Watch:
    """Client, child and clock, watched together."""

    def __init__(self, connection: socket.socket, awake: socket.socket, child: int, grace_seconds: float):
        self._connection, self._awake, self._child = connection, awake, child
        self._grace_seconds = grace_seconds
        self._deadline: float | None = None
        self._terminated = False

    def until_the_end(self) -> None:
        with suppress(OSError):
            wire.send(self._connection, {"begun": self._child})
        while (status := self._status()) is None:
            left = None if self._deadline is None else max(0.0, self._deadline - time.monotonic())
            ready, _, _ = select.select([self._connection, self._awake], [], [], left)
            if left == 0.0:
                os.kill(self._child, signal.SIGKILL)
                self._deadline = None
            if self._awake in ready:
                self._signals(self._awake.recv(64))
            if self._connection in ready:
                self._message(wire.receive(self._connection))
        end_descendants()
        with suppress(OSError):
            wire.send(self._connection, {"exit": self._exit_code(status)})

    def _status(self) -> int | None:
        """The child's wait status where it has ended. Whatever has become this process's child by an orphan's way is
        reaped with it."""
        with suppress(ChildProcessError):
            while (reaped := os.waitpid(-1, os.WNOHANG))[0]:
                if reaped[0] == self._child:
                    return reaped[1]
        return None

    def _signals(self, numbers: bytes) -> None:
        if SERVER_DIED in numbers:
            self._abandon()
        elif signal.SIGTERM in numbers:  # the server's: it is asked to end
            self._hand_on(signal.SIGTERM)

    def _message(self, message: dict[str, Any] | None) -> None:
        if message is None:
            self._abandon()
        else:
            self._hand_on(int(message["signal"]))

    def _hand_on(self, number: int) -> None:
        if number == signal.SIGTERM and self._deadline is None:
            self._terminated = True
            self._deadline = time.monotonic() + self._grace_seconds
        with suppress(ProcessLookupError):
            (os.killpg if number in TO_THE_GROUP else os.kill)(self._child, number)

    def _abandon(self) -> None:
        """The client or the server is gone: nobody waits for an exit code any more."""
        end_descendants()
        os._exit(0)

    def _exit_code(self, status: int) -> int:
        if os.WIFSIGNALED(status):
            return 128 + (signal.SIGTERM if self._terminated else os.WTERMSIG(status))
        return os.WEXITSTATUS(status)


def end_descendants() -> None:
    """Kills all that this process, or what it has started, has started: orphans come to it, who is their reaper."""
    until = time.monotonic() + SWEEP_SECONDS
    while time.monotonic() < until:
        _kill(psutil.Process().children(recursive=True))
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.005)


def _kill(processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        with suppress(psutil.Error):
            process.kill()
