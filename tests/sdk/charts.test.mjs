// Charts as data, compared with values computed from what was plotted (code-interpreter.md 10), and the other kinds
// of results that are not text.
import test, { before, after } from 'node:test'
import assert from 'node:assert/strict'
import { Sandbox } from '@e2b/code-interpreter'

let s
before(async () => {
  s = await Sandbox.create({ timeoutMs: 600_000 })
  await s.runCode('import matplotlib.pyplot as plt, numpy as np, pandas as pd, datetime', { timeoutMs: 120_000 })
})
after(async () => { await s?.kill() })
const run = (code) => s.runCode(code, { timeoutMs: 60_000 })
async function chart(code) {
  const x = await run(code + '\nplt.show()')
  assert.equal(x.error, undefined, x.error?.traceback)
  assert.equal(x.results.length, 1)
  assert.ok(Buffer.from(x.results[0].png, 'base64').subarray(1, 4).equals(Buffer.from('PNG')))
  assert.match(x.results[0].text, /^<Figure size \d+x\d+ with \d+ Axes>$/)
  return x.results[0].chart
}
const near = (a, b) => assert.ok(Math.abs(a - b) < 1e-9, `${a} is not ${b}`)

test('line', async () => {
  const c = await chart(`
x = np.linspace(0, 10, 100)
plt.plot(x, np.sin(x), label='sin')
plt.plot(x, np.cos(x))
plt.xlabel('Time (s)'); plt.ylabel('Frequency [Hz]'); plt.title('Waves'); plt.grid(True); plt.axhline(0)`)
  assert.deepEqual([c.type, c.title, c.x_label, c.y_label, c.x_unit, c.y_unit, c.x_scale, c.y_scale], ['line', 'Waves', 'Time (s)', 'Frequency [Hz]', 's', 'Hz', 'linear', 'linear'])
  assert.deepEqual(c.elements.map((e) => [e.label, e.points.length]), [['sin', 100], ['Line 1', 100]])
  c.elements[0].points.forEach(([x, y], i) => { near(x, i * 10 / 99); near(y, Math.sin(x)) })
  c.elements[1].points.forEach(([x, y]) => near(y, Math.cos(x)))
  assert.ok(c.x_ticks.length > 2 && c.x_ticks.length === c.x_tick_labels.length && typeof c.x_tick_labels[0] === 'string')
})

test('line over dates, and a logarithmic axis', async () => {
  const c = await chart(`
days = [datetime.date(2024, 9, 1) + datetime.timedelta(days=i) for i in range(10)]
plt.plot(days, [10 ** i for i in range(10)]); plt.yscale('log')`)
  assert.deepEqual([c.x_scale, c.y_scale, c.title, c.x_label, c.x_unit], ['datetime', 'log', null, null, null])
  assert.deepEqual(c.elements[0].points.slice(0, 2), [['2024-09-01', 1], ['2024-09-02', 10]])
  assert.match(c.x_ticks[0], /^2024-0\d-\d\dT/)
})

test('scatter', async () => {
  const c = await chart(`plt.scatter([1, 2.5, 3], [4, 5, -6], label='one'); plt.scatter([7], [8], label='two'); plt.xlabel('A')`)
  assert.equal(c.type, 'scatter')
  assert.deepEqual(c.elements, [{ label: 'one', points: [[1, 4], [2.5, 5], [3, -6]] }, { label: 'two', points: [[7, 8]] }])
})

test('bars, standing, lying and in groups', async () => {
  const names = ['Liam', 'Mia', 'Noah', 'Ava']
  const c = await chart(`plt.bar(${JSON.stringify(names)}, [100, 200, 300, 400], label='Books Sold'); plt.xlabel('Authors'); plt.ylabel('Books (n)')`)
  assert.deepEqual([c.type, c.x_label, c.y_unit], ['bar', 'Authors', 'n'])
  assert.deepEqual(c.elements, names.map((label, i) => ({ label, group: 'Books Sold', value: 100 * (i + 1) })))
  const h = await chart(`plt.barh(${JSON.stringify(names)}, [1, 2, 3, 4]); plt.xlabel('Books'); plt.ylabel('Authors')`)
  assert.deepEqual([h.x_label, h.y_label], ['Authors', 'Books'])
  assert.deepEqual(h.elements, names.map((label, i) => ({ label, group: 'Group 0', value: i + 1 })))
  const g = await chart(`plt.bar([0, 1], [1, 2], 0.4, label='a'); plt.bar([0.4, 1.4], [3, 4], 0.4, label='b')`)
  assert.deepEqual(g.elements.map((e) => [e.group, e.value]), [['a', 1], ['a', 2], ['b', 3], ['b', 4]])
})

test('pie', async () => {
  const c = await chart(`plt.pie([90, 10], labels=['Dev', 'Ops'], autopct='%1.1f%%'); plt.title('Work')`)
  assert.deepEqual(c, { type: 'pie', title: 'Work', elements: [{ label: 'Dev', angle: 324, radius: 1 }, { label: 'Ops', angle: 36, radius: 1 }] })
})

test('boxes', async () => {
  const data = { A: [85, 90, 78, 92, 88], B: [95, 85, 76, 89, 91, 84], C: [75, 83, 79, 86, 82] }
  const c = await chart(`
data = ${JSON.stringify(data)}
plt.boxplot(list(data.values()), tick_labels=list(data), patch_artist=True); plt.ylabel('Score (p)')
want = [[float(v) for v in np.percentile(d, [25, 50, 75])] for d in data.values()]`)
  const want = (await run('want')).results[0].json
  assert.deepEqual([c.type, c.y_label, c.y_unit], ['box_and_whisker', 'Score (p)', 'p'])
  assert.deepEqual(c.elements.map((e) => e.label), Object.keys(data))
  c.elements.forEach((e, i) => {
    const [q1, median, q3] = want[i], values = Object.values(data)[i]
    near(e.first_quartile, q1); near(e.median, median); near(e.third_quartile, q3)
    const reach = 1.5 * (q3 - q1), inside = values.filter((v) => v >= q1 - reach && v <= q3 + reach)
    assert.deepEqual([e.min, e.max], [Math.min(...inside), Math.max(...inside)])
    assert.deepEqual(e.outliers, values.filter((v) => !inside.includes(v)))
  })
})

test('several axes are a superchart, none a nothing, other ones unknown', async () => {
  const c = await chart(`fig, (a, b) = plt.subplots(1, 2); a.plot([1, 2], [3, 5]); a.set_title('L'); b.scatter([1], [2]); fig.suptitle('Both')`)
  assert.deepEqual([c.type, c.title, c.elements.map((e) => [e.type, e.title])], ['superchart', 'Both', [['line', 'L'], ['scatter', null]]])
  assert.deepEqual(await chart('plt.figure(); plt.gca()'), {})
  const u = await chart(`plt.imshow(np.zeros((3, 3))); plt.title('Picture')`)
  assert.deepEqual(u, { type: 'unknown', title: 'Picture', elements: [] })
})

test('a figure as the last expression, and one that nothing can be made of', async () => {
  const x = await run('fig, ax = plt.subplots(); ax.bar(["a"], [2]); plt.close(fig); fig')
  assert.equal(x.results[0].chart.type, 'bar')
  assert.ok(x.results[0].png)
})

test('data frames', async () => {
  const x = await run(`pd.DataFrame({'n': [1, 2], 's': ['é', None], 't': pd.to_datetime(['2024-01-02', '2024-01-03']), 'f': [1.5, float('nan')]})`)
  const [r] = x.results
  assert.match(r.html, /<table/)
  assert.deepEqual(r.data, { n: [1, 2], s: ['é', null], t: ['2024-01-02T00:00:00', '2024-01-03T00:00:00'], f: [1.5, null] })
})

test('every kind of result', async () => {
  const show = async (type, value) => (await run(`import json\ndisplay({${JSON.stringify(type)}: json.loads(${JSON.stringify(JSON.stringify(value))})}, raw=True)`)).results[0]
  for (const [type, field, value] of [['text/plain', 'text', 'plain'], ['text/html', 'html', '<b>x</b>'], ['text/markdown', 'markdown', '# x'], ['image/svg+xml', 'svg', '<svg/>'], ['image/png', 'png', 'iVBORw0='], ['image/jpeg', 'jpeg', '/9j/'], ['application/pdf', 'pdf', 'JVBERi0='], ['text/latex', 'latex', '$x$'], ['application/json', 'json', { a: [1, null] }], ['application/javascript', 'javascript', '1']]) {
    const r = await show(type, value)
    assert.deepEqual(r[field], value, type)
    if (field !== 'text') assert.deepEqual([...r.formats()], [field])
    assert.equal(r.isMainResult, false)
  }
  assert.deepEqual((await run('[1, {"a": None}]')).results[0].json, [1, { a: null }])
  assert.equal((await run('"quoted"')).text, 'quoted')
  const own = await run('class A:\n    def _repr_html_(self): return "<i>"\n    def _repr_e2b_data_(self): return {"k": [1]}\nA()')
  assert.deepEqual([own.results[0].html, own.results[0].data], ['<i>', { k: [1] }])
})

test('pictures of Pillow', async () => {
  const x = await run('from PIL import Image\nimage = Image.new("RGB", (20, 10), "red")\nimage.save("/tmp/x.png")\nimage.show()\nimage')
  assert.deepEqual(x.results.map((r) => [typeof r.png, r.isMainResult]), [['string', false], ['string', false], ['string', true]])
})

test('a display that is updated shows again', async () => {
  const x = await run('h = display("one", display_id=True)\nh.update("two")')
  assert.deepEqual(x.results.map((r) => r.text), ['one', 'two'])
})

test('a large picture arrives whole', async () => {
  const x = await s.runCode('import os, base64\ndisplay({"image/png": base64.b64encode(os.urandom(20_000_000)).decode()}, raw=True)', { timeoutMs: 120_000 })
  assert.equal(Buffer.from(x.results[0].png, 'base64').length, 20_000_000)
})

test('plots in other scripts', async () => {
  const x = await run('plt.title("漢字"); plt.plot([1, 2]); plt.show()')
  assert.equal(x.logs.stderr.join(''), '', 'a font for it is there')
})
