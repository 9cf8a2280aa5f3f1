// Builds of templates with the published SDK: what each method of the builder makes, the log, the
// cache, names and tags. template-input.test.mjs has what is refused.
import test from 'node:test'
import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { Sandbox, Template, waitForFile, waitForPort, waitForProcess, waitForTimeout, waitForURL } from 'e2b'
import { create, http, keep, run, sh } from './api.mjs'
import { ready, murder, until } from '../lib/server.mjs'

const made = new Set()
const named = (n) => { const name = `${n}-${run}`; made.add(name); return name }
const opts = { cpuCount: 1, memoryMB: 512 }
async function build(t, name, o = {}) {
  const logs = []
  const info = await Template.build(t, name, { ...opts, ...o, onBuildLogs: (l) => logs.push(l.message) })
  return { ...info, logs, text: logs.join('\n') }
}
const from = (ctx) => Template({ fileContextPath: ctx }).fromTemplate('base')
test.after(async () => { for (const n of made) await http('DELETE', `/templates/${n}`) })

const ctx = fs.mkdtempSync(path.join(os.tmpdir(), 'bj-ctx-'))
test.before(() => {
  fs.mkdirSync(path.join(ctx, 'folder/sub'), { recursive: true })
  fs.writeFileSync(path.join(ctx, 'a.txt'), 'A')
  fs.writeFileSync(path.join(ctx, 'folder/b.txt'), 'B', { mode: 0o644 })
  fs.writeFileSync(path.join(ctx, 'folder/sub/c.txt'), 'C')
  fs.symlinkSync('b.txt', path.join(ctx, 'folder/link'))
})
test.after(() => fs.rmSync(ctx, { recursive: true }))

test('steps run as the user, in the directory and with the environment they ask for', async () => {
  const name = named('steps')
  const t = from().setEnvs({ A: 'one "two" $(id) `id` \\', P: '${PATH}:/my' })
    .runCmd('printf "%s|%s|%s|%s" "$A" "$P" "$(id -un)" "$PWD" > /tmp/1')
    .runCmd('id -un > /root/2', { user: 'root' })
    .setWorkdir('rel/x').runCmd('pwd > /tmp/3').setEnvs({ D: '/tmp/dd' }).setWorkdir('${D}/e').runCmd(['pwd > /tmp/4', 'echo more >> /tmp/4'])
    .setUser('other').setWorkdir('/srv/o').runCmd('id -un > 5; echo $A > 6')
  const b = await build(t, name)
  assert.match(b.templateId, /^[a-z0-9]{20}$/)
  assert.deepEqual(b.tags, ['default'])
  const s = await create(name)
  assert.equal(await sh(s, 'cat /tmp/1'),
    'one "two" $(id) `id` \\|/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/my|user|/home/user')
  assert.equal(await sh(s, 'sudo -n cat /root/2 2>/dev/null || id -un'), 'other')
  assert.equal(await sh(s, 'cat /tmp/3 /tmp/4 5 6; stat -c %U /srv/o; id -un; pwd; echo [$A]'),
    '/rel/x\n/tmp/dd/e\nmore\nother\none "two" $(id) `id` \\\nother\nother\n/srv/o\n[]')
  assert.equal((await s.getInfo()).templateId, b.templateId)
})

test('files are copied as files, directories, patterns and links', async () => {
  const name = named('copy')
  const t = from(ctx).setWorkdir('/w').copy('a.txt', 'dir/').copy('a.txt', 'file').copy('folder', 'whole')
    .copy('folder/*', '/glob/', { user: 'root', mode: 0o750 }).copyItems([{ src: 'a.txt', dest: '/opt/1' }, { src: 'folder/link', dest: '/opt/l' }])
    .copy(['a.txt', 'folder'], '/both/').copy('.', 'all', { gzip: false }).copy('folder/link', '/real', { resolveSymlinks: true })
  await build(t, name)
  const s = await create(name)
  const see = (p) => sh(s, `sudo find ${p} -printf '%p %y %u %m\n' | sort`)
  assert.equal(await see('/w/dir/a.txt /w/file /opt/1 /opt/l /real'), '/opt/1 f user 644\n/opt/l l user 777\n/real f user 644\n/w/dir/a.txt f user 644\n/w/file f user 644')
  assert.equal(await see('/w/whole'), '/w/whole d user 755\n/w/whole/b.txt f user 644\n/w/whole/link l user 777\n/w/whole/sub d user 755\n/w/whole/sub/c.txt f user 644')
  assert.equal(await see('/glob'), '/glob d root 750\n/glob/b.txt f root 750\n/glob/link l root 777\n/glob/sub d root 750\n/glob/sub/c.txt f root 750')
  assert.equal(await sh(s, 'cat /w/all/a.txt /w/all/folder/sub/c.txt /both/a.txt /both/b.txt /real; ls -a / | grep belljar || echo none'), 'ACABBnone')
})

test('what is there already is merged with', async () => {
  const name = named('merge')
  const t = from(ctx).runCmd('mkdir -m 700 /tmp/real /tmp/d; touch /tmp/d/old; ln -s /tmp/real /tmp/ln; ln -s /etc/passwd /tmp/d/b.txt')
    .copy('folder', '/tmp/d').copy('folder', '/tmp/ln')
  await build(t, name)
  const s = await create(name)
  assert.equal(await sh(s, 'ls /tmp/d /tmp/real; stat -c "%a %F" /tmp/d /tmp/ln /tmp/d/b.txt; head -c1 /tmp/d/b.txt'),
    '/tmp/d:\nb.txt\nlink\nold\nsub\n\n/tmp/real:\nb.txt\nlink\nsub\n700 directory\n777 symbolic link\n644 regular file\nB')
})

test('small commands: remove, rename, makeDir, makeSymlink, gitClone', async () => {
  const name = named('small')
  const t = from().runCmd('git init -q --bare /tmp/r.git').makeDir(['/tmp/a b', '/tmp/c'], { mode: 0o711 }).makeSymlink('/tmp/c', '/tmp/l')
    .runCmd('touch /tmp/x /tmp/y').rename('/tmp/x', '/tmp/z').remove('/tmp/y').remove(['/tmp/no'], { force: true })
    .gitClone('/tmp/r.git', '/tmp/clone')
  await build(t, name)
  const s = await create(name)
  assert.equal(await sh(s, 'cd /tmp; stat -c "%n %a" "a b" c; readlink l; ls -d x y z clone/.git 2>/dev/null || :'), 'a b 711\nc 711\n/tmp/c\nclone/.git\nz')
})

test('a second build finds the results of the first; force and skipCache do not', async () => {
  const name = named('cache')
  const make = (extra = 'x', skip = false) => {
    const t = from(ctx).runCmd(`date +%s%N > /tmp/a # ${run}`).copy('a.txt', '/tmp/b')
    if (skip) t.skipCache()
    return t.runCmd(`date +%s%N > /tmp/c; echo ${extra} > /tmp/d`)
  }
  const values = async () => (await sh(await create(name), 'cat /tmp/a /tmp/c')).split('\n')
  await build(make(), name)
  const first = await values()
  const again = await build(make(), name)
  assert.equal(again.logs.filter((l) => l.startsWith('CACHED [builder')).length, 3)
  assert.deepEqual(await values(), first)
  const later = await build(make('y'), name)
  assert.deepEqual(later.logs.filter((l) => l.startsWith('CACHED')).map((l) => l.slice(7, 20)), ['[builder 1/3]', '[builder 2/3]'])
  const second = await values()
  assert.equal(second[0], first[0])
  assert.notEqual(second[1], first[1])
  const part = await build(make('x', true), name)
  assert.equal(part.logs.filter((l) => l.startsWith('CACHED')).length, 2)
  const forced = await build(make(), name, { skipCache: true })
  assert.equal(forced.logs.filter((l) => l.startsWith('CACHED')).length, 0)
  assert.notEqual((await values())[0], first[0])
})

test('an upload serves every later build; forceUpload sends it anew', async () => {
  const file = path.join(ctx, 'once.txt')
  fs.writeFileSync(file, run)
  const t = () => from(ctx).copy('once.txt', '/tmp/once')
  const one = await build(t(), named('up1')), two = await build(t(), named('up2'))
  assert.match(one.text, /Uploaded 'once.txt'/)
  assert.match(two.text, /Skipping upload of 'once.txt', already cached/)
  assert.match(two.text, /CACHED \[builder 1\/1\] COPY/)
  const three = await build(from(ctx).copy('once.txt', '/tmp/once', { forceUpload: true }), named('up3'))
  assert.match(three.text, /Uploaded 'once.txt'/)
  assert.doesNotMatch(three.text, /CACHED/)
})

test('many steps share a layer when they are too many to have one each', async () => {
  const name = named('many')
  const t = from()
  for (let i = 0; i < 45; i++) t.runCmd(`echo ${i} >> /tmp/all`)
  await build(t, name)
  const s = await create(name)
  assert.equal(await sh(s, 'wc -l < /tmp/all; tail -n1 /tmp/all'), '45\n44')
  await s.createSnapshot({ name: named('many-snap') })
  const b = await build(from().fromTemplate(name).runCmd('echo on >> /tmp/all'), named('many-on'))
  assert.ok(b.templateId)
})

test('the start command runs in every sandbox, with the environment of the build', async () => {
  const name = named('start')
  const t = from().setEnvs({ WORD: "it's" }).setWorkdir('/srv/s').setStartCmd('echo Hello, World!; echo "$WORD $PWD $(id -un)" > /tmp/started; sleep 1000', waitForFile('/tmp/started'))
  const b = await build(t, name)
  const at = ['Running start command', 'Waiting for template to be ready', 'Template is ready'].map((x) => b.logs.findIndex((l) => l.startsWith(x)))
  assert.ok(at[0] >= 0 && at[0] < at[1] && at[1] < at[2], String(at))
  assert.ok(b.text.includes('[start] [stdout]: Hello, World!'))
  for (let i = 0; i < 3; i++) {
    const s = await create(name)
    assert.equal(await sh(s, 'cat /tmp/started; pgrep -cx sleep; echo [$WORD]'), "it's /srv/s user\n1\n[]")
  }
  const child = named('start-child')
  await build(Template().fromTemplate(name).runCmd('echo "$WORD" > /tmp/word'), child)
  const s = await create(child)
  assert.equal(await sh(s, 'cat /tmp/word; cat /tmp/started; pwd'), "it's\nit's /srv/s user\n/srv/s")
  const other = named('start-other')
  await build(Template().fromTemplate(name).setReadyCmd('true'), other)
  assert.equal(await sh(await create(other), 'ls /tmp/started 2>/dev/null || echo none'), 'none')
})

test('every ready command of the SDK', async () => {
  const server = 'python3 -m http.server 8000'
  for (const [n, cmd] of [['port', waitForPort(8000)], ['url', waitForURL('http://localhost:8000/')], ['process', waitForProcess('python3')], ['time', waitForTimeout(1500)]]) {
    const b = await build(from().setStartCmd(server, cmd), named(`ready-${n}`))
    assert.ok(b.text.includes('Template is ready'), n)
  }
})

test('a build in the background, its status and its log in pages', async () => {
  const name = named('bg')
  const t = from().runCmd(`for i in $(seq 250); do echo line $i; done; sleep 0.5 # ${run}`)
  const info = await Template.buildInBackground(t, name, opts)
  const path_ = `/templates/${info.templateId}/builds/${info.buildId}/status`
  const seen = []
  let status
  do {
    status = await Template.getBuildStatus(info, { logsOffset: seen.length })
    assert.ok(status.logEntries.length <= 100)
    seen.push(...status.logEntries)
  } while (status.status === 'building' || status.status === 'waiting' || status.logEntries.length)
  assert.equal(status.status, 'ready')
  assert.deepEqual(seen.filter((l) => l.message.includes('[stdout]')).map((l) => l.message.split(' ').at(-1)), Array.from({ length: 250 }, (_, i) => String(i + 1)))
  assert.ok(seen.every((l, i) => !i || seen[i - 1].timestamp <= l.timestamp))
  const raw = (await http('GET', `${path_}?logsOffset=3&limit=2&level=info`)).body
  assert.deepEqual(raw.logs, [])
  assert.equal(raw.reason, undefined)
  assert.equal(raw.logEntries.length, 2)
  assert.equal((await http('GET', `${path_}?logsOffset=100000`)).body.logEntries.length, 0)
  assert.equal((await http('GET', `${path_}?level=error`)).body.logEntries.length, 0)
  assert.equal((await http('GET', path_.replace('status', 'logs'))).body.logs.length, 100)
})

test('names, tags and what they name', async () => {
  const name = named('tags')
  const read = async (ref) => sh(await create(ref), 'cat /tmp/v')
  const v1 = await build(from().runCmd('echo 1 > /tmp/v'), `${name}:V1`, { tags: ['stable'] })
  assert.deepEqual([...v1.tags].sort(), ['stable', 'v1'])
  await assert.rejects(create(name), /tag 'default' does not exist/)
  const v2 = await build(from().runCmd('echo 2 > /tmp/v'), `belljar/${name}`)
  assert.equal(v2.templateId, v1.templateId)
  for (const [ref, want] of [[name, '2'], [`${name}:stable`, '1'], [`belljar/${name}:v1`, '1'], [`${name}:${v1.buildId}`, '1'], [v1.templateId, '2']])
    assert.equal(await read(ref), want, ref)
  assert.deepEqual(await Template.assignTags(`${name}:v1`, ['prod', 'stable']), { buildId: v1.buildId, tags: ['prod', 'stable'] })
  assert.deepEqual((await Template.getTags(v1.templateId)).map((t) => [t.tag, t.buildId]),
    [['default', v2.buildId], ['prod', v1.buildId], ['stable', v1.buildId], ['v1', v1.buildId]])
  await Template.assignTags(name, 'prod')
  assert.equal(await read(`${name}:prod`), '2')
  await Template.removeTags(name, ['v1', 'never-there'])
  await assert.rejects(create(`${name}:v1`), /tag 'v1' does not exist/)
  await assert.rejects(Template.removeTags(name, 'default'), /Cannot delete the 'default' tag/)
  await assert.rejects(Template.assignTags(`${name}:nope`, 'x'), /with tag 'nope' not found/)
  assert.equal(await Template.exists(name), true)
  assert.equal(await Template.aliasExists(`${name}:prod`), true)
  assert.equal(await Template.exists(`${name}:v1`), false)
  assert.equal(await Template.exists(`never-${run}`), false)
  assert.equal(await Template.exists('base'), true)
})

test('lists, details, public or not, and delete', async () => {
  const name = named('list')
  const b = await build(from().runCmd('echo 1 > /tmp/v'), name)
  const one = (await http('GET', '/templates')).body.find((t) => t.templateID === b.templateId)
  assert.deepEqual({ ...one, createdAt: 0, updatedAt: 0, diskSizeMB: 0 }, {
    templateID: b.templateId, buildID: b.buildId, cpuCount: 1, memoryMB: 512, diskSizeMB: 0, public: false, aliases: [name],
    names: [`belljar/${name}`], createdAt: 0, updatedAt: 0, createdBy: null, lastSpawnedAt: null, spawnCount: 0, buildCount: 1,
    envdVersion: one.envdVersion, buildStatus: 'ready' })
  const page = await http('GET', '/v2/templates?limit=1')
  assert.equal(page.body.length, 1)
  const next = await http('GET', `/v2/templates?limit=1&nextToken=${page.headers.get('x-next-token')}`)
  assert.notEqual(next.body[0].templateID, page.body[0].templateID)
  assert.equal((await http('GET', '/v2/templates?nextToken=x')).status, 400)
  assert.deepEqual((await http('PATCH', `/v2/templates/${name}`, { public: true })).body, { names: [`belljar/${name}`] })
  assert.equal((await http('PATCH', `/templates/${name}`, {})).body, null)
  const details = (await http('GET', `/templates/${b.templateId}`)).body
  assert.equal(details.public, true)
  assert.deepEqual(details.builds.map((x) => [x.buildID, x.status, x.cpuCount, x.memoryMB]), [[b.buildId, 'ready', 1, 512]])
  assert.equal((await http('GET', `/templates/${name}`)).status, 404) // an id only
  const s = await create(name)
  assert.equal((await http('DELETE', `/templates/${name}`)).status, 204)
  assert.equal((await http('DELETE', `/templates/${name}`)).status, 404)
  assert.equal(await sh(s, 'cat /tmp/v'), '1') // who stands on it goes on
  await assert.rejects(create(name), /not found/)
  assert.equal((await http('DELETE', '/templates/base')).status, 403)
})

test('memory and processors are those asked for', async () => {
  const name = named('size')
  await build(from(), name, { cpuCount: 2, memoryMB: 768 })
  const i = await (await create(name)).getInfo()
  assert.deepEqual([i.cpuCount, i.memoryMB], [2, 768])
})

test('a Dockerfile as the SDK translates it', async () => {
  const name = named('docker')
  const t = Template({ fileContextPath: ctx }).fromDockerfile('FROM e2bdev/base\nARG V=7\nENV W=8\nWORKDIR /d\nCOPY --chown=root:root a.txt folder /d/\nRUN echo $V$W > r && id -un >> r\nUSER user')
  const b = await build(t, name)
  assert.match(b.text, /image e2bdev\/base is the built-in template 'base'/)
  const s = await create(name)
  assert.equal(await sh(s, 'pwd; cat r; stat -c "%U %n" a.txt b.txt; id -un'), '/d\n78\nroot\nroot a.txt\nroot b.txt\nuser')
})

test('a newer build replaces a waiting one, cancels a running one, and leaves other tags alone', async () => {
  const name = named('race')
  const ask = async (tags) => (await http('POST', '/v3/templates', { name, tags })).body
  const go = (r, cmd) => http('POST', `/v2/templates/${r.templateID}/builds/${r.buildID}`, { fromTemplate: 'base', steps: [{ type: 'RUN', args: [cmd] }] })
  const status = async (r) => (await http('GET', `/templates/${r.templateID}/builds/${r.buildID}/status`)).body
  const a = await ask(), b = await ask(), other = await ask(['other'])
  assert.equal((await status(a)).reason.message, 'The build was canceled because it was superseded by a newer one.')
  assert.equal((await go(a, 'true')).body.message, 'build is not in waiting state')
  assert.equal((await go(b, 'sleep 60')).status, 202)
  assert.equal((await go(other, 'sleep 1')).status, 202)
  const c = await ask()
  assert.equal((await status(b)).status, 'building')
  assert.equal((await go(c, 'true')).status, 202)
  assert.equal((await status(b)).reason.message, 'build was cancelled')
  for (const r of [c, other]) await until(async () => (await status(r)).status === 'ready', 20_000, 'both are ready')
})

test('control may die in a build: it failed, and the next one works', async () => {
  const name = named('crash')
  const info = await Template.buildInBackground(from().runCmd('sleep 30'), name, opts)
  await until(async () => (await Template.getBuildStatus(info)).logEntries.some((l) => l.message.includes('RUN sleep')), 10_000, 'it runs')
  await murder('belljar-control')
  await ready()
  const s = await Template.getBuildStatus(info)
  assert.equal(s.status, 'error')
  assert.match(s.reason.message, /the server was restarted/)
  assert.equal(await Template.exists(name), false)
  await build(from().runCmd('true'), name)
  keep(await Sandbox.create(name))
})

test('the engine may die in a build, which goes on', async () => {
  const name = named('engine')
  const info = await Template.buildInBackground(from().runCmd(`sleep 3; echo there > /tmp/there # ${run}`), name, opts)
  await until(async () => (await Template.getBuildStatus(info)).logEntries.some((l) => l.message.includes('RUN sleep')), 10_000, 'it runs')
  await murder('belljar-engine')
  await until(async () => (await Template.getBuildStatus(info)).status !== 'building', 20_000, 'it has ended')
  assert.equal((await Template.getBuildStatus(info)).status, 'ready')
  assert.equal(await sh(await create(name), 'cat /tmp/there'), 'there')
})
