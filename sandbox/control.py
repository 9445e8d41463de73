"""Messages between the host and a fork server: a length, plain data, and at most two descriptors."""

import os
import socket
import struct
from collections.abc import Sequence

from sandbox.decode import BadMessage, decode
from sandbox.encode import encode

_HEAD = struct.Struct(">I")


def send(sock: socket.socket, message: dict, descriptors: Sequence[int] = ()) -> None:
    """Sends one message; raises OSError when the other side is gone."""
    raw = encode(message)
    socket.send_fds(sock, [_HEAD.pack(len(raw))], list(descriptors))
    sock.sendall(raw)


def memory_file(content: bytes) -> int:
    """Descriptor of an anonymous file, at its start. Made by the host: inside a room memfd_create is refused, since
    its pages escape every limit on memory."""
    descriptor = os.memfd_create("stdin")
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def send_job(sock: socket.socket, job: dict, stdin: bytes, channel: socket.socket | None = None) -> None:
    """Sends a job with its standard input (always the first descriptor) and its channel; raises OSError."""
    descriptor = memory_file(stdin) if stdin else os.open("/dev/null", os.O_RDONLY)
    try:
        send(sock, job, [descriptor, *([channel.fileno()] if channel else [])])
    finally:
        os.close(descriptor)


def receive(sock: socket.socket) -> tuple[dict | None, list[int]]:
    """Next message and its descriptors; (None, []) when the other side is gone. Raises TimeoutError."""
    try:
        head, descriptors, _, _ = socket.recv_fds(sock, _HEAD.size, 2)
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
