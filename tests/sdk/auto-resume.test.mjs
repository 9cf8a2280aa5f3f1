// A paused sandbox that traffic wakes up (core.md 6.5): the request is held, not lost.
import test from 'node:test'
import assert from 'node:assert/strict'
import { Sandbox } from 'e2b'
import { murder, until } from '../lib/server.mjs'

const url = new URL(process.env.E2B_SANDBOX_URL)
const route = (s, port) => ({ 'E2b-Sandbox-Id': s.sandboxId, 'E2b-Sandbox-Port': String(port) })
const get = (s, port, path = '/', headers = {}) => fetch(url.origin + path, { headers: { ...route(s, port), ...headers } })
const state = async (s) => (await s.getInfo()).state

async function sleeper(t, opts = {}) {
  const s = await Sandbox.create({ timeoutMs: 20_000, lifecycle: { onTimeout: 'pause', autoResume: true }, ...opts })
  t.after(() => s.kill())
  await s.commands.run('echo awake > index.html; python3 -m http.server 8000', { background: true })
  const headers = s.trafficAccessToken ? { 'e2b-traffic-access-token': s.trafficAccessToken } : {}
  await until(async () => (await get(s, 8000, '/', headers)).ok, 15_000, 'the server inside answers')
  await s.pause()
  return s
}

test('a request resumes it and is answered', async (t) => {
  const s = await sleeper(t)
  assert.equal(await state(s), 'paused', 'asking for its state does not wake it')
  const r = await get(s, 8000)
  assert.equal(r.status, 200)
  assert.equal(await r.text(), 'awake\n')
  const info = await s.getInfo()
  assert.equal(info.state, 'running')
  assert.ok(info.endAt - Date.now() > 290_000, 'a woken sandbox lives five minutes at least')
})

test('requests at once join one resume', async (t) => {
  const s = await sleeper(t)
  const all = await Promise.all(Array.from({ length: 30 }, () => get(s, 8000)))
  assert.deepEqual([...new Set(all.map((r) => r.status))], [200])
})

test('an SDK call resumes it', async (t) => {
  const s = await sleeper(t)
  assert.equal((await s.commands.run('cat index.html')).stdout, 'awake\n')
})

test('envd of a secured sandbox wakes only for its token', async (t) => {
  const s = await sleeper(t)
  assert.equal((await get(s, 49983, '/health')).status, 403)
  assert.equal((await get(s, 49983, '/health', { 'X-Access-Token': 'wrong' })).status, 403)
  assert.equal(await state(s), 'paused')
  const signed = await s.downloadUrl('index.html', { useSignatureExpiration: 60 })
  const r = await fetch(signed)
  assert.equal(await r.text(), 'awake\n', 'a signed URL is as good as the token')
})

test('private ports wake only for the traffic token', async (t) => {
  const s = await sleeper(t, { network: { allowPublicTraffic: false } })
  assert.equal((await get(s, 8000)).status, 403)
  assert.equal(await state(s), 'paused')
  assert.equal((await get(s, 8000, '/', { 'e2b-traffic-access-token': s.trafficAccessToken })).status, 200)
})

test('a stream that a pause ends says so, and does not wake what sleeps', async (t) => {
  const s = await Sandbox.create({ timeoutMs: 60_000, lifecycle: { onTimeout: 'pause', autoResume: true } })
  t.after(() => s.kill())
  for (const command of ['sleep 100', 'while :; do echo 0123456789; done']) {
    const open = await Promise.all(Array.from({ length: 5 }, () => s.commands.run(command, { background: true })))
    const ends = open.map((h) => h.wait().then(() => 'ended', (e) => `${e.name}: ${e.message}`))
    await s.pause()
    for (const end of await Promise.all(ends))
      if (command === 'sleep 100') assert.match(end, /^TimeoutError: .*ended before the stream completed/)
      else assert.match(end, /^TimeoutError/) // in the middle of a message it is cut off, and /health asked
    if (command === 'sleep 100') assert.equal(await state(s), 'paused')
    await s.connect()
    for (const h of open) await h.kill()
  }
})

test('without autoResume it stays as if it were not there', async (t) => {
  const s = await Sandbox.create({ timeoutMs: 60_000 })
  t.after(() => s.kill())
  await s.pause()
  const r = await get(s, 49983, '/health', { 'X-Access-Token': 'any' })
  assert.equal(r.status, 502)
  assert.equal((await r.json()).message, 'The sandbox was not found')
  assert.equal(await state(s), 'paused')
})

test('a request held while control dies is answered by the next one', async (t) => {
  const s = await sleeper(t)
  const killed = murder('belljar-control')
  const answers = await Promise.all(Array.from({ length: 20 }, () => get(s, 8000)))
  await killed
  assert.deepEqual([...new Set(answers.map((r) => r.status))], [200])
})

test('killed while it wakes up: both callers are answered', async (t) => {
  for (let i = 0; i < 10; i++) {
    const s = await sleeper(t)
    const [r, killed] = await Promise.allSettled([get(s, 8000), s.kill()])
    assert.equal(killed.value, true)
    // cut off in the middle, told that it is gone, or just in time
    if (r.status === 'fulfilled') assert.ok([200, 502].includes(r.value.status), String(r.value.status))
    assert.equal((await get(s, 8000)).status, 502)
  }
})
