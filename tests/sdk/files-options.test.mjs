// sandbox.files: every form, option and error that files.test.mjs leaves out.
import test, { before, after } from 'node:test'
import assert from 'node:assert/strict'
import crypto from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { Sandbox, AuthenticationError, FileNotFoundError, FileType, InvalidArgumentError, NotEnoughSpaceError, SandboxError } from 'e2b'
import { until } from '../lib/until.mjs'

let s, dir
before(async () => { s = await Sandbox.create({ timeoutMs: 600_000 }) })
after(async () => { await s.kill() })
test.beforeEach(async () => { dir = `/tmp/files-${Math.random().toString(36).slice(2)}`; await s.files.makeDir(dir) })
test.afterEach(async () => { await s.files.remove(dir) })
const owner = async (path) => (await s.files.getInfo(path)).owner

test('every form of data in, every form out', async () => {
  const bytes = crypto.randomBytes(300_000)
  const stream = () => new ReadableStream({ start(c) { for (let i = 0; i < 3; i++) c.enqueue(bytes.subarray(i * 100_000, (i + 1) * 100_000)); c.close() } })
  const forms = { arrayBuffer: () => new Uint8Array(bytes).buffer, blob: () => new Blob([bytes]), stream }
  for (const opts of [{}, { useOctetStream: true }, { gzip: true }, { useOctetStream: true, gzip: true }])
    for (const [form, make] of Object.entries(forms)) {
      await s.files.write(`${dir}/x`, make(), opts)
      assert.ok(Buffer.from(await s.files.read(`${dir}/x`, { format: 'bytes' })).equals(bytes), `${form} ${JSON.stringify(opts)}`)
    }
  const blob = await s.files.read(`${dir}/x`, { format: 'blob' })
  assert.ok(Buffer.from(await blob.arrayBuffer()).equals(bytes))
  const pieces = []
  for await (const p of await s.files.read(`${dir}/x`, { format: 'stream', streamIdleTimeoutMs: 5000 })) pieces.push(p)
  assert.ok(Buffer.concat(pieces).equals(bytes))
  assert.ok(Buffer.from(await s.files.read(`${dir}/x`, { format: 'bytes', gzip: true })).equals(bytes))
  for (const format of ['text', 'bytes', 'blob', 'stream']) { // and nothing, in each
    await s.files.write(`${dir}/empty`, '')
    const r = await s.files.read(`${dir}/empty`, { format })
    assert.equal(Buffer.from(await new Response(r).arrayBuffer()).length, 0, format)
  }
})

test('writeFiles: many, none, mixed', async () => {
  const made = await s.files.writeFiles([{ path: `${dir}/1`, data: 'one' }, { path: `${dir}/2`, data: new Blob(['two']) }], { metadata: { k: 'v' } })
  assert.deepEqual(made.map((w) => [w.name, w.type, { ...w.metadata }]), [['1', 'file', { k: 'v' }], ['2', 'file', { k: 'v' }]])
  assert.deepEqual(await s.files.writeFiles([]), [])
  assert.deepEqual([await s.files.read(`${dir}/1`), await s.files.read(`${dir}/2`)], ['one', 'two'])
})

test('a user of one\'s choice owns what is made, and ~ is that user\'s', async () => {
  await s.files.write(`${dir}/d/r`, 'x', { user: 'root' })
  await s.files.makeDir(`${dir}/e`, { user: 'root' })
  assert.deepEqual([await owner(`${dir}/d`), await owner(`${dir}/d/r`), await owner(`${dir}/e`)], ['root', 'root', 'root'])
  assert.equal((await s.files.write('~/belljar-r', 'x', { user: 'root' })).path, '/root/belljar-r')
  assert.equal(await s.files.exists('belljar-r', { user: 'root' }), true)
  assert.equal(await s.files.exists('belljar-r'), false)
  assert.equal(await s.files.read('belljar-r', { user: 'root' }), 'x')
  assert.ok((await s.files.list('~', { user: 'root' })).some((e) => e.name === 'belljar-r'))
  assert.equal((await s.files.rename('belljar-r', 'belljar-s', { user: 'root' })).path, '/root/belljar-s')
  assert.equal((await s.files.getInfo('belljar-s', { user: 'root' })).path, '/root/belljar-s')
  await s.files.remove('belljar-s', { user: 'root' })
  for (const call of [(o) => s.files.read('/etc/hostname', o), (o) => s.files.write(`${dir}/n`, 'x', o), (o) => s.files.list('/', o), (o) => s.files.makeDir(`${dir}/n`, o),
    (o) => s.files.exists('/etc', o), (o) => s.files.watchDir(dir, () => {}, o)])
    await assert.rejects(call({ user: 'nobody-here' }), AuthenticationError)
})

test('an upload over a file keeps its rights and takes its owner', async () => {
  await s.commands.run(`echo old > ${dir}/f && chmod 751 ${dir}/f`)
  await s.files.write(`${dir}/f`, 'new', { user: 'root' })
  const f = await s.files.getInfo(`${dir}/f`)
  assert.deepEqual([f.permissions, f.owner, f.size], ['-rwxr-x--x', 'root', 3])
})

test('an upload follows a link to a file', async () => {
  await s.commands.run(`cd ${dir} && echo old > target && ln -s target link`)
  await s.files.write(`${dir}/link`, 'through')
  assert.equal(await s.files.read(`${dir}/target`), 'through')
  assert.equal((await s.files.getInfo(`${dir}/link`)).symlinkTarget, `${dir}/target`)
})

test('names that are hard to carry', async () => {
  for (const name of ['a b', 'ü€𝄞', 'quo"te', "apo'strophe", 'per%20cent', 'plus+', 'amp&', '#hash', 'back\\slash', 'semi;colon', ' lead', 'x'.repeat(255)]) {
    const path = `${dir}/${name}`
    assert.equal((await s.files.write(path, name)).path, path)
    assert.equal(await s.files.read(path), name)
    // of several files the name goes in the form, where clients write a quote as %22 but % as it is
    if (!name.includes('"')) assert.equal((await s.files.write([{ path, data: '2' }, { path: `${path.slice(0, -1)}~`, data: '3' }]))[0].path, path)
    assert.ok((await s.files.list(dir)).some((e) => e.path === path), name)
    await s.files.remove(path)
  }
})

test('errors have their classes', async () => {
  await assert.rejects(s.files.write(`${dir}/m`, 'x', { metadata: { k: 'v'.repeat(5000) } }), InvalidArgumentError)
  await assert.rejects(s.files.write('/proc/nothing', 'x'), SandboxError)
  await assert.rejects(s.files.write('/dev/null', 'x'), InvalidArgumentError)
  await assert.rejects(s.files.read('~other/x'), InvalidArgumentError)
  await assert.rejects(s.files.list(dir, { depth: 0 }), InvalidArgumentError)
  await assert.rejects(s.files.read(`${dir}/none`, { format: 'stream' }), FileNotFoundError)
  await assert.rejects(s.files.makeDir(`${'x'.repeat(300)}`), InvalidArgumentError)
  await assert.rejects(s.files.read('/etc/hostname', { signal: AbortSignal.abort() }))
  await s.commands.run(`ln -s ${dir}/loop ${dir}/loop`)
  await assert.rejects(s.files.list(`${dir}/loop`), SandboxError)
  await s.commands.run(`mkdir -p ${dir}/full && touch ${dir}/full/x ${dir}/plain`)
  await assert.rejects(s.files.rename(`${dir}/plain`, `${dir}/full`), SandboxError)
})

test('kinds of entries: a link to a directory, a dead one, a pipe, a socket', async () => {
  await s.commands.run(`cd ${dir} && mkdir d && ln -s d to-dir && ln -s nowhere dead && mkfifo pipe`)
  const listed = Object.fromEntries((await s.files.list(dir)).map((e) => [e.name, e.type]))
  assert.deepEqual(listed, { d: FileType.DIR, 'to-dir': FileType.DIR }) // the SDK leaves out what is neither
  assert.deepEqual((await s.files.list(`${dir}/to-dir`)), [])
  await assert.rejects(s.files.read(`${dir}/pipe`), InvalidArgumentError)
  await assert.rejects(s.files.write(`${dir}/pipe`, 'x'), InvalidArgumentError)
})

test('a full disk is its own error, and then goes on', async () => {
  await s.commands.run('dd if=/dev/zero of=/home/user/fill bs=1M 2>/dev/null; sudo -n dd if=/dev/zero of=/root/fill bs=64k 2>/dev/null; true', { timeoutMs: 120_000 })
  const data = 'x'.repeat(2_000_000)
  for (const opts of [{}, { useOctetStream: true }, { gzip: true }])
    await assert.rejects(s.files.write(`/home/user/more`, data, opts), NotEnoughSpaceError)
  await s.commands.run('rm -f /home/user/fill /home/user/more; sudo -n rm -f /root/fill')
  await s.files.write('/home/user/more', data)
  assert.equal((await s.files.getInfo('/home/user/more')).size, data.length)
})

test('watching ends when told: by time, by stop, by the sandbox', async () => {
  const ends = []
  await s.files.watchDir(dir, () => {}, { timeoutMs: 300, onExit: (e) => ends.push(e) })
  await until(() => ends.length === 1, 3000, 'the end by time')
  assert.ok(ends[0] instanceof Error)
  const h = await s.files.watchDir(dir, () => {}, { timeoutMs: 0, onExit: (e) => ends.push(e) })
  await h.stop()
  await until(() => ends.length === 2, 3000, 'the end by stop')
  const seen = []
  const networks = await s.files.watchDir(dir, (e) => seen.push(e.name), { allowNetworkMounts: true, user: 'root', requestTimeoutMs: 5000 })
  await s.files.write(`${dir}/n`, 'x')
  await until(() => seen.includes('n'), 3000, 'an event')
  await networks.stop()
  await s.files.write(`${dir}/later`, 'x')
  await sleep(200)
  assert.equal(seen.includes('later'), false)
})

test('a reader that stops early costs nothing', async () => {
  await s.commands.run(`head -c 100000000 /dev/zero > ${dir}/big`)
  for (let i = 0; i < 20; i++) {
    const stream = await s.files.read(`${dir}/big`, { format: 'stream' })
    const reader = stream.getReader()
    await reader.read()
    await reader.cancel()
  }
  const rss = Number((await s.commands.run("awk '/VmRSS/{print $2}' /proc/1/status")).stdout)
  assert.ok(rss < 20_000, `the agent uses ${rss} kB`)
  assert.equal((await s.files.getInfo(`${dir}/big`)).size, 100_000_000)
})
