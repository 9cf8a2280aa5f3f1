// The life of a sandbox through the published SDK and, where the SDK hides something, plain HTTP:
// create, details, time left, connect, kill, expiry, pause and resume, and their races.
import test from 'node:test'
import assert from 'node:assert/strict'
import crypto from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { Sandbox, NotFoundError, SandboxNotFoundError, AuthenticationError } from 'e2b'
import { until } from '../lib/until.mjs'

const run = crypto.randomBytes(4).toString('hex')
const url = process.env.E2B_API_URL
const made = new Set()
const create = async (opts = {}) => {
  const s = await Sandbox.create({ timeoutMs: 300_000, ...opts, metadata: { run, ...opts.metadata } })
  made.add(s.sandboxId)
  return s
}
test.after(async () => { await Promise.allSettled([...made].map((id) => Sandbox.kill(id))) })

async function http(method, path, body, headers = {}) {
  const r = await fetch(url + path, {
    method,
    headers: { 'X-API-KEY': process.env.E2B_API_KEY, ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
  })
  const text = await r.text()
  return { status: r.status, headers: r.headers, body: text ? JSON.parse(text) : undefined }
}
const info = async (id) => (await http('GET', `/sandboxes/${id}`)).body
const notFound = (e) => e instanceof NotFoundError || e instanceof SandboxNotFoundError

test('a created sandbox has the defaults of v2 and runs', async () => {
  const s = await Sandbox.create({ metadata: { run } })
  made.add(s.sandboxId)
  assert.match(s.sandboxId, /^i[a-z0-9]{20}$/)
  assert.equal(await s.isRunning(), true)
  const i = await s.getInfo()
  assert.equal(i.state, 'running')
  assert.equal(i.templateId, 'base')
  assert.equal(i.name, 'base')
  assert.equal(i.metadata.run, run)
  assert.equal(i.endAt - i.startedAt, 300_000)
  assert.ok(Math.abs(Date.now() - i.startedAt) < 10_000)
  const raw = await info(s.sandboxId)
  for (const k of ['templateID', 'sandboxID', 'clientID', 'startedAt', 'endAt', 'cpuCount', 'memoryMB', 'diskSizeMB', 'state', 'envdVersion'])
    assert.ok(raw[k] !== undefined && raw[k] !== null, k)
  assert.match(raw.clientID, /^[a-z0-9]+$/)
  assert.match(raw.envdAccessToken, /^[0-9a-f]{64}$/)
  assert.equal(raw.allowInternetAccess, null)
  assert.deepEqual(raw.volumeMounts, [])
  assert.deepEqual(raw.lifecycle, { autoResume: false, onTimeout: 'kill' })
})

test('v1 create is open and lives 15 s unless asked otherwise', async () => {
  const open = await http('POST', '/sandboxes', { templateID: 'base', metadata: { run } })
  assert.equal(open.status, 201)
  made.add(open.body.sandboxID)
  assert.equal(open.body.envdAccessToken, undefined)
  const i = await info(open.body.sandboxID)
  assert.equal(new Date(i.endAt) - new Date(i.startedAt), 15_000)
  const secure = await http('POST', '/sandboxes', { templateID: 'base', secure: true, timeout: 30, autoPause: false, autoResume: { enabled: false }, allow_internet_access: true })
  assert.equal(secure.status, 201)
  made.add(secure.body.sandboxID)
  assert.match(secure.body.envdAccessToken, /^[0-9a-f]{64}$/)
  assert.equal((await info(secure.body.sandboxID)).allowInternetAccess, true)
})

test('the traffic token is there only when ports are private', async () => {
  const s = await create({ network: { allowPublicTraffic: false } })
  assert.match(s.trafficAccessToken, /^[0-9a-f]{64}$/)
  assert.equal((await info(s.sandboxId)).network.allowPublicTraffic, false)
  assert.equal((await create()).trafficAccessToken, undefined)
})

test('what cannot be kept is refused, unknown templates are not found', async () => {
  await assert.rejects(create({ network: { denyOut: ['1.1.1.1'] } }), /501/)
  await assert.rejects(Sandbox.create('no-such-template'), /404.*template 'no-such-template' not found/)
  await assert.rejects(Sandbox.create({ apiKey: 'e2b_' + '0'.repeat(40) }), AuthenticationError)
})

test('setTimeout counts from now, may shorten, and 0 ends at once', async () => {
  const s = await create({ timeoutMs: 300_000 })
  await s.setTimeout(20_000)
  const left = (await s.getInfo()).endAt - Date.now()
  assert.ok(left > 10_000 && left <= 20_000, `${left} ms left`)
  await s.setTimeout(0)
  await until(async () => (await http('GET', `/sandboxes/${s.sandboxId}`)).status === 404, 1000, 'gone')
  await assert.rejects(s.setTimeout(1000), notFound)
})

test('more than the longest life is clamped', async () => {
  const s = await create()
  assert.equal((await http('POST', `/sandboxes/${s.sandboxId}/timeout`, { timeout: 2_000_000 })).status, 204)
  const i = await s.getInfo()
  assert.equal(i.endAt - i.startedAt, 86_400_000)
})

test('it ends after endAt, and not before', async () => {
  const s = await create({ timeoutMs: 2000 })
  const { endAt } = await s.getInfo()
  let last = 0
  await until(async () => {
    const there = (await http('GET', `/sandboxes/${s.sandboxId}`)).status === 200
    if (there) last = Date.now()
    return !there
  }, 5000, 'gone')
  assert.ok(last >= endAt - 100, `there at ${last - endAt} ms after endAt`)
  assert.equal(await s.isRunning(), false)
})

test('refreshes never shorten', async () => {
  const s = await create({ timeoutMs: 100_000 })
  const before = (await info(s.sandboxId)).endAt
  assert.equal((await http('POST', `/sandboxes/${s.sandboxId}/refreshes`, { duration: 20 })).status, 204)
  assert.equal((await info(s.sandboxId)).endAt, before)
  assert.equal((await http('POST', `/sandboxes/${s.sandboxId}/refreshes`, { duration: 1000 })).status, 204)
  assert.ok(new Date((await info(s.sandboxId)).endAt) - Date.now() > 990_000)
})

test('connect joins a running sandbox: same tokens, extends, never shortens', async () => {
  const s = await create({ timeoutMs: 500_000 })
  const before = await info(s.sandboxId)
  const t = await Sandbox.connect(s.sandboxId) // 300 s: no change
  assert.equal(t.sandboxId, s.sandboxId)
  assert.deepEqual(await info(s.sandboxId), before)
  const r = await http('POST', `/v2/sandboxes/${s.sandboxId}/connect`)
  assert.equal(r.status, 200)
  assert.equal(r.body.envdAccessToken, before.envdAccessToken)
  assert.equal((await http('POST', `/sandboxes/${s.sandboxId}-${before.clientID}/connect`, { timeout: 700 })).status, 200)
  assert.ok(new Date((await info(s.sandboxId)).endAt) - Date.now() > 690_000)
  await assert.rejects(Sandbox.connect('i' + crypto.randomBytes(10).toString('hex')), notFound)
})

test('kill is true once; of two at once one wins', async () => {
  const s = await create()
  assert.equal(await s.kill(), true)
  assert.equal(await Sandbox.kill(s.sandboxId), false)
  assert.equal(await s.isRunning(), false)
  await assert.rejects(Sandbox.getInfo(s.sandboxId), notFound)
  const t = await create()
  const both = await Promise.all([Sandbox.kill(t.sandboxId), Sandbox.kill(t.sandboxId)])
  assert.deepEqual(both.sort(), [false, true])
})

test('20 creates at once all succeed and differ', async () => {
  const all = await Promise.all(Array.from({ length: 20 }, () => create({ metadata: { burst: run } })))
  assert.equal(new Set(all.map((s) => s.sandboxId)).size, 20)
  assert.ok((await Promise.all(all.map((s) => s.isRunning()))).every(Boolean))
  assert.ok((await Promise.all(all.map((s) => s.kill()))).every(Boolean))
})

test('a client that leaves during create does not leave a sandbox without end', async () => {
  const metadata = { left: run }
  for (const ms of [0, 1, 2, 5, 10]) {
    const stop = new AbortController()
    const asked = fetch(url + '/v2/sandboxes', {
      method: 'POST', signal: stop.signal, headers: { 'X-API-KEY': process.env.E2B_API_KEY },
      body: JSON.stringify({ templateID: 'base', timeout: 3, metadata }),
    })
    await sleep(ms)
    stop.abort()
    await asked.catch(() => {})
  }
  const count = async () => (await http('GET', `/v2/sandboxes?metadata=left%3D${run}`)).body.length
  await until(async () => (await count()) === 0, 8000, 'all of them gone')
})

// -- pause and resume --

test('pause and connect: state, codes, times', async () => {
  const s = await create({ timeoutMs: 100_000 })
  const first = await s.getInfo()
  assert.equal(await s.pause(), true)
  assert.equal(await s.pause(), false)
  assert.equal(await s.isRunning(), false)
  const paused = await s.getInfo()
  assert.equal(paused.state, 'paused')
  assert.equal(paused.startedAt.getTime(), first.startedAt.getTime())
  assert.ok(paused.endAt <= Date.now() + 50 && paused.endAt > first.startedAt)
  assert.equal((await http('POST', `/sandboxes/${s.sandboxId}/timeout`, { timeout: 9 })).status, 404)
  assert.equal((await http('POST', `/sandboxes/${s.sandboxId}/pause`)).status, 409)
  const t = await Sandbox.connect(s.sandboxId, { timeoutMs: 70_000 })
  assert.equal(await t.isRunning(), true)
  const again = await t.getInfo()
  assert.equal(again.state, 'running')
  assert.ok(again.startedAt > first.startedAt)
  assert.equal(again.endAt - again.startedAt, 70_000)
  assert.equal((await http('POST', `/sandboxes/${s.sandboxId}/resume`, { timeout: 10 })).status, 409)
  await s.pause()
  const r = await http('POST', `/sandboxes/${s.sandboxId}/resume`, { timeout: 10, autoPause: false })
  assert.equal(r.status, 201)
  assert.equal(r.body.sandboxID, s.sandboxId)
})

test('a paused sandbox can be killed', async () => {
  const s = await create()
  await s.pause()
  assert.equal(await Sandbox.kill(s.sandboxId), true)
  assert.equal((await http('GET', `/sandboxes/${s.sandboxId}`)).status, 404)
  await assert.rejects(Sandbox.connect(s.sandboxId), notFound)
})

test('paused instead of killed when its time is up', async () => {
  const s = await create({ timeoutMs: 1500, lifecycle: { onTimeout: 'pause' } })
  assert.deepEqual((await info(s.sandboxId)).lifecycle, { autoResume: false, onTimeout: 'pause' })
  await until(async () => (await info(s.sandboxId)).state === 'paused', 4000, 'paused')
  const t = await Sandbox.connect(s.sandboxId, { timeoutMs: 30_000 })
  assert.equal(await t.isRunning(), true)
})

test('races end in a legal state with both callers answered', async () => {
  const race = async (fns) => {
    const s = await create()
    const got = await Promise.allSettled(fns.map((f) => f(s)))
    return [s, got.map((g) => g.status === 'fulfilled' ? g.value : g.reason)]
  }
  const pause = (s) => http('POST', `/sandboxes/${s.sandboxId}/pause`)
  const kill = (s) => http('DELETE', `/sandboxes/${s.sandboxId}`)
  const connect = (s) => http('POST', `/v2/sandboxes/${s.sandboxId}/connect`)
  const at = (s) => http('GET', `/sandboxes/${s.sandboxId}`)
  for (let i = 0; i < 5; i++) {
    let [s, [a, b]] = await race([pause, kill])
    assert.equal(b.status, 204)
    assert.ok([204, 404].includes(a.status), `pause beside kill: ${a.status}`)
    assert.equal((await at(s)).status, 404);

    [s, [a, b]] = await race([pause, connect])
    assert.equal(a.status, 204)
    assert.ok([200, 201].includes(b.status), `connect beside pause: ${b.status}`)
    assert.ok(['running', 'paused'].includes((await at(s)).body.state))
    await kill(s);

    [s, [a, b]] = await race([kill, connect])
    assert.equal(a.status, 204)
    assert.ok([200, 404].includes(b.status), `connect beside kill: ${b.status}`)
    assert.equal((await at(s)).status, 404)

    s = await create()
    await pause(s)
    const both = await Promise.all([connect(s), connect(s)])
    assert.ok(both.every((r) => r.status === 201 || r.status === 200), JSON.stringify(both.map((r) => r.status)))
    assert.equal((await at(s)).body.state, 'running')
    await kill(s)
  }
})
