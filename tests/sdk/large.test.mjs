// What is large in one call does not keep other calls waiting, and is done whole all the same.
import test, { before, after } from 'node:test'
import assert from 'node:assert/strict'
import http from 'node:http'
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
  await s.commands.run(`mkdir -p /tmp/many/sub && cd /tmp/many && seq -f 'f%05g' 0 ${COUNT - 1} | xargs touch && head -c 20000000 /dev/urandom > /tmp/half`, { timeoutMs: 120_000 })
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

// More events than all the queues on the way hold, while nobody reads; of few files, for inodes are scarce.
const storm = (dir, count) => s.commands.run(`python3 -c "
import os
for i in range(${count} // 2):
    name = '${dir}/' + 's' * 100 + str(i)
    open(name, 'x').close(); os.unlink(name)"`, { timeoutMs: 60_000 })

test('a watcher that lost events says so, to a stream that was not read', async () => {
  await s.files.makeDir('/tmp/storm')
  const u = new URL(process.env.E2B_SANDBOX_URL), body = Buffer.from('{"path":"/tmp/storm"}'), head = Buffer.alloc(5)
  head.writeUInt32BE(body.length, 1)
  const req = http.request({ host: u.hostname, port: u.port, method: 'POST', path: '/filesystem.Filesystem/WatchDir',
    headers: { 'E2b-Sandbox-Id': s.sandboxId, 'E2b-Sandbox-Port': '49983', 'X-Access-Token': s.envdAccessToken ?? '', 'Content-Type': 'application/connect+json' } })
  const res = await new Promise((resolve) => { req.on('response', resolve); req.end(Buffer.concat([head, body])) })
  res.pause()
  await storm('/tmp/storm', 150_000)
  let last = ''
  for await (const d of res) last = (last + d.toString('latin1')).slice(-400)
  assert.match(last, /"code":"resource_exhausted","message":"[^"]*events were lost"/)
})

test('a watcher that lost events says so when it is asked, once', async () => {
  await s.files.makeDir('/tmp/storm2')
  const ask = async (method, message) => { const r = await call(`/filesystem.Filesystem/${method}`, message); return [r.status, await r.json()] }
  const [, { watcherId }] = await ask('CreateWatcher', { path: '/tmp/storm2' })
  await storm('/tmp/storm2', 100_000)
  const [status, { code }] = await ask('GetWatcherEvents', { watcherId })
  assert.deepEqual([status, code], [429, 'resource_exhausted'])
  await s.files.write('/tmp/storm2/after', 'x')
  const [, { events }] = await ask('GetWatcherEvents', { watcherId })
  assert.ok(events.some((e) => e.name === 'after' && e.type === 'EVENT_TYPE_CREATE'))
})

test('a watched directory that is renamed says so', async () => {
  await s.files.makeDir('/tmp/from')
  const seen = []
  const h = await s.files.watchDir('/tmp/from', (e) => seen.push(`${e.type} ${e.name}`))
  await s.files.rename('/tmp/from', '/tmp/to')
  for (let i = 0; i < 100 && !seen.includes('rename .'); i++) await s.files.exists('/')
  assert.ok(seen.includes('rename .'), seen.join())
  await h.stop()
})
