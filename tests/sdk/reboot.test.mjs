// The host restarts: every process is gone, what is on disk says so by its boot id, and the server is
// started again. What was paused has its files, and says what became of its memory; snapshots are
// there; what ran is gone. Afterwards the same by `belljar down`.
import test from 'node:test'
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { execFileSync, spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { Sandbox } from 'e2b'
import { bin, pids, ready, state, until } from '../lib/server.mjs'
import { create, http, info, sh } from './api.mjs'

const records = () => fs.readdirSync(`${state}/run/s`).map((id) => `${state}/run/s/${id}/record`).filter((f) => fs.existsSync(f))

function start() {
  const log = fs.openSync(path.join(state, 'log/server.log'), 'a')
  spawn(path.join(bin, 'belljar'), ['serve'], { stdio: ['ignore', log, log], detached: true }).unref()
  fs.closeSync(log)
}
const ends = {
  'the host is started anew': async () => {
    process.kill(pids('belljar')[0], 'SIGKILL')
    await until(() => pids('belljar').length === 0, 5000, 'manager ended')
    await sleep(200) // its children die with it
    for (const f of records()) {
      const text = fs.readFileSync(f, 'utf8')
      try { process.kill(Number(/^pid=(\d+)$/m.exec(text)[1]), 'SIGKILL') } catch { /* gone */ }
      fs.writeFileSync(f, text.replace(/^boot_id=.*$/m, 'boot_id=another'))
    }
    await sleep(500)
  },
  'belljar down': async () => execFileSync(path.join(bin, 'belljar'), ['down']),
}

for (const [name, end] of Object.entries(ends)) test(name, async () => {
  const ran = await create()
  const [frozen, stopped, source] = await Promise.all([create('base', { envs: { KEPT: 'yes' } }), create(), create()])
  for (const s of [frozen, stopped, source]) {
    await s.commands.run('cat /proc/sys/kernel/random/boot_id > ~/boot')
    await s.files.write('/home/user/x', s.sandboxId)
  }
  const { snapshotId } = await source.createSnapshot()
  await frozen.pause()
  await stopped.pause({ keepMemory: false })
  const before = await info(frozen.sandboxId)
  assert.equal(before.memory, 'kept')
  await sleep(6000) // durable: the engine's files behind the answer, the journal within 5 s
  await end()
  start()
  await ready()
  await until(async () => (await http('GET', `/sandboxes/${ran.sandboxId}`)).status === 404, 10_000, 'what ran is gone')
  await until(async () => (await info(frozen.sandboxId)).memory === 'lost', 10_000, 'the loss is told')
  assert.equal((await info(stopped.sandboxId)).memory, 'none')
  const { memory, ...same } = await info(frozen.sandboxId)
  assert.deepEqual({ ...same, memory: 'kept' }, before)
  assert.equal(await frozen.isRunning(), false)
  for (const s of [frozen, stopped]) {
    const t = await Sandbox.connect(s.sandboxId)
    assert.equal(await sh(t, 'cat ~/x; cmp -s ~/boot /proc/sys/kernel/random/boot_id || echo; echo new'), `${s.sandboxId}\nnew`)
    assert.equal((await info(s.sandboxId)).memory, undefined)
  }
  assert.equal(await sh(frozen, 'echo $KEPT'), 'yes')
  const t = await create(snapshotId)
  assert.equal(await t.files.read('/home/user/x'), source.sandboxId)
  assert.equal(await Sandbox.deleteSnapshot(snapshotId), true)
})
