// The published @e2b/code-interpreter against belljar-interp: executions, contexts, languages, and what goes wrong.
import test, { before, after } from 'node:test'
import assert from 'node:assert/strict'
import { Sandbox } from '@e2b/code-interpreter'
import { until } from '../lib/server.mjs'

let s
before(async () => { s = await Sandbox.create({ timeoutMs: 900_000 }) })
after(async () => { await s?.kill() })
const run = (code, options = {}) => s.runCode(code, { timeoutMs: 60_000, ...options })
const out = (x) => x.logs.stdout.join('')
const raw = (path, init = {}) => fetch(process.env.E2B_SANDBOX_URL + path, {
  ...init, headers: { 'E2b-Sandbox-Id': s.sandboxId, 'E2b-Sandbox-Port': '49999', 'Content-Type': 'application/json', ...init.headers },
})

// -- executions --

test('logs, results, counts, state', async () => {
  const a = await run('x = 41\nprint("hello wörld")')
  assert.equal(out(a), 'hello wörld\n')
  assert.deepEqual(a.results, [])
  assert.equal(a.error, undefined)
  const b = await run('import sys\nprint("to stderr", file=sys.stderr)\nx += 1; x')
  assert.equal(b.text, '42')
  assert.equal(b.logs.stderr.join(''), 'to stderr\n')
  assert.equal(b.results[0].isMainResult, true)
  assert.equal(b.executionCount, a.executionCount + 1)
})

test('callbacks hear everything while it runs', async () => {
  const heard = { stdout: [], stderr: [], results: [], errors: [] }
  // it goes on when its first line was heard
  await run('import time, sys, os\nprint("a", flush=True)\nwhile not os.path.exists("/tmp/heard"): time.sleep(0.05)\nprint("b", file=sys.stderr)\ndisplay(1)\n2\n', {
    onStdout: async (m) => { heard.stdout.push(m.line); await s.files.write('/tmp/heard', '') },
    onStderr: (m) => heard.stderr.push(m.line),
    onResult: (r) => heard.results.push([r.text, r.isMainResult]),
    onError: (e) => heard.errors.push(e.name),
  })
  assert.deepEqual(heard, { stdout: ['a\n'], stderr: ['b\n'], results: [['1', false], ['2', true]], errors: [] })
  let error
  await run('raise ValueError("boo")', { onError: (e) => { error = e } })
  assert.equal(error.name, 'ValueError')
})

test('errors have name, value and a traceback without colours', async () => {
  const { error, results } = await run('def f():\n    return 1 / 0\nf()')
  assert.equal(error.name, 'ZeroDivisionError')
  assert.equal(error.value, 'division by zero')
  assert.match(error.traceback, /in f\(\)|line 2, in f/)
  assert.doesNotMatch(error.traceback, /\x1b/)
  assert.deepEqual(results, [])
  assert.equal((await run('def broken(:')).error.name, 'SyntaxError')
  assert.equal((await run('def r(): r()\nr()')).error.name, 'RecursionError')
})

test('indented code, magics and shell', async () => {
  assert.equal((await run('    y = 3\n    y + 1')).text, '4')
  assert.match(out(await run('!echo from the shell')), /^from the shell\r?\n$/)
  assert.match(out(await run('%%bash\necho cell magic')), /cell magic/)
})

test('text of every width and binary garbage', async () => {
  const text = 'é 漢字 🎉 \u2028 "quoted" \\'
  assert.equal(out(await run(`print(${JSON.stringify(text)})`)), text + '\n')
  const x = await run('import os, subprocess\nos.write(1, bytes(range(256)))\nsubprocess.run(["head", "-c", "1000", "/dev/urandom"])\nprint("still here")')
  assert.match(out(x), /still here/)
  assert.match(out(await run('head -c 256 /dev/urandom; echo; echo end', { language: 'bash' })), /end\n$/)
})

test('environment: of the sandbox, of one run, taken back', async () => {
  const t = await Sandbox.create({ timeoutMs: 120_000, envs: { COLOUR: 'green', SHAPE: 'round' } })
  try {
    const get = 'import os; [os.environ.get("COLOUR"), os.environ.get("SHAPE"), os.environ.get("E2B_SANDBOX_ID")]'
    assert.deepEqual((await t.runCode(get)).results[0].json, ['green', 'round', t.sandboxId])
    assert.deepEqual((await t.runCode(get, { envs: { COLOUR: 'r"\'\\\n$x é' } })).results[0].json, ['r"\'\\\n$x é', 'round', t.sandboxId])
    assert.deepEqual((await t.runCode(get)).results[0].json, ['green', 'round', t.sandboxId])
  } finally { await t.kill() }
})

// -- contexts --

test('contexts have their own state, directory and language', async () => {
  const a = await s.createCodeContext({ cwd: '/tmp' })
  const b = await s.createCodeContext()
  assert.deepEqual([a.language, a.cwd, b.cwd], ['python', '/tmp', '/home/user'])
  await run('mine = 1', { context: a })
  assert.equal((await run('mine', { context: b })).error.name, 'NameError')
  assert.equal((await run('import os; os.getcwd()', { context: a })).text, '/tmp')
  const ids = (await s.listCodeContexts()).map((c) => c.id)
  assert.ok(ids.includes(a.id) && ids.includes(b.id) && ids.length >= 4)
  await s.restartCodeContext(a)
  assert.equal((await run('mine', { context: a })).error.name, 'NameError')
  assert.equal((await run('import os; os.getcwd()', { context: a })).text, '/tmp')
  await s.removeCodeContext(a.id)
  await s.removeCodeContext(b)
  await assert.rejects(run('1', { context: a }), { name: 'NotFoundError', message: new RegExp(`Context ${a.id} not found`) })
  await assert.rejects(s.restartCodeContext(a), /not found/)
  await assert.rejects(s.removeCodeContext(a), /not found/)
})

test('a restart ends what runs there', async () => {
  const c = await s.createCodeContext()
  const x = run('import time\ntime.sleep(60)', { context: c })
  await new Promise((r) => setTimeout(r, 1000))
  await s.restartCodeContext(c)
  assert.equal((await x).error.name, 'UnexpectedEndOfExecution')
  await s.removeCodeContext(c)
})

test('a removed default context comes again', async () => {
  const js = (await s.listCodeContexts()).find((c) => c.language === 'javascript')
  await run('globalThis.old = 1', { language: 'js' })
  await s.removeCodeContext(js)
  assert.equal((await run('typeof old', { language: 'js' })).text, 'undefined')
})

test('contexts run side by side, executions of one in turn', async () => {
  const c = await s.createCodeContext()
  // each waits until the other runs
  const meet = (mine, other) => `import os, time\nopen('/tmp/${mine}', 'w').close()\nwhile not os.path.exists('/tmp/${other}'): time.sleep(0.01)\n'met'`
  const met = await Promise.all([run(meet('left', 'right'), { context: c }), run(meet('right', 'left'))])
  assert.deepEqual(met.map((x) => x.text), ['met', 'met'])
  const order = []
  await Promise.all([1, 2, 3].map((n) => run(`import time; time.sleep(0.2); ${n}`, { context: c }).then((x) => order.push(x.text))))
  assert.deepEqual(order.sort(), ['1', '2', '3'])
  await s.removeCodeContext(c)
})

// -- languages --

const languages = {
  javascript: { value: ['const a = [1, 2, 3]; a.map((n) => n * 2)', '[ 2, 4, 6 ]'], state: ['let b = 5', 'b += 1', '6'], print: ['console.log("out"); console.error("err")', 'out\n', 'err\n'], fail: ['throw new TypeError("boo")', 'TypeError', 'boo'], env: 'process.env.FOO' },
  typescript: { value: ['interface P { n: number }\nconst p: P = { n: 4 }; p.n as number', '4'], state: ['enum E { A = 3 }; let t: number = E.A', 't + 1', '4'], print: ['console.log("out" as string); console.error("err")', 'out\n', 'err\n'], fail: ['throw new RangeError("boo")', 'RangeError', 'boo'], env: 'process.env.FOO' },
  r: { value: ['x <- c(1, 2, 3); mean(x)', '[1] 2'], state: ['y <- 5', 'y + 1', '[1] 6'], print: ['cat("out\\n"); message("err")', 'out\n', 'err\n'], fail: ['stop("boo")', 'ERROR', /boo/], env: 'Sys.getenv("FOO")' },
  bash: { state: ['Z=5', 'echo $((Z + 1))', undefined, '6\n'], print: ['echo out; echo err >&2', 'out\n', 'err\n'], fail: ['false', '', '1'], env: 'echo "$FOO"' },
  java: { value: ['int n = 40; n + 2', '42'], state: ['int k = 5;', 'k + 1', '6'], print: ['System.out.println("out"); System.err.println("err");', 'out\n', 'err\n'], fail: ['throw new IllegalStateException("boo");', 'java.lang.IllegalStateException', 'boo'], env: 'System.getProperty("FOO")' },
}
for (const [language, l] of Object.entries(languages))
  test(`${language}: values, state, output, errors, environment`, async () => {
    const go = (code, options) => run(code, { language, ...options })
    const shown = (x) => x.text ?? x.results[0]?.text // R displays its values
    if (l.value) assert.equal(shown(await go(l.value[0])), l.value[1])
    assert.equal((await go(l.state[0])).error, undefined)
    const state = await go(l.state[1])
    if (l.state[2]) assert.equal(shown(state), l.state[2])
    else assert.equal(out(state), l.state[3])
    const printed = await go(l.print[0])
    assert.equal(out(printed), l.print[1])
    assert.equal(printed.logs.stderr.join('').replace(/\n+$/, '\n'), l.print[2])
    const { error } = await go(l.fail[0])
    assert.equal(error.name, l.fail[1])
    if (l.fail[2] instanceof RegExp) assert.match(error.value, l.fail[2])
    else assert.equal(error.value, l.fail[2])
    const value = async (options) => { const x = await go(l.env, options); return (shown(x) ?? '') + out(x) }
    assert.match(await value({ envs: { FOO: 'bar baz' } }), /bar baz/)
    assert.doesNotMatch(await value(), /bar/)
  })

test('javascript: declarations again, await, import, require of what npm installed', async () => {
  const js = (code) => run(code, { language: 'javascript' })
  for (const code of ['const q = 1; q', 'const q = 2; q']) assert.equal((await js(code)).error, undefined)
  assert.equal((await js('await new Promise((r) => setTimeout(() => r("late"), 50))')).text, 'late')
  assert.equal((await js('import { join as j } from "node:path"\nimport fs from "fs"\nimport * as os from "os"\nj("a", "b") + typeof fs.readFileSync + typeof os.type')).text, 'a/bfunctionfunction')
  assert.equal((await js('const u = await import("node:util"); u.format("%d", 5)')).text, '5')
  await s.commands.run('mkdir -p node_modules/own node_modules/modern && echo "module.exports = { n: 7 }" > node_modules/own/index.js && ' +
    'echo \'{"name":"modern","type":"module","exports":{"import":"./m.js"}}\' > node_modules/modern/package.json && echo "export const n = 8; export default 9" > node_modules/modern/m.js')
  assert.equal((await js('require("own").n')).text, '7')
  assert.equal((await js('import d, { n } from "modern"; d + n')).text, '17')
  assert.equal((await js('// import x from "nothing"\n`${"import(1)"}` + /import("x")/.source')).text, 'import(1)import("x")')
  assert.equal((await js('function f() { return 1 } // no value')).text, undefined)
  assert.equal((await js('let = 5 5')).error.name, 'SyntaxError')
  assert.deepEqual((await js('display({ "text/html": "<b>x</b>" })')).results.map((r) => [r.html, r.isMainResult]), [['<b>x</b>', false]])
})

test('an unknown language is refused, and nothing breaks', async () => {
  const r = await raw('/contexts', { method: 'POST', body: '{"language":"cobol"}' })
  assert.equal(r.status, 500)
  assert.match(await r.text(), /^Failed to create context: /)
  await assert.rejects(run('1', { language: 'cobol' }), { name: 'SandboxError' })
  assert.equal((await run('1 + 1')).text, '2')
})

// -- what goes wrong --

test('wrong requests get the documented answers', async () => {
  const post = async (body) => { const r = await raw('/execute', { method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body) }); return [r.status, await r.text()] }
  for (const body of [{ code: 5 }, { code: null }, { language: 'python' }, { code: '1', env_vars: { A: 1 } }, { code: '1', context_id: 5 }, '[]', '{', 'null', '"1"'])
    assert.equal((await post(body))[0], 422, JSON.stringify(body))
  assert.deepEqual(await post({ code: '1', context_id: 'a', language: 'python' }), [400, 'Only one of context_id or language can be provided'])
  assert.deepEqual(await post({ code: '1', context_id: 'nope' }), [404, 'Context nope not found'])
  assert.equal((await raw('/contexts', { method: 'POST', body: '{"cwd":"/nonexistent","language":"js"}' })).status, 500)
  assert.equal((await raw('/contexts/x/restart', { method: 'POST' })).status, 404)
  assert.equal((await raw('/contexts/x', { method: 'DELETE' })).status, 404)
  assert.equal((await raw('/nothing')).status, 404)
  assert.equal((await raw('/execute')).status, 405)
  assert.equal(await (await raw('/health')).text(), '"OK"')
  const preflight = await raw('/execute', { method: 'OPTIONS', headers: { Origin: 'http://x', 'Access-Control-Request-Method': 'POST' } })
  assert.ok(preflight.ok && preflight.headers.get('access-control-allow-origin') === '*')
})

test('nulls stand for absent, and lines are ASCII with an end', async () => {
  const r = await raw('/execute', { method: 'POST', body: JSON.stringify({ code: 'print("é🎉"); None', context_id: null, language: null, env_vars: null }) })
  assert.equal(r.status, 200)
  const text = await r.text()
  assert.match(text, /^[\x20-\x7e\n]*$/)
  const lines = text.trimEnd().split('\n').map((l) => JSON.parse(l))
  assert.deepEqual(lines.map((l) => l.type), ['number_of_executions', 'stdout', 'end_of_execution'])
  assert.ok(!Number.isNaN(Date.parse(lines[1].timestamp)))
})

test('silence is broken by keepalives', async () => {
  const r = await raw('/execute', { method: 'POST', body: JSON.stringify({ code: 'import time; time.sleep(6)' }) })
  assert.match(await r.text(), /\{"type": "keepalive"\}\n/)
})

test('a client that leaves interrupts its cell', async () => {
  await assert.rejects(run('import time\nfor i in range(600): time.sleep(0.1)', { timeoutMs: 1500 }), { name: 'TimeoutError' })
  const began = Date.now()
  assert.equal((await run('1 + 1')).text, '2')
  assert.ok(Date.now() - began < 50_000) // it would have gone on for a minute
  for (const [language, endless, next] of [['javascript', 'while (true) {}', '2'], ['javascript', 'await new Promise(() => {})', '2'], ['bash', 'sleep 600', undefined], ['r', 'Sys.sleep(600)', undefined], ['java', 'Thread.sleep(600000);', '2']]) {
    await run(language === 'bash' ? 'true' : '1 + 1', { language })
    await assert.rejects(run(endless, { language, timeoutMs: 1500 }), { name: 'TimeoutError' }, language)
    const after = await run(language === 'bash' ? 'true' : '1 + 1', { language })
    assert.deepEqual([after.error, after.text], [undefined, next], language)
  }
})

test('a cell that does not hear interrupts loses its kernel', async () => {
  const c = await s.createCodeContext()
  await assert.rejects(run('import time\nwhile True:\n    try:\n        time.sleep(100)\n    except KeyboardInterrupt:\n        pass', { context: c, timeoutMs: 1000 }))
  assert.equal((await run('1 + 1', { context: c })).text, '2')
  await s.removeCodeContext(c)
})

test('a kernel that its cell kills is started anew', async () => {
  const deaths = { python: ['import os; os._exit(3)', 'import ctypes; ctypes.string_at(0)'], javascript: ['process.exit(1)', 'process.kill(process.pid, "SIGKILL")'], bash: ['exit 4', 'kill -9 $$'], r: ['tools::pskill(Sys.getpid(), 9)'], java: ['System.exit(3);'] }
  for (const [language, codes] of Object.entries(deaths))
    for (const code of codes) {
      const { error } = await run(code, { language })
      assert.deepEqual([error.name, error.value], ['ContextRestarting', 'Context was restarted'], `${language}: ${code}`)
      assert.equal((await run(language === 'bash' ? 'echo 2' : '1 + 1', { language })).error, undefined)
    }
})

test('out of memory ends the cell, not the sandbox', async () => {
  const c = await s.createCodeContext()
  const { error } = await run('a = []\nwhile True: a.append(bytearray(50_000_000))', { context: c })
  assert.ok(['ContextRestarting', 'MemoryError'].includes(error.name), error.name)
  assert.equal((await run('1 + 1', { context: c })).text, '2')
  assert.equal((await run('1 + 1')).text, '2')
  await s.removeCodeContext(c)
})

test('a kernel is out of memory before the server is', async () => {
  const scores = 'for p in $(pgrep -f "$1"); do cat /proc/$p/oom_score_adj; done | sort -u'
  const of = async (what) => (await s.commands.run(`set -- '${what}'; ${scores}`)).stdout
  assert.deepEqual([await of('[b]elljar/belljar-interp'), await of('[i]pykernel_launcher')], ['500\n', '800\n'])
})

test('the server and its supervisor restart what is killed', async () => {
  const t = await Sandbox.create({ timeoutMs: 120_000 })
  try {
    await t.commands.run('sudo pkill -9 -n belljar-interp')
    await until(async () => (await t.runCode('1 + 1')).text === '2', 30_000, 'the server is there again')
  } finally { await t.kill() }
})

test('much output arrives whole', async () => {
  const lines = await run('for i in range(1_000_000): print(i)', { timeoutMs: 120_000 })
  const text = out(lines)
  assert.equal(text.length, 6_888_890)
  assert.ok(text.endsWith('\n999999\n'))
  const flood = await run('yes 0123456789abcdef | head -c 20000000', { language: 'bash', timeoutMs: 120_000 })
  assert.equal(out(flood).length, 20_000_000)
})

test('killed while it runs: the client hears that the sandbox is gone', async () => {
  const t = await Sandbox.create({ timeoutMs: 120_000 })
  const x = t.runCode('import time; time.sleep(60)')
  const ended = assert.rejects(x, { name: 'TimeoutError', message: /killed while the request was in progress/ })
  await new Promise((r) => setTimeout(r, 500))
  await t.kill()
  await ended
})

// -- the life of the sandbox --

test('state survives a pause', async () => {
  const t = await Sandbox.create({ timeoutMs: 120_000 })
  try {
    await t.runCode('kept = 5')
    await t.pause()
    const again = await Sandbox.connect(t.sandboxId)
    assert.equal((await again.runCode('kept')).text, '5')
  } finally { await t.kill() }
})

test('a snapshot starts its kernels afresh', async () => {
  const t = await Sandbox.create({ timeoutMs: 120_000 })
  await t.runCode('open("/home/user/kept", "w").write("on disk")')
  const { snapshotId } = await t.createSnapshot()
  const u = await Sandbox.create(snapshotId, { timeoutMs: 120_000 })
  try {
    assert.equal((await u.runCode('open("/home/user/kept").read()')).text, 'on disk')
  } finally {
    await Promise.all([t.kill(), u.kill()])
    await Sandbox.deleteSnapshot(snapshotId)
  }
})

test('twenty sandboxes at once all answer', async () => {
  // on a machine where one kernel takes seconds, as many as it can start in the time that a create has
  const began = performance.now()
  await s.removeCodeContext(await s.createCodeContext())
  const n = Math.max(4, Math.min(20, Math.floor(20_000 / (performance.now() - began))))
  const all = await Promise.allSettled(Array.from({ length: n }, async (_, i) => {
    const t = await Sandbox.create({ timeoutMs: 300_000 })
    try { return (await t.runCode(`${i} + 1`)).text } finally { await t.kill() }
  }))
  assert.deepEqual(all.map((r) => r.value ?? r.reason.message), Array.from({ length: n }, (_, i) => String(i + 1)))
})
