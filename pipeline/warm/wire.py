"""What client and keeper say to each other: JSON behind its length, the first message with file descriptors."""

import json
import os
import socket
import struct
from collections.abc import Sequence
from typing import Any

_LENGTH = struct.Struct("!I")
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


def send(connection: socket.socket, message: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
    """Sends one message; the other end gets copies of `descriptors`.

    Raises:
      OSError: the other end is gone.
    """
    body = json.dumps(message).encode("ascii")
    if descriptors:
        socket.send_fds(connection, [_LENGTH.pack(len(body))], list(descriptors))
        connection.sendall(body)
    else:
        connection.sendall(_LENGTH.pack(len(body)) + body)


def receive(connection: socket.socket) -> dict[str, Any] | None:
    """The next message; None where the other end is gone, or goes before the message is whole."""
    return _body(connection, _exactly(connection, _LENGTH.size))


def receive_with_descriptors(connection: socket.socket, count: int) -> tuple[dict[str, Any] | None, list[int]]:
    """The next message and the descriptors that came with it: `count` of them, or none and no message.

    Raises:
      OSError: the other end is gone.
    """
    length, descriptors, _, _ = socket.recv_fds(connection, _LENGTH.size, count)
    message = _body(connection, length + _exactly(connection, _LENGTH.size - len(length)) if length else b"")
    if message is None or len(descriptors) != count:
        for descriptor in descriptors:
            os.close(descriptor)
        return None, []
    return message, descriptors


def is_own(connection: socket.socket) -> bool:
    """Whether the other end is of this user: by the kernel's word (SO_PEERCRED), whatever the folder's mode is."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return bool(_CREDENTIALS.unpack(credentials)[1] == os.getuid())


def _body(connection: socket.socket, length: bytes) -> dict[str, Any] | None:
    if len(length) < _LENGTH.size:
        return None
    size = _LENGTH.unpack(length)[0]
    body = _exactly(connection, size)
    return json.loads(body) if len(body) == size else None


def _exactly(connection: socket.socket, size: int) -> bytes:
    """`size` bytes, fewer where the other end is gone before."""
    read = b""
    while len(read) < size:
        try:
            part = connection.recv(size - len(read))
        except ConnectionError:
            break
        if not part:
            break
        read += part
    return read
