// Ctrl-C at commands that wait for a server: one of the test, which answers what it is told to, or the real one.
import test from 'node:test'
import assert from 'node:assert/strict'
import crypto from 'node:crypto'
import fs from 'node:fs'
import http from 'node:http'
import os from 'node:os'
import path from 'node:path'
import { spawn } from 'node:child_process'

const run = crypto.randomBytes(4).toString('hex')
const tmp = fs.mkdtempSync(path.join(os.tmpdir(), 'bj-stop-'))
const bin = path.join(process.env.BELLJAR_BIN, 'belljar')
const terminal = path.join(import.meta.dirname, '../lib/terminal.py')
test.after(() => fs.rmSync(tmp, { recursive: true }))

// Runs it; `seen` is told what it has said on standard error. Far below what a server gets to answer (60 s) it is killed.
const start = (program, args, { env, seen } = {}) => {
  const child = spawn(program, args, { cwd: tmp, env: { ...process.env, ...env } })
  const limit = setTimeout(() => child.kill('SIGKILL'), 25_000)
  let out = '', err = ''
  child.stdout.on('data', (d) => { out += d })
  child.stderr.on('data', (d) => { err += d; seen?.(err) })
  child.done = new Promise((r) => child.on('close', (code, by) => { clearTimeout(limit); r({ code: code ?? by, out, err }) }))
  return child
}

// A server: what `answer` does not answer waits for ever.
async function served(answer, use) {
  const server = http.createServer(async (req, res) => { for await (const _ of req); answer(req, res) })
  await new Promise((r) => server.listen(0, '127.0.0.1', r))
  const url = `http://127.0.0.1:${server.address().port}`
  try {
    await use({ E2B_API_URL: url, E2B_SANDBOX_URL: url, E2B_API_KEY: 'e2b_' + 'a'.repeat(40) })
  } finally {
    server.closeAllConnections()
    server.close()
  }
}
const speak = (res, status, v) => { res.writeHead(status, { 'Content-Type': 'application/json' }); res.end(JSON.stringify(v)) }
const connects = (req, res, id) => req.url.endsWith('/connect') && (speak(res, 200, { sandboxID: id, envdAccessToken: 't' }), true)

test('exec: heard while the server does not say that the command runs', async () => {
  let child, signal
  await served((req, res) => connects(req, res, 'imute') || child.kill(signal), async (env) => {
    for (const [name, code] of [['SIGINT', 130], ['SIGTERM', 143], ['SIGHUP', 129]]) {
      signal = name
      child = start(bin, ['sandbox', 'exec', 'imute', 'true'], { env })
      assert.equal((await child.done).code, code, name)
    }
  })
})

test('shell: likewise, and the terminal is as it was', async () => {
  const id = `imute${run}`
  const pidOf = () => fs.readdirSync('/proc').find((p) => {
    try { return fs.readFileSync(`/proc/${p}/cmdline`, 'latin1').split('\0').slice(1, 4).join() === `sandbox,shell,${id}` } catch { return false }
  })
  await served((req, res) => connects(req, res, id) || process.kill(Number(pidOf()), 'SIGINT'), async (env) => {
    const r = await start('python3', [terminal, '[]', bin, 'sandbox', 'shell', id], { env }).done
    assert.equal(r.code, 0, r.err)
    const { exit, echo } = JSON.parse(r.out)
    assert.deepEqual([exit, echo], [130, true])
  })
})

test('exec: a second one does not wait until the command is killed', async () => {
  let child
  const json = '{"event":{"start":{"pid":7}}}'
  const answer = (req, res) => {
    if (connects(req, res, 'imute')) return
    if (req.url.endsWith('/Start')) {
      res.write(`\0\0\0\0${String.fromCharCode(json.length)}${json}`)
      child.kill('SIGINT')
    } else if (req.url.endsWith('/SendSignal')) {
      child.kill('SIGINT')
    }
  }
  await served(answer, async (env) => {
    child = start(bin, ['sandbox', 'exec', 'imute', 'true'], { env })
    assert.equal((await child.done).code, 130)
  })
})

test('template build: the build is cancelled, and can be made again', async () => {
  const name = `stopped-${run}`, file = path.join(tmp, 'Slow')
  const api = async (method, p) => {
    const r = await fetch(process.env.E2B_API_URL + p, { method, headers: { 'X-API-KEY': process.env.E2B_API_KEY } })
    const text = await r.text()
    return text && JSON.parse(text)
  }
  const build = (seen) => start(bin, ['template', 'build', tmp, '-n', name, '-f', file, '--cpus', '1', '--memory', '256'], { seen })
  fs.writeFileSync(file, `FROM base\nRUN sleep 600 # ${run}\n`)
  for (const [signal, code] of [['SIGINT', 130], ['SIGTERM', 143]]) {
    let sent
    const child = build((err) => { if (!sent && err.includes('RUN sleep')) sent = child.kill(signal) })
    const r = await child.done
    assert.equal(r.code, code, r.err)
    assert.match(r.err, /\ncancelling the build; another Ctrl-C leaves it as it is\n[^]*belljar: the build was cancelled\n$/)
    const [, template, id] = /Building template ([a-z0-9]{20})\/([0-9a-f-]{36})/.exec(r.err)
    assert.equal((await api('GET', `/templates/${template}/builds/${id}/status`)).reason.message, 'build was cancelled')
  }
  fs.writeFileSync(file, 'FROM base\nRUN true\n')
  assert.equal((await build().done).code, 0)
  await api('DELETE', `/templates/${name}`)
})

test('template build: a second one leaves while the server does not answer', async () => {
  const file = path.join(tmp, 'Quick')
  let child, asked = 0
  fs.writeFileSync(file, 'FROM base\n')
  const answer = (req, res) => {
    if (req.url === '/v3/templates') return speak(res, 202, { templateID: 't', buildID: 'b' })
    if (req.url.includes('/status')) return speak(res, 200, { status: 'building', logEntries: [{ level: 'info', message: 'it runs' }] })
    if (!req.url.endsWith('/cancel')) return res.writeHead(202).end()
    asked++
    child.kill('SIGINT')
  }
  await served(answer, async (env) => {
    let sent
    child = start(bin, ['template', 'build', tmp, '-n', 'x', '-f', file], { env, seen: (err) => { if (!sent && err.includes('it runs')) sent = child.kill('SIGINT') } })
    const r = await child.done
    assert.deepEqual([r.code, asked], [130, 1], r.err)
    assert.doesNotMatch(r.err, /was cancelled/)
  })
})
