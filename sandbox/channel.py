"""Calls between the test's process and the candidate's, over one socket, with plain data only.

The judge asks for a name, calls it, and gets a value, an exception or a Remote (function, iterator, object that stays
where it is). The candidate may call back functions that the test passed as arguments. Arguments changed in place are
changed on the caller's side too. Nothing the candidate sends can be compared by the candidate's own code: a Remote
refuses comparison on the judging side.
"""

import builtins
import marshal
import socket
import struct
import types

from sandbox.decode import BadMessage, Decoder
from sandbox.encode import Encoder, Handle, UnsupportedValue

MESSAGE_BYTES = 64 << 20
_HEAD = struct.Struct(">I")


class CandidateGone(BaseException):
    """The other process died or broke the protocol; no `except Exception` of a test may swallow it."""


class Remote:
    """Something that lives in the other process."""

    def __init__(self, peer: "Peer", handle: Handle) -> None:
        self.__dict__.update(_peer=peer, _handle=handle)

    def __call__(self, *args, **kwargs):
        return self._peer.request(b"C", self._handle, (args, kwargs))

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return self._peer.request(b"A", self._handle, ((name,), {}))


class _Iterator:
    def __iter__(self):
        return self

    def __next__(self):
        return self._peer.request(b"X", self._handle, ((), {}))


class RemoteIterator(_Iterator, Remote):
    """An iterator or generator that lives in the other process."""


def _refuse(name: str):
    def method(self, *_):
        why = f"the test needs {name} of a {self._handle.type_name}, which is not plain data: only data is compared"
        if name in _VERDICTS:
            self._peer.refused = why
        raise UnsupportedValue(why)

    return method


# What a test decides by. One that swallows the refusal must not pass; `list` asks for __len__ and goes on without.
_VERDICTS = "__eq__ __ne__ __lt__ __le__ __gt__ __ge__ __bool__ __contains__".split()
_JUDGED = {
    name: _refuse(name)
    for name in (
        "__eq__ __ne__ __lt__ __le__ __gt__ __ge__ __bool__ __hash__ __len__ __contains__ __getitem__ __setitem__"
        " __add__ __radd__ __sub__ __rsub__ __mul__ __rmul__ __float__ __int__ __index__ __abs__ __round__"
    ).split()
}
JudgedRemote = type("JudgedRemote", (Remote,), dict(_JUDGED))
JudgedRemoteIterator = type("JudgedRemoteIterator", (_Iterator, JudgedRemote), {"__hash__": object.__hash__})


class Peer:
    """One end of the channel. side: "o" on the judging side (oracle), "c" on the candidate's."""

    def __init__(self, sock: socket.socket, side: str, namespace: dict | None = None) -> None:
        self.sock, self.side, self.namespace = sock, side, namespace or {}
        self.ahead = b""
        self.exports: list[object] = []
        self.broken: str | None = None
        self.refused: str | None = None  # a comparison that something other than data was asked for
        self.raised: BaseException | None = None  # last exception that came from the other side

    # -- bytes -----------------------------------------------------------------------------------------------------

    def _fail(self, reason: str):
        self.broken = self.broken or reason
        raise CandidateGone(reason)

    def _send(self, *parts: bytes) -> None:
        raw = b"".join(parts)
        try:
            self.sock.sendall(_HEAD.pack(len(raw)) + raw)
        except OSError:
            self._fail("gone")

    def receive(self) -> bytes:
        """The next message; raises CandidateGone."""
        while len(self.ahead) < 4:
            self.ahead += self._piece(1 << 16)
        size = _HEAD.unpack_from(self.ahead)[0]
        if not 0 < size <= MESSAGE_BYTES:
            self._fail("too much data")
        end = size + 4
        if len(self.ahead) < end:
            pieces, missing = [self.ahead], end - len(self.ahead)
            while missing > 0:
                pieces.append(self._piece(1 << 20))
                missing -= len(pieces[-1])
            self.ahead = b"".join(pieces)
        found, self.ahead = self.ahead[4:end], self.ahead[end:]
        return found

    def _piece(self, most: int) -> bytes:
        try:
            piece = self.sock.recv(most)
        except OSError:
            piece = b""
        return piece or self._fail("gone")

    # -- values ----------------------------------------------------------------------------------------------------

    def _export(self, value: object) -> Handle | None:
        if isinstance(value, Remote):
            return value.__dict__["_handle"]
        kind = "i" if hasattr(type(value), "__next__") else "f" if callable(value) else "o"
        if kind == "o" and self.side == "o":
            return None
        self.exports.append(value)
        return Handle(kind, len(self.exports) - 1, type(value).__name__, self.side)

    def _import(self, handle: Handle) -> object:
        if handle.owner == self.side:
            return self.exports[handle.number]
        if self.side == "o":
            return (JudgedRemoteIterator if handle.kind == "i" else JudgedRemote)(self, handle)
        return (RemoteIterator if handle.kind == "i" else Remote)(self, handle)

    # -- asking ----------------------------------------------------------------------------------------------------

    def name(self, name: str) -> object:
        """What the candidate's module (or an expression over it) holds; raises NameError and the like."""
        return self.request(b"G", Handle("f", 0, "", "c"), ((name,), {}))

    def request(self, operation: bytes, handle: Handle, arguments: tuple) -> object:
        """Sends one request, serves callbacks while it waits, returns or raises the answer.

        Raises UnsupportedValue for arguments that are not plain data, CandidateGone when nobody answers properly.
        """
        encoder = self.send_request(operation, handle.number, arguments)
        while True:
            raw = self.receive()
            if raw[:1] not in (b"V", b"E"):
                self.answer(raw)
                continue
            try:
                return self.result(raw, encoder.containers)
            except StopIteration as error:
                if operation == b"X":
                    raise
                # As Python has it for generators: `all(map(...))` of a test would take it for the end of its cases.
                self.raised = RuntimeError(f"the candidate raised {type(error).__name__}")
                raise self.raised from None
            except BadMessage as error:
                self._fail(f"broken protocol: {error}")

    def send_request(self, operation: bytes, number: int, arguments: tuple) -> Encoder:
        """Sends one request; returns what encoded it, which knows the mutable arguments."""
        encoder = Encoder(self._export)
        encoder.value(arguments)
        self._send(operation, _HEAD.pack(number), *encoder.out)
        return encoder

    def result(self, raw: bytes, containers: list) -> object:
        decoder = Decoder(raw[1:], self._import, containers)
        value = decoder.value()
        if raw[:1] == b"E":
            self.raised = _rebuild(value)
            raise self.raised
        if not decoder.finished():
            _put_back(containers, decoder.value())
        return value

    # -- answering -------------------------------------------------------------------------------------------------

    def serve(self) -> None:
        """Answers until the other side goes away."""
        try:
            while True:
                self.answer(self.receive())
        except CandidateGone:
            return

    def answer(self, raw: bytes) -> None:
        decoder = Decoder(raw[5:], self._import)
        try:
            target = None if raw[:1] == b"G" else self.exports[_HEAD.unpack(raw[1:5])[0]]
            args, kwargs = decoder.value()
        except (BadMessage, LookupError, ValueError, TypeError, struct.error) as error:
            self._fail(f"broken protocol: {error}")
        given = list(decoder.containers)
        may_change = len(given) > 1  # one is kwargs, which Python copies for the callee
        before = _print_of(args, kwargs) if may_change else None
        try:
            value = self._do(raw[:1], target, args, kwargs)
            encoder = Encoder(self._export, given)
            encoder.value(value)
            if may_change and (before is None or _print_of(args, kwargs) != before):
                encoder.value([_contents(container) for container in given])
            reply = (b"V", *encoder.out)
        except CandidateGone:
            raise
        except BaseException as error:
            reply = (b"E", *_describe(error))
        if sum(map(len, reply)) > MESSAGE_BYTES:
            reply = (b"E", *_describe(UnsupportedValue(f"more than {MESSAGE_BYTES >> 20} MiB of data do not cross")))
        self._send(*reply)

    def _do(self, operation: bytes, target: object, args: tuple, kwargs: dict) -> object:
        if operation == b"C":
            return target(*args, **kwargs)
        if operation == b"X":
            return next(target)
        if self.side == "o":  # the candidate may call what the test handed out, never look around here
            raise UnsupportedValue("not offered")
        if operation == b"A":
            return getattr(target, args[0])
        return eval(args[0], self.namespace)


def _print_of(args: tuple, kwargs: dict) -> bytes | None:
    """Bytes that differ when arguments were changed in place (and sometimes when not); None for what has none."""
    try:
        return marshal.dumps((args, kwargs))
    except ValueError:  # something else than plain built-in data
        return None


def _contents(container: object) -> object:
    """A container's items as immutable or fresh data."""
    if isinstance(container, dict):
        return list(container.items())
    return bytes(container) if isinstance(container, bytearray) else list(container)


def _put_back(containers: list, states: object) -> None:
    """Gives the caller's containers the contents that the callee left in its copies."""
    if type(states) is not list or len(states) < len(containers):
        raise BadMessage("bad argument states")
    try:
        for container, state in zip(containers, states, strict=False):
            if isinstance(container, list | bytearray):
                container[:] = state
            else:
                container.clear()
                (container.extend if hasattr(container, "extend") else container.update)(state)
    except (TypeError, ValueError) as error:
        raise BadMessage(f"bad argument states: {error}") from None


def _describe(error: BaseException) -> list[bytes]:
    """An exception as data: its name, its nearest built-in class, its arguments or its text."""
    kind = type(error)
    base = next((c.__name__ for c in kind.__mro__ if getattr(builtins, c.__name__, None) is c), "Exception")
    for arguments in (lambda: tuple(error.args), lambda: (str(error)[:2000],), lambda: ()):
        try:
            encoder = Encoder()
            encoder.value((str(kind.__name__)[:200], base, arguments()))
            return encoder.out
        except BaseException:  # hostile: `args` and `__str__` run the candidate's code, and may say anything
            continue
    return [b"t", b"-", _HEAD.pack(0)]


def _rebuild(value: object) -> Exception:
    """An exception to raise here. Only Exception classes: a candidate's SystemExit must not end the test."""
    if type(value) is not tuple or len(value) != 3 or type(value[0]) is not str or type(value[2]) is not tuple:
        raise BadMessage("bad exception")
    name, base, arguments = value[0][:100], value[1], value[2]
    kind = getattr(builtins, base, None) if type(base) is str else None
    if not (isinstance(kind, type) and issubclass(kind, Exception)):
        kind = Exception
    named = name if name.isidentifier() else "CandidateError"
    for own in kind.__mro__:
        try:
            return (own if named == own.__name__ else types.new_class(named, (own,)))(*arguments)
        except Exception:  # its arguments are not what UnicodeDecodeError, say, is made of: the class above then
            if own is Exception:
                break
    return RuntimeError(f"{name}: {arguments!r}"[:2000])
