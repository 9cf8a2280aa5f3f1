// Signed URLs under one fixed E2B_SANDBOX_URL: neither host name nor field says for which sandbox
// they are (delta.md 8).
import test, { before, after } from 'node:test'
import assert from 'node:assert/strict'
import crypto from 'node:crypto'
import { Sandbox } from 'e2b'

let s, other
before(async () => { [s, other] = await Promise.all([Sandbox.create(), Sandbox.create()]) })
after(async () => { await s.kill(); await other.kill() })

const message = async (r) => [r.status, (await r.json()).message]

test('an upload and a download, each to its own sandbox', async () => {
  for (const sandbox of [s, other]) {
    const up = await sandbox.uploadUrl('signed/file.txt', { useSignatureExpiration: 60 })
    const form = new FormData()
    form.append('file', new Blob([`of ${sandbox.sandboxId}`]), 'file.txt')
    const r = await fetch(up, { method: 'POST', body: form })
    assert.equal(r.status, 200)
    assert.deepEqual(await r.json(), [{ path: '/home/user/signed/file.txt', name: 'file.txt', type: 'file' }])
  }
  for (const sandbox of [s, other]) {
    assert.equal(await sandbox.files.read('signed/file.txt'), `of ${sandbox.sandboxId}`)
    for (const opts of [{}, { useSignatureExpiration: 60 }, { user: 'root' }]) {
      const down = await sandbox.downloadUrl(opts.user ? '/home/user/signed/file.txt' : 'signed/file.txt', opts)
      for (let again = 0; again < 2; again++) assert.equal(await (await fetch(down)).text(), `of ${sandbox.sandboxId}`)
      const part = await fetch(down, { headers: { Range: 'bytes=0-1' } })
      assert.deepEqual([part.status, await part.text()], [206, 'of'])
      assert.equal((await fetch(down, { method: 'HEAD' })).status, 200)
    }
  }
})

test('a signature for /files serves for /archive', async () => {
  await s.files.write('tree/a/b', 'deep')
  const as = (u) => u.replace('/files?', '/archive?')
  const r = await fetch(as(await s.downloadUrl('tree')))
  assert.equal(r.headers.get('content-type'), 'application/x-tar')
  const tar = await r.arrayBuffer()
  assert.equal((await fetch(as(await s.uploadUrl('copy')), { method: 'PUT', body: tar })).status, 204)
  assert.equal(await s.files.read('copy/a/b'), 'deep')
  assert.deepEqual(await message(await fetch(as(await s.downloadUrl('copy')), { method: 'PUT', body: tar })), [401, 'invalid signature'])
})

test('a browser asks first', async () => {
  const up = await s.uploadUrl('x')
  const r = await fetch(up, { method: 'OPTIONS', headers: { Origin: 'http://a.example', 'Access-Control-Request-Method': 'POST', 'Access-Control-Request-Headers': 'content-type' } })
  assert.deepEqual([r.status, r.headers.get('access-control-allow-origin'), r.headers.get('access-control-allow-headers')], [204, '*', 'content-type'])
})

test('expired, changed, invented', async () => {
  await s.files.write('signed.txt', 'x')
  const expired = await s.downloadUrl('signed.txt', { useSignatureExpiration: -1 })
  assert.deepEqual(await message(await fetch(expired)), [401, 'signature is already expired'])
  const good = await s.downloadUrl('signed.txt', { useSignatureExpiration: 60 })
  const changed = [
    (u) => u.searchParams.set('path', 'other.txt'),
    (u) => u.searchParams.set('username', 'root'),
    (u) => u.searchParams.set('signature_expiration', '9999999999'),
    (u) => u.searchParams.delete('signature_expiration'),
    (u) => u.searchParams.set('signature', 'v1_' + crypto.randomBytes(32).toString('base64').replace('=', '')),
    (u) => u.searchParams.set('signature', 'v1_'),
    (u) => u.searchParams.set('signature', ''),
  ]
  for (const change of changed) {
    const u = new URL(good)
    change(u)
    assert.deepEqual(await message(await fetch(u)), [401, 'invalid signature'], u.search)
  }
  assert.deepEqual(await message(await fetch(good, { method: 'POST', body: 'x', headers: { 'Content-Type': 'application/octet-stream' } })), [401, 'invalid signature'])
  const none = new URL(good)
  none.searchParams.delete('signature')
  assert.deepEqual(await message(await fetch(none)), [400, 'Invalid host'])
  assert.equal((await fetch(good)).status, 200)
})

test('the URL of a killed sandbox leads nowhere', async () => {
  const gone = await Sandbox.create()
  await gone.files.write('f', 'x')
  const url = await gone.downloadUrl('f')
  assert.equal((await fetch(url)).status, 200)
  await gone.kill()
  assert.deepEqual(await message(await fetch(url)), [401, 'invalid signature'])
})
