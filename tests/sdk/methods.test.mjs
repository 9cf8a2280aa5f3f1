// Every static and instance method of the SDK's Sandbox and its paginators is called by a test here,
// or named below with the reason why not. A release with more methods fails until it has its test.
import test from 'node:test'
import assert from 'node:assert/strict'
import fs from 'node:fs'
import path from 'node:path'
import { Sandbox } from 'e2b'
import { all, create, run, sh } from './api.mjs'

const here = path.dirname(new URL(import.meta.url).pathname)
const tests = fs.readdirSync(here).filter((f) => f.endsWith('.mjs')).map((f) => fs.readFileSync(path.join(here, f), 'utf8')).join('\n')

const elsewhere = {
  updateNetwork: 'PUT /sandboxes/{id}/network is not there yet: below',
  betaPause: 'an alias of pause: below',
  getMcpUrl: 'below', getMcpToken: 'needs a template with an MCP gateway: below',
}
// protected in the types: the parts the public ones are made of
const inner = ['defaultTemplate', 'defaultMcpTemplate', 'createSandbox', 'forkSandbox', 'connectSandbox', 'resolveOpts', 'boundOpts', 'resolveApiOpts', 'fileUrl', 'constructor', 'length', 'name', 'prototype']
const methods = (o, end) => {
  const found = new Set()
  for (; o && o !== end; o = Object.getPrototypeOf(o))
    for (const k of Object.getOwnPropertyNames(o)) if (!inner.includes(k) && typeof Object.getOwnPropertyDescriptor(o, k).value === 'function') found.add(k)
  return [...found].sort()
}

for (const name of methods(Sandbox, Function.prototype))
  test(`Sandbox.${name} is tested`, () => assert.ok(name in elsewhere || new RegExp(`Sandbox\\.${name}\\(`).test(tests)))
for (const name of methods(Sandbox.prototype, Object.prototype))
  test(`sandbox.${name} is tested`, () => assert.ok(name in elsewhere || new RegExp(`\\b(s|t|one|c|child|sbx|sandbox)\\.${name}\\(`).test(tests)))

test('static calls do what the instance does', async () => {
  const s = await create('base', { metadata: { statics: run } })
  const id = s.sandboxId
  await s.files.write('/home/user/x', 'x')
  await Sandbox.setTimeout(id, 90_000)
  assert.ok((await Sandbox.getInfo(id)).endAt - Date.now() > 80_000)
  const full = await Sandbox.getFullInfo(id)
  assert.equal(full.sandboxId, id)
  assert.deepEqual(full.metadata, { run, statics: run })
  assert.deepEqual(await Sandbox.getMetrics(id).then(Array.isArray), true)
  const { snapshotId } = await Sandbox.createSnapshot(id)
  assert.deepEqual((await all(Sandbox.listSnapshots({ sandboxId: id }))).map((n) => n.snapshotId), [snapshotId])
  assert.equal(await Sandbox.deleteSnapshot(snapshotId), true)
  const forks = await Sandbox.fork(id, { count: 2, timeoutMs: 20_000 })
  for (const f of forks) assert.equal(await sh(f, 'cat ~/x'), 'x')
  assert.deepEqual(await Promise.all(forks.map((f) => Sandbox.kill(f.sandboxId))), [true, true])
  assert.equal(await Sandbox.pause(id), true)
  assert.equal(await Sandbox.betaPause(id), false)
  const t = await Sandbox.connect(id)
  assert.equal(await t.isRunning(), true)
  assert.equal(await t.betaPause(), true)
  assert.equal(await (await t.connect()).isRunning(), true)
  assert.equal(await Sandbox.kill(id), true)
})

test('what is not there says so', async () => {
  const s = await create()
  await assert.rejects(s.updateNetwork({}), /501/)
  await assert.rejects(Sandbox.updateNetwork(s.sandboxId, {}), /501/)
  assert.match(s.getMcpUrl(), /^https?:\/\/50005-.*\/mcp$/)
  await assert.rejects(s.getMcpToken(), /does not exist/)
})

test('hosts and links name the sandbox', async () => {
  const s = await create()
  assert.ok(s.getHost(8080).startsWith(`8080-${s.sandboxId}.`))
  assert.match(await s.uploadUrl('x'), /signature=v1_/)
  assert.match(await s.downloadUrl('x', { useSignatureExpiration: 60 }), /signature_expiration=\d+/)
})

test('paginators: pages, the end, and what comes after it', async () => {
  const made = []
  for (let i = 0; i < 3; i++) made.unshift((await create('base', { metadata: { pages: run } })).sandboxId)
  const p = Sandbox.list({ query: { metadata: { pages: run } }, limit: 2 })
  assert.equal(p.constructor.name, 'SandboxPaginator')
  assert.equal(p.hasNext, true)
  assert.deepEqual((await p.nextItems()).map((i) => i.sandboxId), made.slice(0, 2))
  assert.ok(p.hasNext && p.nextToken)
  const q = Sandbox.list({ query: { metadata: { pages: run } }, limit: 2, nextToken: p.nextToken })
  assert.deepEqual((await q.nextItems()).map((i) => i.sandboxId), made.slice(2))
  assert.deepEqual((await p.nextItems()).map((i) => i.sandboxId), made.slice(2))
  assert.equal(p.hasNext, false)
  await assert.rejects(p.nextItems())
  const s = await Sandbox.connect(made[0])
  const ids = []
  for (let i = 0; i < 3; i++) ids.unshift((await s.createSnapshot()).snapshotId)
  const n = s.listSnapshots({ limit: 2 })
  assert.equal(n.constructor.name, 'SnapshotPaginator')
  assert.deepEqual((await n.nextItems()).map((x) => x.snapshotId), ids.slice(0, 2))
  assert.equal(n.hasNext, true)
  assert.deepEqual((await n.nextItems()).map((x) => x.snapshotId), ids.slice(2))
  assert.equal(n.hasNext, false)
  await assert.rejects(n.nextItems())
  for (const id of ids) await Sandbox.deleteSnapshot(id)
})
