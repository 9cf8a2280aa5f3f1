// Every release of the JS SDK that can be pointed at a server by E2B_API_URL and E2B_SANDBOX_URL, one
// per generation of the protocol (delta.md 12), does what users do most. The rows go to
// docs/compatibility.md; MATRIX_UPDATE=1 writes them, otherwise the page must have them already.
import test from 'node:test'
import assert from 'node:assert/strict'
import crypto from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const here = path.dirname(fileURLToPath(import.meta.url))
const page = path.join(here, '../../docs/compatibility.md')
const aliases = Object.keys(JSON.parse(fs.readFileSync(path.join(here, 'package.json'))).dependencies)
  .filter((name) => /^e2b-2\.(8|9|[1-9]\d)\./.test(name)) // older ones know host names only: legacy.test.mjs
  .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }))
const steps = ['create', 'command', 'file', 'list', 'info', 'timeout', 'pause', 'resume', 'snapshot', 'fork', 'kill']
const works = {}

async function collect(listed) {
  if (Array.isArray(listed)) return listed
  const out = []
  while (listed.hasNext) out.push(...(await listed.nextItems()))
  return out
}

// What each step does; null: this release has no such thing.
const story = (Sandbox, metadata) => ({
  create: async (c) => { c.s = await Sandbox.create({ timeoutMs: 60_000, metadata, envs: { WHO: 'matrix' } }) },
  command: async (c) => assert.equal((await c.s.commands.run('echo $WHO')).stdout, 'matrix\n'),
  file: async (c) => {
    await c.s.files.write('/home/user/dir/file.txt', 'written')
    assert.equal(await c.s.files.read('/home/user/dir/file.txt'), 'written')
    assert.deepEqual((await c.s.files.list('/home/user/dir')).map((e) => e.name), ['file.txt'])
  },
  list: async (c) => {
    const found = await collect(await Sandbox.list({ query: { metadata } }))
    assert.deepEqual(found.map((i) => i.sandboxId), [c.s.sandboxId])
  },
  info: async (c) => assert.deepEqual((await Sandbox.getInfo(c.s.sandboxId)).metadata, metadata),
  timeout: async (c) => {
    await c.s.setTimeout(100_000)
    const { endAt } = await Sandbox.getInfo(c.s.sandboxId)
    assert.ok(endAt - Date.now() > 90_000)
  },
  pause: async (c) => {
    c.p = (await c.s.commands.run('sleep 1000', { background: true })).pid
    await (c.s.pause ?? c.s.betaPause).call(c.s)
    assert.equal((await Sandbox.getInfo(c.s.sandboxId)).state, 'paused')
  },
  resume: async (c) => {
    c.s = await Sandbox.connect(c.s.sandboxId, { timeoutMs: 60_000 })
    assert.equal((await c.s.commands.run(`kill -0 ${c.p} && echo alive`)).stdout, 'alive\n')
  },
  snapshot: Sandbox.prototype.createSnapshot && (async (c) => {
    const { snapshotId } = await c.s.createSnapshot()
    const t = await Sandbox.create(snapshotId, { timeoutMs: 60_000 })
    assert.equal(await t.files.read('/home/user/dir/file.txt'), 'written')
    await t.kill()
    assert.equal(await Sandbox.deleteSnapshot(snapshotId), true)
    assert.equal(await Sandbox.deleteSnapshot(snapshotId), false)
  }),
  fork: Sandbox.prototype.fork && (async (c) => {
    const [child] = await c.s.fork()
    assert.equal(await child.files.read('/home/user/dir/file.txt'), 'written')
    await child.kill()
  }),
  kill: async (c) => {
    assert.ok([true, undefined].includes(await c.s.kill())) // nothing was returned up to 2.27
    assert.equal(await Sandbox.kill(c.s.sandboxId), false)
  },
})

for (const alias of aliases) {
  const version = alias.replace('e2b-', '')
  test(`e2b ${version}`, async (t) => {
    const { Sandbox } = await import(alias)
    const metadata = { matrix: crypto.randomBytes(4).toString('hex'), odd: 'a b&c=ü' }
    const context = {}
    works[version] = {}
    for (const [name, fn] of Object.entries(story(Sandbox, metadata))) {
      works[version][name] = fn ? 'no' : '–'
      if (fn) await t.test(name, async () => { await fn(context); works[version][name] = 'yes' })
    }
    await context.s?.kill()
  })
}

test('docs/compatibility.md has what was seen', () => {
  const lines = [`| e2b (JS) | ${steps.join(' | ')} |`, `| --- |${' --- |'.repeat(steps.length)}`,
    ...Object.entries(works).map(([v, row]) => `| ${v} | ${steps.map((s) => row[s]).join(' | ')} |`)]
  const block = `<!-- matrix: made by MATRIX_UPDATE=1 tests/run matrix -->\n${lines.join('\n')}\n<!-- matrix end -->`
  const text = fs.readFileSync(page, 'utf8')
  const made = text.replace(/<!-- matrix: .*?<!-- matrix end -->/s, block)
  if (process.env.MATRIX_UPDATE) fs.writeFileSync(page, made)
  assert.ok(made.includes(block), 'the page has no place for the matrix')
  assert.equal(process.env.MATRIX_UPDATE ? made : text, made)
})
