// What is large in one call does not keep other calls waiting, and is done whole all the same.
import test, { before, after } from 'node:test'
import assert from 'node:assert/strict'
import { Sandbox } from 'e2b'

const COUNT = 20_000
let s
const call = (path, body, h = {}) => fetch(process.env.E2B_SANDBOX_URL + path, {
  method: 'POST',
  headers: { 'E2b-Sandbox-Id': s.sandboxId, 'E2b-Sandbox-Port': '49983', 'X-Access-Token': s.envdAccessToken ?? '', 'Content-Type': 'application/json', ...h },
  body: typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body),
})
before(async () => {
  s = await Sandbox.create({ timeoutMs: 600_000 })
  await s.commands.run(`mkdir -p /tmp/many/sub && cd /tmp/many && seq ${COUNT} | split -l 1 -a 5 -d - f && head -c 20000000 /dev/urandom > /tmp/half`, { timeoutMs: 120_000 })
})
after(async () => { await s.kill() })

test('a large directory is listed whole, in both codecs', async () => {
  const list = await s.files.list('/tmp/many')
  assert.equal(list.length, COUNT + 1)
  assert.deepEqual([list[0].name, list.at(-2).name, list.at(-1).name], ['f00000', `f${COUNT - 1}`, 'sub'])
  const binary = await call('/filesystem.Filesystem/ListDir', Buffer.from('0a092f746d702f6d616e79', 'hex'), { 'Content-Type': 'application/proto' })
  assert.equal(binary.headers.get('content-type'), 'application/proto')
  const bytes = Buffer.from(await binary.arrayBuffer())
  assert.equal(bytes.length, Number(binary.headers.get('content-length')))
  assert.ok(bytes.includes('/tmp/many/sub') && bytes.includes('/tmp/many/f00000'))
})

test('clients that leave a large listing leave nothing behind', async () => {
  await Promise.all(Array.from({ length: 40 }, async () => {
    const stop = new AbortController()
    const r = await fetch(process.env.E2B_SANDBOX_URL + '/filesystem.Filesystem/ListDir', {
      method: 'POST', signal: stop.signal, body: '{"path":"/tmp/many"}',
      headers: { 'E2b-Sandbox-Id': s.sandboxId, 'E2b-Sandbox-Port': '49983', 'X-Access-Token': s.envdAccessToken ?? '', 'Content-Type': 'application/json' },
    })
    await r.body.getReader().read()
    stop.abort()
  }))
  assert.equal((await s.files.list('/tmp/many')).length, COUNT + 1)
  const agents = async () => (await s.commands.run('cat /proc/[0-9]*/comm 2>/dev/null | grep -c belljar-agent')).stdout.trim()
  for (let i = 0; i < 50 && (await agents()) !== '1'; i++);
  assert.equal(await agents(), '1')
})

test('compose of what is large', async () => {
  await s.commands.run('cp /tmp/half /tmp/other')
  const sum = (await s.commands.run('cat /tmp/half /tmp/other | sha256sum')).stdout
  const r = await call('/files/compose', { source_paths: ['/tmp/half', '/tmp/other'], destination: '/tmp/whole' })
  assert.deepEqual([r.status, (await r.json()).size], [200, '40000000'])
  assert.equal((await s.commands.run('sha256sum < /tmp/whole')).stdout, sum)
  assert.equal(await s.files.exists('/tmp/half'), false)
})

test('a large tree is removed whole', async () => {
  await s.files.remove('/tmp/many')
  assert.equal(await s.files.exists('/tmp/many'), false)
})
