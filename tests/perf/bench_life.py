"""The figures of the lifecycle: pause, resume, wake, snapshots, forks, cold boots, warm creates, lists."""
import http.client
import itertools
import json
import shutil
import subprocess
import time


def wake(api, s):
    api.edge.request("GET", "/health", headers={"E2b-Sandbox-Id": s["sandboxID"], "E2b-Sandbox-Port": "49983",
                                                 "X-Access-Token": s["envdAccessToken"]})
    r = api.edge.getresponse()
    r.read()
    if r.status != 204:
        raise RuntimeError(f"wake: {r.status}")


def path(s, rest=""):
    return f"/sandboxes/{s['sandboxID']}{rest}"


def pauses(api, row, timed, count):
    s = api.call("POST", "/v2/sandboxes", {"templateID": "base", "timeout": 3600, "autoPause": True, "autoResume": {"enabled": True}})
    times = {"pause": [], "resume": [], "wake by request": []}
    for _ in range(count):
        times["pause"] += timed(lambda: api.call("POST", path(s, "/pause"), {}), 1)[0]
        times["resume"] += timed(lambda: api.call("POST", "/v2" + path(s, "/connect"), {}), 1)[0]
        api.call("POST", path(s, "/pause"), {})
        times["wake by request"] += timed(lambda: wake(api, s), 1)[0]
    for what, ms in times.items():
        row(f"{what}, in place", ms, count, "p50<=3")
    times = {"pause to disk": [], "boot from the kept disk": []}
    for _ in range(count // 4):
        times["pause to disk"] += timed(lambda: api.call("POST", path(s, "/pause"), {"memory": False}), 1)[0]
        times["boot from the kept disk"] += timed(lambda: api.call("POST", "/v2" + path(s, "/connect"), {}), 1)[0]
    for what, ms in times.items():
        row(what, ms, count // 4)
    api.kill(s)


def snapshots(api, row, timed, count):
    s = api.create()
    times = {"snapshot, 10 MB dirty": [], "create from it": [], "create from its template": [], "fork": []}
    for i in range(count):
        api.start(s, "/bin/sh", "-c", f"head -c 10000000 /dev/urandom > /home/user/f{i % 2}")
        ms, made = timed(lambda: api.call("POST", path(s, "/snapshots"), {}), 1)
        times["snapshot, 10 MB dirty"] += ms
        for what, template in (("create from it", made[0]["snapshotID"]), ("create from its template", "base")):
            ms, children = timed(lambda t=template: api.call("POST", "/v2/sandboxes", {"templateID": t}), 1)
            times[what] += ms
            for c in children:
                api.kill(c)
        api.call("DELETE", "/templates/" + made[0]["snapshotID"].replace(":", "%3A"))
        ms, forks = timed(lambda: api.call("POST", path(s, "/fork"), {}), 1)
        times["fork"] += ms
        for f in itertools.chain(*forks):
            api.kill(f["sandbox"])
        api.start(s, "/bin/sh", "-c", "rm -f /home/user/f*")
    for what, target in (("snapshot, 10 MB dirty", "p50<=30"), ("create from it", "as from its template"),
                         ("create from its template", ""), ("fork", "p50<=30")):
        row(what, times[what], count, target)
    api.kill(s)


def warm(api, row, timed, state, count):
    base = (state / "templates/base").resolve()
    mine = state / "templates/bench-warm"
    shutil.rmtree(mine, ignore_errors=True)
    mine.mkdir()
    (mine / "rootfs").symlink_to(base / "rootfs")
    (mine / "template.json").write_text(json.dumps({"startCmd": "sleep 1000", "readyCmd": "sleep 1"}))
    create = lambda: api.call("POST", "/v2/sandboxes", {"templateID": "bench-warm"})
    ms, made = timed(create, 1)
    row("create, start command of 1 s, none ahead", ms, 1)
    times = []
    for _ in range(count):
        end = time.time() + 10
        while time.time() < end and not any(w["ready"] for w in api.call("GET", "/belljar/status")["warm"]):
            time.sleep(.05)
        ms, more = timed(create, 1)
        times += ms
        made += more
    row("create, start command of 1 s, one ahead", times, count)
    for s in made:
        api.kill(s)
    shutil.rmtree(mine)


def lists(api, port, figure, known, seconds):
    if not shutil.which("wrk"):
        return
    made = [api.call("POST", "/v2/sandboxes", {"templateID": "base", "timeout": 3600, "metadata": {"n": str(i), "half": str(i % 2), "all": "x"}})
            for i in range(known)]
    for what, url in (("GET one", path(made[0])), ("list, page of 100", "/v2/sandboxes"),
                      ("list, a pair that one has", "/v2/sandboxes?metadata=n%3D7"),
                      ("list, a pair that half have", "/v2/sandboxes?metadata=half%3D1"),
                      ("list, two pairs, one of them everybody's", "/v2/sandboxes?metadata=all%3Dx%26half%3D1"),
                      ("list by template", "/v2/sandboxes?template=base")):
        p = subprocess.run(["wrk", "-t1", "-c16", f"-d{seconds}s", "-H", f"X-API-KEY: {api.key}", f"http://127.0.0.1:{port}{url}"],
                           capture_output=True, text=True, check=False)
        rate = [l.split()[1] for l in p.stdout.split("\n") if l.startswith("Requests/sec")]
        figure(f"{what}, {known} known", float(rate[0]) if rate else 0, "per second", ">=30000")
    for s in made:
        api.kill(s)


def bench(api, ports, state, figure, row, timed, quick):
    pauses(api, row, timed, 40 if quick else 200)
    snapshots(api, row, timed, 10 if quick else 50)
    warm(api, row, timed, state, 3 if quick else 10)
    lists(api, ports[0], figure, 500 if quick else 5000, 1 if quick else 3)
