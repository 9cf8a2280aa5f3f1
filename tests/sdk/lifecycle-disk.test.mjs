// Pauses that keep the disk only, and resumes that give the memory up: a new boot of the same disk.
import test from 'node:test'
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { Sandbox } from 'e2b'
import { until } from '../lib/server.mjs'
import { create, http, info, run, sh } from './api.mjs'

const mark = async (s) => {
  const h = await s.commands.run('cat /proc/sys/kernel/random/boot_id > ~/boot; echo disk > ~/x; sleep 1000', { background: true })
  await until(async () => (await sh(s, 'cat ~/x')) === 'disk', 5000, 'it has written')
  return h
}
// what is left after a new boot
const rebooted = async (s) => {
  assert.equal(await sh(s, 'cat ~/x; echo $KEPT; id -un; cmp -s ~/boot /proc/sys/kernel/random/boot_id || echo new; pgrep -x sleep || echo none'),
    'disk\nyes\nuser\nnew\nnone')
}

test('pause without memory, connect: the disk, a new boot, the same identity', async () => {
  const s = await create('base', { envs: { KEPT: 'yes' } })
  await mark(s)
  const before = await info(s.sandboxId)
  assert.equal(await s.pause({ keepMemory: false }), true)
  assert.equal(await s.isRunning(), false)
  const paused = await info(s.sandboxId)
  assert.equal(paused.state, 'paused')
  assert.equal(paused.memory, 'none')
  assert.equal(paused.startedAt, before.startedAt)
  assert.ok(new Date(paused.endAt) <= Date.now() + 50)
  assert.equal(await s.pause({ keepMemory: false }), false)
  assert.equal(await s.pause(), false)
  assert.equal((await http('POST', `/sandboxes/${s.sandboxId}/timeout`, { timeout: 9 })).status, 404)
  const r = await http('POST', `/v2/sandboxes/${s.sandboxId}/connect`, { timeout: 70 })
  assert.equal(r.status, 201)
  assert.equal(r.body.envdAccessToken, before.envdAccessToken)
  await rebooted(s)
  const after = await info(s.sandboxId)
  assert.equal(after.memory, undefined)
  assert.equal(new Date(after.endAt) - new Date(after.startedAt), 70_000)
  // and once more
  await s.files.write('/home/user/y', 'second')
  await s.pause({ keepMemory: false })
  await Sandbox.connect(s.sandboxId)
  assert.equal(await sh(s, 'cat ~/y'), 'second')
})

test('a pause with memory, resumed without: a new boot; of a running one nothing is lost', async () => {
  const s = await create('base', { envs: { KEPT: 'yes' } })
  const h = await mark(s)
  assert.equal((await http('POST', `/v2/sandboxes/${s.sandboxId}/connect`, { memory: false })).status, 200)
  assert.equal(await sh(s, `kill -0 ${h.pid} && echo alive`), 'alive')
  await s.pause()
  assert.equal((await info(s.sandboxId)).memory, 'kept')
  const r = await http('POST', `/v2/sandboxes/${s.sandboxId}/connect`, { memory: false })
  assert.equal(r.status, 201, JSON.stringify(r.body))
  await rebooted(s)
  await s.pause()
  assert.equal((await http('POST', `/sandboxes/${s.sandboxId}/resume`, { memory: false })).status, 201)
  await rebooted(s)
})

test('it is paused without memory when its time is up, and traffic does not wake it', async () => {
  const r = await http('POST', '/v2/sandboxes', { templateID: 'base', timeout: 1, autoPause: true, autoPauseMemory: false, metadata: { run } })
  assert.equal(r.status, 201)
  const id = r.body.sandboxID
  await until(async () => (await info(id)).state === 'paused', 4000, 'paused')
  await until(async () => (await info(id)).memory === 'none', 4000, 'without memory')
  const s = await Sandbox.connect(id, { timeoutMs: 30_000 })
  assert.equal(await s.isRunning(), true)
  await s.pause({ keepMemory: false })
  const w = await create('base', { lifecycle: { onTimeout: 'pause', autoResume: true } })
  await w.pause({ keepMemory: false })
  assert.equal(await w.isRunning(), false)
  await sleep(300)
  assert.equal((await info(w.sandboxId)).state, 'paused')
  await s.kill()
})

test('kept disks can be killed, listed and found by their metadata', async () => {
  const s = await create('base', { metadata: { disk: run } })
  await s.pause({ keepMemory: false })
  const p = Sandbox.list({ query: { metadata: { disk: run }, state: ['paused'] } })
  assert.deepEqual((await p.nextItems()).map((i) => i.sandboxId), [s.sandboxId])
  assert.equal(await Sandbox.kill(s.sandboxId), true)
  assert.equal((await http('GET', `/sandboxes/${s.sandboxId}`)).status, 404)
  assert.equal(await Sandbox.kill(s.sandboxId), false)
})

test('snapshots of what was booted anew hold what it has', async () => {
  const s = await create('base')
  await s.files.write('/home/user/x', '1')
  await s.pause({ keepMemory: false })
  await Sandbox.connect(s.sandboxId)
  await s.files.write('/home/user/y', '2')
  const { snapshotId } = await s.createSnapshot()
  const t = await create(snapshotId)
  assert.equal(await sh(t, 'cat ~/x ~/y'), '12')
  await t.pause({ keepMemory: false })
  await Sandbox.deleteSnapshot(snapshotId) // its layer is needed by a disk
  await Sandbox.connect(t.sandboxId)
  assert.equal(await sh(t, 'cat ~/x ~/y'), '12')
})

test('races end in a legal state with both callers answered', async () => {
  const cold = (s) => http('POST', `/sandboxes/${s.sandboxId}/pause`, { memory: false })
  const pause = (s) => http('POST', `/sandboxes/${s.sandboxId}/pause`)
  const kill = (s) => http('DELETE', `/sandboxes/${s.sandboxId}`)
  const connect = (s) => http('POST', `/v2/sandboxes/${s.sandboxId}/connect`)
  const at = (s) => http('GET', `/sandboxes/${s.sandboxId}`)
  for (let i = 0; i < 3; i++) {
    let s = await create('base')
    let [a, b] = await Promise.all([cold(s), kill(s)])
    assert.equal(b.status, 204)
    assert.ok([204, 404].includes(a.status), `pause beside kill: ${a.status}`)
    assert.equal((await at(s)).status, 404)

    s = await create('base')
    ;[a, b] = await Promise.all([cold(s), connect(s)])
    assert.equal(a.status, 204)
    assert.ok([200, 201].includes(b.status), `connect beside pause: ${b.status}`)
    await kill(s)

    s = await create('base')
    ;[a, b] = await Promise.all([cold(s), pause(s)])
    assert.deepEqual([a.status, b.status].sort(), [204, 409])
    ;[a, b] = await Promise.all([connect(s), connect(s)])
    assert.ok([a, b].every((r) => r.status === 201 || r.status === 200), `two resumes: ${a.status} ${b.status}`)
    assert.equal((await at(s)).body.state, 'running')
    assert.equal((await cold(s)).status, 204)
    ;[a, b] = await Promise.all([connect(s), kill(s)])
    assert.equal(b.status, 204)
    assert.ok([201, 404].includes(a.status), `connect beside kill: ${a.status}`)
    assert.equal((await at(s)).status, 404)
  }
})
