// What hostile code does inside a sandbox stays there: that sandbox suffers alone, the server is
// alive, and where the promise is so, a new command still runs in it.
import test from 'node:test'
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { Sandbox, CommandExitError } from 'e2b'
import { pids } from '../lib/server.mjs'

const rss = (pid) => Number(/VmRSS:\s+(\d+)/.exec(fs.readFileSync(`/proc/${pid}/status`, 'latin1'))[1]) * 1024
const services = () => ['belljar', 'belljar-control', 'belljar-engine', 'belljar-edge'].flatMap(pids).sort()

async function withSandbox(fn) {
  const before = services()
  const s = await Sandbox.create({ timeoutMs: 600_000 })
  const other = await Sandbox.create({ timeoutMs: 600_000 })
  try {
    await fn(s)
    assert.equal((await other.commands.run('echo unharmed')).stdout, 'unharmed\n')
    assert.deepEqual(services(), before, 'a process of the server was restarted')
  } finally {
    await s.kill()
    await other.kill()
  }
}

test('a fork bomb: a new command still runs', () => withSandbox(async (s) => {
  await s.commands.run('python3 -c "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass" >/dev/null 2>&1', { background: true })
  await new Promise((r) => setTimeout(r, 3000))
  // bash may fail to fork inside: only what the shell can do by itself is asked of it
  assert.equal((await s.commands.run('echo here', { timeoutMs: 30_000 })).stdout, 'here\n')
}))

test('a memory hog is ended, its sandbox lives', () => withSandbox(async (s) => {
  await assert.rejects(s.commands.run(`python3 -c "
x = []
while True: x.append(bytearray(8 << 20))"`, { timeoutMs: 60_000 }), (e) => e instanceof CommandExitError)
  assert.equal((await s.commands.run('echo here')).stdout, 'here\n')
}))

test('a memory hog of many processes is ended, its sandbox lives', () => withSandbox(async (s) => {
  await s.commands.run(`for i in 1 2 3 4 5 6 7 8; do python3 -c "
x = []
while True: x.append(bytearray(1 << 20))" & done; wait`, { timeoutMs: 60_000 }).catch(() => {})
  assert.equal((await s.commands.run('echo here')).stdout, 'here\n')
}))

test('a flood of output with a slow reader: bounded memory, nothing lost', () => withSandbox(async (s) => {
  const count = 64 << 20
  const token = s.envdAccessToken ?? s['envdAccessToken']
  const body = Buffer.from(JSON.stringify({ process: { cmd: '/bin/sh', args: ['-c', `head -c ${count} /dev/zero`] }, stdin: false }))
  const head = Buffer.alloc(5); head.writeUInt32BE(body.length, 1)
  const res = await fetch(process.env.E2B_SANDBOX_URL + '/process.Process/Start', {
    method: 'POST', body: Buffer.concat([head, body]),
    headers: { 'content-type': 'application/connect+json', 'e2b-sandbox-id': s.sandboxId, 'e2b-sandbox-port': '49983', 'x-access-token': token },
  })
  assert.equal(res.status, 200)
  const reader = res.body.getReader()
  const edges = pids('belljar-edge')
  let pending = Buffer.alloc(0), got = 0, peak = 0, end
  for (let i = 0; ; i++) {
    if (i < 20) await new Promise((r) => setTimeout(r, 50)) // a slow start: the flood has to wait
    peak = Math.max(peak, ...edges.map(rss))
    const { value, done } = await reader.read()
    if (done) break
    pending = Buffer.concat([pending, value])
    while (pending.length >= 5 && pending.length >= 5 + pending.readUInt32BE(1)) {
      const m = JSON.parse(pending.subarray(5, 5 + pending.readUInt32BE(1)))
      pending = pending.subarray(5 + pending.readUInt32BE(1))
      if (m.event?.data?.stdout) got += Buffer.from(m.event.data.stdout, 'base64').length
      if (m.event?.end) end = m.event.end
    }
  }
  assert.equal(got, count)
  assert.equal(end?.status, 'exit status 0')
  assert.ok(peak < 48 << 20, `the edge grew to ${peak >> 20} MiB`)
}))

test('an endless flood nobody reads is no burden', () => withSandbox(async (s) => {
  const h = await s.commands.run('yes', { background: true })
  await h.disconnect()
  await new Promise((r) => setTimeout(r, 1000))
  assert.equal((await s.commands.run('echo here')).stdout, 'here\n')
  assert.equal(await s.commands.kill(h.pid), true)
}))

test('a full disk is that sandbox\'s own: ENOSPC, root as well, writable after rm', () => withSandbox(async (s) => {
  const r = await s.commands.run('dd if=/dev/zero of=/home/user/fill bs=1M 2>&1; sudo -n dd if=/dev/zero of=/root-fill bs=1M count=64 2>&1; true', { timeoutMs: 120_000 })
  assert.equal((r.stdout.match(/No space left on device/g) ?? []).length, 2, r.stdout)
  await assert.rejects(s.files.write('/home/user/more', 'x'.repeat(1 << 20)), /space/i)
  assert.equal((await s.commands.run('rm ~/fill; echo ok > ~/again; cat ~/again')).stdout, 'ok\n')
}))
