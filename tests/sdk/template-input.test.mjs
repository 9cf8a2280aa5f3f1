// Builds that cannot work: each has a clear error and leaves nothing behind, neither a template nor
// a sandbox nor a layer that nobody needs.
import test from 'node:test'
import assert from 'node:assert/strict'
import fs from 'node:fs'
import zlib from 'node:zlib'
import { Template } from 'e2b'
import { create, http, run, sh } from './api.mjs'
import { state, until } from '../lib/server.mjs'

const made = new Set()
const named = (n) => { const name = `${n}-${run}`; made.add(name); return name }
const opts = { cpuCount: 1, memoryMB: 512 }
const from = () => Template().fromTemplate('base')
test.after(async () => { for (const n of made) await http('DELETE', `/templates/${n}`) })

const benches = () => fs.readdirSync(`${state}/run/s`).filter((n) => n.startsWith('b'))
// the sentence and the step of a build that must fail
async function fails(t, n, o = {}) {
  const name = named(n)
  const info = await Template.buildInBackground(t, name, { ...opts, ...o })
  let s
  await until(async () => (s = await Template.getBuildStatus(info)).status !== 'building', 90_000, 'it has ended')
  assert.equal(s.status, 'error')
  assert.equal(await Template.exists(name), false)
  assert.ok(!(await http('GET', '/templates')).body.some((x) => x.templateID === info.templateId))
  await assert.rejects(create(name), /404/)
  await until(() => benches().length === 0, 5000, 'no sandbox is left')
  return s.reason
}

test('failing steps are named, with what they said', async () => {
  const ok = () => from().runCmd('true')
  for (const [n, t, step, text] of [
    ['run', ok().runCmd('echo boo; exit 3').runCmd('true'), '2', "failed to run command 'echo boo; exit 3': exit status 3"],
    ['signal', ok().runCmd('kill -9 $$'), '2', /failed to run command/],
    ['user', ok().runCmd('id', { user: 'nobody-here' }), '2', /nobody-here/],
    ['dir', ok().setWorkdir('/etc/passwd'), '2', /failed to set the directory '\/etc\/passwd'/],
    ['name', ok().setUser('-rf'), '2', /failed to set the user '-rf'/],
    ['start', ok().setStartCmd('echo bad; exit 4', 'sleep 5'), 'finalize', 'start command failed: exit status 4'],
    ['gone', Template().fromTemplate(`never-${run}`), 'base', `template 'never-${run}' not found`],
    ['tag', Template().fromTemplate('base:v9'), 'base', "tag 'v9' does not exist for template 'base'"],
    ['ref', Template().fromTemplate('a b'), 'base', 'invalid template reference: a b'],
  ]) {
    const r = await fails(t, `bad-${n}`)
    assert.equal(r.step, step, n)
    if (text instanceof RegExp) assert.match(r.message, text)
    else assert.equal(r.message, text)
  }
})

test('a ready command that never succeeds has a limit', async () => {
  const r = await fails(from().setReadyCmd('echo no; false'), 'never')
  assert.equal(r.message, 'ready command failed: ready command timed out after 55s')
})

test('memory runs out in the build only', async () => {
  const r = await fails(from().runCmd(`python3 -c "x = bytearray(900 << 20)"`), 'oom', { memoryMB: 256 })
  assert.match(r.message, /ran out of memory|exit status|signal/)
})

test('a failed rebuild leaves what was there, and a failure named base hides nothing', async () => {
  const name = named('kept')
  await Template.build(from().runCmd('echo 1 > /tmp/v'), name, opts)
  await assert.rejects(Template.build(from().runCmd('exit 1'), name, opts), /exit status 1/)
  assert.equal(await sh(await create(name), 'cat /tmp/v'), '1')
  made.add('base')
  await assert.rejects(Template.build(from().runCmd('exit 1'), 'base', opts), /exit status 1/)
  assert.equal(await sh(await create('base'), 'id -un'), 'user')
})

const request = (body) => http('POST', '/v3/templates', body)
test('names, tags and sizes that are refused', async () => {
  for (const [body, status, text] of [
    [{}, 400, 'Name is required'],
    [{ name: ' ' }, 400, 'Name is required'],
    [{ name: 'a b' }, 400, 'Invalid name: a b'],
    [{ name: 'a:' }, 400, 'Invalid name: a:'],
    [{ name: '/a' }, 400, 'Invalid name: /a'],
    [{ name: '../../x' }, 400, /^Invalid name/],
    [{ name: 'x'.repeat(200) }, 400, /^Invalid name/],
    [{ name: 'other/a' }, 400, "namespace 'other' must match your team 'belljar'"],
    [{ name: 'a', tags: ['no good'] }, 400, 'Invalid tag: no good'],
    [{ name: 'a', tags: [''] }, 400, /^Invalid tag/],
    [{ name: 'a', tags: ['a:b'] }, 400, /^Invalid tag/],
    [{ name: 'a', tags: ['a,b'] }, 400, /^Invalid tag/],
    [{ name: 'a', tags: ['01234567-89ab-4def-8123-456789abcdef'] }, 400, 'Invalid tag: tag cannot be a UUID'],
    [{ name: 'a', tags: 'x' }, 400, /tags must be an array/],
    [{ name: 7 }, 400, /name must be a string/],
    [{ name: 'a', cpuCount: 0 }, 400, 'CPU count must be at least 1'],
    [{ name: 'a', cpuCount: 3 }, 400, 'CPU count must be 1 or an even number'],
    [{ name: 'a', cpuCount: 64 }, 400, 'CPU count must be at most 32'],
    [{ name: 'a', memoryMB: 64 }, 400, 'Memory must be at least 128 MiB'],
    [{ name: 'a', memoryMB: 1023 }, 400, 'Memory must be divisible by 2'],
    [{ name: 'a', memoryMB: 2 ** 30 }, 400, /^Memory can't be higher than/],
    [{ name: 'a', minFreeDiskMb: -1 }, 400, /minFreeDiskMb/],
  ]) {
    const r = await request(body)
    assert.equal(r.status, status, JSON.stringify(body))
    assert.equal(r.body.code, status)
    if (text instanceof RegExp) assert.match(r.body.message, text)
    else assert.equal(r.body.message, text)
  }
})

test('starts that are refused', async () => {
  const { templateID, buildID } = (await request({ name: named('starts') })).body
  const go = (body, t = templateID, b = buildID) => http('POST', `/v2/templates/${t}/builds/${b}`, body)
  for (const [body, t, b, status, text] of [
    [{ fromImage: 'x' }, templateID, 'nonsense', 400, /Invalid build ID/],
    [{ fromImage: 'x' }, templateID, '01234567-89ab-4def-8123-456789abcdef', 404, /not found/],
    [{ fromImage: 'x' }, 'abcdefghij0123456789', buildID, 404, /has been deleted/],
    [{}, templateID, buildID, 400, /must specify either/],
    [{ fromImage: 'x', fromTemplate: 'y' }, templateID, buildID, 400, /cannot specify both/],
    [{ fromImage: 'x', steps: {} }, templateID, buildID, 400, /steps must be/],
    [{ fromImage: 'x', steps: Array(1001).fill({ type: 'RUN', args: ['x'] }) }, templateID, buildID, 400, /at most 1000 steps/],
  ]) {
    const r = await go(body, t, b)
    assert.equal(r.status, status, JSON.stringify(r.body))
    assert.match(r.body.message, text)
  }
  const r = await go({ fromTemplate: 'base', steps: [{ type: 'NOPE', args: [] }] }) // it can be started still
  assert.equal(r.status, 202)
  assert.equal(r.headers.get('content-length'), '0')
  const path = `/templates/${templateID}/builds/${buildID}/status`
  await until(async () => (await http('GET', path)).body.status === 'error', 5000, 'it failed')
  assert.equal((await http('GET', path)).body.reason.message, 'command type NOPE is not implemented')
  assert.equal((await http('GET', `/templates/${templateID}/builds/x/status`)).body.message, 'Invalid build id')
  assert.equal((await http('GET', path.replace(buildID, '01234567-89ab-4def-8123-456789abcdef'))).status, 400)
  assert.equal((await http('GET', path.replace(templateID, 'abcdefghij0123456789'))).status, 400)
  assert.equal((await http('GET', path + '?logsOffset=-1')).status, 400)
  assert.equal((await http('GET', path + '?level=loud')).status, 400)
  for (const [m, p] of [['POST', '/templates'], ['POST', `/templates/${templateID}`], ['POST', `/templates/${templateID}/builds/${buildID}`]])
    assert.equal((await http(m, p, {})).status, 410)
})

const HASH = (c) => run + c.repeat(56)
test('uploads need a URL of ours, whole bodies, and an archive', async () => {
  const { templateID } = (await request({ name: named('upload') })).body
  const at = (hash) => http('GET', `/templates/${templateID}/files/${hash}`)
  assert.equal((await at('xyz')).body.message, 'Invalid files hash')
  assert.equal((await http('GET', `/templates/abcdefghij0123456789/files/${HASH('a')}`)).status, 404)
  const r = await at(HASH('a'))
  assert.equal(r.status, 201)
  assert.equal(r.body.present, false)
  const url = new URL(r.body.url)
  const put = (u, body) => fetch(u, { method: 'PUT', body })
  for (const change of [['token', HASH('0')], ['expires', '1'], ['expires', '99999999999']]) {
    const bad = new URL(url)
    bad.searchParams.set(...change)
    assert.equal((await put(bad, 'x')).status, 403)
  }
  assert.equal((await put(url.href.replace(HASH('a'), HASH('b')), 'x')).status, 403)
  assert.equal((await put(url.href.split('?')[0], 'x')).status, 400)
  assert.equal((await at(HASH('a'))).body.present, false)
  // a body that breaks off is not there
  const half = await fetch(url, { method: 'PUT', duplex: 'half', headers: { 'content-length': '1000' },
    body: new ReadableStream({ start(c) { c.enqueue(new Uint8Array(10)); c.error(new Error('gone')) } }) }).catch(() => null)
  assert.equal(half, null)
  assert.equal((await at(HASH('a'))).body.present, false)
  assert.equal((await put(url, 'this is no archive')).status, 200)
  assert.equal((await at(HASH('a'))).body.present, true)
})

// one entry of a tar archive
function entry(name, { type = '0', link = '', body = '' } = {}) {
  const b = Buffer.alloc(512)
  b.write(name, 0); b.write('0000644\0', 100); b.write('0000000\0', 108); b.write('0000000\0', 116)
  b.write(body.length.toString(8).padStart(11, '0') + '\0', 124); b.write('00000000000\0', 136); b.write('        ', 148)
  b.write(type, 156); b.write(link, 157); b.write('ustar\x0000', 257)
  b.write(b.reduce((x, y) => x + y, 0).toString(8).padStart(6, '0') + '\0 ', 148)
  const pad = Buffer.alloc((512 - body.length % 512) % 512)
  return Buffer.concat([b, Buffer.from(body), pad])
}
const tar = (...entries) => Buffer.concat([...entries, Buffer.alloc(1024)])

async function copyOf(archive, n, hash, src = '.', dest = '/tmp/in') {
  const { templateID, buildID } = (await request({ name: named(n), ...opts })).body
  const { url } = (await http('GET', `/templates/${templateID}/files/${hash}`)).body
  assert.equal((await fetch(url, { method: 'PUT', body: archive })).status, 200)
  const start = await http('POST', `/v2/templates/${templateID}/builds/${buildID}`,
    { fromTemplate: 'base', steps: [{ type: 'COPY', args: [src, dest, '', ''], filesHash: hash }] })
  assert.equal(start.status, 202)
  const path = `/templates/${templateID}/builds/${buildID}/status`
  let s
  await until(async () => ['ready', 'error'].includes((s = (await http('GET', path)).body).status), 120_000, 'it ended')
  await until(() => benches().length === 0, 5000, 'no sandbox is left')
  return s
}

test('archives that lie', async () => {
  const rnd = () => [...crypto.getRandomValues(new Uint8Array(32))].map((x) => x.toString(16).padStart(2, '0')).join('')
  const bad = async (a, n, text, ...more) => {
    const s = await copyOf(a, n, rnd(), ...more)
    assert.equal(s.status, 'error', n)
    assert.match(s.reason.message, text)
    assert.equal(s.reason.step, '1')
  }
  await bad(Buffer.from('no archive at all'), 'tar-no', /cannot be unpacked/)
  await bad(Buffer.alloc(0), 'tar-empty', /cannot be unpacked|not among/, 'a.txt')
  await bad(tar(entry('a', { body: 'x'.repeat(2000) })).subarray(0, 1200), 'tar-cut', /cannot be unpacked/)
  await bad(zlib.gzipSync(tar(entry('a', { body: 'x' }))).subarray(0, 40), 'gz-cut', /cannot be unpacked/)
  await bad(tar(entry('a')), 'tar-missing', /'b.txt' is not among the uploaded files/, 'b.txt')
  // a bomb: 2.5 GB of zeros in 2.5 MB; the sandbox's disk ends first
  const zeros = zlib.gzipSync(Buffer.alloc(1 << 24))
  const head = entry('bomb')
  head.write((160 * 2 ** 24).toString(8).padStart(12, '0'), 124)
  head.write('        ', 148)
  head.write(head.reduce((x, y) => x + y, 0).toString(8).padStart(6, '0') + '\0 ', 148)
  await bad(Buffer.concat([zlib.gzipSync(head), ...Array(160).fill(zeros)]), 'tar-bomb', /cannot be unpacked/)
  // what leads out ends up inside, or nowhere
  const s = await copyOf(tar(entry('../../up', { body: 'x' }), entry('/abs', { body: 'y' }), entry('l', { type: '2', link: '/etc' }),
    entry('l/planted', { body: 'z' }), entry('ok', { body: 'ok' })), 'tar-out', rnd())
  if (s.status === 'ready') {
    const box = await create(s.templateID)
    assert.equal(await sh(box, 'cat /tmp/in/ok; ls /up /abs /etc/planted 2>/dev/null || :'), 'ok')
  } else {
    assert.match(s.reason.message, /cannot be unpacked/)
  }
})

test('a log without end is cut', async () => {
  const info = await Template.buildInBackground(from().runCmd(`seq 30000; echo ${run}; head -c 100000 /dev/zero | tr "\\0" x; printf "\\377\\0\\n"`), named('loud'), opts)
  await until(async () => (await Template.getBuildStatus(info)).status === 'ready', 60_000, 'it is ready')
  const at = `/templates/${info.templateId}/builds/${info.buildId}/status?logsOffset=`
  const last = (await http('GET', at + '9990')).body.logEntries
  assert.match(last.at(-1).message, /the log is too long/)
  assert.ok(last.length < 20)
})

test('only so many at once', async () => {
  const asked = []
  let r
  for (let i = 0; i < 30 && r?.status !== 429; i++) {
    r = await request({ name: named(`lot${i}`) })
    if (r.status === 202) asked.push(r.body.templateID)
  }
  assert.equal(r.status, 429)
  assert.match(r.body.message, /^you have reached the maximum number of concurrent template builds \(20\)/)
  for (const id of asked) assert.equal((await http('DELETE', `/templates/${id}`)).status, 204)
  assert.equal((await request({ name: named('again') })).status, 202)
})
