// The corners of each language: what cells of real programs contain, beside the plain values of code-interpreter.test.mjs.
import test, { before, after } from 'node:test'
import assert from 'node:assert/strict'
import { Sandbox } from '@e2b/code-interpreter'

let s
before(async () => { s = await Sandbox.create({ timeoutMs: 900_000 }) })
after(async () => { await s?.kill() })
const run = (code, language, options = {}) => s.runCode(code, { language, timeoutMs: 60_000, ...options })
const out = (x) => x.logs.stdout.join('')

// Each cell with the text of its result.
async function texts(language, cells) {
  for (const [code, want] of cells) {
    const x = await run(code, language)
    assert.equal(x.error, undefined, `${code}: ${x.error?.traceback}`)
    assert.equal(x.text, want, code)
  }
}

test('typescript: types go, what is more than types stays', () => texts('typescript', [
  ['enum Color { Red = 1, Green, Blue = "b" as any }\nColor.Green + Color[1]', '2Red'],
  ['const enum F { A = 2 }\nF.A', '2'],
  ['namespace N { export const v = 4; export namespace M { export const w = v + 1 } }\nN.M.w', '5'],
  ['N.v', '4'],
  ['function twice(t: any, k: string, d: PropertyDescriptor) { const f = d.value; d.value = function () { return f.call(this) * 2 } }\nclass D { @twice m() { return 21 } }\nnew D().m()', '42'],
  ['import type { Stats } from "node:fs"\nimport { type Dirent, existsSync } from "node:fs"\nlet st: Stats | undefined\nexistsSync("/") satisfies boolean', 'true'],
  ['abstract class Q<T> { constructor(public readonly v: T, private n?: number) {} abstract f(): T }\nclass W extends Q<string> { f() { return this.v! } }\n(<any>new W("in")).f()', 'in'],
  ['let as = 1; let type = 2; type Z = number; as + type', '3'],
  ['function g(x: string): string; function g(x: number): number; function g(x: any) { return x }\ng(5)', '5'],
  ['const u: unique symbol = Symbol("s"); declare const nothing: number; u.description', 's'],
  [`const long = ${JSON.stringify('x'.repeat(2_000_000))}; long.length`, '2000000'],
]))

test('typescript: an error of syntax says where', async () => {
  const { error } = await run('let bad: = 5', 'typescript')
  assert.equal(error.name, 'SyntaxError')
  assert.match(error.value, /1:9/)
})

test('javascript: files beside the cell', async () => {
  await s.commands.run('mkdir -p "sub dir" && echo "export const here = 1; export default 2" > rel.mjs && echo "exports.c = 3" > "sub dir/c.cjs" && ' +
    'echo \'export { here } from "../rel.mjs"; export const url = import.meta.url\' > "sub dir/deep.mjs" && echo \'{"k": 6}\' > d.json')
  await texts('javascript', [
    ['const m = await import("./rel.mjs"); m.here + m.default', '3'],
    ['import two, { here } from "./rel.mjs"; two + here', '3'],
    ['const { url } = await import("./sub dir/deep.mjs"); url', 'file:///home/user/sub%20dir/deep.mjs'],
    ['(await import("./sub dir/c.cjs")).c + (await import("./rel.mjs?fresh")).here', '4'],
    ['import d from "./d.json" with { type: "json" }; d.k', '6'],
    ['require("./d.json").k + require("./sub dir/c.cjs").c', '9'],
    ['"\u2028\u2029".length', '2'],
  ])
  assert.match((await run('await import("./missing.mjs")', 'javascript')).error.value, /Cannot find module '\/home\/user\/missing.mjs'/)
})

test('java: classes of many lines, imports, names that come later', async () => {
  const whole = await run('import java.time.*;\nimport static java.lang.Math.max;\n\n/** doc */\npublic class P {\n    private final int x; // c\n\n    public P(int x) {\n        this.x = x;\n    }\n\n' +
    '    int get() { return max(x, 3); }\n}\nrecord R(int a, String b) {}\nenum E { X, Y }\nvar p = new P(1);\nSystem.out.println(new R(1, "z") + " " + E.Y + Duration.ofSeconds(5));\np.get()', 'java')
  assert.deepEqual([whole.error, whole.text, out(whole)], [undefined, '3', 'R[a=1, b=z] YPT5S\n'])
  await texts('java', [
    ['class A { B b = new B(); int n() { return b.n(); } }\nclass B { int n() { return 5; } }\nnew A().n()', '5'],
    ['// only a comment', undefined],
    ['/* c */ int q = 3; // trailing\nq', '3'],
  ])
  const { error } = await run('class C { Missing m; }', 'java')
  assert.deepEqual([error.name, error.value], ['CompilationException', 'cannot find symbol: class Missing'])
  assert.equal(out(await run('for (int i = 0; i < 3; i++) {\n  System.out.print(i);\n}', 'java')), '012')
})

test('bash: descriptors are the cell\'s, as in a script', async () => {
  assert.equal(out(await run('exec 3>/tmp/three 4>/tmp/four; echo 3 >&3; echo 4 >&4; cat /tmp/three /tmp/four', 'bash')), '3\n4\n')
  assert.equal(out(await run('exec 3>&- 4>&-; echo on', 'bash')), 'on\n')
})

test('text that is no Unicode is shown as far as it goes, and no error is lost', async () => {
  assert.equal(out(await run('print("\\ud800x"); print("a\\udc80b")')), '\ufffdx\na\ufffdb\n')
  const x = await run('raise ValueError("\\ud800")')
  assert.deepEqual([x.error.name, x.error.value], ['ValueError', '\ufffd'])
  assert.equal((await run('throw new Error("\\ud800")', 'javascript')).error.value, '\ufffd')
  assert.equal((await run('throw new Error("a\\0b")', 'javascript')).error.name, 'Error')
  assert.equal((await run('display({ "text/html": "<\\0\\udc00>" })', 'javascript')).results[0].html, '<\0\ufffd>')
  assert.equal((await run('throw new RuntimeException("\\ud800");', 'java')).error.value, '\ufffd')
})

test('what a cell shows before it ends its process arrives', async () => {
  const x = await run('display(1); console.log("last"); process.exit(0)', 'javascript')
  assert.deepEqual([x.results.map((r) => r.text), out(x), x.error.name], [['1'], 'last\n', 'ContextRestarting'])
})

test('variables whose names are no identifiers', async () => {
  const envs = { 'A.B': 'one', 'c-d': 'two\n"\'\\', 'é x': 'é$', GOOD: 'g' }
  const ask = { python: 'import os; print(*(os.environ[n] for n in ["A.B", "c-d", "é x"]), sep="", end="")', javascript: 'process.stdout.write(process.env["A.B"] + process.env["c-d"] + process.env["é x"])',
    r: 'cat(Sys.getenv("A.B"), Sys.getenv("c-d"), Sys.getenv("é x"), sep="")', java: 'System.out.print(System.getProperty("A.B") + System.getProperty("c-d") + System.getProperty("é x"));' }
  for (const [language, code] of Object.entries(ask)) {
    const x = await run(code, language, { envs })
    assert.equal(out(x), 'onetwo\n"\'\\é$', `${language} ${x.error?.traceback}`)
  }
  assert.equal(out(await run('echo $GOOD', 'bash', { envs })), 'g\n', 'bash has no such names, and the others are set')
  for (const name of ['', 'A=B']) await assert.rejects(run('1', 'python', { envs: { [name]: '1' }, timeoutMs: 1000 }), /422/)
})
