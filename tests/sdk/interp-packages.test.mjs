// What a cell imports: packages installed while the sandbox runs, by cells and by commands, also from a snapshot; and the
// results of the libraries that people plot and compute with.
import test, { before, after } from 'node:test'
import assert from 'node:assert/strict'
import { Sandbox } from '@e2b/code-interpreter'

let s
before(async () => { s = await Sandbox.create({ timeoutMs: 900_000 }) })
after(async () => { await s?.kill() })
const run = async (code, options = {}) => {
  const x = await s.runCode(code, { timeoutMs: 120_000, ...options })
  assert.equal(x.error, undefined, x.error?.traceback)
  return x
}
const js = (code) => run(code, { language: 'javascript' })
const out = (x) => x.logs.stdout.join('')

// A wheel is a zip archive with three files about itself: no index is asked.
const wheel = (name) => `
import zipfile
with zipfile.ZipFile("/tmp/${name}-1.0-py3-none-any.whl", "w") as z:
    z.writestr("${name}.py", "def twice(n): return 2 * n\\n")
    z.writestr("${name}-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: ${name}\\nVersion: 1.0\\n")
    z.writestr("${name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nGenerator: belljar\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    z.writestr("${name}-1.0.dist-info/RECORD", "")
`
const install = (name) => `pip install --no-index --no-deps /tmp/${name}-1.0-py3-none-any.whl`
const local = (name) => `mkdir -p /tmp/${name} && cd /tmp/${name} && echo '{"name":"${name}","version":"1.0.0"}' > package.json && ` +
  'echo "module.exports = (n) => 2 * n" > index.js'
const add = (name) => `cd /home/user && npm install --offline --no-audit --no-fund --install-links /tmp/${name}`

test('pip install is importable in the next cell, whoever ran it', async () => {
  for (const [name, command] of [['bywhl', (c) => run(`!${c}`)], ['bymagic', (c) => run(`%${c}`)], ['byuser', (c) => s.commands.run(c)], ['byroot', (c) => s.commands.run(`sudo ${c}`)], ['byshell', (c) => run(c, { language: 'bash' })]]) {
    await assert.rejects(run(`import ${name}`), /ModuleNotFoundError/)
    await run(wheel(name))
    await command(install(name))
    assert.equal((await run(`import ${name}; ${name}.twice(21)`)).text, '42', name)
  }
})

test('deno runs a program', async () => {
  const r = await s.commands.run(`echo 'const n: number = 41; console.log(n + 1, Deno.build.os)' > /tmp/d.ts && deno run /tmp/d.ts`)
  assert.equal(r.stdout, '42 linux\n')
})

test('npm install is importable in the next cell, whoever ran it', async () => {
  for (const [name, command] of [['bycommand', (c) => s.commands.run(c)], ['bycell', (c) => run(c, { language: 'bash' })]]) {
    await s.commands.run(local(name))
    await command(add(name))
    assert.equal((await js(`require('${name}')(21)`)).text, '42')
    assert.equal((await js(`import ${name} from '${name}'; ${name}(4)`)).text, '8')
  }
})

test('what was installed is there in a snapshot', async () => {
  const { snapshotId } = await s.createSnapshot()
  const u = await Sandbox.create(snapshotId, { timeoutMs: 120_000 })
  try {
    assert.equal((await u.runCode('import bywhl, byuser; bywhl.twice(byuser.twice(1))')).text, '4')
    assert.equal((await u.runCode('require("bycommand")(3)', { language: 'js' })).text, '6')
  } finally {
    await u.kill()
    await Sandbox.deleteSnapshot(snapshotId)
  }
})

test('a fork runs cells of its own', async () => {
  await run('shared = 1\nopen("/home/user/forked", "w").write("before")')
  const [sandbox] = await s.fork()
  try {
    const read = (t) => t.runCode('open("/home/user/forked").read()')
    assert.equal((await read(sandbox)).text, 'before')
    await sandbox.runCode('open("/home/user/forked", "w").write("in the fork")')
    assert.deepEqual([(await read(s)).text, (await read(sandbox)).text], ['before', 'in the fork'])
    assert.equal((await run('shared')).text, '1', 'the kernels of the first one live on')
  } finally { await sandbox.kill() }
})

test('seaborn, plotly, sympy, pandas and Pillow show themselves', async () => {
  const bar = await run('import seaborn as sns, matplotlib.pyplot as plt\nsns.barplot(x=["a", "b"], y=[1, 2]); plt.show()')
  assert.equal(Buffer.from(bar.results[0].png, 'base64').toString('latin1', 1, 4), 'PNG')
  assert.equal(bar.results[0].chart.type, 'bar')
  assert.deepEqual(bar.results[0].chart.elements.map((e) => e.value), [1, 2])
  const figure = await run('import plotly.graph_objects as go\ngo.Figure(go.Bar(x=["a"], y=[3]))')
  assert.ok(figure.results.some((r) => /class="plotly-graph-div"/.test(r.html ?? '')))
  const formula = (await run('import sympy\nx = sympy.Symbol("x")\nsympy.Integral(x ** 2, x)')).results[0]
  assert.match(formula.latex, /\\int x\^\{2\}/)
  const table = (await run('import pandas as pd\npd.DataFrame({"h": pd.util.hash_pandas_object(pd.Series(["a", "b"])).astype("uint64") | (1 << 63)})')).results[0]
  assert.match(table.html, /<table/)
  assert.ok(table.data.h.every((v) => v >= 2 ** 63), 'numbers beyond 63 bits')
  const image = (await run('from PIL import Image\nImage.new("L", (4, 4))')).results[0]
  assert.equal(Buffer.from(image.png, 'base64').toString('latin1', 1, 4), 'PNG')
})

test('R draws', async () => {
  const plot = await run('plot(1:3)', { language: 'r' })
  assert.equal(Buffer.from(plot.results[0].png, 'base64').toString('latin1', 1, 4), 'PNG')
  assert.equal(plot.logs.stdout.join(''), '')
})

test('magics: %cd stays, %%time tells, input() is refused', async () => {
  const c = await s.createCodeContext()
  await run('%cd /tmp', { context: c })
  assert.equal((await run('import os; os.getcwd()', { context: c })).text, '/tmp')
  const timed = await run('%%time\nsum(range(10))', { context: c })
  assert.match(out(timed), /Wall time/)
  assert.equal(timed.text, '45')
  const asked = await s.runCode('input("name? ")', { context: c })
  assert.equal(asked.error.name, 'StdinNotImplementedError')
  assert.match(asked.error.value, /does not support input/)
  assert.equal((await run('1 + 1', { context: c })).text, '2')
  assert.equal(out(await run('read -r line; echo "read: $? $line"', { language: 'bash' })), 'read: 1 \n')
  await s.removeCodeContext(c)
})
