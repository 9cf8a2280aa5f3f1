"""The figures of template builds: a step, the same from the cache, creates from what was built, images from a registry."""
import datetime
import hashlib
import http.client
import io
import json
import os
import pathlib
import shutil
import subprocess
import tarfile
import tempfile
import time

PORT = 24100


def build(api, body, name="bench-build"):
    """Builds, waits for its end and returns all of its log."""
    made = api.call("POST", "/v3/templates", {"name": name, "cpuCount": 2, "memoryMB": 512})
    at = f"/templates/{made['templateID']}/builds/{made['buildID']}"
    api.call("POST", "/v2" + at, body)
    log = []
    while True:
        s = api.call("GET", f"{at}/status?logsOffset={len(log)}")
        log += s["logEntries"]
        if s["status"] in ("ready", "error") and not s["logEntries"]:
            return s, log
        time.sleep(.005)


def steps(api, row, timed, count):
    serial = iter(range(10**6))
    step = lambda: {"fromTemplate": "base", "steps": [{"type": "RUN", "args": [f"echo {next(serial)} > ~/n"]}]}
    row("build: FROM base and one RUN", timed(lambda: build(api, step()), count)[0], count, "p50<=3000")
    body = step()
    build(api, body)
    row("build: the same again", timed(lambda: build(api, body), count)[0], count, "p50<=1000")
    ms, made = timed(lambda: api.call("POST", "/v2/sandboxes", {"templateID": "bench-build"}), count * 2)
    row("create from a fresh template", ms, count * 2, "p50<=3")
    for s in made:
        api.kill(s)


def push(layer):
    """An image of one layer, put into the registry as `bench:1`."""
    c = http.client.HTTPConnection("127.0.0.1", PORT, timeout=30)

    def ask(method, url, data=None, type_="application/octet-stream"):
        c.request(method, url, data, {"Content-Type": type_})
        r = c.getresponse()
        r.read()
        if r.status >= 300:
            raise RuntimeError(f"registry: {method} {url}: {r.status}")
        return r

    def blob(data, media):
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        where = ask("POST", "/v2/bench/blobs/uploads/").getheader("Location")
        ask("PUT", f"{where}{'&' if '?' in where else '?'}digest={digest}", data)
        return {"mediaType": media, "digest": digest, "size": len(data)}

    oci = "application/vnd.oci.image."
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": {},
                         "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]}}).encode()
    manifest = {"schemaVersion": 2, "mediaType": oci + "manifest.v1+json", "config": blob(config, oci + "config.v1+json"),
                "layers": [blob(layer, oci + "layer.v1.tar")]}
    ask("PUT", "/v2/bench/manifests/1", json.dumps(manifest).encode(), oci + "manifest.v1+json")


def layer_of(size):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as t:
        entry = tarfile.TarInfo("data")
        entry.size = size
        t.addfile(entry, io.BytesIO(os.urandom(size)))
    return out.getvalue()


def image(api, figure, count):
    """From the start of a build until the image is its base; the build itself ends there, for the image has no shell."""
    if not shutil.which("docker-registry"):
        return
    size = 100_000_000
    with tempfile.TemporaryDirectory() as tmp:
        config = pathlib.Path(tmp) / "registry.yml"
        config.write_text(f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp}/blobs}}}}\nhttp: {{addr: '127.0.0.1:{PORT}'}}\nlog: {{level: error}}\n")
        registry = subprocess.Popen(["docker-registry", "serve", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            for _ in range(100):
                try:
                    http.client.HTTPConnection("127.0.0.1", PORT).request("GET", "/v2/")
                    break
                except OSError:
                    time.sleep(.05)
            push(layer_of(size))
            best = 0.0
            for _ in range(count):
                begin = time.time()
                _, log = build(api, {"fromImage": f"127.0.0.1:{PORT}/bench:1", "force": True}, "bench-image")
                done = next(l["timestamp"] for l in log if "DEFAULT USER" in l["message"])
                seconds = datetime.datetime.fromisoformat(done.replace("Z", "+00:00")).timestamp() - begin
                best = max(best, size / 1e6 / seconds)
            figure("image of 100 MB, pulled and unpacked", best, "MB/s", ">=100")
        finally:
            registry.terminate()
            registry.wait()


def bench(api, figure, row, timed, quick):
    steps(api, row, timed, 5 if quick else 20)
    image(api, figure, 2 if quick else 5)
    api.call("DELETE", "/templates/bench-build")
