// Start and ready commands, of a create and of a template, and sandboxes started ahead.
import test from 'node:test'
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { Sandbox } from 'e2b'
import { murder, pids, ready, state, until } from '../lib/server.mjs'
import { create, http, info, keep, run, sh } from './api.mjs'

const name = `start-${run}`
const dir = path.join(state, 'templates', name)
const define = (config) => {
  fs.mkdirSync(dir, { recursive: true, mode: 0o755 })
  if (!fs.existsSync(`${dir}/rootfs`)) fs.symlinkSync(fs.realpathSync(path.join(state, 'templates/base/rootfs')), `${dir}/rootfs`)
  fs.writeFileSync(`${dir}/template.json`, JSON.stringify(config))
}
test.after(() => fs.rmSync(dir, { recursive: true, force: true }))

const post = async (body) => {
  const r = await http('POST', '/v2/sandboxes', { timeout: 60, metadata: { run }, ...body })
  if (r.status === 201) keep(r.body)
  return r
}
const status = async () => (await http('GET', '/belljar/status')).body
// of all kinds of the template: its configuration differs from test to test
const stock = async () => {
  const kinds = (await status()).warm.filter((w) => w.templateID === name)
  return { ready: kinds.reduce((n, w) => n + w.ready, 0), claimed: kinds.reduce((n, w) => n + w.claimed, 0) }
}
const server = 'cd /tmp && echo $$ > pid && exec python3 -m http.server 8123'
const probe = 'curl -sf http://localhost:8123/pid'

test('a create with a start command answers when it is ready', async () => {
  const r = await post({ templateID: 'base', startCmd: server, readyCmd: probe })
  assert.equal(r.status, 201, JSON.stringify(r.body))
  const s = await Sandbox.connect(r.body.sandboxID)
  assert.match(await sh(s, probe), /^\d+$/)
  await s.pause()
  await Sandbox.connect(s.sandboxId)
  assert.match(await sh(s, probe), /^\d+$/)
})

test('one that fails is the error of the create, and leaves nothing', async () => {
  const held = () => fs.readdirSync(`${state}/run/s`).length
  const before = held()
  const r = await post({ templateID: 'base', startCmd: 'echo no >&2; exit 3', readyCmd: 'sleep 0.2; false' })
  assert.equal(r.status, 500, JSON.stringify(r.body))
  assert.equal(r.body.error_code, 'sandbox_create_failed')
  assert.match(r.body.message, /start command/)
  await until(() => held() <= before, 5000, 'the engine holds nothing of it')
})

test('a template says how its sandboxes start; a create may say otherwise', async () => {
  define({ startCmd: server, readyCmd: probe, envs: { FROM: 'template' }, workdir: '/tmp' })
  const a = await Sandbox.connect((await post({ templateID: name })).body.sandboxID)
  assert.equal(await sh(a, 'echo $FROM; pwd'), 'template\n/tmp')
  assert.match(await sh(a, probe), /^\d+$/)
  const b = await Sandbox.connect((await post({ templateID: name, startCmd: '', readyCmd: '', envVars: { FROM: 'me' } })).body.sandboxID)
  assert.equal(await sh(b, `echo $FROM; ${probe} || echo none`), 'me\nnone')
})

test('snapshots, forks and cold boots start it afresh', async () => {
  const r = await post({ templateID: 'base', startCmd: server, readyCmd: probe })
  const s = await Sandbox.connect(r.body.sandboxID)
  await s.files.write('/home/user/x', 'kept')
  const { snapshotId } = await s.createSnapshot()
  const [child] = await s.fork()
  keep(child)
  const t = await create(snapshotId)
  for (const x of [child, t]) assert.match(await sh(x, `${probe} && cat ~/x`), /^\d+\nkept$/)
  await t.pause({ keepMemory: false })
  await Sandbox.connect(t.sandboxId)
  assert.match(await sh(t, `${probe} && cat ~/x`), /^\d+\nkept$/)
  await Sandbox.deleteSnapshot(snapshotId)
})

test('sandboxes are started ahead, claimed, and nobody sees them before', async () => {
  define({ startCmd: server, readyCmd: `sleep 1; ${probe}` })
  const known = (await status()).sandboxes.known
  const had = (await stock()).ready
  const first = await post({ templateID: name })
  await until(async () => (await stock()).ready > had, 15_000, 'one is started ahead')
  assert.equal((await status()).sandboxes.known, known + 1)
  const before = (await stock()).claimed
  const r = await post({ templateID: name, envVars: { WHO: 'claimed' }, metadata: { run, second: 'yes' } })
  assert.equal(r.status, 201)
  assert.equal((await stock()).claimed, before + 1)
  const s = await Sandbox.connect(r.body.sandboxID)
  assert.equal(await sh(s, `echo $WHO; echo $E2B_SANDBOX_ID; ${probe} | grep -c .`), `claimed\n${r.body.sandboxID}\n1`)
  assert.equal((await info(s.sandboxId)).metadata.second, 'yes')
  // a claimed one is a sandbox like others
  await s.pause()
  await Sandbox.connect(s.sandboxId)
  assert.equal(await sh(s, 'echo $WHO'), 'claimed')
  await s.kill()
  await Sandbox.kill(first.body.sandboxID)
})

test('of those started ahead none outlives control', async () => {
  await post({ templateID: name })
  await until(async () => (await stock()).ready > 0, 15_000, 'one is started ahead')
  const warm = () => fs.readdirSync(`${state}/run/s`).filter((n) => n.startsWith('w'))
  assert.ok(warm().length > 0)
  const [pid] = pids('belljar-control')
  await murder('belljar-control')
  assert.ok(!pids('belljar-control').includes(pid))
  await ready()
  await until(() => warm().length === 0, 10_000, 'they are destroyed')
  assert.equal((await post({ templateID: name })).status, 201)
})
