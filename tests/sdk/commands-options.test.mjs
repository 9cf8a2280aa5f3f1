// sandbox.commands and its handles: every method and option that commands.test.mjs leaves out.
import test, { before, after } from 'node:test'
import assert from 'node:assert/strict'
import { Sandbox, AuthenticationError, CommandExitError, InvalidArgumentError, NotFoundError, SandboxError, TimeoutError } from 'e2b'
import { until } from '../lib/until.mjs'

const NOBODY = 4_000_000 // no such pid
let s
before(async () => { s = await Sandbox.create({ timeoutMs: 600_000 }) })
after(async () => { await s.kill() })
const alive = async (mark) => (await s.commands.run(`pgrep -f '${mark[0]}[${mark[1]}]${mark.slice(2)}' || true`)).stdout !== ''

test('callbacks get stdout and stderr apart, in pieces, before the end', async () => {
  const out = [], err = []
  // it goes on when its first line was heard
  const r = await s.commands.run('echo a; echo b >&2; until [ -e /tmp/heard ]; do sleep 0.05; done; echo c', {
    onStdout: async (d) => { out.push(d); await s.files.write('/tmp/heard', '') }, onStderr: async (d) => { err.push(d) },
  })
  assert.deepEqual([out.join(''), err.join(''), r.stdout, r.stderr], ['a\nc\n', 'b\n', 'a\nc\n', 'b\n'])
})

test('a handle: what it knows during and after, input, end of input', async () => {
  const h = await s.commands.run('cat; echo end >&2; exit 3', { background: true, stdin: true })
  assert.deepEqual([h.exitCode, h.error], [undefined, undefined])
  await h.sendStdin('text ')
  await h.sendStdin(new Uint8Array([0x62, 0x79, 0x74, 0x65, 0x73, 0xc3, 0xbc]))
  await h.sendStdin('')
  await until(() => h.stdout === 'text bytesü', 3000, 'the echo')
  await h.closeStdin()
  const e = await h.wait().catch((e) => e)
  assert.ok(e instanceof CommandExitError)
  assert.deepEqual([h.exitCode, h.error, h.stderr, e.exitCode, e.stderr], [3, 'exit status 3', 'end\n', 3, 'end\n'])
  await assert.rejects(h.sendStdin('late'))
})

test('a handle kills, once', async () => {
  const h = await s.commands.run('sleep 77', { background: true, stdin: true })
  assert.equal(await h.kill(), true)
  assert.equal((await h.wait().catch((e) => e)).error, 'signal: killed')
  assert.equal(await h.kill(), false)
})

test('input is closed twice without harm', async () => {
  const h = await s.commands.run('cat; sleep 1', { background: true, stdin: true })
  await s.commands.closeStdin(h.pid)
  await s.commands.closeStdin(h.pid)
  await assert.rejects(s.commands.sendStdin(h.pid, 'x'), (e) => e instanceof SandboxError && /stdin not enabled or closed/.test(e.message))
  assert.equal((await h.wait()).exitCode, 0)
})

test('who is not there is not found', async () => {
  await assert.rejects(s.commands.connect(NOBODY), NotFoundError)
  await assert.rejects(s.commands.sendStdin(NOBODY, 'x'), NotFoundError)
  await assert.rejects(s.commands.closeStdin(NOBODY), NotFoundError)
  assert.equal(await s.commands.kill(NOBODY), false)
})

test('two who listen both hear all of it', async () => {
  const h = await s.commands.run('sleep 0.5; echo o; echo e >&2; exit 2', { background: true })
  const heard = ['', '']
  const again = await s.commands.connect(h.pid, { onStdout: (d) => { heard[0] += d }, onStderr: (d) => { heard[1] += d } })
  const [a, b] = await Promise.all([h.wait().catch((e) => e), again.wait().catch((e) => e)])
  assert.deepEqual([a.stdout, a.stderr, a.exitCode, b.exitCode, ...heard], ['o\n', 'e\n', 2, 2, 'o\n', 'e\n'])
})

test('a time limit of connect ends the listening only', async () => {
  const h = await s.commands.run('sleep 88.1', { background: true, timeoutMs: 0 })
  const again = await s.commands.connect(h.pid, { timeoutMs: 300 })
  await assert.rejects(again.wait(), TimeoutError)
  assert.equal(await alive('sleep 88.1'), true)
  assert.equal(await h.kill(), true)
})

test('a signal of the caller ends the wait, not the command', async () => {
  const stop = new AbortController()
  setTimeout(() => stop.abort(), 300)
  await assert.rejects(s.commands.run('sleep 88.2', { signal: stop.signal, timeoutMs: 0 }))
  assert.equal(await alive('sleep 88.2'), true)
  await s.commands.run("pkill -f 'sleep 88[.]2'")
})

test('requests have a time limit of their own, and may be cut short', async () => {
  const gone = AbortSignal.abort()
  await assert.rejects(s.commands.list({ signal: gone }))
  assert.ok(Array.isArray(await s.commands.list({ requestTimeoutMs: 5000 })))
  const h = await s.commands.run('cat', { background: true, stdin: true, requestTimeoutMs: 5000 })
  await s.commands.sendStdin(h.pid, 'x', { requestTimeoutMs: 5000 })
  assert.equal(await s.commands.kill(h.pid, { requestTimeoutMs: 5000 }), true)
})

test('the list tells the command as it was asked for', async () => {
  const h = await s.commands.run('sleep 5', { background: true, cwd: '/tmp', envs: { LISTED: 'yes' }, user: 'root' })
  const p = (await s.commands.list()).find((p) => p.pid === h.pid)
  assert.deepEqual([p.cmd, p.args, { ...p.envs }, p.cwd, p.tag], ['/bin/bash', ['-l', '-c', 'sleep 5'], { LISTED: 'yes' }, '/tmp', undefined])
  await h.kill()
})

test('errors of run have their classes', async () => {
  await assert.rejects(s.commands.run('true', { cwd: '/etc/passwd' }), InvalidArgumentError)
  await assert.rejects(s.commands.run('true', { cwd: '~other/x' }), InvalidArgumentError)
  await assert.rejects(s.commands.run('true', { user: 'nobody-here' }), AuthenticationError)
  await assert.rejects(s.commands.run('sleep 9', { timeoutMs: 200 }), TimeoutError)
  await assert.rejects(s.commands.run('no-such-program'), (e) => e instanceof CommandExitError && e.exitCode === 127)
})

test('a killed sandbox is told to those who wait', async () => {
  const gone = await Sandbox.create()
  const h = await gone.commands.run('sleep 99', { background: true })
  const ended = h.wait().catch((e) => e)
  await gone.kill()
  assert.ok(await ended instanceof TimeoutError)
  await assert.rejects(gone.commands.list())
})
