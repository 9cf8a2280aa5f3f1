// POST /tunnel as any HTTP client sees it (tests/client/test-tunnel.c has the rest).
import test, { before, after } from 'node:test'
import assert from 'node:assert/strict'
import http from 'node:http'
import net from 'node:net'
import { once } from 'node:events'
import { Sandbox } from 'e2b'

let s, headers
const edge = new URL(process.env.E2B_SANDBOX_URL)
before(async () => {
  s = await Sandbox.create({ timeoutMs: 600_000 })
  headers = { 'E2b-Sandbox-Id': s.sandboxId, 'E2b-Sandbox-Port': '49983', 'X-Access-Token': s.envdAccessToken }
  const started = new Promise((resolve) => s.commands.run(`node -e "
    require('net').createServer({ allowHalfOpen: true }, (c) => { c.on('data', (d) => c.write(d)); c.on('end', () => c.end('over')); c.on('error', () => {}) })
      .listen(7000, '127.0.0.1', () => console.log('ready'))"`, { background: true, timeoutMs: 0, onStdout: resolve }))
  await started
})
after(async () => { await s.kill() })

const ask = async (method, query, h = headers, body = '') => {
  const r = await fetch(`${process.env.E2B_SANDBOX_URL}/tunnel${query}`, { method, headers: h, ...(method === 'POST' && { body }) })
  return [r.status, await r.text()]
}

test('a conversation, and its end', async () => {
  const call = http.request({ host: edge.hostname, port: edge.port, method: 'POST', path: '/tunnel?port=7000', headers })
  call.flushHeaders()
  const [answer] = await once(call, 'response')
  assert.equal(answer.statusCode, 200)
  assert.equal(answer.headers['transfer-encoding'], 'chunked')
  const heard = answer[Symbol.asyncIterator]()
  for (const text of ['one', 'two', 'three']) {
    call.write(text)
    assert.equal((await heard.next()).value.toString(), text)
  }
  call.end()
  assert.equal((await heard.next()).value.toString(), 'over')
  assert.equal((await heard.next()).done, true)
})

test('a request that is whole already', async () => {
  assert.deepEqual(await ask('POST', '?port=7000', headers, 'hey '), [200, 'hey over'])
  assert.deepEqual(await ask('POST', '?port=7000'), [200, 'over'])
})

test('a request that is whole before the port takes the connection', async () => {
  // its queue is full: it is emptied once a connection is seen to wait (state 02, SYN sent)
  const started = new Promise((resolve) => s.commands.run(`python3 -u -c "
import socket, time
l = socket.socket(); l.bind(('127.0.0.1', 7002)); l.listen(0)
full = [socket.create_connection(l.getsockname())]
print('ready')
while not any(r.split()[2].endswith(':1B5A') and r.split()[3] == '02' for r in open('/proc/net/tcp')): time.sleep(.01)
while True:
    c = l.accept()[0]; c.send(b'late'); c.close()
"`, { background: true, timeoutMs: 0, onStdout: resolve }))
  await started
  assert.deepEqual(await ask('POST', '?port=7002'), [200, 'late'])
})

test('who may not, and what cannot be', async () => {
  const { 'X-Access-Token': token, ...none } = headers
  assert.equal((await ask('POST', '?port=7000', none))[0], 401)
  assert.equal((await ask('POST', '?port=7000', { ...headers, 'X-Access-Token': token + '0' }))[0], 401)
  assert.equal((await ask('GET', '?port=7000'))[0], 405)
  for (const query of ['', '?port=', '?port=0', '?port=65536', '?port=-1', '?port=7000x', '?port=%00', '?port=99999999999999999999'])
    assert.equal((await ask('POST', query))[0], 400, query)
  const [status, text] = await ask('POST', '?port=7001')
  assert.equal(status, 502)
  assert.deepEqual(JSON.parse(text), { code: 502, message: 'nothing listens on port 7001 of the sandbox', port: 7001 })
})

test('a body that is malformed cuts the connection', async () => {
  const c = net.connect(Number(edge.port), edge.hostname)
  c.on('error', () => {})
  const fields = Object.entries(headers).map(([k, v]) => `${k}: ${v}\r\n`).join('')
  c.write(`POST /tunnel?port=7000 HTTP/1.1\r\nHost: x\r\n${fields}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n`)
  let text = ''
  c.on('data', (d) => { text += d })
  while (!text.includes('abc')) await once(c, 'data')
  c.write('nonsense\r\n')
  await new Promise((resolve) => { c.on('close', resolve) })
  assert.ok(!text.endsWith('0\r\n\r\n'), text)
  assert.deepEqual(await ask('POST', '?port=7000', headers, 'x'), [200, 'xover']) // others go on
})
