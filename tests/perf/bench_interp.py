"""The figures of the code interpreter: from create to the first cell, a cell in a warm context beside a plain Jupyter
client, a burst, cold kernels, memory."""
import http.client
import json
import subprocess
import time

# Times of `count` creates with a first cell, warm ones only, through the published JS SDK.
FIRST_CELLS = """
import { Sandbox } from '@e2b/code-interpreter'
const ahead = async () => (await (await fetch(process.env.E2B_API_URL + '/belljar/status', { headers: { 'X-API-KEY': process.env.E2B_API_KEY } })).json())
  .warm.find((w) => w.templateID === 'code-interpreter-v1')?.ready ?? 0
const times = []
for (let i = 0; i < Number(process.argv[1]) + 2; i++) {
  for (let tries = 0; await ahead() < 1 && tries < 200; tries++) await new Promise((r) => setTimeout(r, 100))
  await new Promise((r) => setTimeout(r, 1000)) // a kernel that is being started ahead is not part of it
  const began = performance.now()
  const s = await Sandbox.create({ timeoutMs: 60_000 })
  const x = await s.runCode('1 + 1')
  if (x.text !== '2') throw new Error('a wrong answer')
  if (i > 1) times.push(performance.now() - began)
  await s.kill()
}
console.log(JSON.stringify(times))
process.exit()
"""

# Creates with a first cell, all at once: how long each took that answered, and how many did.
BURST = """
import { Sandbox } from '@e2b/code-interpreter'
const times = [], whys = []
await Promise.all(Array.from({ length: Number(process.argv[1]) }, async (_, i) => {
  const began = performance.now()
  try {
    const s = await Sandbox.create({ timeoutMs: 300_000 })
    const x = await s.runCode(`${i} + 1`)
    if (x.text === String(i + 1)) times.push(performance.now() - began)
    else whys.push(x.error?.name ?? 'a wrong answer')
    await s.kill()
  } catch (e) { whys.push(e.message) }
}))
console.log(JSON.stringify({ times, whys }))
process.exit()
"""

# The same cell asked of a kernel by Jupyter's own client, inside a sandbox of the same template.
PLAIN = """
import json, time
from jupyter_client.manager import start_new_kernel
began = time.perf_counter()
manager, client = start_new_kernel(kernel_name="python3")
client.execute_interactive("1 + 1", output_hook=lambda m: None)
start = time.perf_counter() - began
times = []
for _ in range(300):
    began = time.perf_counter()
    client.execute_interactive("1 + 1", output_hook=lambda m: None)
    times.append((time.perf_counter() - began) * 1e3)
print(json.dumps({"start": start * 1e3, "times": times[20:]}))
manager.shutdown_kernel(now=True)
"""

PSS = "cat /proc/[0-9]*/smaps_rollup 2>/dev/null | awk '/^Pss:/ { kb += $2 } END { print kb }'"


class Interp:
    def __init__(self, port, sandbox):
        self.conn = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.headers = {"E2b-Sandbox-Id": sandbox["sandboxID"], "E2b-Sandbox-Port": "49999",
                        "X-Access-Token": sandbox["envdAccessToken"], "Content-Type": "application/json"}

    def call(self, method, path, body=None):
        self.conn.request(method, path, json.dumps(body) if body is not None else None, self.headers)
        r = self.conn.getresponse()
        data = r.read()
        if r.status != 200:
            raise RuntimeError(f"{path}: {r.status} {data[:200]!r}")
        return data

    def cell(self, code, **more):
        data = self.call("POST", "/execute", {"code": code, **more})
        if b'"type": "error"' in data or not data.endswith(b'{"type": "end_of_execution"}\n'):
            raise RuntimeError(f"a cell failed: {data[:300]!r}")
        return data


def root(api, s, command):
    """Output of a command as root inside."""
    return api.start(s, "/usr/bin/sudo", "-n", "/bin/bash", "-c", command)


def output(frames):
    import base64
    import re
    return b"".join(base64.b64decode(m) for m in re.findall(rb'"stdout":"([^"]*)"', frames)).decode()


def bench(api, ports, sdk, env, row, figure, timed, quick):
    count = 5 if quick else 20
    create = lambda: api.call("POST", "/v2/sandboxes", {"templateID": "code-interpreter-v1", "timeout": 3600})
    ms, made = timed(create, 1)
    row("interpreter: create, none ahead", ms, 1, "", "start command to its ready command")
    if not made:
        return
    s = made[0]
    interp = Interp(ports[1], s)
    interp.cell("1 + 1")
    row("interpreter: `1+1` in a warm context, /execute", timed(lambda: interp.cell("1 + 1"), 300)[0][20:], 280, "p50<=4")
    interp.call("POST", "/execute", {"code": f"open('/tmp/plain.py', 'w').write({PLAIN!r})"})
    plain = json.loads(output(root(api, s, "python3 /tmp/plain.py 2>/dev/null")))
    row("  the same by Jupyter's own client, inside", plain["times"], len(plain["times"]), "peer")
    row("  its kernel from start to first cell", [plain["start"]], 1, "peer")
    row("interpreter: cold context to first cell (python)", timed(lambda: cold(interp), 5)[0], 5, "p50<=1000")
    api.kill(s)
    p = subprocess.run(["node", "--input-type=module", "-e", FIRST_CELLS, str(count)], cwd=sdk, env=env, capture_output=True,
                       text=True, check=False)
    row("interpreter: JS SDK, create to first cell, warm", json.loads(p.stdout) if p.returncode == 0 else [], count, "p50<=40",
        p.stderr[-200:] if p.returncode else "")
    time.sleep(10)  # until as many are ahead as there may be
    burst(sdk, env, row, count)
    time.sleep(5)
    s = create()
    figure("interpreter: memory of a warm idle sandbox (PSS)", float(output(root(api, s, PSS))) / 1024, "MiB", "",
           "Python and JavaScript kernels")
    api.kill(s)


def burst(sdk, env, row, count):
    p = subprocess.run(["node", "--input-type=module", "-e", BURST, str(count)], cwd=sdk, env=env, capture_output=True,
                       text=True, check=False)
    got = json.loads(p.stdout) if p.returncode == 0 else {"times": [], "whys": [p.stderr[-200:]]}
    row(f"interpreter: {count} creates at once, each to its first cell", got["times"], count, "", "; ".join(sorted(set(got["whys"]))))


def cold(interp):
    context = json.loads(interp.call("POST", "/contexts", {}))["id"]
    interp.cell("1 + 1", context_id=context)
    interp.call("DELETE", f"/contexts/{context}")
