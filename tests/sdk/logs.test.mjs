// GET /sandboxes/{id}/logs: what commands did, kept inside, asked for when it is wanted.
import test from 'node:test'
import assert from 'node:assert/strict'
import fs from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import { create, http, run } from './api.mjs'
import { state } from '../lib/server.mjs'

const v1 = async (id, query = '') => (await http('GET', `/sandboxes/${id}/logs${query}`)).body
const v2 = async (id, query = '') => (await http('GET', `/v2/sandboxes/${id}/logs${query}`)).body.logs

test('starts, output and ends are there, in order, in both forms', async () => {
  const s = await create('base')
  await s.commands.run('echo "to out"; echo to-err-é >&2; exit 3').catch(() => {})
  const { logs, logEntries } = await v1(s.sandboxId)
  const lines = logs.map((l) => JSON.parse(l.line))
  const of = (type) => lines.filter((l) => l.event_type === type)
  const [start] = of('process_start').slice(-1)
  assert.match(start.message, /echo "to out"/)
  assert.deepEqual([start.level, start.logger], ['info', 'process'])
  assert.equal(of('stdout').at(-1).message, 'to out\n')
  assert.equal(of('stderr').at(-1).message, 'to-err-é\n')
  const end = of('process_end').at(-1)
  assert.deepEqual([end.message, end.level, end.pid], ['exit status 3', 'warn', start.pid])
  assert.equal(logEntries.length, logs.length)
  assert.deepEqual(logEntries.at(-1), { timestamp: logs.at(-1).timestamp, level: 'warn', message: 'exit status 3', fields: { logger: 'process', event_type: 'process_end', pid: String(start.pid) } })
  for (let i = 1; i < logs.length; i++) assert.ok(logs[i].timestamp >= logs[i - 1].timestamp)
  // v2: newest first, with filters
  const all = await v2(s.sandboxId)
  assert.deepEqual(all, logEntries.toReversed())
  assert.deepEqual(await v2(s.sandboxId, '?direction=forward'), logEntries)
  assert.deepEqual((await v2(s.sandboxId, '?limit=1')).map((e) => e.message), ['exit status 3'])
  assert.deepEqual((await v2(s.sandboxId, '?level=warn')).map((e) => e.message), ['exit status 3'])
  assert.deepEqual((await v2(s.sandboxId, '?search=to-err&level=info')).map((e) => e.fields.event_type).sort(), ['process_start', 'stderr'])
  const at = Date.parse(logEntries.at(-1).timestamp)
  assert.deepEqual((await v1(s.sandboxId, `?start=${at + 1}`)).logs, [])
  assert.deepEqual(await v2(s.sandboxId, '?cursor=1'), [])
  assert.equal((await v2(s.sandboxId, `?cursor=${at}`)).length, logEntries.length)
})

test('a flood keeps what came last, bounded', async () => {
  const s = await create('base')
  await s.commands.run('head -c 30000000 /dev/zero | tr "\\0" "\\1"', { timeoutMs: 60_000 })
  await s.commands.run('echo the-end')
  const text = JSON.stringify(await v1(s.sandboxId, '?limit=5000'))
  assert.ok(text.includes('the-end'))
  assert.ok(text.length < 5e6, `${text.length} bytes`)
})

test('what a hostile sandbox prints stays text', async () => {
  const s = await create('base')
  await s.commands.run(`printf '"},{"at":1,"level":"x\\033[31m\\377\\000'`)
  const e = (await v2(s.sandboxId)).find((x) => x.fields.event_type === 'stdout')
  assert.ok(e.message.startsWith('"},{"at":1,"level":"x\u001b[31m'), JSON.stringify(e))
})

test('an agent that never comes to an end is not listened to for ever', async () => {
  // one of our own, in the place of the sandbox's
  const lies = {
    flood: (c) => { const more = () => { while (!c.destroyed && c.write(Buffer.alloc(65536, '1'))); }; c.on('drain', more); more() },
    drip: (c) => { const t = setInterval(() => c.write('1'), 100); c.on('close', () => clearInterval(t)) },
    nothing: () => {},
    nonsense: (c) => c.end('["a"'),
  }
  for (const [name, lie] of Object.entries(lies)) {
    const s = await create('base')
    const sock = path.join(state, 'run/s', s.sandboxId, 'host.sock')
    fs.renameSync(sock, `${sock}.real`)
    let left
    const agent = net.createServer((c) => {
      left = new Promise((resolve) => c.on('close', resolve))
      c.on('error', () => {})
      c.once('data', () => { c.write('HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n'); lie(c) })
    })
    await new Promise((resolve) => agent.listen(sock, resolve))
    fs.chmodSync(sock, 0o777)
    const r = await http('GET', `/v2/sandboxes/${s.sandboxId}/logs`, undefined, {}, AbortSignal.timeout(30_000))
    assert.deepEqual([name, r.status, r.body.message], [name, 503, 'the sandbox does not answer what its logs are'])
    await left // the server has hung up
    agent.close()
    fs.renameSync(`${sock}.real`, sock)
  }
})

test('no sandbox, a paused one, and questions that are none', async () => {
  const s = await create('base')
  for (const q of ['?limit=0', '?limit=x', '?start=-1', '?level=loud', '?start=%zz'])
    assert.equal((await http('GET', `/sandboxes/${s.sandboxId}/logs${q}`)).status, 400, q)
  assert.equal((await http('GET', `/v2/sandboxes/${s.sandboxId}/logs?direction=up`)).status, 400)
  assert.equal((await http('GET', `/sandboxes/i${'0'.repeat(20)}/logs`)).status, 404)
  assert.equal((await http('GET', `/sandboxes/${s.sandboxId}/logs`, undefined, { 'X-API-KEY': 'e2b_00' })).status, 401)
  await s.pause()
  const r = await http('GET', `/sandboxes/${s.sandboxId}/logs`)
  assert.deepEqual([r.status, /is paused.*connect/.test(r.body.message)], [409, true])
  await s.kill()
  assert.equal((await http('GET', `/sandboxes/${s.sandboxId}/logs`)).status, 404)
})
