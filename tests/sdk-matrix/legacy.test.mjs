// Releases that know neither E2B_API_URL nor E2B_SANDBOX_URL: they find everything by host names below a domain, over
// TLS (delta.md 13). Each story runs in a process of its own, unmodified, behind a front as a reverse proxy would be.
import test, { before, after } from 'node:test'
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { front } from '../lib/front.mjs'

const here = path.dirname(fileURLToPath(import.meta.url))
let f
before(async () => { f = await front() })
after(() => f.close())

// What a script in a process that knows the domain only prints.
function told(script) {
  const env = { PATH: process.env.PATH, HOME: process.env.HOME, E2B_API_KEY: process.env.E2B_API_KEY, E2B_DOMAIN: f.domain, NODE_EXTRA_CA_CERTS: f.ca }
  const child = spawn(process.execPath, ['--import', path.join(here, '../lib/names.mjs'), '--input-type=module', '-e', script], { cwd: here, env })
  let text = ''
  child.stdout.on('data', (d) => { text += d })
  child.stderr.on('data', (d) => { text += d })
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, text })))
}

const core = (alias) => `
  import { Sandbox } from '${alias}'
  const s = await Sandbox.create({ timeoutMs: 60000, metadata: { old: '${alias}', odd: 'a b&c' }, envs: { WHO: 'old' } })
  await s.files.write('/home/user/dir/f.txt', 'written')
  const list = await Sandbox.list({ query: { metadata: { old: '${alias}', odd: 'a b&c' } } })
  const found = Array.isArray(list) ? list : await list.nextItems()
  console.log(JSON.stringify([(await s.commands.run('echo $WHO')).stdout, await s.files.read('/home/user/dir/f.txt'),
    found.map((i) => i.sandboxId.split('-')[0] === s.sandboxId.split('-')[0]), await (await Sandbox.connect(s.sandboxId)).isRunning(),
    (await fetch('https://' + s.getHost(1)).then((r) => r.status)), await s.kill()]))`

for (const alias of ['e2b-1.0.1', 'e2b-1.5.0', 'e2b-1.13.2', 'e2b-2.0.1', 'e2b-2.3.3', 'e2b-2.51.0'])
  test(`${alias} by host names`, async () => {
    const { code, text } = await told(core(alias))
    assert.equal(code, 0, text)
    assert.deepEqual(JSON.parse(text).slice(0, 5), ['old\n', 'written', [true], true, 502])
  })

for (const alias of ['ci-1.0.2', 'ci-1.5.1', 'ci-2.0.0', 'ci-2.8.0'])
  test(`${alias} by host names`, async () => {
    const { code, text } = await told(`
      import { Sandbox } from '${alias}'
      const s = await Sandbox.create({ timeoutMs: 120000 })
      const heard = []
      await s.runCode('x = 41; print("out")', { onStdout: (m) => heard.push(m.line) })
      const e = (await s.runCode('1 / 0')).error
      const c = s.createCodeContext ? await s.createCodeContext({ cwd: '/tmp' }) : undefined
      const plot = await s.runCode('import matplotlib.pyplot as plt\\nplt.plot([1, 2], [3, 4])\\nplt.show()')
      console.log(JSON.stringify([heard, (await s.runCode('x + 1')).text, e.name, (await s.runCode('console.log(6 * 7)', { language: 'js' })).logs.stdout,
        c ? (await s.runCode('import os; os.getcwd()', { context: c })).text : '/tmp', typeof plot.results[0].png, plot.results[0].chart?.type ?? 'line']))
      await s.kill()`)
    assert.equal(code, 0, text)
    assert.deepEqual(JSON.parse(text), [['out\n'], '42', 'ZeroDivisionError', ['42\n'], '/tmp', 'string', 'line'])
  })
