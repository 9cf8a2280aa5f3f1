// sandbox.pty: every method, option and error that commands.test.mjs leaves out.
import test, { before, after } from 'node:test'
import assert from 'node:assert/strict'
import { Sandbox, AuthenticationError, InvalidArgumentError, NotFoundError, SandboxError, TimeoutError } from 'e2b'
import { until } from '../lib/until.mjs'

const NOBODY = 4_000_000
let s
before(async () => { s = await Sandbox.create({ timeoutMs: 600_000 }) })
after(async () => { await s.kill() })

async function terminal(opts = {}) {
  const t = { text: '' }
  t.h = await s.pty.create({ cols: 80, rows: 24, onData: (d) => { t.text += Buffer.from(d) }, ...opts })
  t.type = (line) => s.pty.sendInput(t.h.pid, Buffer.from(line))
  t.shows = (what) => until(() => what.test(t.text), 5000, `${what}`)
  return t
}

test('user, directory, environment', async () => {
  const t = await terminal({ user: 'root', cwd: '/tmp', envs: { MARK: 'here', TERM: 'dumb' } })
  await t.type('echo "[$(id -un) $PWD $MARK $TERM $LANG]"\n')
  await t.shows(/\[root \/tmp here dumb C\.UTF-8\]/)
  await t.type('exit 4\n')
  const e = await t.h.wait().catch((e) => e)
  assert.deepEqual([e.exitCode, t.h.exitCode], [4, 4])
})

test('it is a terminal, and bytes are bytes', async () => {
  const t = await terminal({ envs: { PS1: '$ ' } })
  await t.type('test -t 0 && test -t 1 && test -t 2 && echo all-$((1+1))\n')
  await t.shows(/all-2/)
  await t.type("printf '\\377\\376' | od -An -tx1; printf 'ü'\n")
  await t.shows(/ff fe[^]*ü/)
  await t.type('\x04') // ^D
  assert.equal((await t.h.wait()).exitCode, 0)
})

test('two who watch see the same', async () => {
  const t = await terminal()
  let other = ''
  const again = await s.pty.connect(t.h.pid, { onData: (d) => { other += Buffer.from(d) } })
  await t.type('echo both-$((40+1))\n')
  await t.shows(/both-41/)
  await until(() => /both-41/.test(other), 5000, 'the other one')
  await again.disconnect()
  assert.equal(await s.pty.kill(t.h.pid), true)
  await assert.rejects(t.h.wait())
  assert.equal(await s.pty.kill(t.h.pid), false)
})

test('a resize is told to the program', async () => {
  const t = await terminal({ envs: { PS1: '$ ' } })
  await t.type("trap 'echo WINCH $(stty size)' WINCH; echo ready\n")
  await t.shows(/[\r\n]ready/)
  await s.pty.resize(t.h.pid, { cols: 132, rows: 50 }, { requestTimeoutMs: 5000 })
  await t.type('\n')
  await t.shows(/WINCH 50 132/)
  await t.h.kill()
})

test('a time limit ends it', async () => {
  const t = await terminal({ timeoutMs: 400 })
  await assert.rejects(t.h.wait(), TimeoutError)
  await until(async () => !(await s.commands.list()).some((p) => p.pid === t.h.pid), 3000, 'its end')
})

test('errors have their classes', async () => {
  const create = (opts) => s.pty.create({ cols: 80, rows: 24, onData() {}, ...opts })
  await assert.rejects(create({ user: 'nobody-here' }), AuthenticationError)
  await assert.rejects(create({ cwd: '/not/there' }), InvalidArgumentError)
  await assert.rejects(create({ signal: AbortSignal.abort() }))
  await assert.rejects(s.pty.connect(NOBODY, { onData() {} }), NotFoundError)
  await assert.rejects(s.pty.sendInput(NOBODY, Buffer.from('x')), NotFoundError)
  await assert.rejects(s.pty.resize(NOBODY, { cols: 1, rows: 1 }), NotFoundError)
  const h = await s.commands.run('cat', { background: true, stdin: true })
  await assert.rejects(s.pty.sendInput(h.pid, Buffer.from('x')), SandboxError)
  await assert.rejects(s.pty.resize(h.pid, { cols: 1, rows: 1 }), SandboxError)
  const t = await terminal()
  await assert.rejects(s.commands.sendStdin(t.h.pid, 'x'), SandboxError)
  await assert.rejects(s.commands.closeStdin(t.h.pid), /cannot close stdin for PTY/)
  await h.kill()
  await t.h.kill()
})
