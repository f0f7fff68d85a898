"""Where servers are found: sockets in a folder of this user's alone, one name a server, one starter at a time."""

import fcntl
import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SUFFIX = ".sock"
BACKLOG = 128


class Unsafe(Exception):
    """The folder for the sockets is not this user's alone."""


class Place:
    """The folder, open: names in it are reached through its descriptor, so that they may be as long as they like."""

    def __init__(self) -> None:
        """Opens the folder, makes it where it is not there.

        Raises:
          Unsafe: it is somebody else's, or open to others.
          OSError: it can't be made.
        """
        path = Path(tempfile.gettempdir()) / f"tfx-bert-{os.getuid()}"
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
        try:
            self.descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except NotADirectoryError as error:
            raise Unsafe(f"{path} is not a folder") from error
        found = os.fstat(self.descriptor)
        if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
            self.close()
            raise Unsafe(f"{path} must be yours and closed to others (chmod 700)")

    def close(self) -> None:
        os.close(self.descriptor)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Alone among those who start or end servers: none of that takes longer than starting an interpreter."""
        lock = os.open("lock", os.O_RDWR | os.O_CREAT, 0o600, dir_fd=self.descriptor)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def connect(self, key: str) -> socket.socket | None:
        """A connection to the server of that key; None where none listens."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(self._path(key + SUFFIX))
        except (FileNotFoundError, ConnectionRefusedError):
            connection.close()
            return None
        return connection

    def listen(self, key: str) -> socket.socket:
        """A socket that listens under that key; what listened there before is replaced."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        aside = f"{key}.{os.getpid()}"
        with suppress(FileNotFoundError):
            os.unlink(aside, dir_fd=self.descriptor)
        listener.bind(self._path(aside))
        listener.listen(BACKLOG)
        os.rename(aside, key + SUFFIX, src_dir_fd=self.descriptor, dst_dir_fd=self.descriptor)
        return listener

    def inode(self, key: str) -> int | None:
        """Tells one socket of that key from the next."""
        try:
            return os.stat(key + SUFFIX, dir_fd=self.descriptor, follow_symlinks=False).st_ino
        except FileNotFoundError:
            return None

    def forget(self, key: str) -> None:
        with suppress(FileNotFoundError):
            os.unlink(key + SUFFIX, dir_fd=self.descriptor)

    def sweep(self) -> None:
        """Forgets the sockets of servers that were killed."""
        for name in os.listdir(self.descriptor):
            if name.endswith(SUFFIX):
                key = name.removesuffix(SUFFIX)
                connection = self.connect(key)
                if connection:
                    connection.close()
                else:
                    self.forget(key)

    def _path(self, name: str) -> str:
        return f"/proc/self/fd/{self.descriptor}/{name}"
