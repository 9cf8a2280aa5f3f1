"""The figures of the agent: processes, files of a gigabyte, many small ones, many streams, watching."""
import http.client
import io
import json
import pathlib
import selectors
import socket
import struct
import tarfile
import threading
import time

GIB = 1 << 30
PIECE = bytearray(1 << 20)


class Sandbox:
    """Requests to one sandbox through the edge."""

    def __init__(self, api, edge_port):
        self.api, self.port, self.made = api, edge_port, api.create()
        self.fields = {"E2b-Sandbox-Id": self.made["sandboxID"], "E2b-Sandbox-Port": "49983",
                       "X-Access-Token": self.made.get("envdAccessToken") or ""}
        self.conn = http.client.HTTPConnection("127.0.0.1", edge_port, timeout=120)

    def call(self, method, path, body=None, **fields):
        self.conn.request(method, path, body, self.fields | {k.replace("_", "-"): v for k, v in fields.items()})
        r = self.conn.getresponse()
        data = r.read()
        if r.status >= 300:
            raise RuntimeError(f"{method} {path}: {r.status} {data[:200]!r}")
        return data

    def rpc(self, method, message):
        return self.call("POST", f"/filesystem.Filesystem/{method}", json.dumps(message), Content_Type="application/json")

    def head(self, method, path, **fields):
        lines = {"Host": "localhost"} | self.fields | {k.replace("_", "-"): v for k, v in fields.items()}
        return f"{method} {path} HTTP/1.1\r\n".encode() + b"".join(f"{k}: {v}\r\n".encode() for k, v in lines.items()) + b"\r\n"

    def connect(self):
        s = socket.create_connection(("127.0.0.1", self.port), timeout=120)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        return s

    def stream(self, method, message):
        """Opens a server stream; the socket."""
        body = json.dumps(message).encode()
        s = self.connect()
        s.sendall(self.head("POST", method, Content_Type="application/connect+json", Content_Length=len(body) + 5) +
                  struct.pack(">BI", 0, len(body)) + body)
        return s

    def run(self, script):
        return self.api.start(self.made, "/bin/sh", "-c", script)

    def agent_memory(self):
        """Highest resident size so far and the one now, in KiB; as process 1 says of itself."""
        data = self.run("cat /proc/1/status")
        text = "".join(_stdout(data))
        values = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
        return int(values["VmHWM"].split()[0]), int(values["VmRSS"].split()[0])

    def kill(self):
        self.api.kill(self.made)


def _stdout(data):
    import base64
    at = 0
    while at + 5 <= len(data):
        size = struct.unpack_from(">I", data, at + 1)[0]
        message = json.loads(data[at + 5:at + 5 + size])
        at += 5 + size
        out = message.get("event", {}).get("data", {}).get("stdout")
        if out:
            yield base64.b64decode(out).decode()


def upload(sandbox, path, size):
    s = sandbox.connect()
    begin = time.perf_counter()
    s.sendall(sandbox.head("POST", f"/files?path={path}", Content_Type="application/octet-stream", Content_Length=size))
    for _ in range(size // len(PIECE)):
        s.sendall(PIECE)
    answer = s.recv(4096)
    took = time.perf_counter() - begin
    s.close()
    if not answer.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"upload: {answer[:200]!r}")
    return size / took / 1e9


def download(sandbox, path, size):
    s = sandbox.connect()
    begin = time.perf_counter()
    s.sendall(sandbox.head("GET", f"/files?path={path}", Accept_Encoding="identity"))
    got, view = 0, memoryview(PIECE)
    head = s.recv(65536)
    got = len(head) - head.index(b"\r\n\r\n") - 4
    while got < size:
        n = s.recv_into(view)
        if n == 0:
            raise RuntimeError("download: it ended early")
        got += n
    took = time.perf_counter() - begin
    s.close()
    return size / took / 1e9


def best(tries, fn):
    return max(fn() for _ in range(tries))


def fresh(sandbox, path, size):
    """Upload of a file that is not there: to empty one that is costs the file system as much again."""
    rate = upload(sandbox, path, size)
    sandbox.run(f"rm {path}; sync")
    return rate


def disk_alone(sandbox, size):
    begin = time.perf_counter()
    sandbox.run(f"dd if=/dev/zero of=/home/user/dd bs=64k count={size >> 16} 2>&1")
    took = time.perf_counter() - begin
    sandbox.run("rm /home/user/dd; sync")
    return size / took / 1e9


def small_files(count):
    b = io.BytesIO()
    with tarfile.open(fileobj=b, mode="w") as t:
        for i in range(count):
            info = tarfile.TarInfo(f"d{i % 100}/file-{i}")
            info.size = 100
            t.addfile(info, io.BytesIO(b"x" * 100))
    return b.getvalue()


def streams(sandbox, count):
    """Opens `count` commands that live on; seconds until each has said something, and the sockets."""
    begin = time.perf_counter()
    socks = [sandbox.stream("/process.Process/Start", {"process": {"cmd": "/bin/sh", "args": ["-c", "echo up; exec sleep 600"]},
                                                       "stdin": False}) for _ in range(count)]
    waiting, sel = {s: b"" for s in socks}, selectors.DefaultSelector()
    for s in socks:
        sel.register(s, selectors.EVENT_READ)
    while waiting and time.perf_counter() - begin < 60:
        for key, _ in sel.select(1):
            s = key.fileobj
            data = s.recv(65536)
            waiting[s] += data
            if not data or b'"stdout"' in waiting[s]:
                sel.unregister(s)
                if data:
                    del waiting[s]
    return time.perf_counter() - begin, count - len(waiting), socks


def floods(sandbox, count):
    """Commands that flood subscribers who never read; the sockets."""
    message = {"process": {"cmd": "/bin/sh", "args": ["-c", "exec cat /dev/zero"]}, "stdin": False}
    socks = []
    for _ in range(count):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.connect(("127.0.0.1", sandbox.port))
        body = json.dumps(message).encode()
        s.sendall(sandbox.head("POST", "/process.Process/Start", Content_Type="application/connect+json",
                               Content_Length=len(body) + 5) + struct.pack(">BI", 0, len(body)) + body)
        socks.append(s)
    return socks


def watched(sandbox, count):
    """How many of `count` rapid creates a watcher heard of."""
    sandbox.run("mkdir -p /tmp/watched")
    s = sandbox.stream("/filesystem.Filesystem/WatchDir", {"path": "/tmp/watched"})
    heard, done = set(), threading.Event()

    def listen():
        import re
        pending = b""
        while len(heard) < count:
            data = s.recv(1 << 20)
            if not data:
                break
            pending += data
            end = pending.rfind(b"}}")
            heard.update(re.findall(rb'"name":"(f[0-9]+)","type":"EVENT_TYPE_CREATE"', pending[:end + 2]))
            pending = pending[end + 2:]
        done.set()

    t = threading.Thread(target=listen, daemon=True)
    t.start()
    time.sleep(.2)
    sandbox.api.start(sandbox.made, "python3", "-c", f"for i in range({count}): open(f'/tmp/watched/f{{i}}', 'x').close()")
    done.wait(10)
    s.close()
    return len(heard)


def bench(api, edge_port, figure, row, timed, quick):
    size, tries = (GIB // 4 if quick else GIB), 2 if quick else 5
    sandbox = Sandbox(api, edge_port)
    note = f"best of {tries}"
    figure("upload to memory through the edge", best(tries, lambda: fresh(sandbox, "/dev/shm/up", size // 2)), "GB/s", ">=1.5", note)
    figure("upload of 1 GiB through the edge", best(tries, lambda: fresh(sandbox, "/home/user/up", size)), "GB/s", ">=1.5", note)
    figure("  what the disk alone takes, by dd", best(tries, lambda: disk_alone(sandbox, size)), "GB/s", "", note)
    upload(sandbox, "/home/user/gib", size)
    figure("download of 1 GiB through the edge", best(tries, lambda: download(sandbox, "/home/user/gib", size)), "GB/s", ">=1.5", note)
    figure("agent, highest memory during these", sandbox.agent_memory()[0] / 1024, "MiB", "<16")
    sandbox.run("rm /home/user/gib")
    tar = small_files(10_000)
    row("archive of 10 000 small files, in", timed(lambda: sandbox.call("PUT", "/archive?path=/home/user/many", tar), tries)[0], tries, "<=1000")
    row("archive of 10 000 small files, out", timed(lambda: sandbox.call("GET", "/archive?path=/home/user/many"), tries)[0], tries, "<=1000")
    sandbox.run("mkdir -p /tmp/flat; cd /tmp/flat; seq 10000 | split -l 1 -a 5 -d - f")
    row("ListDir of 10 000 entries", timed(lambda: sandbox.rpc("ListDir", {"path": "/tmp/flat"}), tries * 4)[0], tries * 4, "<=50")
    figure("of 10 000 rapid creates a watcher heard", watched(sandbox, 10_000), "creates", "=10000")
    count = 200 if quick else 1000
    took, up, socks = streams(sandbox, count)
    figure(f"of {count} command streams open at once", up, "streams", f"={count}", f"all in {took:.1f} s")
    figure("agent with these", sandbox.agent_memory()[1] / 1024, "MiB")
    for s in socks:
        s.close()
    sandbox.kill()
    sandbox = Sandbox(api, edge_port)
    socks = floods(sandbox, count)
    time.sleep(5)
    figure(f"agent, {count} floods to readers that do not read", sandbox.agent_memory()[0] / 1024, "MiB", "<64")
    for s in socks:
        s.close()
    sandbox.kill()
