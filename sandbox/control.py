"""Messages between the host and a fork server: a length, plain data, and at most one descriptor."""

import os
import socket
import struct

from sandbox.decode import BadMessage, decode
from sandbox.encode import encode

_HEAD = struct.Struct(">I")


def send(sock: socket.socket, message: dict, descriptor: int | None = None) -> None:
    """Sends one message; raises OSError when the other side is gone."""
    raw = encode(message)
    socket.send_fds(sock, [_HEAD.pack(len(raw))], [] if descriptor is None else [descriptor])
    sock.sendall(raw)


def receive(sock: socket.socket) -> tuple[dict | None, list[int]]:
    """Next message and its descriptors; (None, []) when the other side is gone. Raises TimeoutError."""
    try:
        head, descriptors, _, _ = socket.recv_fds(sock, _HEAD.size, 1)
        while head and len(head) < _HEAD.size:
            head += sock.recv(_HEAD.size - len(head)) or b"\0" * _HEAD.size
        missing = _HEAD.unpack(head[: _HEAD.size])[0] if head else 0
        pieces = []
        while missing:
            piece = sock.recv(min(missing, 1 << 20))
            if not piece:
                break
            pieces.append(piece)
            missing -= len(piece)
        message = decode(b"".join(pieces)) if pieces and not missing else None
    except (ConnectionError, BadMessage):
        return None, []
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return message, descriptors
