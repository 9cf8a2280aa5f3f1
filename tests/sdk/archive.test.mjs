// GET and PUT /archive: whole directories in one call, and archives that mean harm.
import test, { before, after } from 'node:test'
import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { execFileSync } from 'node:child_process'
import net from 'node:net'
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

// GET of `route` on a socket of our own: what came, until the other side closed. After the first bytes the rest has to
// wait until `meanwhile` is done: more than what lies between here and the file holds.
async function slowly(route, meanwhile) {
  const to = new URL(process.env.E2B_SANDBOX_URL)
  const c = net.connect({ host: to.hostname, port: Number(to.port) })
  c.write(`GET ${route} HTTP/1.1\r\nHost: ${to.host}\r\n${Object.entries(headers).map(([k, v]) => `${k}: ${v}\r\n`).join('')}Connection: close\r\n\r\n`)
  const first = await new Promise((resolve, reject) => c.once('data', (d) => { c.pause(); resolve(d) }).once('error', reject))
  await meanwhile()
  const pieces = [first]
  await new Promise((resolve) => c.on('data', (d) => pieces.push(d)).on('error', () => {}).on('close', resolve).resume())
  const all = Buffer.concat(pieces), end = all.indexOf('\r\n\r\n')
  return { head: all.subarray(0, end).toString(), body: all.subarray(end + 4) }
}
const SIZE = 300_000_000 // without blocks
const big = () => s.commands.run(`mkdir -p /tmp/shrinks && truncate -s ${SIZE} /tmp/shrinks/f && echo after >/tmp/shrinks/g`)
const shrink = () => s.commands.run('truncate -s 1000 /tmp/shrinks/f')

test('an archive whose file shrinks is broken off', async () => {
  const route = `/archive?path=${encodeURIComponent('/tmp/shrinks')}`
  await big()
  const whole = await slowly(route, async () => {})
  assert.match(whole.head, /^HTTP\/1.1 200 .*transfer-encoding: chunked/is)
  assert.ok(whole.body.length > SIZE && whole.body.subarray(-7).equals(Buffer.from('\r\n0\r\n\r\n')))
  const cut = await slowly(route, shrink)
  assert.match(cut.head, /^HTTP\/1.1 200 /)
  assert.ok(cut.body.length < SIZE, `${cut.body.length} bytes came`)
  assert.ok(!cut.body.subarray(-7).equals(Buffer.from('\r\n0\r\n\r\n')))
  // a client that knows HTTP says so, and the next archive is a whole one
  await big()
  const r = await fetch(url('/tmp/shrinks'), { headers })
  const reader = r.body.getReader()
  await reader.read()
  await shrink()
  await assert.rejects(async () => { while (!(await reader.read()).done) ; }, /terminated/)
  const tar = Buffer.from(await (await fetch(url('/tmp/shrinks'), { headers })).arrayBuffer())
  assert.equal(execFileSync('tar', ['-xOf', '-', 'g'], { input: tar }).toString(), 'after\n')
})

test('a file that shrinks while it is sent ends short of its length', async () => {
  await big()
  const cut = await slowly(`/files?path=${encodeURIComponent('/tmp/shrinks/f')}`, shrink)
  assert.match(cut.head, new RegExp(`^HTTP/1.1 200 .*content-length: ${SIZE}`, 'is'))
  assert.ok(cut.body.length > 0 && cut.body.length < SIZE, `${cut.body.length} bytes came`)
})
