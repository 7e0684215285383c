"""A bad network: a TCP proxy on loopback that cuts every connection when it is told to."""

import socket
import struct
import threading

CHUNK_BYTES = 64 * 1024
# Closing with this sends RST: both ends see the connection break, not end.
RESET = struct.pack("ii", 1, 0)


class CuttingProxy:
    """Passes bytes on between whoever connects to `address` and the target, HOST:PORT."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        # How many connections it has taken, and how often it has cut those that stood.
        self.connections = 0
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "CuttingProxy":
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self._reset_all()

    def cut(self) -> None:
        """Breaks every connection that stands. New ones are taken."""
        if self._reset_all() == 0:
            raise RuntimeError("no connection stands, so none can be cut")
        self.cuts += 1

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self._target)
            except OSError:
                near.close()
                continue
            with self._lock:
                self.connections += 1
                self._open += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pass_on, args=(source, sink), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while chunk := source.recv(CHUNK_BYTES):
                sink.sendall(chunk)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            # Cut, or gone at one end: then it is gone at the other.
            self._reset([source, sink])

    def _reset_all(self) -> int:
        with self._lock:
            standing, self._open = self._open, []
        return self._reset(standing)

    @staticmethod
    def _reset(sockets: list[socket.socket]) -> int:
        """How many of them stood."""
        stood = 0
        for one in sockets:
            try:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                one.shutdown(socket.SHUT_RDWR)
                stood += 1
            except OSError:
                pass
            one.close()
        return stood
