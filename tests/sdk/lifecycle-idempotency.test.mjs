// Idempotency-Key on POST /v2/sandboxes, as delta.md 7 restates it. Newer SDKs send it; over HTTP.
import test from 'node:test'
import assert from 'node:assert/strict'
import crypto from 'node:crypto'

const url = process.env.E2B_API_URL
const run = crypto.randomBytes(6).toString('hex')
const made = new Set()
let n = 0
const fresh = () => `key-${run}-${n++}`

async function http(method, path, body, headers = {}) {
  const r = await fetch(url + path, { method, headers: { 'X-API-KEY': process.env.E2B_API_KEY, ...headers }, body: typeof body === 'string' ? body : JSON.stringify(body) })
  const text = await r.text()
  const got = { status: r.status, body: text ? JSON.parse(text) : undefined, text }
  if (got.body?.sandboxID) made.add(got.body.sandboxID)
  return got
}
const create = (body, key, path = '/v2/sandboxes') => http('POST', path, body, key === undefined ? {} : { 'Idempotency-Key': key })
const count = async (metadata) => (await http('GET', `/v2/sandboxes?metadata=${metadata}%3D${run}`)).body.length
test.after(async () => { await Promise.allSettled([...made].map((id) => http('DELETE', `/sandboxes/${id}`))) })

test('the same request is answered once more, not executed', async () => {
  const key = fresh(), metadata = { same: run }
  const a = await create({ templateID: 'base', metadata }, key)
  assert.equal(a.status, 201)
  // equivalent: defaults written out, other order, unknown members
  const b = await create({ odd: 1, metadata, timeout: 300, autoPause: false, templateID: ' BASE ' }, key)
  assert.equal(b.status, 201)
  assert.equal(b.text, a.text)
  assert.equal(await count('same'), 1)
})

test('another request with the same key is refused', async () => {
  const key = fresh()
  assert.equal((await create({ templateID: 'base', metadata: { x: run } }, key)).status, 201)
  for (const body of [{ templateID: 'base' }, { templateID: 'base', metadata: { x: run }, timeout: 299 }, { templateID: 'base', metadata: { x: run }, envVars: { a: '1' } }]) {
    const r = await create(body, key)
    assert.equal(r.status, 409)
    assert.equal(r.body.error_code, 'idempotency_request_mismatch')
    assert.equal(r.body.code, 409)
  }
})

test('two at once: one runs, the other is told to wait or gets the answer', async () => {
  const key = fresh(), metadata = { once: run }
  const all = await Promise.all(Array.from({ length: 5 }, () => create({ templateID: 'base', metadata }, key)))
  assert.ok(all.every((r) => r.status === 201 || (r.status === 409 && r.body.error_code === 'idempotency_in_progress')), JSON.stringify(all.map((r) => r.status)))
  assert.equal(new Set(all.filter((r) => r.status === 201).map((r) => r.text)).size, 1)
  assert.equal(await count('once'), 1)
  assert.equal((await create({ templateID: 'base', metadata }, key)).status, 201)
  assert.equal(await count('once'), 1)
})

test('a malformed key is refused, a malformed body reserves nothing', async () => {
  for (const key of ['', 'UPPER', 'under_score', 'a b', 'x'.repeat(256)])
    assert.equal((await create({ templateID: 'base' }, key)).status, 400, key)
  const key = fresh()
  for (const body of ['{', '{"templateID":"base","timeout":"x"}'])
    assert.equal((await create(body, key)).status, 400)
  const a = await create({ templateID: 'base' }, key)
  assert.equal(a.status, 201)
  // a bad request with a used key does not touch its record
  assert.equal((await create('{', key)).status, 400)
  assert.equal((await create({ templateID: 'base' }, key)).text, a.text)
  assert.equal((await create({ templateID: 'base' }, 'x'.repeat(247) + crypto.randomBytes(4).toString('hex'))).status, 201)
})

test('the answer stays after a kill, and a client that left finds it', async () => {
  const key = fresh(), stop = new AbortController()
  const first = fetch(url + '/v2/sandboxes', { method: 'POST', signal: stop.signal, headers: { 'X-API-KEY': process.env.E2B_API_KEY, 'Idempotency-Key': key }, body: '{"templateID":"base"}' })
  setTimeout(() => stop.abort(), 1)
  await first.catch(() => {})
  let r
  for (let i = 0; i < 50; i++) {
    r = await create({ templateID: 'base' }, key)
    if (r.status !== 409) break
    await new Promise((ok) => setTimeout(ok, 50))
  }
  assert.equal(r.status, 201)
  assert.equal((await http('DELETE', `/sandboxes/${r.body.sandboxID}`)).status, 204)
  assert.equal((await create({ templateID: 'base' }, key)).text, r.text)
})

test('other routes ignore the header', async () => {
  const key = fresh()
  const [a, b] = [await create({ templateID: 'base' }, key, '/sandboxes'), await create({ templateID: 'base' }, key, '/sandboxes')]
  assert.notEqual(a.body.sandboxID, b.body.sandboxID)
  assert.equal((await create({ templateID: 'base' }, 'NOT VALID', '/sandboxes')).status, 201)
})
