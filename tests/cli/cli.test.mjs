// The official command line against this server, with the key alone: what each command does, prints
// and exits with.
import test from 'node:test'
import assert from 'node:assert/strict'
import crypto from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { execFile, spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { Sandbox, Template } from 'e2b'
import { installFrom, makeIndex } from '../lib/wheel.mjs'

const run = crypto.randomBytes(4).toString('hex')
const tmp = fs.mkdtempSync(path.join(os.tmpdir(), 'bj-cli-'))
const bin = path.join(path.dirname(fileURLToPath(import.meta.url)), 'node_modules/.bin/e2b')
const cli = (args, { input, cwd = tmp, env } = {}) => new Promise((resolve) => {
  const child = execFile(bin, args, { cwd, timeout: 90_000, env: { ...process.env, CI: '1', HOME: tmp, NO_UPDATE_NOTIFIER: '1', ...env } },
    (err, out, errors) => resolve({ code: err ? err.code ?? err.signal : 0, out, all: out + errors }))
  child.stdin.end(input ?? '')
})
const good = async (args, o) => { const r = await cli(args, o); assert.equal(r.code, 0, `${args.join(' ')}: ${r.all.slice(-600)}`); return r }
const sandboxes = new Set()
const create = async (...args) => { const id = (await good(['sandbox', 'create', ...args, '-d'])).out.trim(); sandboxes.add(id); return id }
const dir = (name, dockerfile) => { const d = path.join(tmp, name); fs.mkdirSync(d); fs.writeFileSync(path.join(d, 'e2b.Dockerfile'), dockerfile); return d }
test.after(async () => {
  await Promise.allSettled([...sandboxes].map((id) => Sandbox.kill(id)))
  fs.rmSync(tmp, { recursive: true })
})

test('version and help', async () => {
  assert.match((await good(['--version'])).out, /^\d+\.\d+\.\d+/)
  assert.match((await good(['template', '--help'])).out, /create/)
})

test('template create, list, publish, unpublish, delete', async () => {
  const name = `cli-${run}`
  const d = dir('one', 'FROM e2bdev/base\nENV WHO=world\nRUN echo "hello $WHO" > /hello\nCOPY e2b.Dockerfile /opt/\nWORKDIR /opt\n')
  const made = await good(['template', 'create', name, '--cpu-count', '1', '--memory-mb', '512', '-c', 'touch /tmp/up; sleep 1000', '--ready-cmd', 'test -e /tmp/up'], { cwd: d })
  assert.match(made.all, /✅ Building sandbox template/)
  const s = await Sandbox.create(name)
  sandboxes.add(s.sandboxId)
  assert.equal((await s.commands.run('cat /hello; pwd; ls; ls /tmp/up')).stdout, 'hello world\n/opt\ne2b.Dockerfile\n/tmp/up\n')
  const list = JSON.parse((await good(['template', 'list', '-f', 'json'])).out)
  assert.deepEqual(list.filter((t) => t.aliases.includes(name)).map((t) => [t.cpuCount, t.memoryMB, t.public]), [[1, 512, false]])
  assert.ok((await good(['template', 'list'])).out.includes(name))
  assert.match((await good(['template', 'publish', name, '-y'])).all, new RegExp(`belljar/${name}`))
  assert.equal(JSON.parse((await good(['template', 'list', '-f', 'json'])).out).find((t) => t.aliases.includes(name)).public, true)
  await good(['template', 'unpublish', name, '-y'])
  await good(['template', 'delete', name, '-y'])
  assert.equal(await Template.exists(name), false)
  assert.notEqual((await cli(['template', 'delete', name, '-y'])).code, 0)
})

// what a new user does
test('an e2b.Dockerfile with pip install, template create, Sandbox.create by name, the package imports', async () => {
  const name = `cli-pip-${run}`
  const d = dir('pip', `FROM e2bdev/base\nCOPY index /opt/index\nRUN ${installFrom('/opt/index', 'belljar_hello')}\n`)
  makeIndex(path.join(d, 'index'), 'belljar_hello')
  assert.match((await good(['template', 'create', name], { cwd: d })).all, /✅ Building sandbox template/)
  const s = await Sandbox.create(name)
  sandboxes.add(s.sandboxId)
  const r = await s.commands.run('python3 -c "import belljar_hello; print(belljar_hello.hello(), belljar_hello.__file__)"')
  assert.match(r.stdout, /^hello from belljar_hello \/usr\/local\/lib\/python3/)
  await good(['template', 'delete', name, '-y'])
})

test('a build that fails says why and exits with 1', async () => {
  const name = `cli-bad-${run}`
  const d = dir('bad', 'FROM e2bdev/base\nRUN echo reason >&2; exit 7\n')
  const r = await cli(['template', 'create', name], { cwd: d })
  assert.equal(r.code, 1)
  assert.match(r.all, /❌ Template build failed\./)
  assert.match(r.all, /reason/)
  assert.match(r.all, /exit status 7/)
  assert.equal(await Template.exists(name), false)
  const multi = dir('multi', 'FROM a AS b\nFROM c\n')
  assert.match((await cli(['template', 'create', name], { cwd: multi })).all, /Multi-stage/)
})

test('template init and migrate make files; build says that it is gone', async () => {
  const d = path.join(tmp, 'init')
  fs.mkdirSync(d)
  await good(['template', 'init', '--name', 'my-template', '--language', 'typescript', '--path', d], { cwd: d })
  assert.ok(fs.readdirSync(path.join(d, 'my-template')).length > 0)
  const m = dir('migrate', 'FROM e2bdev/base\n')
  fs.writeFileSync(path.join(m, 'e2b.toml'), 'template_id = "x"\ndockerfile = "e2b.Dockerfile"\n')
  await good(['template', 'migrate', '--language', 'typescript'], { cwd: m })
  assert.ok(fs.existsSync(path.join(m, 'e2b.Dockerfile.old')))
  assert.equal((await cli(['template', 'build'])).code, 1)
})

test('sandbox create, list, info, exec, metrics, logs, pause, resume, kill', async () => {
  const id = await create('base', '--timeout', '120')
  assert.match(id, /^i[a-z0-9]{20}$/)
  const list = JSON.parse((await good(['sandbox', 'list', '-f', 'json'])).out)
  assert.ok(list.some((s) => s.sandboxId === id || s.sandboxID === id), JSON.stringify(list).slice(0, 200))
  assert.ok((await good(['sandbox', 'list'])).out.includes(id))
  assert.ok((await good(['sandbox', 'info', id])).out.includes(id))
  assert.equal((await good(['sandbox', 'exec', id, 'echo', 'hi'])).out, 'hi\n')
  assert.equal((await cli(['sandbox', 'exec', id, 'exit', '5'])).code, 5)
  assert.equal((await good(['sandbox', 'exec', id, 'wc', '-c'], { input: 'sixsix' })).out.trim(), '6')
  assert.equal((await good(['sandbox', 'exec', '-u', 'root', '-c', '/tmp', '-e', 'A=b', id, 'id -un; pwd; echo $A'])).out, 'root\n/tmp\nb\n')
  await good(['sandbox', 'metrics', id])
  const logs = (await good(['sandbox', 'logs', id, '--format', 'json'])).out.trim().split('\n').map((l) => JSON.parse(l))
  assert.ok(logs.some((l) => l.message === 'hi\n' && l.level === 'info' && l.event_type === 'stdout'), JSON.stringify(logs).slice(0, 500))
  assert.match((await good(['sandbox', 'logs', id, '--level', 'warn', '--loggers', 'process'])).all, /exit status 5/)
  await good(['sandbox', 'pause', id])
  assert.ok((await good(['sandbox', 'list', '-s', 'paused'])).out.includes(id))
  await good(['sandbox', 'resume', id])
  await good(['sandbox', 'kill', id])
  assert.equal(await (await fetch(`${process.env.E2B_API_URL}/sandboxes/${id}`, { headers: { 'X-API-KEY': process.env.E2B_API_KEY } })).status, 404)
  const gone = await cli(['sandbox', 'kill', id])
  assert.match(gone.all, /wasn't found/)
})

test('sandbox snapshot create, list, delete', async () => {
  const id = await create('base')
  const made = await good(['sandbox', 'snapshot', 'create', id, '-n', `cli-snap-${run}`])
  assert.ok(made.all.includes(`cli-snap-${run}`))
  assert.ok((await good(['sandbox', 'snapshot', 'list'])).out.includes(`cli-snap-${run}`))
  assert.ok((await good(['sandbox', 'snapshot', 'list', id])).out.includes(`cli-snap-${run}`))
  await good(['sandbox', 'snapshot', 'delete', `cli-snap-${run}`])
  assert.ok(!(await good(['sandbox', 'snapshot', 'list'])).out.includes(`cli-snap-${run}`))
})

test('a wrong key and no key', async () => {
  const wrong = await cli(['sandbox', 'list'], { env: { E2B_API_KEY: 'e2b_' + '0'.repeat(40) } })
  assert.notEqual(wrong.code, 0)
  assert.match(wrong.all, /401|API key/i)
  assert.notEqual((await cli(['sandbox', 'list'], { env: { E2B_API_KEY: '' } })).code, 0)
})

// Runs the command line on a terminal; `says` maps what it shows to what a person types then.
const onTerminal = (args, says, env = {}) => new Promise((resolve) => {
  const child = spawn('script', ['-qec', [bin, ...args].join(' '), '/dev/null'], { cwd: tmp, env: { ...process.env, HOME: tmp, ...env }, timeout: 60_000 })
  const left = [...says]
  let all = ''
  child.stdout.on('data', (d) => {
    all += d
    while (left.length && left[0][0].test(stripVTControlCharacters(all))) child.stdin.write(left.shift()[1])
  })
  child.on('close', (code) => resolve({ code, all: stripVTControlCharacters(all) }))
})

test('sandbox create and connect with a terminal', async () => {
  const made = await onTerminal(['sandbox', 'create', 'base'], [[/\$ $/, 'echo it-is-$((6 * 7)); tty\r'], [/it-is-42[^]*\$ $/, 'exit\r']])
  assert.match(made.all, /it-is-42\s+\/dev\/pts\/\d/, made.all.slice(-600))
  const id = await create('base')
  const joined = await onTerminal(['sandbox', 'connect', id], [[/\$ $/, 'stty size; echo joined-$((1 + 1))\r'], [/joined-2[^]*\$ $/, 'exit\r']])
  assert.match(joined.all, /\d+ \d+\s+joined-2/, joined.all.slice(-600))
  assert.equal(joined.code, 0)
})

test('commands in the background, logs and metrics that follow', async () => {
  const id = await create('base')
  const started = await good(['sandbox', 'exec', '-b', id, 'sleep 1000'])
  assert.match(started.all, /^\d+\s*$/m)
  const following = cli(['sandbox', 'logs', '-f', '--format', 'json', id])
  await good(['sandbox', 'exec', id, 'echo', 'while-following'])
  await new Promise((r) => setTimeout(r, 1500))
  await good(['sandbox', 'kill', id])
  assert.match((await following).out, /while-following/)
})

// A browser in which a person shows their key: the page's form is sent, and redirects are followed.
const browser = `#!/usr/bin/env node
const page = await (await fetch(process.argv[2])).text()
const [, action] = page.match(/action="([^"]*)"/), [, next] = page.match(/name=next value="([^"]*)"/)
const end = await fetch(new URL(action, process.argv[2]), { method: 'POST', body: new URLSearchParams({ next, key: process.env.PERSONS_KEY }) })
;(await import('node:fs')).writeFileSync(process.env.PERSONS_PAGE, await end.text())
`
test('auth login, info, logout; with the login alone the rest works', async () => {
  const dir = path.join(tmp, 'path'), key = process.env.E2B_API_KEY, shown = path.join(tmp, 'shown.html')
  fs.mkdirSync(dir)
  fs.writeFileSync(path.join(dir, 'xdg-open.mjs'), browser, { mode: 0o755 })
  fs.symlinkSync('xdg-open.mjs', path.join(dir, 'xdg-open'))
  const env = { E2B_API_KEY: '', PATH: `${dir}:${process.env.PATH}`, PERSONS_KEY: key, PERSONS_PAGE: shown }
  assert.match((await good(['auth', 'info'], { env })).all, /Not logged in/)
  const r = await good(['auth', 'login'], { env })
  assert.match(r.all, /Logged in as .*root@belljar.* with selected project .*belljar/)
  assert.match(fs.readFileSync(shown, 'utf8'), /You are logged in as <b>root@belljar/)
  assert.match((await good(['auth', 'info'], { env })).all, /root@belljar/)
  const id = (await good(['sandbox', 'create', 'base', '-d'], { env })).out.trim()
  sandboxes.add(id)
  assert.ok((await good(['sandbox', 'list'], { env })).out.includes(id))
  await good(['template', 'list'], { env })
  const chosen = await onTerminal(['auth', 'configure'], [[/navigate/, '\r']], env) // Enter takes the first project
  assert.match(chosen.all, /Project belljar .* selected\./, chosen.all.slice(-600))
  const { projectApiKey } = JSON.parse(fs.readFileSync(path.join(tmp, '.e2b/config.json'), 'utf8'))
  await good(['auth', 'logout'], { env })
  assert.notEqual((await cli(['sandbox', 'list'], { env })).code, 0)
  assert.equal((await fetch(`${process.env.E2B_API_URL}/v2/sandboxes`, { headers: { 'X-API-KEY': projectApiKey } })).status, 401)
})
