// sandbox.commands and sandbox.pty, with their options and their errors (core.md 3.2).
import test, { before, after } from 'node:test'
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { Sandbox, CommandExitError, InvalidArgumentError, AuthenticationError, TimeoutError } from 'e2b'
import { until } from '../lib/until.mjs'

let s
before(async () => { s = await Sandbox.create({ timeoutMs: 600_000 }) })
after(async () => { await s.kill() })
const run = (cmd, opts) => s.commands.run(cmd, opts)
const fails = (cmd, opts) => run(cmd, opts).then(() => assert.fail(`${cmd} succeeded`), (e) => e)

test('stdout, stderr and the exit status are told apart', async () => {
  const r = await run('echo out; echo err >&2')
  assert.deepEqual([r.stdout, r.stderr, r.exitCode], ['out\n', 'err\n', 0])
  const e = await fails('echo x; exit 7')
  assert.ok(e instanceof CommandExitError)
  assert.deepEqual([e.exitCode, e.stdout, e.error], [7, 'x\n', 'exit status 7'])
})

test('a signal is an end of its own', async () => {
  assert.equal((await fails('kill -9 $$')).error, 'signal: killed')
  assert.equal((await fails('kill -TERM $$')).error, 'signal: terminated')
  assert.match((await fails('kill -SEGV $$')).error, /^signal: segmentation fault/)
})

test('the environment is the sandbox\'s and the request\'s, and nobody else\'s', async () => {
  const { stdout } = await run('env', { envs: { A: 'a b', HOME: '/tmp' } })
  const env = Object.fromEntries(stdout.trim().split('\n').map((l) => l.split(/=(.*)/s)))
  assert.equal(env.A, 'a b')
  assert.equal(env.HOME, '/tmp')
  assert.equal(env.E2B_SANDBOX, 'true')
  assert.ok(env.E2B_SANDBOX_ID && env.E2B_TEMPLATE_ID && env.PATH && env.LOGNAME)
  assert.equal(env.BELLJAR_CGROUP_FDS, undefined)
})

test('cwd, umask, user', async () => {
  assert.equal((await run('pwd; umask', { cwd: '/tmp' })).stdout, '/tmp\n0022\n')
  assert.equal((await run('id -un; pwd', { user: 'root', cwd: '/' })).stdout, 'root\n/\n')
  assert.ok(await fails('true', { cwd: '/not/there' }) instanceof InvalidArgumentError)
  assert.match((await fails('true', { cwd: '/not/there' })).message, /cwd '\/not\/there' does not exist/)
  const e = await fails('true', { user: 'root123' })
  assert.ok(e instanceof AuthenticationError)
  assert.match(e.message, /invalid username: 'root123'/)
})

test('a command gets no descriptors of the agent, and its own session', async () => {
  const { stdout } = await run('ls /proc/self/fd | tr "\\n" " "; ps -o pid=,sid= $$ 2>/dev/null | awk \'{print ($1==$2)}\'; exec true')
  assert.match(stdout, /^0 1 2 3 /)
})

test('output of any size arrives whole, and splits no character', async () => {
  let bytes = 0
  const r = await run('head -c 20000000 /dev/zero | tr "\\0" x', { onStdout: (d) => { bytes += d.length } })
  assert.equal(bytes, 20_000_000)
  assert.equal(r.stdout.length, 20_000_000)
  assert.equal((await run('for i in $(seq 30000); do printf ü€; done')).stdout, 'ü€'.repeat(30000))
})

test('stdin: sent, closed, absent', async () => {
  const h = await run('cat', { background: true, stdin: true })
  await s.commands.sendStdin(h.pid, 'one\n')
  await s.commands.sendStdin(h.pid, 'x'.repeat(300_000)) // more than a pipe holds
  await s.commands.closeStdin(h.pid)
  assert.equal((await h.wait()).stdout.length, 300_004)
  assert.equal((await run('cat')).stdout, '')
  const quiet = await run('sleep 5', { background: true, stdin: false })
  await assert.rejects(s.commands.sendStdin(quiet.pid, 'x'), /stdin not enabled or closed/)
  await quiet.kill()
})

test('a timeout kills the command', async () => {
  const e = await fails('echo $$ > /tmp/timeout.pid; sleep 60', { timeoutMs: 500 })
  assert.ok(e instanceof TimeoutError)
  await until(async () => (await run('kill -0 $(cat /tmp/timeout.pid) && echo alive || true')).stdout === '', 3000, 'the command was killed')
})

test('a background command: list, connect, kill, and its end is told', async () => {
  const h = await run('sleep 1; echo later; sleep 300', { background: true, timeoutMs: 0 })
  const listed = (await s.commands.list()).find((p) => p.pid === h.pid)
  assert.deepEqual([listed.cmd, listed.args.at(-1)], ['/bin/bash', 'sleep 1; echo later; sleep 300'])
  await h.disconnect()
  let out = ''
  const again = await s.commands.connect(h.pid, { onStdout: (d) => { out += d } })
  await until(() => out === 'later\n', 5000, 'output after connecting again')
  const [killed, ended] = await Promise.all([s.commands.kill(h.pid), again.wait().catch((e) => e)])
  assert.equal(killed, true)
  assert.equal(ended.error, 'signal: killed')
  assert.match((await fails(`kill -0 ${h.pid}`)).stderr, /No such process/)
  assert.equal(await s.commands.kill(h.pid), false)
  assert.equal((await s.commands.list()).some((p) => p.pid === h.pid), false)
})

test('an ended command can still be asked for', async () => {
  const h = await run('exit 5', { background: true })
  await assert.rejects(h.wait())
  const again = await s.commands.connect(h.pid)
  await assert.rejects(again.wait(), (e) => e.exitCode === 5)
})

test('a client that leaves kills nothing', async () => {
  const h = await run('echo $$ > /tmp/left.pid; sleep 2; echo done > /tmp/left', { background: true, timeoutMs: 0 })
  await h.disconnect()
  await until(async () => await s.files.exists('/tmp/left'), 6000, 'the command went on')
})

test('orphans are reaped', async () => {
  await run('for i in 1 2 3; do (sleep 0.1 & ) ; done; sleep 0.5')
  assert.equal((await run('grep -l "^State:.Z" /proc/[0-9]*/status 2>/dev/null | wc -l')).stdout.trim(), '0')
})

test('fifty commands at once', async () => {
  const all = await Promise.all(Array.from({ length: 50 }, (_, i) => run(`sleep 0.2; echo ${i}`)))
  assert.deepEqual(all.map((r) => r.stdout), Array.from({ length: 50 }, (_, i) => `${i}\n`))
})

test('a terminal: size, resize, input, end', async () => {
  let out = ''
  const h = await s.pty.create({ cols: 90, rows: 25, onData: (d) => { out += Buffer.from(d) }, envs: { PS1: '$ ' } })
  const type = (text) => s.pty.sendInput(h.pid, Buffer.from(text))
  await type('stty size; tty\n')
  await until(() => /25 90/.test(out) && /\/dev\/pts\/\d/.test(out), 5000, 'the first size')
  await s.pty.resize(h.pid, { cols: 100, rows: 30 })
  await type('stty size; echo $TERM\n')
  await until(() => /30 100/.test(out) && /xterm-256color/.test(out), 5000, 'the second size')
  await type('exit\n')
  assert.equal((await h.wait()).exitCode, 0)
})

test('a terminal survives its client, and ^C reaches the foreground', async () => {
  const h = await s.pty.create({ cols: 80, rows: 24, onData: () => {} })
  await h.disconnect()
  let out = ''
  const again = await s.pty.connect(h.pid, { onData: (d) => { out += Buffer.from(d) } })
  await s.pty.sendInput(h.pid, Buffer.from("sh -c 'echo s$((40+2))eeps; exec sleep 100'\n"))
  await until(() => /s42eeps/.test(out), 5000, 'the command in front')
  await s.pty.sendInput(h.pid, Buffer.from('\x03'))
  await s.pty.sendInput(h.pid, Buffer.from('echo after-$((40+2))\n'))
  await until(() => /after-42/.test(out), 5000, 'the shell goes on')
  assert.equal(await s.pty.kill(h.pid), true)
  await assert.rejects(again.wait())
})
