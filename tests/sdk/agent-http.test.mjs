// The agent over plain HTTP: what the SDK hides (core.md 3.1, 4).
import test, { before, after } from 'node:test'
import assert from 'node:assert/strict'
import crypto from 'node:crypto'
import http from 'node:http'
import zlib from 'node:zlib'
import { setTimeout as sleep } from 'node:timers/promises'
import { Sandbox } from 'e2b'
import { until } from '../lib/until.mjs'

const base = process.env.E2B_SANDBOX_URL
let s, headers, info
before(async () => {
  s = await Sandbox.create({ timeoutMs: 600_000 })
  info = { token: s.envdAccessToken }
  headers = { 'E2b-Sandbox-Id': s.sandboxId, 'E2b-Sandbox-Port': '49983' }
})
after(async () => { await s.kill() })

const authed = () => (info.token ? { ...headers, 'X-Access-Token': info.token } : headers)
const call = (path, { method = 'POST', h = {}, body, auth = true } = {}) =>
  fetch(base + path, { method, headers: { ...(auth ? authed() : headers), ...h }, body })
const json = { 'Content-Type': 'application/json' }
const stream = { 'Content-Type': 'application/connect+json' }
const unary = (method, body, h = {}) => call(method, { h: { ...json, ...h }, body: typeof body === 'string' ? body : JSON.stringify(body) })
const envelope = (message, flags = 0) => {
  const p = Buffer.isBuffer(message) ? message : Buffer.from(JSON.stringify(message))
  const b = Buffer.alloc(5 + p.length)
  b[0] = flags
  b.writeUInt32BE(p.length, 1)
  p.copy(b, 5)
  return b
}
function frames(buffer) {
  const out = []
  for (let at = 0; at < buffer.length;) {
    const n = buffer.readUInt32BE(at + 1)
    out.push({ flags: buffer[at], ...JSON.parse(buffer.subarray(at + 5, at + 5 + n)) })
    at += 5 + n
  }
  return out
}
const open = async (path, body, h = {}) => {
  const r = await call(path, { h: { ...stream, ...h }, body })
  return { status: r.status, type: r.headers.get('content-type'), frames: frames(Buffer.from(await r.arrayBuffer())) }
}
const start = (cmd, args = [], more = {}, h = {}) => open('/process.Process/Start', envelope({ process: { cmd, args }, stdin: false, ...more }), h)
const error = (r) => r.frames.at(-1).error?.code

test('a stream is start, data, end, end-of-stream', async () => {
  const r = await start('/bin/echo', ['hi'])
  assert.deepEqual([r.status, r.type], [200, 'application/connect+json'])
  assert.ok(r.frames[0].event.start.pid > 1)
  assert.equal(r.frames[1].event.data.stdout, 'aGkK')
  assert.deepEqual(r.frames[2].event.end, { exited: true, status: 'exit status 0' })
  assert.deepEqual(r.frames[3], { flags: 2 })
})

test('errors of a stream come in its end frame', async () => {
  assert.equal(error(await start('/no/such/program')), 'invalid_argument')
  assert.equal(error(await start('')), 'invalid_argument')
  assert.equal(error(await open('/process.Process/Start', envelope(Buffer.from('{')))), 'invalid_argument')
  assert.equal(error(await open('/process.Process/Start', envelope({}).subarray(0, 4))), 'invalid_argument')
  assert.equal(error(await open('/process.Process/Start', Buffer.concat([envelope({}), envelope({})]))), 'invalid_argument')
  assert.equal(error(await open('/process.Process/Start', Buffer.from('00ffffffff', 'hex'))), 'resource_exhausted')
  assert.equal(error(await start('/bin/true', [], {}, { 'Connect-Timeout-Ms': 'soon' })), 'invalid_argument')
  assert.equal(error(await open('/process.Process/Connect', envelope({ process: { pid: 999999 } }))), 'not_found')
  assert.equal(error(await open('/process.Process/Connect', envelope({}))), 'unimplemented')
})

test('a deadline ends the stream and the command', async () => {
  const r = await start('/bin/sleep', ['30'], {}, { 'Connect-Timeout-Ms': '200' })
  assert.equal(error(r), 'deadline_exceeded')
  await sleep(100)
  assert.equal(error(await open('/process.Process/Connect', envelope({ process: { pid: r.frames[0].event.start.pid } }), { 'Connect-Timeout-Ms': '3000' })), undefined)
})

test('keepalives come at the asked interval', async () => {
  const r = await start('/bin/sleep', ['2.5'], {}, { 'Keepalive-Ping-Interval': '1' })
  const n = r.frames.filter((f) => f.event?.keepalive).length
  assert.ok(n === 2 || n === 3, `${n} of them`) // the command's start and end take time, too
})

test('unary errors are HTTP errors with a code', async () => {
  const cases = [
    ['/process.Process/List', '{', 400, 'invalid_argument'],
    ['/process.Process/SendSignal', { process: { pid: 999999 }, signal: 9 }, 404, 'not_found'],
    ['/process.Process/SendSignal', { signal: 'SIGNAL_SIGKILL' }, 501, 'unimplemented'],
    ['/filesystem.Filesystem/Stat', '{"path":"a\\u0000b"}', 400, 'invalid_argument'],
    ['/filesystem.Filesystem/Stat', { path: '~other/x' }, 400, 'invalid_argument'],
    ['/filesystem.Filesystem/Stat', { path: 'a'.repeat(5000) }, 400, 'invalid_argument'],
    ['/filesystem.Filesystem/Stat', { path: '/none' }, 404, 'not_found'],
    ['/filesystem.Filesystem/GetWatcherEvents', { watcherId: 'wnone' }, 404, 'not_found'],
  ]
  for (const [path, body, status, code] of cases) {
    const r = await unary(path, body)
    assert.deepEqual([path, r.status, (await r.json()).code], [path, status, code])
  }
  assert.equal((await call('/process.Process/List', { h: { 'Content-Type': 'text/plain' }, body: '{}' })).status, 415)
  assert.equal((await call('/process.Process/List', { method: 'GET' })).status, 405)
  assert.equal((await unary('/process.Process/Nothing', {})).status, 404)
})

test('messages may be gzip, and binary', async () => {
  const r = await call('/filesystem.Filesystem/Stat', { h: { ...json, 'Content-Encoding': 'gzip' }, body: zlib.gzipSync('{"path":"/etc"}') })
  assert.equal((await r.json()).entry.name, 'etc')
  const b = await call('/filesystem.Filesystem/Stat', { h: { 'Content-Type': 'application/proto' }, body: Buffer.from('0a042f657463', 'hex') })
  assert.equal(b.headers.get('content-type'), 'application/proto')
  assert.ok(Buffer.from(await b.arrayBuffer()).includes('drwxr-xr-x'))
})

test('a stream of input', async () => {
  const cat = open('/process.Process/Start', envelope({ process: { cmd: '/bin/cat' }, tag: 'the-cat' }))
  await until(async () => (await (await unary('/process.Process/List', {})).text()).includes('the-cat'), 5000, 'it runs')
  const process = { tag: 'the-cat' }
  const data = (text) => envelope({ data: { input: { stdin: Buffer.from(text).toString('base64') } } })
  const r = await open('/process.Process/StreamInput', Buffer.concat([envelope({ start: { process } }), data('a'.repeat(200_000)), data('b')]))
  assert.equal(error(r), undefined)
  assert.equal((await unary('/process.Process/CloseStdin', { process })).status, 200)
  const out = (await cat).frames.map((f) => Buffer.from(f.event?.data?.stdout ?? '', 'base64').toString()).join('')
  assert.equal(out, 'a'.repeat(200_000) + 'b')
})

test('a flooding command waits for a slow reader, and others do not', async () => {
  const u = new URL(base)
  await s.commands.run('rm -f /tmp/flooded')
  const body = envelope({ process: { cmd: '/bin/sh', args: ['-c', 'yes | head -c 100000000; echo done > /tmp/flooded'] } })
  const req = http.request({ host: u.hostname, port: u.port, method: 'POST', path: '/process.Process/Start', headers: { ...authed(), ...stream, 'Content-Length': body.length } })
  const res = await new Promise((resolve) => { req.on('response', resolve); req.end(body) })
  res.pause()
  await sleep(1000)
  const meantime = await s.commands.run('cat /tmp/flooded; awk "/VmRSS/{print \\$2}" /proc/1/status', { user: 'root' }).catch((e) => e)
  assert.match(meantime.stderr, /No such file/)
  assert.ok(Number(meantime.stdout) < 20_000, `the agent uses ${meantime.stdout} kB`)
  req.destroy() // nobody listens: the output is dropped and the command ends
  await until(() => s.files.exists('/tmp/flooded'), 10_000, 'the command ends')
})

test('watchers that are asked', async () => {
  const dir = `/tmp/asked-${process.pid}`
  await unary('/filesystem.Filesystem/MakeDir', { path: dir })
  const { watcherId } = await (await unary('/filesystem.Filesystem/CreateWatcher', { path: dir, recursive: true })).json()
  await unary('/filesystem.Filesystem/MakeDir', { path: `${dir}/d` })
  await call(`/files?path=${dir}/d/f`, { h: { 'Content-Type': 'application/octet-stream' }, body: 'x' })
  const ask = async () => (await (await unary('/filesystem.Filesystem/GetWatcherEvents', { watcher_id: watcherId })).json()).events ?? []
  assert.deepEqual((await ask()).map((e) => [e.name, e.type.slice(11)]),
    [['d', 'CREATE'], ['d', 'CHMOD'], ['d/f', 'CREATE'], ['d/f', 'CHMOD'], ['d/f', 'WRITE']])
  assert.deepEqual(await ask(), [])
  assert.equal((await unary('/filesystem.Filesystem/RemoveWatcher', { watcherId })).status, 200)
  assert.equal((await unary('/filesystem.Filesystem/RemoveWatcher', { watcherId })).status, 404)
})

test('files: ranges, conditions, codings, kinds', async () => {
  await s.files.write('/tmp/range.txt', '0123456789')
  const get = (h = {}, path = '/files?path=/tmp/range.txt', method = 'GET') => call(path, { method, h })
  const part = await get({ Range: 'bytes=2-4' })
  assert.deepEqual([part.status, part.headers.get('content-range'), await part.text()], [206, 'bytes 2-4/10', '234'])
  assert.equal((await get({ Range: 'bytes=10-' })).status, 416)
  const whole = await get()
  assert.equal(whole.headers.get('content-type'), 'text/plain; charset=utf-8')
  assert.match(whole.headers.get('content-disposition'), /^inline; filename=range.txt$/)
  assert.equal((await get({ 'If-Modified-Since': whole.headers.get('last-modified') })).status, 304)
  assert.equal((await get({ 'Accept-Encoding': 'identity;q=0' })).status, 406)
  const head = await get({}, undefined, 'HEAD')
  assert.deepEqual([head.status, head.headers.get('content-length')], [200, '10'])
  assert.equal((await get({}, '/files?path=/dev/null')).status, 400)
  assert.equal((await get({}, '/files?path=a%00b')).status, 400)
  assert.equal((await get({}, '/files?path=/etc/hostname&username=nobody123')).status, 401)
})

test('uploads that cannot be understood', async () => {
  const octets = { 'Content-Type': 'application/octet-stream' }
  const form = { 'Content-Type': 'multipart/form-data; boundary=xx' }
  const part = (name) => `--xx\r\nContent-Disposition: form-data; name="file"${name ? `; filename="${name}"` : ''}\r\n\r\nabc\r\n`
  const cases = [
    ['/files?path=/tmp/x', { 'Content-Type': 'text/plain' }, 'x'],
    ['/files', octets, 'x'],
    ['/files?path=/tmp/x', { ...octets, 'Content-Encoding': 'gzip' }, 'this is not gzip'],
    ['/files?path=/tmp/x', { ...octets, 'Content-Encoding': 'br' }, 'x'],
    ['/files?path=/tmp/x', { ...octets, 'X-Metadata-a': 'b'.repeat(5000) }, 'x'],
    ['/files?path=/tmp/x', form, part('a')],
    ['/files', form, part('') + '--xx--'],
    ['/files', form, part('/tmp/twice') + part('/tmp/twice') + '--xx--'],
    ['/files', { 'Content-Type': 'multipart/form-data' }, 'x'],
  ]
  for (const [path, h, body] of cases) {
    const r = await call(path, { h, body })
    assert.equal(r.status, 400, `${path} ${JSON.stringify(h)}`)
    assert.equal((await r.json()).code, 400)
  }
})

test('compose', async () => {
  await s.files.write([{ path: '/tmp/c/1', data: 'one' }, { path: '/tmp/c/2', data: 'two' }])
  const compose = async (body) => { const r = await call('/files/compose', { body: JSON.stringify(body) }); return [r.status, await r.json()] }
  assert.equal((await compose({ source_paths: [], destination: '/tmp/c/x' }))[0], 400)
  assert.equal((await compose({ source_paths: ['/tmp/c/1'], destination: '/tmp/c/1' }))[0], 400)
  assert.equal((await compose({ source_paths: ['/tmp/c/9'], destination: '/tmp/c/x' }))[0], 404)
  const [status, entry] = await compose({ source_paths: ['/tmp/c/2', '/tmp/c/1'], destination: '/tmp/c/all' })
  assert.deepEqual([status, entry.path, entry.size], [200, '/tmp/c/all', '6'])
  assert.equal(await s.files.read('/tmp/c/all'), 'twoone')
  assert.equal(await s.files.exists('/tmp/c/1'), false)
})

test('a secure sandbox asks for its token or a signature', async (t) => {
  if (!info.token) return t.diagnostic('this sandbox is open')
  const health = await call('/health', { method: 'GET', auth: false })
  assert.equal(health.status, 204)
  for (const path of ['/envs', '/metrics']) assert.equal((await call(path, { method: 'GET', auth: false })).status, 401)
  const list = await call('/process.Process/List', { h: json, body: '{}', auth: false })
  assert.equal(list.status, 401)
  assert.equal((await list.json()).code, 401)
  await s.files.write('/tmp/signed.txt', 'x')
  const sign = (op, exp) => 'v1_' + crypto.createHash('sha256').update(`/tmp/signed.txt:${op}::${info.token}${exp === undefined ? '' : ':' + exp}`).digest('base64').replace(/=+$/, '')
  const get = async (query, h = {}) => { const r = await call(`/files?path=/tmp/signed.txt${query}`, { method: 'GET', auth: false, h }); return [r.status, r.status === 200 ? await r.text() : (await r.json()).message] }
  const enc = encodeURIComponent
  assert.deepEqual(await get(`&signature=${enc(sign('read'))}`), [200, 'x'])
  assert.deepEqual(await get(''), [401, 'missing signature query parameter'])
  assert.deepEqual(await get(`&signature=${enc(sign('write'))}`), [401, 'invalid signature'])
  assert.deepEqual(await get(`&signature=${enc(sign('read', 1))}&signature_expiration=1`), [401, 'signature is already expired'])
  assert.deepEqual(await get('', { 'X-Access-Token': 'wrong' }), [401, 'access token present in header but does not match'])
})

test('internal routes are not there', async () => {
  for (const path of ['/init', '/freeze', '/unfreeze', '/upgrade']) assert.equal((await call(path, { body: '{}' })).status, 404)
})
