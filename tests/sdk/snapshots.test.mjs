// Snapshots and forks: what a running sandbox has on its disk, in others, while it goes on.
import test from 'node:test'
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { NotFoundError, Sandbox, SandboxError } from 'e2b'
import { state, until } from '../lib/server.mjs'
import { all, create, http, info, keep, run, sh } from './api.mjs'

const snapshots = new Set()
const snap = async (s, opts) => { const n = await s.createSnapshot(opts); snapshots.add(n.snapshotId); return n }
const layers = () => fs.existsSync(`${state}/layers`) ? fs.readdirSync(`${state}/layers`).filter((n) => /^l[a-z0-9]{19}/.test(n)) : []
test.after(async () => { for (const id of snapshots) await Sandbox.deleteSnapshot(id) })

test('a snapshot holds the files; its source goes on and may end', async () => {
  const s = await create('base', { envs: { MINE: 'no' } })
  await s.files.write('/home/user/a', 'one')
  const h = await s.commands.run('sleep 1000', { background: true })
  const before = await info(s.sandboxId)
  const r = await http('POST', `/sandboxes/${s.sandboxId}/snapshots`, {})
  assert.equal(r.status, 201)
  snapshots.add(r.body.snapshotID)
  assert.match(r.body.snapshotID, /^[a-z0-9]{20}:default$/)
  assert.deepEqual(r.body.names, [])
  assert.equal(r.body.contents, 'filesystem')
  assert.deepEqual(await info(s.sandboxId), before)
  assert.equal(await sh(s, `kill -0 ${h.pid} && echo alive`), 'alive')
  await s.files.write('/home/user/a', 'two')
  await s.kill()
  const t = await create(r.body.snapshotID)
  assert.equal(await t.files.read('/home/user/a'), 'one')
  assert.equal(await sh(t, 'echo [$MINE]; id -un; stat -c %U ~/a'), '[]\nuser\nuser')
  const i = await t.getInfo()
  assert.equal(i.templateId, r.body.snapshotID.split(':')[0])
  assert.equal((await info(t.sandboxId)).alias, undefined)
  assert.deepEqual(await all(Sandbox.list({ query: { template: i.templateId } })).then((l) => l.map((x) => x.sandboxId)), [t.sandboxId])
})

test('deletions, links, modes, owners and large files are captured', async () => {
  const s = await create('base')
  await s.commands.run(`sudo rm -rf /opt /etc/motd; mkdir -p ~/d/e; ln -s ../x ~/d/l; touch ~/d/f; ln ~/d/f ~/d/g; chmod 640 ~/d/f
    sudo chown 1234:5678 ~/d/e; setfattr -n user.e2b.k -v v ~/d/f || true; head -c 20000000 /dev/urandom > ~/big; cd; sha256sum big > sum`)
  const t = await create((await snap(s)).snapshotId)
  assert.equal(await sh(t, 'cd; sha256sum -c sum; stat -c "%a %h" d/f; readlink d/l; stat -c %u:%g d/e; ls -d /opt 2>&1 | grep -c such'),
    'big: OK\n640 2\n../x\n1234:5678\n1')
})

test('snapshots of what came from snapshots keep their distance', async () => {
  let s = await create('base')
  const ids = []
  for (let i = 0; i < 4; i++) {
    await s.files.write(`/home/user/f${i}`, String(i))
    await s.commands.run('echo x >> ~/all')
    ids.push((await snap(s)).snapshotId)
    s = await create(ids.at(-1))
  }
  for (const [i, id] of ids.entries()) {
    const t = await create(id)
    assert.equal(await sh(t, 'ls ~ | grep -c ^f; wc -l < ~/all'), `${i + 1}\n${i + 1}`)
  }
  // the lowest goes; those on it stay
  assert.equal(await Sandbox.deleteSnapshot(ids[0]), true)
  assert.equal(await sh(await create(ids[3]), 'cat ~/f0 ~/f3'), '03')
})

test('the most layers stand and hold, and one more is refused', async () => {
  let s = await create('base')
  for (let i = 0; i < 32; i++) {
    await s.files.write(`/home/user/f${i}`, String(i))
    const { snapshotId } = await snap(s)
    await s.kill()
    s = await create(snapshotId)
  }
  assert.equal(await sh(s, 'ls ~ | grep -c ^f; cat ~/f0 ~/f31'), '32\n031')
  await assert.rejects(s.createSnapshot(), /400.*32 layers of snapshots already/)
  await assert.rejects(s.fork(), /400.*32 layers of snapshots already/)
})

test('names, tags, and the same name again', async () => {
  const name = `n-${run}`
  const s = await create('base')
  await s.files.write('/home/user/v', '1')
  const a = await snap(s, { name: name.toUpperCase() })
  assert.deepEqual(a, { snapshotId: `belljar/${name}:default`, names: [`belljar/${name}`] })
  await s.files.write('/home/user/v', '2')
  const b = await snap(s, { name: `belljar/${name}:v2` })
  assert.equal(b.snapshotId, `belljar/${name}:v2`)
  const read = async (ref) => sh(await create(ref), 'cat ~/v')
  for (const ref of [name, `belljar/${name}`, `${name}:default`]) assert.equal(await read(ref), '1', ref)
  assert.equal(await read(`${name}:v2`), '2')
  const t = await create(name)
  assert.equal((await info(t.sandboxId)).alias, name)
  assert.equal((await all(Sandbox.list({ query: { template: name } }))).length, 5)
  await s.files.write('/home/user/v', '3')
  assert.equal((await snap(s, { name })).snapshotId, a.snapshotId)
  assert.equal(await read(name), '3')
  assert.equal(await read(`${name}:v2`), '2')
  const missing = await http('POST', '/v2/sandboxes', { templateID: `${name}:no` })
  assert.equal(missing.status, 404)
  assert.equal(missing.body.message, `tag 'no' does not exist for template '${name}'`)
  const listed = await all(Sandbox.listSnapshots({ name }))
  assert.deepEqual(listed.map((x) => x.snapshotId), [a.snapshotId, b.snapshotId])
  assert.deepEqual((await all(Sandbox.listSnapshots({ name: `${name}:v2` }))).map((x) => x.snapshotId), [b.snapshotId])
  assert.equal(await Sandbox.deleteSnapshot(b.snapshotId), true)
  assert.equal(await read(name), '3')
  assert.equal(await Sandbox.deleteSnapshot(`belljar/${name}`), true)
  assert.deepEqual(await all(Sandbox.listSnapshots({ name })), [])
})

test('lists have pages and know their source', async () => {
  const s = await create('base')
  const ids = []
  for (let i = 0; i < 5; i++) ids.unshift((await snap(s)).snapshotId)
  const p = s.listSnapshots({ limit: 2 })
  const pages = []
  while (p.hasNext) pages.push((await p.nextItems()).map((x) => x.snapshotId))
  assert.deepEqual(pages.map((x) => x.length), [2, 2, 1])
  assert.deepEqual(pages.flat(), ids)
  await s.kill()
  assert.equal((await all(Sandbox.listSnapshots({ sandboxId: s.sandboxId, limit: 5 }))).length, 5)
  assert.ok((await all(Sandbox.listSnapshots())).length >= 5)
})

test('deleted twice, deleted while used, deleted while created from', async () => {
  const s = await create('base')
  await s.files.write('/home/user/x', 'kept')
  const before = new Set(layers())
  const { snapshotId } = await s.createSnapshot()
  const mine = layers().filter((l) => !before.has(l))
  const t = await create(snapshotId)
  assert.equal(await Sandbox.deleteSnapshot(snapshotId), true)
  assert.equal(await Sandbox.deleteSnapshot(snapshotId), false)
  await assert.rejects(create(snapshotId), /404: template '.*' not found/)
  assert.equal(await t.files.read('/home/user/x'), 'kept')
  const again = await snap(t) // stands on the layer that no snapshot names any more
  await t.kill()
  assert.equal(await (await create(again.snapshotId)).files.read('/home/user/x'), 'kept')
  for (let i = 0; i < 5; i++) {
    const n = await s.createSnapshot()
    const [c, d] = await Promise.allSettled([create(n.snapshotId), Sandbox.deleteSnapshot(n.snapshotId)])
    assert.equal(d.value, true)
    if (c.status === 'fulfilled') assert.equal(await c.value.files.read('/home/user/x'), 'kept')
    else assert.match(c.reason.message, /^404: template .* not found$/)
    if (c.status === 'fulfilled') await c.value.kill()
  }
  assert.ok(mine.length > 0 || !fs.existsSync(`${state}/layers`))
})

test('layers go with the last who needs them', async () => {
  const before = layers() // some of them may be on their way out
  const added = () => layers().filter((l) => !before.includes(l))
  const s = await create('base')
  const { snapshotId } = await s.createSnapshot()
  const [child] = await s.fork()
  keep(child)
  assert.equal(added().length, 2)
  await Sandbox.deleteSnapshot(snapshotId)
  await child.kill()
  await s.kill()
  await until(() => added().length === 0, 5000, 'the layers are gone')
})

test('what has no disk to capture is told so', async () => {
  const s = await create('base')
  await s.pause()
  for (const r of ['snapshots', 'fork']) {
    const got = await http('POST', `/sandboxes/${s.sandboxId}/${r}`, {})
    assert.equal(got.status, 409)
    assert.match(got.body.message, /is paused/)
  }
  await s.kill()
  for (const r of ['snapshots', 'fork']) assert.equal((await http('POST', `/sandboxes/${s.sandboxId}/${r}`, {})).status, 404)
})

test('snapshots while it writes, while it pauses, while it is killed', async () => {
  const s = await create('base')
  await s.commands.run('(while :; do date >> ~/log; done) &', { background: true })
  const got = await Promise.allSettled([s.createSnapshot(), s.createSnapshot(), s.createSnapshot()])
  assert.ok(got.every((g) => g.status === 'fulfilled' || g.reason.statusCode === 409), JSON.stringify(got))
  assert.ok(got.some((g) => g.status === 'fulfilled'))
  for (const g of got) if (g.value) snapshots.add(g.value.snapshotId)
  const [a, b] = await Promise.allSettled([s.createSnapshot(), s.pause()])
  if (a.value) snapshots.add(a.value.snapshotId)
  assert.equal(b.value, true)
  assert.ok(a.status === 'fulfilled' || a.reason.statusCode === 409, a.reason)
  const t = await create('base')
  const [c, d] = await Promise.allSettled([t.createSnapshot(), t.kill()])
  if (c.value) snapshots.add(c.value.snapshotId)
  assert.equal(d.value, true)
  assert.ok(c.status === 'fulfilled' || c.reason instanceof NotFoundError || c.reason instanceof SandboxError, c.reason)
  assert.equal((await http('GET', `/sandboxes/${t.sandboxId}`)).status, 404)
})

test('forks are like their parent, and on their own', async () => {
  const s = await create('base', { envs: { A: '1' }, metadata: { kind: 'parent' }, lifecycle: { onTimeout: 'pause' } })
  await s.files.write('/home/user/x', 'parent')
  const before = await info(s.sandboxId)
  const r = await http('POST', `/sandboxes/${s.sandboxId}/fork`, { count: 3, timeout: 77 })
  assert.equal(r.status, 201)
  assert.equal(r.body.length, 3)
  assert.ok(r.body.every((f) => f.contents === 'filesystem'))
  for (const f of r.body) keep(f.sandbox)
  const ids = r.body.map((f) => f.sandbox.sandboxID)
  assert.equal(new Set([...ids, s.sandboxId]).size, 4)
  assert.equal(new Set([...r.body.map((f) => f.sandbox.envdAccessToken), before.envdAccessToken]).size, 4)
  for (const id of ids) {
    const t = await Sandbox.connect(id, { timeoutMs: 1000 })
    const i = await info(id)
    assert.equal(new Date(i.endAt) - new Date(i.startedAt), 77_000)
    assert.deepEqual(i.metadata, before.metadata)
    assert.deepEqual(i.lifecycle, before.lifecycle)
    assert.equal(await sh(t, 'cat ~/x; echo; echo $A'), 'parent\n1')
    await t.files.write('/home/user/x', id)
  }
  for (const id of ids) assert.equal(await (await Sandbox.connect(id)).files.read('/home/user/x'), id)
  assert.equal(await s.files.read('/home/user/x'), 'parent')
  assert.deepEqual(await info(s.sandboxId), before)
  const [one] = await s.fork()
  keep(one)
  const i = await one.getInfo()
  assert.equal(i.endAt - i.startedAt, 300_000)
  const [two] = await Sandbox.fork(s.sandboxId, { count: 1 })
  keep(two)
  assert.equal(await two.isRunning(), true)
})
