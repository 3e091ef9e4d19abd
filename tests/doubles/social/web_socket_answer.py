"""The server's side of one WebSocket, on the connection of an HTTP request, down to half a frame."""

from __future__ import annotations

import select
import socket
import struct

from websockets.frames import Frame, Opcode
from websockets.http11 import Request as HandshakeRequest
from websockets.server import ServerProtocol

from tests.doubles.social.double import Request


class ClientGone(Exception):
    """The client has closed the connection."""


class WebSocketAnswer:
    """For the thread that handles the request."""

    def __init__(self, request: Request, subprotocol: str | None = None) -> None:
        self._socket: socket.socket = request.handler.connection
        self._protocol = ServerProtocol()
        request.handler.close_connection = True
        lines = [request.handler.requestline, *(f"{name}: {value}" for name, value in request.headers.items()), "", ""]
        self._protocol.receive_data("\r\n".join(lines).encode())
        handshake = self._protocol.events_received()[0]
        assert isinstance(handshake, HandshakeRequest)
        response = self._protocol.accept(handshake)
        if subprotocol is not None:
            response.headers["Sec-WebSocket-Protocol"] = subprotocol
        self._protocol.send_response(response)
        self._flush()

    def send(self, message: str | bytes) -> None:
        if isinstance(message, str):
            self._protocol.send_text(message.encode())
        else:
            self._protocol.send_binary(message)
        self._flush()

    def send_half(self, message: str | bytes) -> None:
        """The beginning of a frame."""
        data = message.encode() if isinstance(message, str) else message
        opcode = Opcode.TEXT if isinstance(message, str) else Opcode.BINARY
        frame = Frame(opcode, data).serialize(mask=False)
        self._socket.sendall(frame[: max(1, len(frame) // 2)])

    def received(self, timeout_s: float = 0.0) -> list[bytes]:
        """The messages that the client has sent. Raises `ClientGone`."""
        readable, _, _ = select.select([self._socket], [], [], timeout_s)
        if not readable:
            return []
        try:
            data = self._socket.recv(64 * 1024)
        except OSError:
            raise ClientGone from None
        if not data:
            raise ClientGone
        self._protocol.receive_data(data)
        messages = []
        for frame in self._protocol.events_received():
            assert isinstance(frame, Frame)
            if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
                messages.append(bytes(frame.data))
            elif frame.opcode is Opcode.CLOSE:
                self._flush()
                raise ClientGone
        self._flush()
        return messages

    def close(self, code: int = 1000) -> None:
        """As the protocol has it."""
        self._protocol.send_close(code)
        self._flush()

    def reset(self) -> None:
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def stall(self) -> None:
        """Nothing is sent any more, not even answers to pings, until the client hangs up."""
        self._socket.settimeout(None)
        while self._socket.recv(4096):
            pass

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._socket.sendall(data)
