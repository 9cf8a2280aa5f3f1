// The places for servers on one host, as `belljar doctor` sees them: who has them, and that none is left.
import test from 'node:test'
import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { execFileSync } from 'node:child_process'
import { pids, state } from '../lib/server.mjs'

const bin = path.join(process.env.BELLJAR_BIN, 'belljar')
const tmp = fs.mkdtempSync(path.join(os.tmpdir(), 'bj-doctor-'))
test.after(() => fs.rmSync(tmp, { recursive: true }))

test('the server of this state has one of the places', () => {
  const row = JSON.parse(execFileSync(bin, ['doctor', '--json'])).find((r) => r.name === 'places')
  assert.equal(row.level, 'ok')
  assert.match(row.text, /^[0-3] of 4 for servers are free; taken by: /)
  assert.ok(row.text.includes(`process ${pids('belljar')[0]} (${state})`), row.text)
})

// in a /run/belljar of its own, so that no server of this host is in the way, nor finds them taken
const LOCKS = `
import fcntl, os, subprocess, sys
held = []
for n, said in enumerate(sys.argv[3:]):
    f = open(f"/run/belljar/instance-{n}.lock", "w")
    f.write(said)
    f.flush()
    fcntl.lockf(f, fcntl.LOCK_EX)
    held.append(f)
print(os.getpid(), flush=True)
r = subprocess.run([sys.argv[1], sys.argv[2]], capture_output=True, text=True)
print(r.returncode, r.stdout + r.stderr)
`
const locked = (command, ...said) => {
  const env = { ...process.env, BELLJAR_STATE: path.join(tmp, 'state'), BELLJAR_API_PORT: '1', BELLJAR_EDGE_PORT: '2' }
  const out = execFileSync('unshare', ['--mount', 'sh', '-c', 'mount -t tmpfs none /run/belljar && exec python3 "$@"', 'sh', '-c', LOCKS, bin, command, ...said], { env, encoding: 'utf8' })
  const [, pid, code, text] = /^(\d+)\n(-?\d+) ([^]*)$/.exec(out)
  return { pid, code: Number(code), text }
}

test('free places, and places whose servers do not say where they are', () => {
  assert.match(locked('doctor').text, /^ok +places +4 of 4 for servers are free$/m)
  const one = locked('doctor', '')
  assert.match(one.text, new RegExp(`^ok +places +3 of 4 for servers are free; taken by: process ${one.pid}$`, 'm'))
})

test('none is left: who has them, and what to do', () => {
  const r = locked('doctor', '/srv/a', '/srv/b', '', '/srv/\u001b[2Jd')
  assert.equal(r.code, 11)
  const p = r.pid
  assert.ok(r.text.includes(`0 of 4 for servers are free; taken by: process ${p} (/srv/a), process ${p} (/srv/b), process ${p}, process ${p} (/srv/\\x1b[2Jd)\n`), r.text)
  assert.match(r.text, /^FAIL +places .*\n +-> stop one: BELLJAR_STATE=/m)
})

test('a server that finds none says who can tell', () => {
  const r = locked('serve', 'a', 'b', 'c', 'd')
  assert.notEqual(r.code, 0)
  assert.match(r.text, /4 servers run on this host already \('belljar doctor' tells which\)/)
})
