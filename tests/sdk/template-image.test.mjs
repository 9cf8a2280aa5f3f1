// Templates from images: a real registry on this host, images made here and pushed by skopeo, and a
// registry that lies.
import test from 'node:test'
import assert from 'node:assert/strict'
import crypto from 'node:crypto'
import fs from 'node:fs'
import http_ from 'node:http'
import os from 'node:os'
import path from 'node:path'
import zlib from 'node:zlib'
import { execFileSync, spawn } from 'node:child_process'
import { Template } from 'e2b'
import { create, http, run, sh } from './api.mjs'
import { state, until } from '../lib/server.mjs'

const tmp = fs.mkdtempSync(path.join(os.tmpdir(), 'bj-oci-'))
const made = new Set(), ended = []
const named = (n) => { const name = `${n}-${run}`; made.add(name); return name }
const opts = { cpuCount: 1, memoryMB: 512 }
const port = 17300 + process.pid % 500
const free = `127.0.0.1:${port}`, locked = `127.0.0.1:${port + 500}`
test.after(async () => {
  for (const n of made) await http('DELETE', `/templates/${n}`)
  for (const p of ended) process.kill(p)
  fs.rmSync(tmp, { recursive: true })
})

async function registry(address, auth) {
  const dir = path.join(tmp, address), file = `${dir}.yml`
  fs.writeFileSync(file, `version: 0.1\nstorage: {filesystem: {rootdirectory: ${dir}}}\nhttp: {addr: "${address}"}\nlog: {level: error}\n` +
    (auth ? `auth: {htpasswd: {realm: test, path: ${auth}}}\n` : ''))
  ended.push(spawn('docker-registry', ['serve', file], { stdio: 'ignore' }).pid)
  await until(async () => (await fetch(`http://${address}/v2/`)).status, 10_000, 'the registry answers')
}

const sha = (b) => 'sha256:' + crypto.createHash('sha256').update(b).digest('hex')
const codecs = {
  tar: (b) => b,
  'tar+gzip': (b) => zlib.gzipSync(b),
  'tar+zstd': (b) => execFileSync('zstd', ['-q', '-c'], { input: b, maxBuffer: 1 << 28 }),
}
// an OCI layout of `layers` ([codec, tar bytes]), pushed to `to`
function push(to, layers, { env = [], creds } = {}) {
  const dir = path.join(tmp, crypto.randomUUID())
  fs.mkdirSync(`${dir}/blobs/sha256`, { recursive: true })
  const put = (mediaType, b) => { fs.writeFileSync(`${dir}/blobs/sha256/${sha(b).slice(7)}`, b); return { mediaType, digest: sha(b), size: b.length } }
  const json = (type, v) => put(`application/vnd.oci.image.${type}.v1+json`, Buffer.from(JSON.stringify(v)))
  const config = json('config', { architecture: 'amd64', os: 'linux', config: { Env: env, User: 'nobody', WorkingDir: '/nowhere' }, rootfs: { type: 'layers', diff_ids: layers.map(([, b]) => sha(b)) } })
  const manifest = json('manifest', { schemaVersion: 2, mediaType: 'application/vnd.oci.image.manifest.v1+json', config,
    layers: layers.map(([codec, b]) => put(`application/vnd.oci.image.layer.v1.${codec}`, codecs[codec](b))) })
  // an index of two machines, as most images have
  const other = { ...manifest, platform: { os: 'linux', architecture: 's390x' } }
  const index = json('index', { schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests: [other, { ...manifest, platform: { os: 'linux', architecture: 'amd64' } }] })
  fs.writeFileSync(`${dir}/oci-layout`, '{"imageLayoutVersion":"1.0.0"}')
  fs.writeFileSync(`${dir}/index.json`, JSON.stringify({ schemaVersion: 2, manifests: [{ ...index, annotations: { 'org.opencontainers.image.ref.name': 'x' } }] }))
  execFileSync('skopeo', ['--insecure-policy', 'copy', '--all', '--preserve-digests', '--dest-tls-verify=false', ...(creds ? ['--dest-creds', creds] : []), `oci:${dir}:x`, `docker://${to}`], { stdio: 'pipe' })
  return manifest.digest
}

// what Google gives for a service account; a registry takes all of it as a password (bcrypt: 72 bytes of it)
const account = JSON.stringify({ client_email: 'a@b.iam', private_key: '-----BEGIN-----\nx\n' })
const tar = (dir, ...args) => execFileSync('tar', ['-c', '--numeric-owner', ...args, '-C', dir, '.'], { maxBuffer: 1 << 28 })
// a small Debian: some programs of the template base, and what they are linked with
let small
test.before(async () => {
  const root = path.join(fs.realpathSync(`${state}/templates/base`), 'rootfs')
  const bins = 'bash dash sh id mkdir rm cp ls cat chown chmod find grep env stat sleep head mawk awk tar sudo useradd usermod passwd addgroup'.split(' ')
  const list = execFileSync('sh', ['-c', `cd ${root}; for b in ${bins.join(' ')}; do for d in usr/bin usr/sbin; do [ -e $d/$b ] && echo $d/$b; done; done
    for b in ${bins.join(' ')}; do chroot . ldd /usr/bin/$b /usr/sbin/$b 2>/dev/null; done | grep -o '/[^ ]*\\.so[^ ]*' | sort -u | sed 's,^/lib,usr/lib,; s,^/,,'
    readlink -f usr/lib/x86_64-linux-gnu/*.so* | sed "s,^$PWD/,," | grep -E 'sudo|pam' ; ls -d usr/lib/x86_64-linux-gnu/security usr/libexec/sudo etc bin sbin lib lib64 2>/dev/null`]).toString().trim().split('\n')
  const file = path.join(tmp, 'files')
  fs.writeFileSync(file, [...new Set(list.flatMap((f) => { const r = fs.lstatSync(path.join(root, f)).isSymbolicLink() ? [path.relative(root, fs.realpathSync(path.join(root, f)))] : []; return [f, ...r.filter((x) => !x.startsWith('..') && f !== 'bin' && f !== 'sbin' && f !== 'lib' && f !== 'lib64')] }))].join('\n'))
  small = execFileSync('tar', ['-c', '--numeric-owner', '-C', root, '-T', file], { maxBuffer: 1 << 28 })
  const crypt = (name, password) => `${name}:${execFileSync('perl', ['-e', 'print crypt($ARGV[0], "\\$2b\\$05\\$abcdefghijklmnopqrstuu")', password])}\n`
  fs.writeFileSync(path.join(tmp, 'htpasswd'), crypt('me', 'secret') + crypt('AWS', 'of-ecr') + crypt('_json_key', account))
  await registry(free)
  await registry(locked, path.join(tmp, 'htpasswd'))
})

const image = (ref, creds) => Template().fromImage(ref, creds)
async function build(t, n) {
  const logs = [], name = named(n)
  const info = await Template.build(t, name, { ...opts, onBuildLogs: (l) => logs.push(l.message) })
  return { ...info, name, logs: logs.join('\n') }
}

test('layers of all codings, whiteouts, owners and the environment', async () => {
  const d = path.join(tmp, 'l2')
  for (const x of ['opt/gone', 'opt/kept', 'd/old', 'srv']) fs.mkdirSync(path.join(d, x), { recursive: true })
  fs.writeFileSync(path.join(d, 'opt/gone/f'), '')
  fs.writeFileSync(path.join(d, 'd/old/f'), '')
  fs.writeFileSync(path.join(d, 'srv/suid'), 'x', { mode: 0o644 })
  fs.chownSync(path.join(d, 'srv/suid'), 1234, 5678)
  fs.chmodSync(path.join(d, 'srv/suid'), 0o4755)
  fs.symlinkSync('/etc/passwd', path.join(d, 'srv/abs'))
  fs.linkSync(path.join(d, 'srv/suid'), path.join(d, 'srv/hard'))
  const e = path.join(tmp, 'l3')
  for (const x of ['opt', 'd']) fs.mkdirSync(path.join(e, x), { recursive: true })
  fs.writeFileSync(path.join(e, 'opt/.wh.gone'), '')
  fs.writeFileSync(path.join(e, 'd/.wh..wh..opq'), '')
  fs.writeFileSync(path.join(e, 'd/new'), 'n')
  push(`${free}/team/img:v1`, [['tar+gzip', small], ['tar+zstd', tar(d)], ['tar', tar(e)]], { env: ['PATH=/usr/bin:/bin', 'OF_IMAGE=it is', '1bad=x'] })
  const b = await build(image(`${free}/team/img:v1`).runCmd('echo "$OF_IMAGE" > /tmp/e; id -un >> /tmp/e'), 'img')
  assert.match(b.logs, /layer 3\/3 sha256:/)
  const s = await create(b.name)
  assert.equal(await sh(s, 'cat /tmp/e; ls /opt /d; stat -c "%u:%g %a %h" /srv/suid; ls -l /srv/abs | grep -c "/etc/passwd"; pwd; id -un'),
    'it is\nuser\n/d:\nnew\n\n/opt:\nkept\n1234:5678 4755 2\n1\n/home/user\nuser')
  assert.equal(await sh(s, 'ls -a / | grep belljar || echo clean; ls /etc/resolv.conf'), 'clean\n/etc/resolv.conf')
  const again = await build(image(`${free}/team/img:v1`).runCmd('true'), 'img2')
  assert.match(again.logs, /CACHED \[base\] image sha256:/)
  assert.doesNotMatch(again.logs, /layer 1/)
})

test('whiteouts are about the layers below, wherever they stand; gzip in members', async () => {
  const old = archive(...['a/old', 'a/both', 'a/sub/old', 'b/old', 'c/old', 'd', 'e/x/old', 'f'].map((n) => entry(n, { body: 'old' })))
  // each whiteout comes after what its own layer brings
  const young = archive(entry('a/new', { body: 'new' }), entry('a/both', { body: 'new' }), entry('a/sub/', { type: '5' }), entry('a/sub/new', { body: 'new' }), entry('a/.wh..wh..opq'),
    entry('b/new', { body: 'new' }), entry('.wh.b'), entry('.wh.c'), entry('d/', { type: '5' }), entry('d/new', { body: 'new' }), entry('.wh.d'), entry('e/x/new', { body: 'new' }), entry('e/.wh..wh..opq'),
    entry('f', { type: '2', link: 'a' }), entry('.wh.f'), entry('.wh.never'))
  codecs['tar+gzip'] = (b) => Buffer.concat([zlib.gzipSync(b.subarray(0, 700)), zlib.gzipSync(b.subarray(700))])
  push(`${free}/white:v1`, [['tar', small], ['tar+gzip', old], ['tar+gzip', young]])
  codecs['tar+gzip'] = (b) => zlib.gzipSync(b)
  const b = await build(image(`${free}/white:v1`), 'white')
  const t = await create(b.name)
  assert.deepEqual((await sh(t, 'cd /; find a b c d e f 2>/dev/null || :')).split('\n').sort(), 'a a/both a/new a/sub a/sub/new b b/new d d/new e e/x e/x/new f'.split(' '))
  assert.equal(await sh(t, 'cat /a/both; ls -l /f | grep -c -- "-> a"'), 'new1')
  const damaged = zlib.gzipSync(archive(entry('x', { body: 'y'.repeat(5000) })))
  damaged[damaged.length - 6] ^= 1 // the checksum of the bytes
  codecs['tar+gzip'] = (b) => b.length === young.length ? damaged : zlib.gzipSync(b)
  push(`${free}/white:bad`, [['tar', small], ['tar+gzip', young]])
  codecs['tar+gzip'] = (b) => zlib.gzipSync(b)
  await assert.rejects(Template.build(image(`${free}/white:bad`), named('white-bad'), opts), /layer 2: it is damaged or cut off/)
})

test('by digest, with a password, and what is refused', async () => {
  const digest = push(`${locked}/private:v1`, [['tar+gzip', small]], { creds: 'me:secret' })
  const b = await build(image(`${locked}/private@${digest}`, { username: 'me', password: 'secret' }), 'digest')
  assert.ok(b.templateId)
  const fails = (t, text) => assert.rejects(Template.build(t, named('no'), opts), text)
  await fails(image(`${locked}/private:v1`, { username: 'me', password: 'wrong' }), /failed to pull image .*name and password/)
  await fails(image(`${locked}/private:v1`), /failed to pull image .*wants a name and password/)
  await fails(image(`${free}/team/none:v1`), /not found: the image or tag does not exist in the registry/)
  await fails(image(`127.0.0.1:1/x:v1`), /failed to pull image '127.0.0.1:1\/x:v1': http:\/\/127.0.0.1:1: /)
  await fails(image(`Upper/case`), /invalid image reference 'Upper\/case'/)
  await fails(image(`a b`), /invalid image reference/)
  await fails(image(`x@sha256:abc`), /invalid image reference/)
})

test('a mirror is asked first, and what it has not is got from where it belongs', async () => {
  const away = await build(image(`${free}/only/here:v1`), 'away').catch((e) => e)
  assert.match(away.message, /not found/)
  push(`${free}/only/here:v1`, [['tar', small]], { env: [`RUN_OF=${run}`] })
  const without = await build(image(`${free}/only/here:v1`), 'without')
  assert.match(without.logs, /asking the mirror[^]*the mirror: /)
  const mirror = new URL(process.env.BELLJAR_REGISTRY_MIRROR).host
  // a password is for the registry of the image, not for the mirror
  const heard = []
  const curious = http_.createServer((q, r) => { heard.push(q.headers.authorization); r.writeHead(401, { 'WWW-Authenticate': 'Basic realm="x"' }); r.end() })
  await new Promise((resolve) => curious.listen(new URL(process.env.BELLJAR_REGISTRY_MIRROR).port, '127.0.0.1', resolve))
  push(`${locked}/secret:v1`, [['tar+gzip', small]], { creds: 'me:secret' })
  await build(image(`${locked}/secret:v1`, { username: 'me', password: 'secret' }), 'secret')
  assert.deepEqual([...new Set(heard)], [undefined])
  await new Promise((resolve) => { curious.close(resolve); curious.closeAllConnections() })
  await registry(mirror)
  const debian = path.join(tmp, 'debian.tar')
  execFileSync('mmdebstrap', ['--quiet', '--variant=minbase', 'bookworm', debian], { stdio: 'pipe' })
  push(`${mirror}/library/debian:bookworm-slim`, [['tar', fs.readFileSync(debian)]])
  const b = await build(Template().fromDebianImage('bookworm-slim').runCmd('id -un > /tmp/who; sudo id -u >> /tmp/who'), 'mirrored')
  assert.match(b.logs, new RegExp(`asking the mirror http://${mirror}`))
  // what people count on is installed by the image's own packages, once
  assert.match(b.logs, /\[base\] \[stdout\]: installing sudo curl git iproute2 procps/)
  const s = await create(b.name)
  assert.equal(await sh(s, 'cat /tmp/who; . /etc/os-release; echo $VERSION_CODENAME; command -v sudo curl git ss pgrep; ls -A /var/lib/apt/lists | wc -l'),
    'user\n0\nbookworm\n/usr/bin/sudo\n/usr/bin/curl\n/usr/bin/git\n/usr/bin/ss\n/usr/bin/pgrep\n0')
  await s.git.init('/home/user/repo')
  assert.match((await build(Template().fromDebianImage('bookworm-slim'), 'mirrored-again')).logs, /CACHED \[base\] image/)
  assert.match(without.logs, /it lacks .*curl.*, and has no package manager that is known[^]*used as it is/)
  push(`${free}/only/there:v1`, [['tar+gzip', small]])
  assert.ok((await build(image(`${free}/only/there:v1`), 'there')).templateId)
})

// ECR's API, which looks at the signature (Signature Version 4)
function ecr(id, secret, region) {
  const hmac = (key, text) => crypto.createHmac('sha256', key).update(text).digest()
  const hash = (text) => crypto.createHash('sha256').update(text).digest('hex')
  const server = http_.createServer((q, r) => {
    let body = ''
    q.on('data', (d) => body += d)
    q.on('end', () => {
      const [, cred, names, mac] = q.headers.authorization?.match(/^AWS4-HMAC-SHA256 Credential=([^,]*), SignedHeaders=([^,]*), Signature=([0-9a-f]{64})$/) ?? []
      const day = q.headers['x-amz-date']?.slice(0, 8), scope = `${day}/${region}/ecr/aws4_request`
      const canonical = names && [q.method, q.url, '', ...names.split(';').map((n) => `${n}:${q.headers[n]}`), '', names, hash(body)].join('\n')
      const key = ['aws4_request'].reduce(hmac, hmac(hmac(hmac(`AWS4${secret}`, day ?? ''), region), 'ecr'))
      const good = cred === `${id}/${scope}` && mac === hmac(key, `AWS4-HMAC-SHA256\n${q.headers['x-amz-date']}\n${scope}\n${hash(canonical)}`).toString('hex') &&
        q.headers['x-amz-target'] === 'AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken'
      r.writeHead(good ? 200 : 400, { 'Content-Type': 'application/x-amz-json-1.1' })
      r.end(JSON.stringify(good ? { authorizationData: [{ authorizationToken: Buffer.from('AWS:of-ecr').toString('base64'), proxyEndpoint: 'https://x' }] } : { __type: 'InvalidSignatureException', message: 'The request signature we calculated does not match' }))
    })
  })
  return new Promise((resolve) => server.listen(new URL(process.env.BELLJAR_ECR_ENDPOINT).port, '127.0.0.1', () => resolve(server)))
}

test('the logins of AWS and Google', async () => {
  push(`${locked}/cloud:v1`, [['tar+gzip', small]], { creds: 'me:secret' })
  const aws = (key, region = 'eu-central-1') => Template().fromAWSRegistry(`${locked}/cloud:v1`, { accessKeyId: 'AKIA1', secretAccessKey: key, region })
  await assert.rejects(Template.build(aws('k/ey+'), named('aws-away'), opts), /failed to pull image .*the login to AWS/)
  const server = await ecr('AKIA1', 'k/ey+', 'eu-central-1')
  try {
    assert.equal(await sh(await create((await build(aws('k/ey+'), 'aws')).name), 'id -un'), 'user')
    await assert.rejects(Template.build(aws('other'), named('aws-no'), opts), /AWS refuses the key \(400\): The request signature we calculated/)
    await assert.rejects(Template.build(aws('k/ey+', 'eu-west-3'), named('aws-no'), opts), /AWS refuses the key/)
  } finally {
    server.close()
  }
  const gcp = (json) => Template().fromGCPRegistry(`${locked}/cloud:v1`, { serviceAccountJSON: json })
  assert.equal(await sh(await create((await build(gcp(JSON.parse(account)), 'gcp')).name), 'id -un'), 'user')
  await assert.rejects(Template.build(gcp({ ...JSON.parse(account), client_email: 'other@b.iam' }), named('gcp-no'), opts), /name and password/)
  const start = async (fromImageRegistry) => {
    const { body: b } = await http('POST', '/v3/templates', { name: named('cloud-bad') })
    return http('POST', `/v2/templates/${b.templateID}/builds/${b.buildID}`, { fromImage: `${locked}/cloud:v1`, fromImageRegistry })
  }
  for (const [bad, text] of [[{ type: 'gcp', serviceAccountJson: 'x' }, /not the key of a service account/], [{ type: 'gcp' }, /serviceAccountJson is missing/], [{ type: 'azure' }, /'registry', 'aws' or 'gcp'/],
    [{ type: 'aws', awsAccessKeyId: 'a', awsSecretAccessKey: 'b', awsRegion: 'x.example.com/' }, /region like eu-central-1/], [{ type: 'aws', awsAccessKeyId: 'a', awsRegion: 'b' }, /awsSecretAccessKey is missing/], ['x', /must be an object/]]) {
    const r = await start(bad)
    assert.equal(r.status, 400, JSON.stringify(bad))
    assert.match(r.body.message, text)
  }
})

// one entry of a tar archive
function entry(name, { type = '0', link = '', body = '', mode = '0644' } = {}) {
  const b = Buffer.alloc(512)
  b.write(name, 0); b.write(`000${mode}\0`, 100); b.write('0000000\0', 108); b.write('0000000\0', 116)
  b.write(body.length.toString(8).padStart(11, '0') + '\0', 124); b.write('00000000000\0', 136); b.write('        ', 148)
  b.write(type, 156); b.write(link, 157); b.write('ustar\x0000', 257)
  b.write(b.reduce((x, y) => x + y, 0).toString(8).padStart(6, '0') + '\0 ', 148)
  return Buffer.concat([b, Buffer.from(body), Buffer.alloc((512 - body.length % 512) % 512)])
}
const archive = (...entries) => Buffer.concat([...entries, Buffer.alloc(1024)])

test('hostile layers are refused or stay inside', async () => {
  push(`${free}/evil:up`, [['tar', small], ['tar', archive(entry('../../../tmp/bj-escaped', { body: 'x' }))]])
  await assert.rejects(Template.build(image(`${free}/evil:up`), named('up'), opts), /layer 2: '\.\.\/\.\.\/\.\.\/tmp\/bj-escaped' leads out of the image/)
  push(`${free}/evil:in`, [['tar', small], ['tar', archive(entry('/abs', { body: 'a' }), entry('l', { type: '2', link: '../../../../etc' }), entry('l/planted', { body: 'p' }),
    entry('dev/sda', { type: '4' }), entry('node', { type: '3' }), entry('hard', { type: '1', link: '../../etc/shadow' }))]])
  await assert.rejects(Template.build(image(`${free}/evil:in`), named('in'), opts), /layer 2: 'hard'/)
  push(`${free}/evil:ok`, [['tar', small], ['tar', archive(entry('/abs', { body: 'a' }), entry('l', { type: '2', link: '../../../../etc' }), entry('l/planted', { body: 'p' }), entry('node', { type: '3' }))]])
  const b = await build(image(`${free}/evil:ok`), 'ok')
  assert.equal(await sh(await create(b.name), 'cat /abs /etc/planted; ls /node 2>/dev/null || :'), 'ap')
  assert.ok(!fs.existsSync('/tmp/bj-escaped') && !fs.existsSync('/etc/planted'))
  // as deep as a path can name; it is made without the stack
  const deep = 'd/'.repeat(2040) + 'f', pax = `${deep.length + 11} path=${deep}\n`
  assert.equal(pax.length, deep.length + 11)
  push(`${free}/evil:deep`, [['tar', small], ['tar', archive(entry('x', { type: 'x', body: pax }), entry('short', { body: 'deep' }))]])
  assert.equal(await sh(await create((await build(image(`${free}/evil:deep`), 'deep')).name), 'find /d | grep -c .'), '2041')
  push(`${free}/evil:self`, [['tar', small], ['tar', archive(entry('.belljar/unpack', { body: '#!/bin/sh\nkill -9 $$\n', mode: '0755' }))], ['tar', archive(entry('a'))]])
  await assert.rejects(Template.build(image(`${free}/evil:self`), named('self'), opts), /layer 3: unpacking it was cut short/)
  push(`${free}/evil:cut`, [['tar', small], ['tar', archive(entry('a', { body: 'x'.repeat(3000) })).subarray(0, 2000)]])
  await assert.rejects(Template.build(image(`${free}/evil:cut`), named('cut'), opts), /layer 2: it is damaged or cut off/)
})

test('a registry that lies', async () => {
  const layer = zlib.gzipSync(small), config = Buffer.from('{"architecture":"amd64","os":"linux","config":{}}')
  const manifest = (l) => Buffer.from(JSON.stringify({ schemaVersion: 2, config: { digest: sha(config), size: config.length }, layers: l }))
  const right = [{ mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip', digest: sha(layer), size: layer.length }]
  const cases = {
    wrong: [manifest(right), Buffer.concat([layer.subarray(0, -1), Buffer.from([layer.at(-1) ^ 1])]), /the digest of sha256:\w+ is wrong/],
    long: [manifest(right), Buffer.concat([layer, layer]), /longer than it should be/],
    short: [manifest(right), layer.subarray(0, 1000), /shorter than it should be|cannot be had|416/],
    html: [Buffer.from('<html>'), layer, /manifest is not understood/],
    none: [manifest([]), layer, /list of layers is not understood/],
    names: [manifest([{ digest: 'sha256:../../x', size: 1 }]), layer, /manifest is not understood/],
    huge: [manifest([{ digest: sha(layer), size: 2 ** 50 }]), layer, /larger than \d+ bytes/],
    flood: [Buffer.alloc(5 << 20, 'x'), layer, /answer is too long/],
  }
  const server = http_.createServer((q, r) => {
    const [, , name, kind, ref] = q.url.split('/')
    const body = kind === 'manifests' ? cases[name][0] : ref === sha(config) ? config : cases[name][1]
    r.writeHead(200, { 'Content-Length': body.length }).end(body)
  })
  await new Promise((ok) => server.listen(0, '127.0.0.1', ok))
  try {
    for (const [name, [, , text]] of Object.entries(cases))
      await assert.rejects(Template.build(image(`127.0.0.1:${server.address().port}/${name}:x`), named(`lie-${name}`), opts), text, name)
  } finally { server.close() }
  assert.deepEqual(fs.readdirSync(`${state}/control/files`).filter((f) => f.startsWith('l-')), [])
})
