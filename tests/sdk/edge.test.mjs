// The edge: ports of a sandbox from outside, its own answers, and what it refuses (core.md 6).
import test, { before, after } from 'node:test'
import assert from 'node:assert/strict'
import net from 'node:net'
import http from 'node:http'
import crypto from 'node:crypto'
import { Sandbox } from 'e2b'
import { until } from '../lib/server.mjs'

const url = new URL(process.env.E2B_SANDBOX_URL)
let s
before(async () => { s = await Sandbox.create({ timeoutMs: 600_000 }) })
after(async () => { await s.kill() })

const route = (port, id = s.sandboxId) => ({ 'E2b-Sandbox-Id': id, 'E2b-Sandbox-Port': String(port) })
const get = (port, path = '/', headers = {}, init = {}) => fetch(url.origin + path, { headers: { ...route(port), ...headers }, ...init })

// Sends bytes as they are; resolves with all that came until the server closed or `ms` passed.
function raw(text, ms = 3000) {
  return new Promise((resolve, reject) => {
    const c = net.connect(url.port, url.hostname)
    let got = ''
    const timer = setTimeout(() => c.destroy(), ms)
    c.on('data', (d) => { got += d.toString('latin1') })
    c.on('error', (e) => { if (e.code !== 'ECONNRESET') reject(e) })
    c.on('close', () => { clearTimeout(timer); resolve(got) })
    c.write(text)
  })
}

async function serve(code, port) {
  await s.files.write(`/tmp/server-${port}.mjs`, code)
  const h = await s.commands.run(`node /tmp/server-${port}.mjs`, { background: true, timeoutMs: 0 })
  await until(async () => (await get(port, '/up')).status !== 502, 15_000, `port ${port} answers`)
  return h
}

test('an unknown sandbox is 502 with the id', async () => {
  const r = await fetch(url.origin, { headers: route(49983, 'inosuchsandbox000') })
  assert.equal(r.status, 502)
  assert.deepEqual(await r.json(), { sandboxId: 'inosuchsandbox000', message: 'The sandbox was not found', code: 502 })
})

test('a closed port is 502 with the port', async () => {
  const r = await get(4321)
  assert.equal(r.status, 502)
  assert.deepEqual(await r.json(), { sandboxId: s.sandboxId, message: 'The sandbox is running but port is not open', port: 4321, code: 502 })
})

test('a browser gets a page', async () => {
  const r = await raw(`GET / HTTP/1.1\r\nHost: 4321-${s.sandboxId}.example.com\r\nUser-Agent: Mozilla/5.0\r\nAccept: text/html\r\nConnection: close\r\n\r\n`)
  assert.match(r, /^HTTP\/1.1 502 [^]*Content-Type: text\/html[^]*port is not open/)
})

test('what only the host may ask is 404, however it is spelled', async () => {
  for (const path of ['/init', '//init', '/%69nit', '/x/../init', '/freeze', '/upgrade'])
    assert.match(await raw(`POST ${path} HTTP/1.1\r\nHost: ${url.host}\r\nE2b-Sandbox-Id: ${s.sandboxId}\r\nE2b-Sandbox-Port: 49983\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}`), /^HTTP\/1.1 404 /, path)
})

test('routing by host name', async () => {
  const ask = (host) => raw(`GET /health HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)
  assert.match(await ask(`49983-${s.sandboxId}.example.com`), /^HTTP\/1.1 204 /)
  assert.match(await ask(`49983-${s.sandboxId}-0abc.example.com:8443`), /^HTTP\/1.1 204 /)
  assert.match(await ask('example'), /^HTTP\/1.1 400 [^]*Invalid host/)
  assert.match(await ask(`x-${s.sandboxId}.example.com`), /^HTTP\/1.1 400 [^]*Invalid sandbox port/)
  assert.match(await ask('80-NOT_AN_ID.example.com'), /^HTTP\/1.1 400 [^]*Invalid sandbox ID/)
})

test('requests that two readers could read differently are refused', async () => {
  const head = `Host: ${url.host}\r\nE2b-Sandbox-Id: ${s.sandboxId}\r\nE2b-Sandbox-Port: 49983\r\n`
  for (const [text, status] of [
    [`POST / HTTP/1.1\r\n${head}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 400],
    [`POST / HTTP/1.1\r\n${head}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello`, 400],
    [`GET / HTTP/1.1\n${head.replaceAll('\r', '')}\n`, 400],
    [`GET / HTTP/1.1\r\n${head}A: b\r\n folded\r\n\r\n`, 400],
    [`GET / HTTP/1.1\r\n${head}Bad Name: x\r\n\r\n`, 400],
    [`POST / HTTP/1.1\r\n${head}Transfer-Encoding: gzip, chunked\r\n\r\n`, 501],
    [`GET / HTTP/1.1\r\n${head}A: ${'x'.repeat(40_000)}\r\n\r\n`, 431],
    ['\x16\x03\x01\x02\x00\x01', 400],
  ]) assert.match(await raw(text + (text.startsWith('\x16') ? '\r\n\r\n' : '')), new RegExp(`^HTTP/1.1 ${status} `), JSON.stringify(text.slice(0, 120)))
})

for (const [port, bind] of [[8001, '0.0.0.0'], [8002, '127.0.0.1'], [8003, '::1'], [80, '0.0.0.0']]) {
  test(`a server on ${bind} port ${port} is reached`, async () => {
    await serve(`import http from 'node:http'
      http.createServer((q, r) => { let n = 0; q.on('data', (d) => { n += d.length }); q.on('end', () => r.end(q.method + ' ' + q.url + ' ' + q.headers.host + ' ' + n)) }).listen(${port}, '${bind}')`, port)
    assert.equal(await (await get(port, '/a%20b?c=d&e')).text(), `GET /a%20b?c=d&e ${url.host} 0`)
    assert.equal(await (await get(port, '/p', {}, { method: 'POST', body: 'x'.repeat(100_000) })).text(), `POST /p ${url.host} 100000`)
    const body = new ReadableStream({ start(c) { for (let i = 0; i < 50; i++) c.enqueue(new Uint8Array(5000)); c.close() } })
    assert.equal(await (await get(port, '/c', {}, { method: 'PUT', body, duplex: 'half' })).text(), `PUT /c ${url.host} 250000`)
  })
}

test('large bodies pass whole, both ways', async () => {
  await serve(`import http from 'node:http'; import crypto from 'node:crypto'
    http.createServer((q, r) => {
      if (q.url === '/up') return r.end()
      if (q.method === 'GET') { const block = Buffer.alloc(1 << 20, 'ab'); let i = 0
        const more = () => { while (i < 200) { i++; if (!r.write(block)) return r.once('drain', more) } r.end() }; return more() }
      const h = crypto.createHash('sha256'); q.on('data', (d) => h.update(d)); q.on('end', () => r.end(h.digest('hex'))) }).listen(8010)`, 8010)
  let n = 0
  for await (const d of (await get(8010)).body) n += d.length
  assert.equal(n, 200 << 20)
  const data = crypto.randomBytes(64 << 20)
  assert.equal(await (await get(8010, '/', {}, { method: 'POST', body: data })).text(), crypto.createHash('sha256').update(data).digest('hex'))
})

test('streams are not buffered', async () => {
  await serve(`import http from 'node:http'
    let open
    http.createServer((q, r) => { if (q.url === '/') { open = r; r.write('one') } else { r.end(); if (q.url === '/go') open.end('two') } }).listen(8011)`, 8011)
  const reader = (await get(8011)).body.getReader()
  assert.equal(Buffer.from((await reader.read()).value).toString(), 'one')
  await get(8011, '/go') // the second piece is written only now
  assert.equal(Buffer.from((await reader.read()).value).toString(), 'two')
})

test('an upgraded connection is a tunnel', async () => {
  await serve(`import http from 'node:http'
    const s = http.createServer((q, r) => r.end()); s.on('upgrade', (q, k) => { k.write('HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: echo\\r\\nConnection: Upgrade\\r\\n\\r\\n'); k.pipe(k) }); s.listen(8012)`, 8012)
  const answer = await new Promise((resolve, reject) => {
    const q = http.request({ host: url.hostname, port: url.port, headers: { ...route(8012), Connection: 'Upgrade', Upgrade: 'echo' } })
    q.on('upgrade', (r, k) => { let got = ''; k.on('data', (d) => { got += d; if (got.length === 200_000) { k.destroy(); resolve(got) } }); k.write('x'.repeat(200_000)) })
    q.on('error', reject); q.end()
  })
  assert.equal(answer, 'x'.repeat(200_000))
})

test('a server that is only being started is waited for', async () => {
  const h = await s.commands.run('sleep 0.4; exec python3 -m http.server 8013', { background: true, timeoutMs: 0 })
  assert.equal((await get(8013)).status, 200)
  await h.kill()
})

test('a server that answers nonsense or nothing gives 502', async () => {
  await s.files.write('/tmp/odd.py', `
import socket, threading
def run(port, data):
    s = socket.create_server(('', port))
    while True:
        c, _ = s.accept(); c.recv(4096); c.sendall(data); c.close()
threading.Thread(target=run, args=(8014, b'not http at all\\r\\n\\r\\n')).start()
run(8015, b'')`)
  await s.commands.run('python3 /tmp/odd.py', { background: true, timeoutMs: 0 })
  for (const port of [8014, 8015]) {
    await until(async () => !(await (await get(port)).text()).includes('port is not open'), 10_000, 'it listens')
    assert.equal((await get(port)).status, 502)
  }
})

test('a client that leaves does not end its command', async () => {
  const h = await s.commands.run('sleep 300', { background: true })
  await h.disconnect()
  await new Promise((r) => setTimeout(r, 200))
  assert.ok((await s.commands.list()).some((p) => p.pid === h.pid))
  assert.equal(await s.commands.kill(h.pid), true)
})

test('kill cuts streams abruptly, then /health is 502', async () => {
  const t = await Sandbox.create({ timeoutMs: 60_000 })
  const running = t.commands.run('sleep 300')
  const seen = running.then(() => null, (e) => e)
  await until(async () => (await t.commands.list()).length > 0, 5000, 'the command runs')
  await t.kill()
  const e = await seen
  assert.equal(e?.name, 'TimeoutError', String(e))
  assert.match(e.message, /killed or reached its end of life/)
  assert.equal((await fetch(url.origin + '/health', { headers: route(49983, t.sandboxId) })).status, 502)
})
