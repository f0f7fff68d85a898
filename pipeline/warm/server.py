"""The warm server: imports, then forks a keeper for each client. Started by pipeline/warm/client.py."""

import gc
import json
import os
import select
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import psutil

from pipeline.warm import wire
from pipeline.warm.identity import Order, code_digest
from pipeline.warm.keeper import PR_SET_CHILD_SUBREAPER, keep, prctl
from pipeline.warm.place import Place

LOOK_SECONDS = 30.0
JEMALLOC = "jemalloc_bg_thd"  # pyarrow's; its fork handlers stop it for the child


def main(order: Order) -> None:
    """Becomes a process of its own, imports, serves until there is nothing to do."""
    if os.fork():
        os._exit(0)  # so that no client, nor what has started it, is the server's parent
    sys.path[:] = order.path
    server = Server(order)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    try:
        _import(order.preload)
        problem = "the code has changed meanwhile" if code_digest(order.path) != order.code else unsound()
    except Exception:
        problem = traceback.format_exc()
    if problem:
        say(f"serves nobody: {problem}")
        server.refuse(problem)
    else:
        say(f"ready, with {len(sys.modules):,} modules")
        say(f"ends: {server.serve()}")
    os._exit(0)


def unsound() -> str:
    """Why this process must not be forked for work; empty where it may be."""
    if threading.active_count() > 1:
        return f"an import has started threads: {threading.enumerate()}"
    tasks = [task for task in Path("/proc/self/task").iterdir() if task.name != str(os.getpid())]
    names = [(task / "comm").read_text().strip() for task in tasks]
    if set(names) - {JEMALLOC}:
        return f"an import has started threads of a library: {', '.join(names)}"
    if "tensorflow" in sys.modules:
        context = import_module("tensorflow.python.eager.context").context_safe()
        if context is not None and context._initialized:
            return "an import has run a TensorFlow op"
    return ""


def say(line: str) -> None:
    """To the log, past all buffers; a disk that is full must not end the server."""
    with suppress(OSError):
        os.write(1, f"{time.strftime('%Y-%m-%d %H:%M:%S')} warm server {os.getpid()}: {line}\n".encode())


class Server:
    """Accepts, forks, reaps."""

    def __init__(self, order: Order):
        self._listener = socket.socket(fileno=order.listener)
        self._key, self._code, self._path = order.key, order.code, order.path
        self._idle_seconds = order.idle_seconds
        self._place = Place()
        self._inode = self._place.inode(order.key)
        self._awake, self._waker = socket.socketpair()
        for opened in (self._listener, self._awake, self._waker):
            opened.setblocking(False)
        self._keepers: set[int] = set()
        self._pid = os.getpid()

    def serve(self) -> str:
        """Until there was no work for the idle time, the code has changed, or SIGTERM; returns which."""
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        look_seconds = min(LOOK_SECONDS, self._idle_seconds / 4)
        idle_since = looked = time.monotonic()
        reason = ""
        while self._keepers or not reason:
            watched = [self._awake] if reason else [self._awake, self._listener]
            ready, _, _ = select.select(watched, [], [], look_seconds)
            now = time.monotonic()
            if self._awake in ready and signal.SIGTERM in self._awake.recv(64):
                reason = reason or self._retire("it was asked to")
                for keeper in self._keepers:
                    os.kill(keeper, signal.SIGTERM)
            if self._listener in ready and not reason:
                self._accept()
            self._reap()
            if self._keepers or ready:
                idle_since = now
            if not reason and now - looked >= look_seconds:
                looked = now
                if code_digest(self._path) != self._code:
                    reason = self._retire("the code has changed")
                elif now - idle_since >= self._idle_seconds:
                    reason = self._retire("there was no work")
        return reason

    def _retire(self, reason: str) -> str:
        """Takes no more clients, but those that were quicker; returns the reason."""
        self._hide()
        while self._accept():
            pass
        self._listener.close()
        return reason

    def refuse(self, problem: str) -> None:
        """Sends all clients away, who then do without a server."""
        self._hide()
        with suppress(OSError):
            while True:
                with self._listener.accept()[0] as connection:
                    wire.send(connection, {"refused": problem})

    def _hide(self) -> None:
        with self._place.locked():
            if self._place.inode(self._key) == self._inode:
                self._place.forget(self._key)

    def _accept(self) -> bool:
        try:
            connection, _ = self._listener.accept()
        except BlockingIOError:
            return False
        with connection:
            connection.setblocking(True)
            if wire.is_own(connection):
                self._fork(connection)
        return True

    def _fork(self, connection: socket.socket) -> None:
        try:
            pid = os.fork()
        except OSError as error:
            say(f"no process for a client: {error}")
            with suppress(OSError):
                wire.send(connection, {"refused": str(error)})
            return
        if pid:
            self._keepers.add(pid)
            return
        try:
            keep(connection, self._pid, self._close)
        except Exception:
            say(traceback.format_exc())
        finally:
            os._exit(0)

    def _close(self) -> None:
        for opened in (self._listener, self._awake, self._waker):
            opened.close()
        self._place.close()

    def _reap(self) -> None:
        """Keepers that have ended; any other child of the server has lost its keeper to a SIGKILL, and follows it."""
        with suppress(ChildProcessError):
            while pid := os.waitpid(-1, os.WNOHANG)[0]:
                self._keepers.discard(pid)
        for child in psutil.Process().children():
            if child.pid not in self._keepers:
                with suppress(psutil.Error):
                    child.kill()


def _import(modules: Sequence[str]) -> None:
    """With the garbage collector off, which finds nothing among modules and would touch pages that children share."""
    gc.disable()
    for module in modules:
        import_module(module)
    gc.freeze()
    gc.enable()
    with suppress(OSError):
        sys.stdout.flush()


if __name__ == "__main__":
    main(Order(**json.loads(sys.argv[1])))
