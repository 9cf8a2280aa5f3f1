// The agent by itself, without the edge in front of it: what programs inside a sandbox can send it,
// and what only the host may ask.
import test, { before, after } from 'node:test'
import assert from 'node:assert/strict'
import fs from 'node:fs'
import http from 'node:http'
import { Sandbox } from 'e2b'
import { state } from '../lib/server.mjs'

// Sends each case to the agent's port from inside; prints the first line of each answer.
const ASK = `
import json, socket, sys
for text in json.load(open('/tmp/cases')):
    c = socket.create_connection(('127.0.0.1', 49983)); c.settimeout(5)
    c.sendall(text.encode('latin1'))
    if text.endswith('~'): c.shutdown(socket.SHUT_WR)
    got = b''
    try:
        while b'\\r\\n' not in got:
            d = c.recv(65536)
            if not d: break
            got += d
    except socket.timeout: got = b'(nothing)'
    except ConnectionResetError: got = b'(cut)'
    print(got.split(b'\\r\\n')[0].decode() or '(closed)'); c.close()
`
let s
before(async () => { s = await Sandbox.create({ timeoutMs: 600_000 }); await s.files.write('/tmp/ask.py', ASK) })
after(async () => { await s.kill() })
async function ask(cases) {
  await s.files.write('/tmp/cases', JSON.stringify(cases))
  return (await s.commands.run('python3 /tmp/ask.py', { timeoutMs: 120_000 })).stdout.trim().split('\n').map((l) => l.replace(/^HTTP\/1.1 (\d+).*/, '$1'))
}
const H = () => `Host: x\r\nX-Access-Token: ${s.envdAccessToken}\r\n`
const JSON_TYPE = 'Content-Type: application/json\r\n', OCTETS = 'Content-Type: application/octet-stream\r\n'
const LIST = () => `POST /process.Process/List HTTP/1.1\r\n${H()}`

test('what two readers could read differently is refused', async () => {
  const cases = [
    [`${LIST()}${JSON_TYPE}Content-Length: 2\r\n\r\n{}`, '200'],
    [`${LIST()}${JSON_TYPE}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n`, '400'],
    [`${LIST()}${JSON_TYPE}Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}`, '400'],
    [`${LIST()}${JSON_TYPE}Content-Length: 2, 2\r\n\r\n{}`, '400'],
    [`${LIST()}${JSON_TYPE}Content-Length: +2\r\n\r\n{}`, '400'],
    [`${LIST()}${JSON_TYPE}Content-Length: 0x2\r\n\r\n{}`, '400'],
    [`${LIST()}${JSON_TYPE}Content-Length: 99999999999999999999\r\n\r\n{}`, '400'],
    [`${LIST()}${JSON_TYPE}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n`, '501'],
    [`${LIST()}${JSON_TYPE}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`, '501'],
    [`${LIST()}${JSON_TYPE}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n`, '400'],
    [`${LIST()}${JSON_TYPE}Transfer-Encoding: chunked\r\n\r\n2\n{}\n0\n\n`, '400'],
    [`${LIST()}${JSON_TYPE}Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n`, '400'],
    [`${LIST()}${JSON_TYPE}Transfer-Encoding: chunked\r\n\r\n2\r\n{}XX0\r\n\r\n`, '400'],
    [`${LIST().replaceAll('\r', '')}${JSON_TYPE}Content-Length: 2\r\n\r\n{}`, '400'],
    [`${LIST()}A: b\r\n c\r\n\r\n`, '400'],
    [`${LIST()}A: b\rc\r\n\r\n`, '400'],
    [`${LIST()}A: b\0c\r\n\r\n`, '400'],
    [`${LIST()}Host: y\r\n\r\n`, '400'],
    ['GET /health HTTP/1.1\r\n\r\n', '400'],
    ['GET /health HTTP/2.0\r\nHost: x\r\n\r\n', '505'],
    ['GET /hea lth HTTP/1.1\r\nHost: x\r\n\r\n', '400'],
    [`GET /${'x'.repeat(40_000)} HTTP/1.1\r\nHost: x\r\n\r\n`, '431'],
    [`GET / HTTP/1.1\r\nHost: x\r\n${'A: b\r\n'.repeat(200)}\r\n`, '431'],
  ]
  const got = await ask(cases.map((c) => c[0]))
  cases.forEach(([text, status], i) => assert.equal(got[i], status, JSON.stringify(text.slice(0, 200))))
})

test('bodies that are cut short, too large, of the wrong kind', async () => {
  const rpc = (path, type, body, more = '') => `POST ${path} HTTP/1.1\r\n${H()}Content-Type: ${type}\r\nContent-Length: ${body.length}\r\n${more}\r\n${body}`
  const STAT = '/filesystem.Filesystem/Stat'
  const cases = [
    [`${LIST()}${JSON_TYPE}Content-Length: 50\r\n\r\n{}~`, '(closed)'], // it left before it had asked
    [`POST /files?path=/tmp/cut HTTP/1.1\r\n${H()}${OCTETS}Content-Length: 5000\r\n\r\nabc~`, '(closed)'],
    [rpc(STAT, 'application/json', `{"path":"${'x'.repeat(4_400_000)}"}`), '413'],
    [rpc(STAT, 'application/proto', '{"path":"/"}'), '400'],
    [rpc(STAT, 'application/json', '\n\x01/'), '400'],
    [rpc(STAT, 'application/connect+json', '\0\0\0\0\x02{}'), '415'],
    [rpc(STAT, 'application/x-www-form-urlencoded', 'path=/'), '415'],
    [rpc(STAT, 'application/json', '{"path":"/"}', 'Content-Encoding: br\r\n'), '501'],
    [rpc(STAT, 'application/json', '{"path":"/"}', 'Content-Encoding: gzip\r\n'), '400'],
    [rpc(STAT, 'application/json', '{"path":"/"}{}'), '400'],
    [rpc(STAT, 'application/json', '{"path":7}'), '400'],
    [rpc('/process.Process/Start', 'application/json', '{}'), '415'],
    [rpc('/process.Process/Start', 'application/connect+proto', '\0\0\0\0\x02{}'), '200'], // the error is in the stream
    [rpc('/files/compose', 'application/json', '{"source_paths":"x"}'), '400'],
    [`PUT /health HTTP/1.1\r\n${H()}Content-Length: 0\r\n\r\n`, '405'],
    [`POST /init HTTP/1.1\r\n${H()}${JSON_TYPE}Content-Length: 2\r\n\r\n{}`, '404'],
  ]
  const got = await ask(cases.map((c) => c[0]))
  cases.forEach(([text, status], i) => assert.equal(got[i], status, JSON.stringify(text.slice(0, 200))))
})

test('programs inside need the token too, and cannot keep the host out', async () => {
  const got = await ask(['GET /envs HTTP/1.1\r\nHost: x\r\n\r\n', 'GET /health HTTP/1.1\r\nHost: x\r\n\r\n'])
  assert.deepEqual(got, ['401', '204'])
  await s.commands.run(`python3 -c "
import socket, time
held = [socket.create_connection(('127.0.0.1', 49983)) for _ in range(300)]
time.sleep(20)"`, { background: true })
  await s.commands.run('sleep 1')
  assert.equal((await s.commands.run('echo in')).stdout, 'in\n')
})

test('what the host asks at init: taken, or refused clearly', async () => {
  const dir = fs.readdirSync(`${state}/run/s`).find((d) => d.startsWith(s.sandboxId))
  const init = (body) => new Promise((resolve, reject) => {
    const text = JSON.stringify(body)
    const req = http.request({ socketPath: `${state}/run/s/${dir}/host.sock`, method: 'POST', path: '/init', headers: { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) } }, (res) => {
      let data = ''
      res.on('data', (d) => { data += d })
      res.on('end', () => resolve([res.statusCode, data && JSON.parse(data).message.split(':')[0], res.headers['x-envd-version']]))
    })
    req.on('error', reject)
    req.end(text)
  })
  assert.deepEqual(await init({ caBundle: '-----BEGIN' }), [501, 'caBundle is not supported', undefined])
  assert.deepEqual(await init({ volumeMounts: [{ nfs_target: 'a', path: '/b' }] }), [501, 'volumeMounts is not supported', undefined])
  assert.deepEqual(await init({ envVars: { LATER: 'yes' }, timestamp: '2001-01-01T00:00:00Z', volumeMounts: [], lifecycleID: 'x' }), [204, '', '0.6.13'])
  assert.equal((await s.commands.run('echo $LATER')).stdout, 'yes\n')
  assert.ok(Math.abs(Number((await s.commands.run('date +%s')).stdout) * 1000 - Date.now()) < 5000, 'the clock was not touched')
  assert.equal((await init({ envVars: 'x' }))[0], 400)
})
