// GET and PUT /archive: whole directories in one call, and archives that mean harm.
import test, { before, after } from 'node:test'
import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { execFileSync } from 'node:child_process'
import { Sandbox } from 'e2b'

let s, headers, tmp
before(async () => {
  s = await Sandbox.create({ timeoutMs: 600_000 })
  headers = { 'E2b-Sandbox-Id': s.sandboxId, 'E2b-Sandbox-Port': '49983', ...(s.envdAccessToken && { 'X-Access-Token': s.envdAccessToken }) }
  tmp = fs.mkdtempSync(path.join(os.tmpdir(), 'belljar-archive-'))
})
after(async () => { fs.rmSync(tmp, { recursive: true }); await s.kill() })
const url = (p) => `${process.env.E2B_SANDBOX_URL}/archive?path=${encodeURIComponent(p)}`
const put = async (p, body, h = {}) => { const r = await fetch(url(p), { method: 'PUT', headers: { ...headers, ...h }, body }); return [r.status, await r.text()] }
const python = (code) => execFileSync('python3', ['-c', `
import tarfile, io, sys
b = io.BytesIO(); t = tarfile.open(fileobj=b, mode='w')
def add(name, data=b'', type=tarfile.REGTYPE, link=''):
    i = tarfile.TarInfo(name); i.size = len(data); i.type = type; i.linkname = link
    t.addfile(i, io.BytesIO(data))
${code}
t.close(); sys.stdout.buffer.write(b.getvalue())`])

test('a tree goes in and comes out the same', async () => {
  const src = path.join(tmp, 'src')
  fs.mkdirSync(path.join(src, 'd/e'), { recursive: true })
  fs.writeFileSync(path.join(src, 'a'), 'hi\n', { mode: 0o755 })
  fs.writeFileSync(path.join(src, 'd/e', 'n'.repeat(150)), 'long name')
  fs.writeFileSync(path.join(src, 'd/big'), Buffer.alloc(3_000_000, 7))
  fs.writeFileSync(path.join(src, 'zero'), '')
  fs.symlinkSync('a', path.join(src, 'link'))
  for (const flags of ['-cf', '-czf']) {
    const tar = execFileSync('tar', [flags, '-', '-C', src, '.'], { maxBuffer: 1e8 })
    assert.deepEqual(await put('/tmp/tree', tar, flags === '-czf' ? { 'Content-Encoding': 'gzip' } : {}), [204, ''])
    const r = await fetch(url('/tmp/tree'), { headers })
    assert.equal(r.headers.get('content-type'), 'application/x-tar')
    const out = path.join(tmp, 'out')
    fs.mkdirSync(out)
    execFileSync('tar', ['-xf', '-', '-C', out], { input: Buffer.from(await r.arrayBuffer()) })
    execFileSync('diff', ['-r', '--no-dereference', src, out])
    assert.equal(fs.statSync(path.join(out, 'a')).mode & 0o777, 0o755)
    fs.rmSync(out, { recursive: true })
  }
  const who = (await s.commands.run('id -un')).stdout
  assert.equal((await s.commands.run('stat -c %U /tmp/tree/d/big')).stdout, who)
})

test('nothing is written outside', async () => {
  await s.commands.run('mkdir -p /tmp/outside')
  const harm = [
    `add('../evil', b'x')`,
    `add('a/../../evil', b'x')`,
    `add('s', type=tarfile.SYMTYPE, link='/tmp/outside'); add('s/evil', b'x')`,
    `add('s', type=tarfile.SYMTYPE, link='../outside'); add('s/evil', b'x')`,
    `add('h', type=tarfile.LNKTYPE, link='../../etc/passwd')`,
  ]
  for (const code of harm) assert.equal((await put('/tmp/in/side', python(code)))[0], 400, code)
  assert.equal((await put('/tmp/in/side', python(`add('l', type=tarfile.SYMTYPE, link='/tmp/outside/f'); add('l', b'x')`)))[0], 204)
  assert.equal((await s.commands.run('ls /tmp/outside /tmp/in | tr "\\n" " "')).stdout.includes('evil'), false)
  assert.equal((await s.commands.run('ls /tmp/outside')).stdout, '')
  assert.equal((await put('/tmp/in/side', python(`add('dev', type=tarfile.CHRTYPE)`)))[0], 204)
  assert.equal(await s.files.exists('/tmp/in/side/dev'), false)
})

test('what is no archive is refused', async () => {
  assert.equal((await put('/tmp/bad', Buffer.alloc(2048, 120)))[0], 400)
  assert.equal((await put('/tmp/bad', python(`add('f', b'x' * 5000)`).subarray(0, 3000)))[0], 400)
  assert.equal((await put('/tmp/bad', 'x', { 'Content-Encoding': 'gzip' }))[0], 400)
  assert.equal((await put('/tmp/bad', 'x', { 'Content-Encoding': 'br' }))[0], 400)
  assert.equal((await fetch(url('/tmp/nothing'), { headers })).status, 404)
  assert.equal((await fetch(url('/etc/passwd'), { headers })).status, 400)
})

test('ten thousand small files each way', async () => {
  await s.commands.run('mkdir -p /tmp/many && cd /tmp/many && for i in $(seq 10000); do echo $i > f$i; done', { timeoutMs: 60_000 })
  const tar = Buffer.from(await (await fetch(url('/tmp/many'), { headers })).arrayBuffer())
  assert.deepEqual(await put('/tmp/many2', tar), [204, ''])
  assert.equal((await s.commands.run('diff -r /tmp/many /tmp/many2 && echo same')).stdout, 'same\n')
})
