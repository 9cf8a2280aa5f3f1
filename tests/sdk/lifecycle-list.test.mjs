// Lists of sandboxes: filters, order, pages and headers (core.md 2.3), through the SDK's paginator
// and plain HTTP.
import test from 'node:test'
import assert from 'node:assert/strict'
import crypto from 'node:crypto'
import { Sandbox } from 'e2b'

const run = crypto.randomBytes(4).toString('hex')
const url = process.env.E2B_API_URL
const odd = `a b&c=d/é+%${run}`
const ids = (l) => l.map((s) => s.sandboxId ?? s.sandboxID)
const made = []

async function get(path) {
  const r = await fetch(url + path, { headers: { 'X-API-KEY': process.env.E2B_API_KEY, 'Content-Type': 'application/json' } })
  return { status: r.status, headers: r.headers, body: await r.json() }
}
async function all(p) {
  const out = []
  while (p.hasNext) out.push(...(await p.nextItems()))
  return out
}
const list = (query, opts = {}) => Sandbox.list({ ...opts, query: { metadata: { run }, ...query } })

test.before(async () => {
  for (let i = 0; i < 5; i++) {
    const s = await Sandbox.create(i === 4 ? 'code-interpreter-v1' : 'base', { timeoutMs: 120_000, metadata: { run, n: String(i), [odd]: odd } })
    made.push(s.sandboxId)
  }
  await Sandbox.pause(made[1])
})
test.after(async () => { await Promise.allSettled(made.map((id) => Sandbox.kill(id))) })

test('newest first, or oldest first', async () => {
  assert.deepEqual(ids(await all(list())), [...made].reverse())
  assert.deepEqual(ids(await all(list({}, { order: 'asc' }))), made)
})

test('every pair of metadata must match, whatever is in it', async () => {
  assert.deepEqual(ids(await all(list({ metadata: { run, n: '2' } }))), [made[2]])
  assert.deepEqual(ids(await all(list({ metadata: { run, n: '9' } }))), [])
  const l = await all(list({ metadata: { run, n: '0', [odd]: odd } }))
  assert.deepEqual(ids(l), [made[0]])
  assert.equal(l[0].metadata[odd], odd)
})

test('state: running, paused, both', async () => {
  const running = made.filter((_, i) => i !== 1).reverse()
  assert.deepEqual(ids(await all(list({ state: ['running'] }))), running)
  assert.deepEqual(ids(await all(list({ state: ['paused'] }))), [made[1]])
  assert.deepEqual(ids(await all(list({ state: ['running', 'paused'] }))), [...made].reverse())
  const q = `metadata=run%3D${run}`
  const r = await get(`/v2/sandboxes?${q}&state=running`)
  assert.equal(r.headers.get('x-total-running'), '4')
  assert.equal((await get(`/v2/sandboxes?${q}&limit=1`)).headers.get('x-total-running'), '4')
  assert.equal((await get(`/v2/sandboxes?${q}&state=paused`)).headers.get('x-total-running'), null)
  assert.deepEqual(ids((await get(`/v2/sandboxes?${q}&state=running&state=paused`)).body), [...made].reverse())
  // v1: running ones, all of them, no pages
  const v1 = await get(`/sandboxes?${q}`)
  assert.deepEqual(ids(v1.body), running)
  assert.equal(v1.headers.get('x-next-token'), null)
})

test('pages: no gap, no repetition, no token on the last', async () => {
  for (const order of ['asc', 'desc']) {
    for (const limit of [1, 2, 4, 5, 1000]) {
      const p = list({}, { limit, order })
      const got = []
      while (p.hasNext) {
        const page = await p.nextItems()
        assert.ok(page.length <= limit)
        got.push(...page)
      }
      assert.deepEqual(ids(got), order === 'asc' ? made : [...made].reverse(), `${order} ${limit}`)
      assert.ok(!p.nextToken)
    }
  }
  const p = list({}, { limit: 2 })
  await p.nextItems()
  const q = list({}, { limit: 2, nextToken: p.nextToken })
  assert.deepEqual(ids(await q.nextItems()), [made[2], made[1]])
  assert.equal((await get(`/v2/sandboxes?order=asc&nextToken=${p.nextToken}`)).status, 400)
})

test('a page goes on at its place when its last row is gone', async () => {
  const extra = await Sandbox.create({ timeoutMs: 60_000, metadata: { run } })
  const p = list({}, { limit: 1 })
  assert.deepEqual(ids(await p.nextItems()), [extra.sandboxId])
  await extra.kill()
  assert.deepEqual(ids(await p.nextItems()), [made[4]])
})

test('startedAfter is inclusive', async () => {
  const at = (await get(`/sandboxes/${made[2]}`)).body.startedAt
  const q = `/v2/sandboxes?metadata=run%3D${run}&order=asc&startedAfter=`
  assert.deepEqual(ids((await get(q + encodeURIComponent(at))).body), made.slice(2))
  assert.deepEqual(ids((await get(q + encodeURIComponent(at.replace('Z', '+00:00')))).body), made.slice(2))
  assert.deepEqual(ids(await all(list({ startedAfter: new Date(Date.now() + 60_000) }))), [])
})

test('template: by id or alias', async () => {
  assert.deepEqual(ids(await all(list({ template: 'base' }))).includes(made[0]), true)
  assert.deepEqual(ids(await all(list({ template: 'no-such-template' }))), [])
  assert.ok(ids(await all(list({ template: 'code-interpreter-v1' }))).includes(made[4]))
})

test('rows have what SDKs need', async () => {
  for (const row of (await get(`/v2/sandboxes?metadata=run%3D${run}`)).body) {
    for (const k of ['templateID', 'alias', 'sandboxID', 'clientID', 'startedAt', 'endAt', 'cpuCount', 'memoryMB', 'diskSizeMB', 'state', 'envdVersion', 'metadata', 'volumeMounts'])
      assert.ok(row[k] !== undefined && row[k] !== null, k)
    assert.match(row.startedAt, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/)
    assert.equal(row.envdAccessToken, undefined)
  }
})
