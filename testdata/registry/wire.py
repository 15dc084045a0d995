"""HTTP/1 and a little of HTTP/2 by bare sockets: what no proper client would send.

Used by attacks.py and kills.py.
"""

import hashlib
import json
import os
import select
import socket
import struct

IMAGE = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


class Failed(Exception):
    """What ends a check, in words."""


def expect(true, why):
    if not true:
        raise Failed(why)


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def header(self, name):
        return next((value for key, value in self.headers if key == name.lower()), None)

    def code(self):
        """The first error code of the specification's JSON body."""
        try:
            return json.loads(self.body)["errors"][0]["code"]
        except (ValueError, KeyError, IndexError, TypeError):
            return None

    def __repr__(self):
        return f"{self.status} {self.body[:200]!r}"


class Connection:
    """One connection, to host:port."""

    def __init__(self, at, timeout=20):
        host, port = at.rsplit(":", 1)
        self.host = at
        self.socket = socket.create_connection((host, int(port)), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def line(self):
        while b"\n" not in self.buffer:
            more = self.socket.recv(65536)
            if not more:
                raise EOFError
            self.buffer += more
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.rstrip(b"\r")

    def exactly(self, count):
        while len(self.buffer) < count:
            more = self.socket.recv(1 << 20)
            if not more:
                raise EOFError
            self.buffer += more
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def answer(self, head=False):
        """The next final answer."""
        while True:
            line = self.line().split(b" ", 2)
            expect(line[0].startswith(b"HTTP/1."), f"no HTTP: {line!r}")
            status, headers = int(line[1]), []
            while line := self.line():
                name, _, value = line.partition(b":")
                headers.append((name.decode("latin1").lower(), value.strip().decode("latin1")))
            if status >= 200:
                break
        answer = Answer(status, headers, b"")
        if head or status in (204, 304):
            return answer
        if (answer.header("transfer-encoding") or "").lower() == "chunked":
            while size := int(self.line().split(b";")[0], 16):
                answer.body += self.exactly(size)
                self.line()
            while self.line():
                pass
        else:
            answer.body = self.exactly(int(answer.header("content-length") or 0))
        return answer

    def ask(self, method, path, headers=None, body=None):
        """A well-formed request but for whatever PATH and HEADERS hold."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n")
        # Whoever is told no in the middle of a body hears it, even if nobody listens to him any more.
        try:
            for start in range(0, len(body or b""), 1 << 16):
                if select.select([self.socket], [], [], 0)[0]:
                    break
                self.send(body[start:start + (1 << 16)])
        except OSError:
            pass
        return self.answer(method == "HEAD")

    def silent(self, seconds):
        """Whether the server closes within SECONDS; what it says before is kept."""
        self.socket.settimeout(seconds)
        try:
            while more := self.socket.recv(65536):
                self.buffer += more
            return True
        except ConnectionResetError:
            return True
        except (TimeoutError, socket.timeout):
            return False


def ask(at, method, path, headers=None, body=None, timeout=20):
    """One request on a connection of its own."""
    connection = Connection(at, timeout)
    try:
        return connection.ask(method, path, headers, body)
    finally:
        connection.close()


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def push_blob(at, repository, data, headers=None):
    answer = ask(at, "POST", f"/v2/{repository}/blobs/uploads/?digest={sha256(data)}",
                 {"Content-Type": "application/octet-stream", **(headers or {})}, data)
    expect(answer.status == 201, f"a blob is not taken: {answer}")
    return sha256(data)


def descriptor(kind, data):
    return {"mediaType": kind, "digest": sha256(data), "size": len(data)}


def manifest(config=b"{}", layers=(), **more):
    """The bytes of an image manifest."""
    return json.dumps({
        "schemaVersion": 2,
        "mediaType": IMAGE,
        "config": descriptor("application/vnd.oci.image.config.v1+json", config),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", layer) for layer in layers],
        **more,
    }).encode()


def put_manifest(at, repository, reference, data, kind=IMAGE, headers=None):
    return ask(at, "PUT", f"/v2/{repository}/manifests/{reference}", {"Content-Type": kind, **(headers or {})}, data)


def anonymous_memory(pid):
    """RssAnon of a process, in MiB."""
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1024


def random_bytes(count):
    return os.urandom(count)


# --- HTTP/2 -------------------------------------------------------------------------------------------

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, CONTINUATION = 0, 1, 3, 4, 6, 7, 9


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def request_fields(path=b"/v2/", authority=b"localhost"):
    """GET by the static table of HPACK, nothing indexed anew."""
    def literal(index, value):
        return bytes([index]) + bytes([len(value)]) + value
    return b"\x82\x86" + literal(0x04, path) + literal(0x01, authority)


class Multiplexed(Connection):
    """An HTTP/2 connection with prior knowledge."""

    def __init__(self, at, timeout=20):
        super().__init__(at, timeout)
        self.send(PREFACE + frame(SETTINGS, 0, 0))

    def next(self):
        head = self.exactly(9)
        length = struct.unpack(">I", b"\0" + head[:3])[0]
        return head[3], head[4], struct.unpack(">I", head[5:])[0] & 0x7FFFFFFF, self.exactly(length)

    def frames(self, seconds):
        """All frames until the server closes or is silent for SECONDS."""
        self.socket.settimeout(seconds)
        seen = []
        try:
            while True:
                seen.append(self.next())
        except (EOFError, ConnectionError, TimeoutError, socket.timeout):
            return seen
