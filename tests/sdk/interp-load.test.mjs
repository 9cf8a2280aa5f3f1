// Readers that are slow or gone, queues, floods, many contexts at once: nothing is lost, nothing grows without bound.
import test, { before, after } from 'node:test'
import assert from 'node:assert/strict'
import { Sandbox } from '@e2b/code-interpreter'
import { until } from '../lib/server.mjs'

let s
before(async () => { s = await Sandbox.create({ timeoutMs: 900_000 }) })
// Another sandbox, where no kernels of other languages take memory.
const anew = async () => { await s.kill(); s = await Sandbox.create({ timeoutMs: 900_000 }) }
after(async () => { await s?.kill() })
const run = (code, options = {}) => s.runCode(code, { timeoutMs: 120_000, ...options })
const out = (x) => x.logs.stdout.join('')
const post = (body, signal) => fetch(process.env.E2B_SANDBOX_URL + '/execute', {
  method: 'POST', body: JSON.stringify(body), signal,
  headers: { 'E2b-Sandbox-Id': s.sandboxId, 'E2b-Sandbox-Port': '49999', 'Content-Type': 'application/json' },
})
const rest = (ms) => new Promise((r) => setTimeout(r, ms))
const memory = async (what) => Number((await s.commands.run(`sudo cat $(pgrep -f '${what}' | sed 's,.*,/proc/&/smaps_rollup,') 2>/dev/null | awk '/^Pss:/ { kb += $2 } END { print kb }'`)).stdout)

// What a cell prints while nobody reads, then everything that came.
async function slowly(code, language, watch) {
  const r = await post({ code, language })
  await watch()
  return (await r.text()).trimEnd().split('\n').map((l) => JSON.parse(l))
}
const text = (lines, type = 'stdout') => lines.filter((l) => l.type === type).map((l) => l.text).join('')

// Far more than the buffers on the way hold, in many pieces.
const filler = '~'.repeat(400)
const floods = {
  python: `for i in range(60000): print(str(i) + "${filler}", flush=i % 5 == 0)`,
  javascript: `for (let i = 0; i < 60000; i++) console.log(i + "${filler}")`,
  bash: `for ((i = 0; i < 60000; i++)); do echo "$i${filler}"; done`,
  r: `for (i in 0:4999) cat(paste0(4 * i + 0:3, "${filler}", collapse = "\\n"), "\\n", sep = "")`,
  java: `for (int i = 0; i < 60000; i++) System.out.println(i + "${filler}");`,
}
const flooded = (lines) => Array.from({ length: lines }, (_, i) => i + filler + '\n').join('')
for (const [language, code] of Object.entries(floods))
  test(`${language}: a slow reader loses nothing`, async () => {
    const lines = await slowly(code, language, () => rest(1500))
    assert.equal(lines.at(-1).type, 'end_of_execution')
    const all = flooded(language === 'r' ? 20000 : 60000) // R keeps in its memory what waits, twelve times
    assert.ok(text(lines) === all, `${text(lines).length} of ${all.length} characters came`)
  })

test('a cell that floods waits for its reader, and memory stays bounded', async () => {
  await anew()
  await run('1')
  const size = 150_000_000
  const lines = await slowly(`for i in range(${size / 1000}): print("~" * 999)`, 'python', async () => {
    await rest(3000)
    const [kernel, server] = [await memory('[i]pykernel_launcher'), await memory('[b]elljar/belljar-interp')]
    assert.ok(kernel < 170_000 && server < 60_000, `kept for nobody: ${kernel} kB by the kernel, ${server} by the server`)
  })
  assert.equal(text(lines).length, size)
})

test('pictures wait for their reader as well', async () => {
  const lines = await slowly('import os, base64\nfor i in range(60): display({"image/png": base64.b64encode(os.urandom(300_000)).decode(), "text/plain": str(i)}, raw=True)', 'python', () => rest(2000))
  assert.deepEqual(lines.filter((l) => l.type === 'result').map((l) => l.text), Array.from({ length: 60 }, (_, i) => String(i)))
})

test('standard error in floods', async () => {
  const x = await run('import sys\nfor i in range(200_000): print("error", i, file=sys.stderr)')
  assert.equal(x.logs.stderr.join(''), Array.from({ length: 200_000 }, (_, i) => `error ${i}\n`).join(''))
  const y = await run('for (let i = 0; i < 50000; i++) console.error("error", i)', { language: 'javascript' })
  assert.equal(y.logs.stderr.join('').length, Array.from({ length: 50_000 }, (_, i) => `error ${i}\n`).join('').length)
})

const endless = {
  python: ['while True: print("x" * 1000)', '1 + 1'],
  javascript: ['while (true) console.log("x".repeat(1000))', '1 + 1'],
  bash: ['yes xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx', 'printf 2'],
  r: ['repeat cat(strrep("x", 1000), "\\n")', 'cat(1 + 1)'],
  java: ['while (true) System.out.println("x".repeat(1000));', '1 + 1'],
}
for (const [language, [flood, next]] of Object.entries(endless))
  test(`${language}: a reader that stops and leaves a flood frees its context`, async () => {
    const stop = new AbortController()
    const r = await post({ code: flood, language }, stop.signal)
    await rest(1000)
    stop.abort()
    await assert.rejects(r.text())
    const x = await run(next, { language })
    assert.deepEqual([x.error, x.text ?? out(x)], [undefined, '2'])
  })

test('fifty wait in one context, half of them leave', async () => {
  const c = await s.createCodeContext()
  await run('ran = []', { context: c })
  const stops = [], answers = []
  for (let i = 0; i < 50; i++) {
    stops[i] = new AbortController()
    answers[i] = post({ code: `import time; time.sleep(${i ? 0.01 : 1}); ran.append(${i}); ${i}`, context_id: c.id }, stops[i].signal).then((r) => r.text())
    await rest(5)
  }
  for (let i = 1; i < 50; i += 2) stops[i].abort()
  const settled = await Promise.allSettled(answers)
  const even = settled.filter((_, i) => i % 2 === 0)
  assert.ok(even.every((r, i) => r.value.includes(`"text": "${2 * i}"`)))
  assert.deepEqual((await run('sorted(ran)', { context: c })).results[0].json, Array.from({ length: 25 }, (_, i) => 2 * i))
  await s.removeCodeContext(c)
})

test('contexts of several languages made at the same time', async () => {
  const t = await Sandbox.create({ timeoutMs: 300_000 })
  // all six at once are more than the 512 MB that a sandbox has in the tests
  const rounds = [{ python: '1 + 1', javascript: '1 + 1', r: 'cat(1 + 1)' }, { typescript: '1 + 1 as number', bash: 'printf 2', java: '1 + 1' }]
  try {
    for (const cells of rounds) {
      const made = await Promise.all(Object.keys(cells).map((language) => t.createCodeContext({ language })))
      const got = await Promise.all(made.map((c) => t.runCode(cells[c.language], { context: c, timeoutMs: 60_000 })))
      assert.deepEqual(got.map((x) => x.error ?? x.text ?? out(x)), ['2', '2', '2'])
      await Promise.all(made.map((c) => t.removeCodeContext(c)))
    }
  } finally { await t.kill() }
})

test('as many contexts as there may be, and one more', async () => {
  const t = await Sandbox.create({ timeoutMs: 300_000 })
  const ask = (path, method, body) => fetch(process.env.E2B_SANDBOX_URL + path, { method, body: JSON.stringify(body), headers: { 'E2b-Sandbox-Id': t.sandboxId, 'E2b-Sandbox-Port': '49999' } })
  try {
    let refused, n = (await (await ask('/contexts', 'GET')).json()).length
    for (; n <= 128 && !refused; n++) {
      const r = await ask('/contexts', 'POST', { language: 'bash' })
      if (r.status !== 200) refused = [n, r.status, await r.text()]
    }
    assert.deepEqual(refused, [128, 500, 'Failed to create context: too many contexts, remove some'])
    const [last] = (await (await ask('/contexts', 'GET')).json()).slice(-1)
    assert.equal((await ask(`/contexts/${last.id}`, 'DELETE')).status, 200)
    assert.equal((await ask('/contexts', 'POST', { language: 'bash' })).status, 200)
    assert.equal((await t.runCode('1 + 1')).text, '2')
  } finally { await t.kill() }
})

test('large bodies run, one that is too large is refused', async () => {
  await anew()
  const big = 'x'.repeat(2_000_000)
  assert.equal((await run(`len("${big}")`)).text, String(big.length))
  assert.equal((await run(`"${big}".length`, { language: 'javascript' })).text, String(big.length))
  const r = await post({ code: 'y'.repeat(70_000_000) }).catch((e) => e)
  assert.equal(r.status, 413)
  assert.equal((await run('1 + 1')).text, '2')
})

test('no kernel outlives a server that is killed', async () => {
  const t = await Sandbox.create({ timeoutMs: 120_000 })
  const kernels = async () => (await t.commands.run('pgrep -f "[i]pykernel_launcher|[I]Rkernel|[K]ernel$"; true')).stdout.trim().split('\n')
  try {
    await t.runCode('1', { language: 'r' })
    await t.runCode('1', { language: 'java' })
    const old = await kernels()
    assert.equal(old.length, 3)
    await t.commands.run('sudo pkill -9 -n -x belljar-interp')
    await until(async () => (await t.runCode('1 + 1')).text === '2', 30_000, 'the server is there again')
    const now = await kernels()
    assert.deepEqual(old.filter((pid) => now.includes(pid)), [])
  } finally { await t.kill() }
})
