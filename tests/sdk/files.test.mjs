// sandbox.files with its options and errors (core.md 3.3, 4.3, 4.4), and watching.
import test, { before, after } from 'node:test'
import assert from 'node:assert/strict'
import { Sandbox, FileNotFoundError, InvalidArgumentError, FileType, FilesystemEventType } from 'e2b'
import { until } from '../lib/until.mjs'

let s, dir
before(async () => { s = await Sandbox.create({ timeoutMs: 600_000 }) })
after(async () => { await s.kill() })
test.beforeEach(async () => { dir = `/tmp/files-${Math.random().toString(36).slice(2)}`; await s.files.makeDir(dir) })
test.afterEach(async () => { await s.files.remove(dir) })

test('what is written is read, in every form', async () => {
  const { path, name, type, metadata } = await s.files.write(`${dir}/a ü.txt`, 'hello')
  assert.deepEqual([path, name, type, metadata], [`${dir}/a ü.txt`, 'a ü.txt', 'file', undefined])
  assert.equal(await s.files.read(`${dir}/a ü.txt`), 'hello')
  assert.equal(Buffer.from(await s.files.read(`${dir}/a ü.txt`, { format: 'bytes' })).toString(), 'hello')
  await s.files.write(`${dir}/empty`, '')
  assert.equal(await s.files.read(`${dir}/empty`), '')
  await s.files.write(`${dir}/a ü.txt`, 'short')
  assert.equal(await s.files.read(`${dir}/a ü.txt`), 'short')
})

test('large and binary bytes survive, gzip and octet-stream as well', async () => {
  const big = new Uint8Array(5_000_000).map((_, i) => (i * 31) >> 3)
  for (const opts of [{}, { gzip: true }, { useOctetStream: true }]) {
    await s.files.write(`${dir}/big`, big.buffer, opts)
    assert.ok(Buffer.from(await s.files.read(`${dir}/big`, { format: 'bytes' })).equals(Buffer.from(big)), JSON.stringify(opts))
  }
})

test('several files at once, into directories that are not there', async () => {
  const w = await s.files.write([{ path: `${dir}/x/1`, data: 'one' }, { path: `${dir}/y/z/2`, data: 'two' }])
  assert.deepEqual(w.map((e) => e.path), [`${dir}/x/1`, `${dir}/y/z/2`])
  assert.equal(await s.files.read(`${dir}/y/z/2`), 'two')
  const made = await s.commands.run(`stat -c '%a %U' ${dir}/y ${dir}/y/z/2`)
  const user = (await s.commands.run('id -un')).stdout.trim()
  assert.equal(made.stdout, `755 ${user}\n644 ${user}\n`)
})

test('relative paths are the user\'s', async () => {
  const home = (await s.commands.run('echo ~')).stdout.trim()
  assert.equal((await s.files.write('belljar-rel.txt', 'x')).path, `${home}/belljar-rel.txt`)
  assert.equal(await s.files.exists('~/belljar-rel.txt'), true)
  await s.files.remove('belljar-rel.txt')
  assert.equal(await s.files.exists('belljar-rel.txt'), false)
})

test('procfs files have contents though they have no size', async () => {
  assert.match(await s.files.read('/proc/sys/kernel/random/boot_id'), /^[0-9a-f-]{36}\n$/)
})

test('errors have their classes', async () => {
  await assert.rejects(s.files.read(`${dir}/none`), FileNotFoundError)
  await assert.rejects(s.files.read(dir), InvalidArgumentError)
  await assert.rejects(s.files.write(dir, 'x'), InvalidArgumentError)
  await assert.rejects(s.files.list(`${dir}/none`), FileNotFoundError)
  await s.files.write(`${dir}/f`, 'x')
  await assert.rejects(s.files.list(`${dir}/f`), InvalidArgumentError)
  await assert.rejects(s.files.makeDir(`${dir}/f`), InvalidArgumentError)
  await assert.rejects(s.files.rename(`${dir}/none`, `${dir}/g`), FileNotFoundError)
  await assert.rejects(s.files.getInfo(`${dir}/none`), FileNotFoundError)
  await assert.rejects(s.files.watchDir(`${dir}/none`, () => {}), FileNotFoundError)
  await assert.rejects(s.files.watchDir(`${dir}/f`, () => {}), InvalidArgumentError)
  await s.files.remove(`${dir}/none`)
})

test('makeDir, exists, rename, remove', async () => {
  assert.equal(await s.files.makeDir(`${dir}/a/b/c`), true)
  assert.equal(await s.files.makeDir(`${dir}/a/b/c`), false)
  await s.files.write(`${dir}/a/f`, 'x')
  assert.equal((await s.files.rename(`${dir}/a`, `${dir}/n/m`)).path, `${dir}/n/m`)
  assert.equal(await s.files.exists(`${dir}/n/m/f`), true)
  await s.files.remove(`${dir}/n`)
  assert.equal(await s.files.exists(`${dir}/n`), false)
})

test('listing is sorted, as deep as asked, parents before children', async () => {
  await s.commands.run(`cd ${dir}; mkdir -p b/c/d; touch a b/x b/c/y z; ln -s b/x link; ln -s nowhere dangling`)
  const names = async (depth) => (await s.files.list(dir, { depth })).map((e) => e.path.slice(dir.length + 1))
  assert.deepEqual(await names(1), ['a', 'b', 'link', 'z'])
  assert.deepEqual(await names(2), ['a', 'b', 'b/c', 'b/x', 'link', 'z'])
  assert.deepEqual(await names(9), ['a', 'b', 'b/c', 'b/c/d', 'b/c/y', 'b/x', 'link', 'z'])
})

test('an entry tells type, size, rights, owner and link', async () => {
  await s.commands.run(`cd ${dir}; printf 12345 > f; chmod 640 f; ln -s f link; mkdir -m 1777 d`)
  const f = await s.files.getInfo(`${dir}/f`)
  assert.deepEqual([f.type, f.size, f.mode, f.permissions], [FileType.FILE, 5, 0o640, '-rw-r-----'])
  assert.ok(Math.abs(f.modifiedTime.getTime() - Date.now()) < 60_000)
  const l = await s.files.getInfo(`${dir}/link`)
  assert.deepEqual([l.type, l.symlinkTarget, l.permissions], [FileType.FILE, `${dir}/f`, 'Lrwxrwxrwx'])
  assert.equal((await s.files.getInfo(`${dir}/d`)).permissions, 'dtrwxrwxrwx')
})

test('metadata is kept, replaced and cleared', async () => {
  const w = await s.files.write(`${dir}/m`, 'x', { metadata: { Owner: 'me', b: '2' } })
  assert.deepEqual(w.metadata, { owner: 'me', b: '2' })
  assert.deepEqual({ ...(await s.files.getInfo(`${dir}/m`)).metadata }, { owner: 'me', b: '2' })
  assert.deepEqual({ ...(await s.files.rename(`${dir}/m`, `${dir}/n`)).metadata }, { owner: 'me', b: '2' })
  await s.files.write(`${dir}/n`, 'y', { metadata: { c: '3' } })
  assert.deepEqual({ ...(await s.files.getInfo(`${dir}/n`)).metadata }, { c: '3' })
  await s.files.write(`${dir}/n`, 'z')
  assert.deepEqual({ ...((await s.files.getInfo(`${dir}/n`)).metadata ?? {}) }, {})
})

async function watching(opts, fn) {
  const seen = []
  const h = await s.files.watchDir(dir, (e) => seen.push([e.type, e.name]), { timeoutMs: 0, ...opts })
  await fn(seen)
  await h.stop()
  return seen
}
const has = (seen, type, name) => seen.some((e) => e[0] === type && e[1] === name)

test('an upload of a new file is three events', async () => {
  const seen = await watching({}, async (seen) => {
    await s.files.write(`${dir}/new`, 'x')
    await until(() => seen.length >= 3, 3000, 'events')
    await s.files.makeDir(`${dir}/sub`)
    await until(() => has(seen, 'create', 'sub'), 3000, 'the next event')
  })
  assert.deepEqual(seen.slice(0, 3), [['create', 'new'], ['chmod', 'new'], ['write', 'new']])
  assert.equal(seen[3][1], 'sub')
})

test('renames and removals are told; what is below is not, unless asked', async () => {
  await s.files.makeDir(`${dir}/sub`)
  const seen = await watching({}, async (seen) => {
    await s.files.write(`${dir}/sub/hidden`, 'x')
    await s.commands.run(`cd ${dir}; touch a; mv a b; rm b`)
    await until(() => has(seen, FilesystemEventType.REMOVE, 'b'), 3000, 'the removal')
  })
  assert.ok(has(seen, FilesystemEventType.RENAME, 'a') && has(seen, FilesystemEventType.CREATE, 'b'))
  assert.equal(seen.some((e) => e[1].includes('hidden')), false)
})

test('a recursive watch misses nothing of a tree that is just made, and tells it once', async () => {
  const seen = await watching({ recursive: true }, async (seen) => {
    await s.commands.run(`cd ${dir}; for i in $(seq 30); do mkdir -p t$i/a/b; echo x > t$i/a/b/f; done`)
    await until(() => has(seen, 'create', 't30/a/b/f'), 5000, 'the last file')
    await s.files.makeDir(`${dir}/m`)
    await s.files.write(`${dir}/m/n/o`, 'x')
    await until(() => has(seen, 'write', 'm/n/o'), 5000, 'an upload into a new directory')
  })
  const created = seen.filter((e) => e[0] === 'create').map((e) => e[1])
  assert.equal(new Set(created).size, created.length, 'nothing twice')
  for (let i = 1; i <= 30; i++)
    for (const p of ['', '/a', '/a/b', '/a/b/f']) assert.ok(created.includes(`t${i}${p}`), `t${i}${p}`)
})

test('ten thousand files, each one told', async () => {
  const seen = await watching({}, async (seen) => {
    await s.commands.run(`cd ${dir}; for i in $(seq 10000); do : > f$i; done`, { timeoutMs: 60_000 })
    await until(() => seen.filter((e) => e[0] === 'create').length >= 10_000, 10_000, 'all creations')
  })
  assert.equal(new Set(seen.filter((e) => e[0] === 'create').map((e) => e[1])).size, 10_000)
})

test('a directory that goes away says so', async () => {
  await s.files.makeDir(`${dir}/gone`)
  const seen = []
  const h = await s.files.watchDir(`${dir}/gone`, (e) => seen.push([e.type, e.name]))
  await s.files.remove(`${dir}/gone`)
  await until(() => has(seen, 'remove', '.'), 3000, 'the removal')
  await h.stop()
})

test('entries come with events when asked', async () => {
  const entries = []
  const h = await s.files.watchDir(dir, (e) => entries.push(e), { includeEntry: true })
  await s.files.write(`${dir}/e`, 'abc')
  await until(() => entries.some((e) => e.type === 'write'), 3000, 'the write')
  assert.equal(entries.find((e) => e.type === 'write').entry.path, `${dir}/e`)
  assert.equal(entries.find((e) => e.type === 'write').entry.size, 3)
  await h.stop()
})
