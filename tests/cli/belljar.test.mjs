// Our command line against this server: what each command does, prints and exits with.
import test from 'node:test'
import assert from 'node:assert/strict'
import crypto from 'node:crypto'
import fs from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import os from 'node:os'
import path from 'node:path'
import { spawn, execFileSync } from 'node:child_process'
import { Sandbox, Template } from 'e2b'

const run = crypto.randomBytes(4).toString('hex')
const tmp = fs.mkdtempSync(path.join(os.tmpdir(), 'bj-own-'))
const bin = path.join(process.env.BELLJAR_BIN, 'belljar')
const terminal = path.join(import.meta.dirname, '../lib/terminal.py')

// Runs a program to its end; `signal` after the first output, `input`: what is piped in.
const start = (program, args, { input, env, cwd = tmp, signal, stdin = 'pipe' } = {}) => new Promise((resolve) => {
  const child = spawn(program, args, { cwd, env: { ...process.env, ...env }, stdio: [stdin, 'pipe', 'pipe'], timeout: 90_000, killSignal: 'SIGKILL' })
  const out = [], err = []
  child.stdout.on('data', (d) => { out.push(d); if (signal) { child.kill(signal); signal = undefined } })
  child.stderr.on('data', (d) => err.push(d))
  child.on('close', (code, by) => resolve({ code: code ?? by, bytes: Buffer.concat(out), out: Buffer.concat(out).toString(), err: Buffer.concat(err).toString() }))
  child.stdin?.on('error', () => {})
  child.stdin?.end(input ?? '')
})
const belljar = (args, o) => start(bin, args, o)
const good = async (args, o) => { const r = await belljar(args, o); assert.equal(r.code, 0, `${args.join(' ')}: ${r.err.slice(-600)}`); return r }
const json = async (args, o) => JSON.parse((await good([...args, '--json'], o)).out)
const line = async (args, o) => (await good(args, o)).out.replace(/\n$/, '')
const fails = async (code, pattern, args, o) => {
  const r = await belljar(args, o)
  assert.equal(r.code, code, `${args.join(' ')}: ${r.out}${r.err}`)
  assert.match(r.err, pattern)
  return r
}
const inTerminal = async (steps, args) => {
  const r = await start('python3', [terminal, JSON.stringify(steps), bin, ...args])
  assert.equal(r.code, 0, r.err)
  return JSON.parse(r.out)
}

const made = new Set()
const create = async (...args) => { const id = await line(['sandbox', 'create', ...args]); made.add(id); return id }
const exists = async (id) => (await belljar(['sandbox', 'info', id])).code === 0
const until = async (what, check) => {
  for (let i = 0; i < 1000; i++) {
    if (await check()) return
    await new Promise((r) => setTimeout(r, 50))
  }
  assert.fail(what)
}
let box
test.before(async () => { box = await create('--timeout', '900') })
test.after(async () => {
  await Promise.allSettled([...made].map((id) => Sandbox.kill(id)))
  fs.rmSync(tmp, { recursive: true })
})

test('version, help, manual pages, completion', async () => {
  assert.match(await line(['--version']), /^belljar \d+\.\d+\.\d+$/)
  assert.match((await good(['--help'])).out, /sandbox/)
  assert.match((await good(['sandbox', 'exec', '--help'])).out, /^usage: belljar sandbox exec/)
  assert.match((await good(['--man', 'sandbox'])).out, /^\.TH "BELLJAR\\-SANDBOX"/)
  await fails(4, /no manual page of 'nothing'/, ['--man', 'nothing'])
  await fails(2, /no completion of 'csh'/, ['completion', 'csh'])
  const script = (await good(['completion', 'bash'])).out
  const complete = (...words) => execFileSync('bash', ['-c',
    `${script}\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _belljar; printf '%s\\n' "\${COMPREPLY[@]}"`, 'bash', ...words],
    { encoding: 'utf8', env: { ...process.env, PATH: `${process.env.BELLJAR_BIN}:${process.env.PATH}` } }).trim().split('\n')
  assert.deepEqual(complete('belljar', 'sand'), ['sandbox'])
  assert.deepEqual(complete('belljar', 'sb', 'met'), ['metrics'])
  assert.deepEqual(complete('belljar', 'sandbox', 'exec', '--us'), ['--user'])
  assert.ok(complete('belljar', 'sb', 'exec', '-u', 'root', '').includes(box))
  assert.ok(complete('belljar', 'run', '--output', `${tmp.slice(0, -1)}`).includes(tmp))
})

test('wrong words are refused with what was meant', async () => {
  await fails(2, /no command 'sandbx'; did you mean 'sandbox'\?/, ['sandbx'])
  await fails(2, /sandbox list: there is no option '--jsn'; did you mean '--json'\?/, ['sandbox', 'list', '--jsn'])
  await fails(2, /what is missing: ID COMMAND/, ['sandbox', 'exec', box])
  await fails(2, /--timeout takes a whole number, not 'soon'/, ['sandbox', 'create', '--timeout', 'soon'])
  await fails(2, /letters and digits/, ['sandbox', 'info', '../keys'])
  await fails(2, /--state is running, paused or all/, ['sandbox', 'list', '-s', 'dead'])
  await fails(2, /which command/, [])
})

test('server and key: options, environment, the file of the server, none', async () => {
  const bare = { E2B_API_KEY: '', E2B_API_URL: '', E2B_SANDBOX_URL: '', E2B_DOMAIN: '' }
  assert.equal(await line(['sandbox', 'exec', box, 'echo yes'], { env: bare }), 'yes') // $BELLJAR_STATE/env
  await fails(3, /no API key/, ['sandbox', 'list'], { env: { ...bare, BELLJAR_STATE: tmp } })
  // the key of this host goes to no other server
  await fails(3, /no API key/, ['sandbox', 'list', '--url', 'http://127.0.0.1:9'], { env: bare })
  await fails(3, /key/i, ['sandbox', 'list', '--key', 'e2b_' + '0'.repeat(40)])
  await fails(8, /connect/, ['sandbox', 'list', '--url', 'http://127.0.0.1:9'])
  assert.ok((await good(['sandbox', 'list', '--url', process.env.E2B_API_URL, '--key', process.env.E2B_API_KEY], { env: { ...bare, BELLJAR_STATE: tmp } })).out.includes(box))
})

test('create, list, info, metrics', async () => {
  const id = await create('-m', `run=${run}`, '--metadata', 'evil=\u001b[2J', '-e', 'WHO=me', '-t', '120', '--offline')
  assert.match(id, /^i[a-z0-9]{20}$/)
  const row = (await line(['sandbox', 'list'])).split('\n').map((r) => r.split('\t')).find((r) => r[0] === id)
  assert.deepEqual([row[1], row[2], row[6]], ['base', 'running', String(512 << 20)])
  assert.equal(Date.parse(row[4]) - Date.parse(row[3]), 120_000)
  assert.match(row[7], new RegExp(`run=${run}`))
  assert.match(row[7], /evil=\\x1b\[2J/)
  assert.equal((await json(['sandbox', 'list'])).find((s) => s.sandboxID === id).metadata.evil, '\u001b[2J')
  assert.equal((await json(['sandbox', 'info', id])).allowInternetAccess, false)
  assert.match((await good(['sandbox', 'info', id])).out, /^state\trunning$/m)
  assert.equal(await line(['sandbox', 'exec', id, 'echo $WHO']), 'me')
  await until('metrics', async () => (await json(['sandbox', 'metrics', id])).length > 0)
  const metrics = (await line(['sandbox', 'metrics', id, '-n', '1'])).split('\n').map((r) => r.split('\t'))
  assert.equal(metrics.length, 1)
  assert.equal(metrics[0][4], String(512 << 20))
  assert.equal((await json(['sandbox', 'create', '-t', '30'])).templateID, 'base')
  const shown = await inTerminal([], ['sandbox', 'list'])
  assert.match(shown.output, /^ID +TEMPLATE +STATE +STARTED/)
  assert.match(shown.output, new RegExp(`${id} +base +running +\\d+ s ago +in \\d+ min +2 +512 MiB`))
  assert.ok(!shown.output.includes('\u001b[2J'))
  await fails(4, /not found/, ['sandbox', 'create', 'no-such-template'])
  await fails(4, /doesn't exist/, ['sandbox', 'info', 'i' + '0'.repeat(20)])
})

test('exec: outputs, input, options, exit codes', async () => {
  const r = await belljar(['sandbox', 'exec', box, 'echo out; echo err >&2; exit 7'])
  assert.deepEqual([r.code, r.out, r.err], [7, 'out\n', 'err\n'])
  assert.equal(await line(['sandbox', 'exec', '-u', 'root', '-w', '/tmp', '-e', 'A=b c', box, 'id -un; pwd; echo "$A"']), 'root\n/tmp\nb c')
  // several words arrive as they are
  assert.equal(await line(['sandbox', 'exec', box, 'printf', '%s|', '$HOME', "it's", '', '-u', '--json']), "$HOME|it's||-u|--json|")
  assert.equal(await line(['sandbox', 'exec', box, '--', 'echo', '-n', 'x']), 'x')
  const answer = JSON.parse((await belljar(['sandbox', 'exec', '--json', box, 'printf "a\\377b"; echo e >&2; exit 3'])).out)
  assert.deepEqual(answer, { stdout: 'a\ufffdb', stderr: 'e\n', exitCode: 3, error: null })
  await fails(2, /killed: its output is more than 64 MiB/, ['sandbox', 'exec', '--json', box, 'head -c 80000000 /dev/zero'])
  await fails(137, /signal: killed/, ['sandbox', 'exec', box, 'kill -9 $$'])
  await fails(10, /1000 ms/, ['sandbox', 'exec', '-t', '1', box, 'sleep 50'])
  await fails(4, /doesn't exist/, ['sandbox', 'exec', 'i' + '0'.repeat(20), 'true'])
})

test('exec: a pipe and a file as input, whole and binary', async () => {
  const bytes = crypto.randomBytes(5_000_000)
  const file = path.join(tmp, 'input')
  fs.writeFileSync(file, bytes)
  assert.ok((await good(['sandbox', 'exec', box, 'cat'], { input: bytes })).bytes.equals(bytes))
  const fd = fs.openSync(file)
  assert.ok((await good(['sandbox', 'exec', box, 'cat'], { stdin: fd })).bytes.equals(bytes))
  fs.closeSync(fd)
  assert.equal(await line(['sandbox', 'exec', box, 'head -c 3'], { input: 'abcdefgh' }), 'abc') // it stops reading
  assert.equal(await line(['sandbox', 'exec', box, 'wc -c']), '0')
})

test('exec: Ctrl-C, and nobody who reads, end the command', async () => {
  const gone = (mark) => until(`${mark} ends`, async () => (await belljar(['sandbox', 'exec', box, `pgrep -f '[s]leep ${mark}'`])).code === 1)
  assert.equal((await belljar(['sandbox', 'exec', box, 'echo go; exec sleep 3331'], { signal: 'SIGINT' })).code, 130)
  await gone(3331)
  assert.equal((await belljar(['sandbox', 'exec', box, 'echo go; exec sleep 3332'], { signal: 'SIGTERM' })).code, 143)
  await gone(3332)
  const r = await start('bash', ['-o', 'pipefail', '-c', `'${bin}' sandbox exec ${box} yes | head -n 1`])
  assert.deepEqual([r.code, r.out], [141, 'y\n'])
  await until('yes ends', async () => (await belljar(['sandbox', 'exec', box, 'pgrep -x yes'])).code === 1)
})

test('shell: a terminal, its size, its exit code, and ours as it was', async () => {
  const r = await inTerminal([
    ['until', '$'], ['raw', true], ['type', 'stty size; echo A$((1+1))B $TERM; tty\n'], ['until', '24 80'], ['until', 'A2B xterm'], ['until', '/dev/pts/'],
    ['size', 40, 100], ['type', 'until [ "$(stty size)" = "40 100" ]; do sleep 0.05; done; echo s$((2+2))ized\n'], ['until', 's4ized'],
    ['type', 'sh -c \'echo s$((1+1))eeps; exec sleep 777\'\n'], ['until', 's2eeps'], ['type', '\u0003'], ['until', '^C'], ['type', 'echo e\u00e4$((3+3))\n'], ['until', 'e\u00e46'],
    ['type', 'exit 9\n']], ['sandbox', 'shell', box])
  assert.deepEqual([r.exit, r.echo], [9, true])
  const root = await inTerminal([['until', '#'], ['type', 'echo $A$(id -un)$PWD; exit\n'], ['until', 'broot/tmp']],
    ['sandbox', 'shell', '-u', 'root', '-w', '/tmp', '-e', 'A=b', box])
  assert.deepEqual([root.exit, root.echo], [0, true])
})

test('shell: signals and the end of the sandbox give the terminal back', async () => {
  for (const [number, code] of [[15, 143], [1, 129], [2, 130]]) {
    const r = await inTerminal([['until', '$'], ['raw', true], ['signal', number], ['raw', false]], ['sandbox', 'shell', box])
    assert.deepEqual([r.exit, r.echo], [code, true])
  }
  const crashed = await inTerminal([['until', '$'], ['raw', true], ['signal', 11], ['raw', false]], ['sandbox', 'shell', box])
  assert.deepEqual([crashed.exit, crashed.echo], [-11, true])
  const r = await inTerminal([['until', '$'], ['raw', true], ['type', 'kill -9 $$\n'], ['raw', false]], ['sandbox', 'shell', box])
  assert.deepEqual([r.exit, r.echo], [137, true])
  const other = await create()
  const killed = inTerminal([['until', '$'], ['raw', true], ['type', 'touch /tmp/typed\n'], ['raw', false]], ['sandbox', 'shell', other])
  await until('the shell runs', async () => (await belljar(['sandbox', 'exec', other, 'test -e /tmp/typed'])).code === 0)
  await good(['sandbox', 'kill', other])
  assert.equal((await killed).exit, 4)
  await fails(2, /no terminal/, ['sandbox', 'shell', box])
})

const tree = (dir) => Object.fromEntries(fs.readdirSync(dir, { recursive: true, withFileTypes: true }).map((e) => {
  const p = path.join(e.parentPath, e.name)
  return [path.relative(dir, p), e.isSymbolicLink() ? `-> ${fs.readlinkSync(p)}` : e.isDirectory() ? 'dir' : `${(fs.statSync(p).mode & 0o777).toString(8)} ${crypto.hash('sha1', fs.readFileSync(p))}`]
}).sort())
const project = () => {
  const d = fs.mkdtempSync(path.join(tmp, 'project-'))
  fs.mkdirSync(path.join(d, 'sub/deep er'), { recursive: true })
  fs.writeFileSync(path.join(d, 'one'), 'one\n')
  fs.writeFileSync(path.join(d, 'sub/deep er/ä "quoted"'), 'text')
  fs.writeFileSync(path.join(d, 'sub/run'), '#!/bin/sh\necho ran\n', { mode: 0o755 })
  fs.writeFileSync(path.join(d, 'big'), crypto.randomBytes(3_000_000))
  fs.symlinkSync('one', path.join(d, 'link'))
  return d
}

test('cp: directories both ways', async () => {
  const d = project(), name = path.basename(d)
  await good(['sandbox', 'cp', d, `${box}:copy`]) // not there: it becomes that
  assert.equal(await line(['sandbox', 'exec', box, 'cat copy/one; copy/sub/run; readlink copy/link; stat -c %U copy/one']), 'one\nran\none\nuser')
  await good(['sandbox', 'cp', d, `${box}:copy`]) // there: into it
  assert.equal(await line(['sandbox', 'exec', box, `cat copy/${name}/one`]), 'one')
  await good(['sandbox', 'cp', `${d}/.`, `${box}:/tmp/contents/`])
  assert.equal(await line(['sandbox', 'exec', box, 'cat /tmp/contents/one']), 'one')
  const back = path.join(tmp, 'back')
  const told = await json(['sandbox', 'cp', `${box}:/tmp/contents`, back])
  assert.equal(told.bytes, 3_000_000 + 4 + 4 + 19)
  assert.deepEqual(tree(back), tree(d))
  await good(['sandbox', 'cp', `${box}:/tmp/contents`, back]) // there: into it
  assert.deepEqual(tree(path.join(back, 'contents')), tree(d))
  const third = path.join(tmp, 'third')
  fs.mkdirSync(third)
  await good(['sandbox', 'cp', `${box}:/tmp/contents/.`, third])
  assert.deepEqual(tree(third), tree(d))
})

test('cp: files both ways, and pipes', async () => {
  const f = path.join(tmp, 'file')
  fs.writeFileSync(f, 'content', { mode: 0o755 })
  await good(['sandbox', 'cp', f, `${box}:`])
  await good(['sandbox', 'cp', f, `${box}:/tmp/a/b/renamed`])
  await good(['sandbox', 'cp', f, `${box}:/tmp/a/`])
  assert.equal(await line(['sandbox', 'exec', box, 'cat file /tmp/a/b/renamed /tmp/a/file; stat -c %a file']), 'contentcontentcontent755')
  await good(['sandbox', 'cp', `${box}:file`, 'here'])
  assert.equal(fs.readFileSync(path.join(tmp, 'here'), 'utf8'), 'content')
  fs.mkdirSync(path.join(tmp, 'dir'))
  await good(['sandbox', 'cp', `${box}:/tmp/a/b/renamed`, 'dir'])
  assert.equal(fs.readFileSync(path.join(tmp, 'dir/renamed'), 'utf8'), 'content')
  await good(['sandbox', 'cp', '-', `${box}:piped`], { input: 'by pipe' })
  assert.equal((await good(['sandbox', 'cp', `${box}:piped`, '-'])).out, 'by pipe')
  assert.match((await inTerminal([], ['sandbox', 'cp', f, `${box}:`])).output, /^(\r\u001b\[K[^\n]*)*$/)
  await fails(4, /nothing/, ['sandbox', 'cp', `${box}:nothing`, 'x'])
  // what cannot be read leaves alone what is here
  await good(['sandbox', 'exec', box, ': >/tmp/empty'])
  await fails(3, /permission denied/i, ['sandbox', 'cp', `${box}:/proc/1/mem`, 'here'])
  assert.equal(fs.readFileSync(path.join(tmp, 'here'), 'utf8'), 'content')
  await fails(3, /permission denied/i, ['sandbox', 'cp', `${box}:/proc/1/mem`, 'not-here'])
  assert.ok(!fs.existsSync(path.join(tmp, 'not-here')))
  await good(['sandbox', 'cp', `${box}:/tmp/empty`, 'here'])
  assert.equal(fs.readFileSync(path.join(tmp, 'here'), 'utf8'), '')
  await fails(4, /No such file/, ['sandbox', 'cp', 'nothing-here', `${box}:`])
  await fails(2, /one side is in a sandbox/, ['sandbox', 'cp', 'a', 'b'])
  await fails(2, /one side is here/, ['sandbox', 'cp', `${box}:a`, `${box}:b`])
  await fails(2, /no file and no directory/, ['sandbox', 'cp', `${box}:/dev/null`, 'x'])
  await fails(2, /no file and no directory/, ['sandbox', 'cp', '/dev/null', `${box}:x`])
  await fails(2, /Not a directory|not a directory/i, ['sandbox', 'cp', `${box}:/tmp/a`, path.join(f, 'below')])
})

// A server that says it is one with a sandbox, whose files are what a hostile one could send.
const header = (name, type, link = '', size = 0) => {
  const b = Buffer.alloc(512)
  b.write(name, 0); b.write('0000644\0', 100); b.write('0000000\0', 108); b.write('0000000\0', 116)
  b.write(size.toString(8).padStart(11, '0'), 124); b.write('00000000000', 136); b.write('        ', 148)
  b.write(type, 156); b.write(link, 157); b.write('ustar\u000000', 257)
  b.write(b.reduce((n, x) => n + x, 0).toString(8).padStart(6, '0') + '\0 ', 148)
  return b
}
const fileEntry = (name, text) => Buffer.concat([header(name, '0', '', text.length), Buffer.from(text.padEnd(512, '\0'))])
const end = Buffer.alloc(1024)
test('cp: what a hostile sandbox sends stays below the target', async () => {
  let tar = end
  const server = http.createServer((req, res) => {
    req.resume()
    const say = (code, type, body) => { res.writeHead(code, { 'content-type': type }); res.end(body) }
    if (req.url.includes('/connect')) return say(200, 'application/json', JSON.stringify({ sandboxID: 'ievil', templateID: 't', clientID: 'c', envdVersion: '0.6.13', envdAccessToken: 'x' }))
    if (req.url.includes('/Stat')) return say(200, 'application/json', JSON.stringify({ entry: { name: 'd', type: 'FILE_TYPE_DIRECTORY', path: '/d', mode: 0o755, permissions: 'drwxr-xr-x', owner: 'u', group: 'u', modifiedTime: '2026-01-01T00:00:00Z' } }))
    say(200, 'application/x-tar', tar)
  })
  await new Promise((r) => server.listen(0, '127.0.0.1', r))
  const url = `http://127.0.0.1:${server.address().port}`
  const env = { E2B_API_URL: url, E2B_SANDBOX_URL: url, E2B_API_KEY: 'e2b_' + 'a'.repeat(40) }
  const secret = path.join(tmp, 'secret')
  const attempt = async (code, pattern, ...entries) => {
    fs.writeFileSync(secret, 'mine')
    const target = fs.mkdtempSync(path.join(tmp, 'target-'))
    tar = Buffer.concat(entries)
    await fails(code, pattern, ['sandbox', 'cp', 'ievil:d/.', target], { env })
    assert.equal(fs.readFileSync(secret, 'utf8'), 'mine')
    return target
  }
  try {
    await attempt(70, /leads outside/, fileEntry('../secret', 'evil'), end)
    await attempt(70, /leads outside/, fileEntry('a/../../secret', 'evil'), end)
    await attempt(70, /leads outside/, header('l', '2', '..'), fileEntry('l/secret', 'evil'), end)
    await attempt(70, /leads outside/, header('l', '2', tmp), fileEntry('l/secret', 'evil'), end)
    await attempt(70, /leads outside/, header('h', '1', '../secret'), end)
    await attempt(70, /no tar stream/, Buffer.alloc(512, 'x'), end)
    await attempt(70, /breaks off/, fileEntry('fine', 'text'))
    const named = await attempt(70, /leads outside/, fileEntry('../\u001b[2J', 'evil'), end)
    assert.deepEqual(fs.readdirSync(named), [])
    // an absolute name is one below the target; a link is replaced, not written through
    const target = fs.mkdtempSync(path.join(tmp, 'target-'))
    tar = Buffer.concat([fileEntry(secret, 'below'), header('l', '2', secret), fileEntry('l', 'replaced'), header('dev', '3'), end])
    await good(['sandbox', 'cp', 'ievil:d/.', target], { env })
    assert.equal(fs.readFileSync(secret, 'utf8'), 'mine')
    assert.equal(fs.readFileSync(path.join(target, secret), 'utf8'), 'below')
    assert.equal(fs.readFileSync(path.join(target, 'l'), 'utf8'), 'replaced')
    assert.ok(!fs.existsSync(path.join(target, 'dev')))
  } finally {
    server.closeAllConnections()
    server.close()
  }
})

test('what a server answers that lies is no escape sequence', async () => {
  const esc = '\u001b[2J\u009b\u202e'
  let answer
  const server = http.createServer((req, res) => { req.resume(); res.end(req.url.includes('/aliases/') ? JSON.stringify({ templateID: esc }) : answer) })
  await new Promise((r) => server.listen(0, '127.0.0.1', r))
  const env = { E2B_API_URL: `http://127.0.0.1:${server.address().port}`, E2B_API_KEY: 'e2b_' + 'a'.repeat(40) }
  const of = (v) => JSON.stringify(v, (k, x) => x === 'most' ? JSON.rawJSON?.('9223372036854775807') ?? 9007199254740991 : x)
  const sandbox = { sandboxID: esc, templateID: esc, alias: esc, state: esc, startedAt: esc, endAt: esc, memoryMB: 'most', diskSizeMB: -1, metadata: { [esc]: esc } }
  try {
    for (const [args, v] of [[['sandbox', 'list'], [sandbox]], [['sandbox', 'info', 'i'], sandbox], [['sandbox', 'create'], sandbox], [['template', 'list'], [{ templateID: esc, memoryMB: -1, diskSizeMB: 'most' }]],
      [['template', 'info', 'x'], { names: [esc], builds: [{ buildID: esc, memoryMB: 'most' }] }], [['keys', 'list'], [{ id: esc, name: esc }]], [['sandbox', 'logs', 'i'], { logs: [{ timestamp: '2026-01-01T00:00:00Z', message: esc, fields: { pid: esc, event_type: esc } }] }]]) {
      answer = of(v)
      const r = await good(args, { env })
      assert.doesNotMatch(r.out + r.err, /[\u001b\u009b\u202e]/, args.join(' '))
      assert.match(r.out, /\\x1b\[2J/, args.join(' '))
    }
  } finally {
    server.closeAllConnections()
    server.close()
  }
})

test('logs: lines, searched, as JSON, followed; no control bytes', async () => {
  const id = await create()
  await good(['sandbox', 'exec', id, 'echo first; printf "\\033[2Jsecond\\n"'])
  await belljar(['sandbox', 'exec', id, 'exit 4'])
  const rows = (await line(['sandbox', 'logs', id])).split('\n').map((r) => r.split('\t'))
  assert.deepEqual(rows.filter((r) => r[2] === 'stdout').map((r) => r[3]), ['first', '\\x1b[2Jsecond'])
  assert.match(await line(['sandbox', 'logs', id, '--level', 'warn']), /^\S+\t\d+\tprocess_end\texit status 4$/)
  const entries = (await line(['sandbox', 'logs', id, '--search', 'first', '--json'])).split('\n').map((l) => JSON.parse(l))
  assert.equal(entries.at(-1).fields.event_type, 'stdout')
  const follow = belljar(['sandbox', 'logs', '-f', id])
  await good(['sandbox', 'exec', id, 'echo third'])
  await new Promise((r) => setTimeout(r, 2500))
  await good(['sandbox', 'kill', id])
  const r = await follow
  assert.equal(r.code, 4)
  assert.deepEqual(r.out.split('\n').filter((l) => l.includes('\tstdout\t')).map((l) => l.split('\t')[3]), ['first', '\\x1b[2Jsecond', 'third'])
  await fails(2, /level must be/, ['sandbox', 'logs', box, '--level', 'loud'])
  // more than the server answers at once
  const many = await create()
  await good(['sandbox', 'exec', many, 'for i in $(seq 1300); do echo $i; sleep 0.002; done'])
  const told = (await line(['sandbox', 'logs', many])).split('\n').map((l) => l.split('\t')).filter((r) => r[2] === 'stdout').map((r) => r[3])
  assert.deepEqual(told, Array.from({ length: 1300 }, (_, i) => `${i + 1}`))
})

test('pause, resume, snapshot, fork, kill', async () => {
  const id = await create('-t', '200')
  await good(['sandbox', 'exec', id, 'echo kept >file; (sleep 1000 </dev/null >/dev/null 2>&1 &)'])
  await good(['sandbox', 'pause', id])
  assert.ok((await line(['sandbox', 'list', '-s', 'paused'])).includes(id))
  assert.ok(!(await line(['sandbox', 'list', '-s', 'running'])).includes(id))
  await fails(5, /already paused/, ['sandbox', 'pause', id])
  assert.equal(await line(['sandbox', 'resume', id]), id)
  assert.equal(await line(['sandbox', 'exec', id, 'cat file; pgrep -c sleep']), 'kept\n1')
  const name = await line(['sandbox', 'snapshot', id, `snap-${run}`])
  assert.match(name, new RegExp(`snap-${run}`))
  assert.equal((await json(['sandbox', 'snapshot', id])).names.length, 0)
  const copy = await create(name)
  assert.equal(await line(['sandbox', 'exec', copy, 'cat file']), 'kept')
  const forks = (await line(['sandbox', 'fork', id, '-n', '2', '-t', '100'])).split('\n')
  forks.forEach((f) => made.add(f))
  assert.equal(new Set(forks).size, 2)
  for (const f of forks) assert.equal(await line(['sandbox', 'exec', f, 'cat file']), 'kept')
  assert.equal((await json(['sandbox', 'fork', id]))[0].sandbox.templateID.length > 0, true)
  await good(['sandbox', 'pause', id, '--without-memory'])
  assert.equal(await line(['sandbox', 'exec', id, 'cat file; pgrep -c sleep || true']), 'kept\n0') // resumed by the exec
  await good(['sandbox', 'kill', copy, ...forks])
  assert.equal(await exists(copy), false)
  await fails(4, /doesn't exist/, ['sandbox', 'kill', copy, id]) // the other one is ended all the same
  assert.equal(await exists(id), false)
  await good(['template', 'delete', name])
})

test('port-forward: any TCP, many at once, until Ctrl-C or the end of the sandbox', async () => {
  const id = await create()
  // echoes what it gets, in capitals, on the loopback of the sandbox only
  await good(['sandbox', 'exec', id, `cat >/tmp/up.py <<'E'
import socketserver
class H(socketserver.StreamRequestHandler):
    def handle(self):
        while (d := self.request.recv(65536)): self.request.sendall(d.upper())
        self.request.sendall(b'END')
socketserver.ThreadingTCPServer.allow_reuse_address = True
socketserver.ThreadingTCPServer(('127.0.0.1', 7070), H).serve_forever()
E
setsid python3 /tmp/up.py </dev/null >/dev/null 2>&1 & until ss -ltn | grep -q :7070; do sleep 0.05; done`])
  const child = spawn(bin, ['sandbox', 'port-forward', id, '0:7070', '--json'])
  const ended = new Promise((r) => child.on('close', (code) => r(code)))
  const { port, remote, address } = JSON.parse(await new Promise((resolve) => {
    let text = ''
    child.stdout.on('data', (d) => { text += d; if (text.endsWith('}\n')) resolve(text) })
  }))
  assert.deepEqual([remote, address], [7070, '127.0.0.1'])
  const talk = (text) => new Promise((resolve, reject) => {
    const out = []
    const s = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true }, () => s.end(text))
    s.on('data', (d) => out.push(d)).on('end', () => { s.destroy(); resolve(Buffer.concat(out).toString()) }).on('error', reject)
  })
  assert.equal(await talk('hello'), 'HELLOEND') // the end of ours is passed on, theirs comes back
  const long = 'x'.repeat(3_000_000)
  const answers = await Promise.all(Array.from({ length: 12 }, (_, i) => talk(`${i}-${long}`)))
  answers.forEach((a, i) => assert.equal(a, `${i}-${long}END`.toUpperCase()))
  await fails(2, /in use/, ['sandbox', 'port-forward', id, `${port}:7070`])
  await fails(2, /8080:80/, ['sandbox', 'port-forward', id, '70700'])
  await fails(2, /8080:80/, ['sandbox', 'port-forward', id, '1:2:3'])
  await fails(2, /cannot listen/, ['sandbox', 'port-forward', id, '0:1', '--address', 'nowhere'])
  await fails(4, /doesn't exist/, ['sandbox', 'port-forward', 'i' + '0'.repeat(20), '0:1'])
  child.kill('SIGINT')
  assert.equal(await ended, 130)
  const doomed = await create()
  const last = spawn(bin, ['sandbox', 'port-forward', doomed, '0:7071'])
  const died = new Promise((r) => last.on('close', (code) => r(code)))
  const where = await new Promise((r) => last.stdout.on('data', (d) => r(d.toString())))
  await good(['sandbox', 'kill', doomed])
  net.connect({ port: Number(/:(\d+) leads/.exec(where)[1]), host: '127.0.0.1' }).on('error', () => {}) // this is how it finds out
  assert.equal(await died, 4)
  const other = spawn(bin, ['sandbox', 'port-forward', id, '0:7071'])
  const gone = new Promise((r) => other.on('close', (code) => r(code)))
  const said = await new Promise((r) => other.stdout.on('data', (d) => r(d.toString())))
  const refused = await new Promise((resolve, reject) => {
    const s = net.connect({ port: Number(/:(\d+) leads/.exec(said)[1]), host: '127.0.0.1' })
    s.on('data', reject).on('close', () => resolve('closed')).on('error', () => resolve('closed'))
  })
  assert.equal(refused, 'closed') // nothing listens on 7071
  other.kill('SIGTERM')
  assert.equal(await gone, 143)
})

test('run: code of each kind, values, pictures, errors', async () => {
  fs.writeFileSync(path.join(tmp, 'plot.py'), 'import sys\nimport matplotlib.pyplot as plt\nprint("hello")\nprint("oops", file=sys.stderr)\nplt.plot([1, 2])\nplt.show()\n21*2\n')
  const r = await good(['run', 'plot.py'])
  assert.equal(r.out, 'hello\n42\n')
  assert.match(r.err, /oops\n/)
  assert.match(r.err, /saved plot-1\.png/)
  assert.equal(fs.readFileSync(path.join(tmp, 'plot-1.png')).subarray(1, 4).toString(), 'PNG')
  await good(['run', 'plot.py', '-o', 'other'])
  assert.ok(fs.existsSync(path.join(tmp, 'other-1.png')))
  assert.equal((await good(['run', '-c', '1 + 1'])).out, '2\n')
  assert.equal((await good(['run', '-l', 'javascript', '-'], { input: 'console.log(1); 5' })).out, '1\n5\n')
  fs.writeFileSync(path.join(tmp, 'x.sh'), 'echo from bash')
  assert.equal((await good(['run', 'x.sh'])).out.trim(), 'from bash')
  const bad = await fails(1, /ZeroDivisionError/, ['run', '-c', 'print("before")\n1/0'])
  assert.equal(bad.out, 'before\n')
  const answer = JSON.parse((await belljar(['run', '--json', '-c', 'print("p")\n{"a": 1}'])).out)
  assert.deepEqual([answer.stdout, answer.results[0].isMain, answer.results[0].text, answer.error], ['p\n', true, "{'a': 1}", null])
  assert.equal(JSON.parse((await belljar(['run', '--json', '-c', 'nope'])).out).error.name, 'NameError')
  await fails(4, /No such file/, ['run', 'none.py'])
  for (const n of ['0', '2147483647']) await fails(2, /--timeout is from 1 to/, ['run', '-t', n, '-c', '1'])
  fs.writeFileSync(path.join(tmp, 'x.what'), '1')
  await fails(2, /which language/, ['run', 'x.what'])
  await fails(2, /what is to run/, ['run'])
  await fails(2, /no text/, ['run', '-'], { input: 'a\0b' })
  assert.deepEqual((await json(['sandbox', 'list'])).filter((s) => s.alias === 'code-interpreter-v1' && !made.has(s.sandboxID)), []) // all were ended
})

test('run: in a sandbox that stays; kept ones; Ctrl-C ends the others', async () => {
  const id = await create('code-interpreter-v1', '-t', '200')
  await good(['run', '-s', id, '-c', 'x = 20'])
  assert.equal((await good(['run', '-s', id, '-c', 'x + 1'])).out, '21\n')
  const kept = /kept (\w+)/.exec((await good(['run', '--keep', '-c', 'y = 1'])).err)[1]
  made.add(kept)
  assert.equal((await good(['run', '-s', kept, '-c', 'y'])).out, '1\n')
  const r = await belljar(['run', '-c', 'import time\nprint("on", flush=True)\ntime.sleep(500)'], { signal: 'SIGINT' })
  assert.deepEqual([r.code, r.err], [130, ''])
  const left = (await json(['sandbox', 'list'])).filter((s) => s.alias === 'code-interpreter-v1').map((s) => s.sandboxID)
  assert.deepEqual(left.sort(), [id, kept].sort())
})

test('template build: Dockerfile to sandbox, log, options, mistakes', async () => {
  const name = `built-${run}`
  const d = path.join(tmp, 'context')
  fs.mkdirSync(d)
  fs.writeFileSync(path.join(d, 'one'), 'one')
  fs.writeFileSync(path.join(d, 'Dockerfile'), `FROM base\nARG WHO=nobody\nCOPY one /opt/\nRUN printf "for $WHO \\033[2J\\n"; : ${run}; echo "$WHO" >/opt/who\nWORKDIR /opt\n`)
  const r = await good(['template', 'build', d, '-n', name, '--cpus', '1', '--memory', '512', '-a', 'WHO=me', '--start', 'touch /tmp/up; sleep 1000', '--ready', 'test -e /tmp/up'])
  assert.match(r.out, /^[a-z0-9]{20}\n$/)
  assert.match(r.err, /^ +\d\.\ds {2}.*COPY one/m)
  assert.match(r.err, /for me \\x1b\[2J/)
  assert.match(r.err, /Build finished/)
  const id = await create(name)
  assert.equal(await line(['sandbox', 'exec', id, 'pwd; cat one who; ls /tmp/up']), '/opt\noneme\n/tmp/up')
  assert.deepEqual(((s) => [s.cpuCount, s.memoryMB])(await json(['sandbox', 'info', id])), [1, 512])
  const again = await belljar(['template', 'build', '-n', name, '-a', 'WHO=me', '--json'], { cwd: d })
  assert.deepEqual(JSON.parse(again.out), { templateID: r.out.trim(), name })
  assert.match(again.err, /CACHED/)
  assert.doesNotMatch((await good(['template', 'build', '-n', name, '-a', 'WHO=me', '--no-cache'], { cwd: d })).err, /CACHED/)
  fs.writeFileSync(path.join(d, 'e2b.Dockerfile'), 'FROM base\nRUN echo from e2b\n') // it is looked for first
  assert.match((await good(['template', 'build', '-n', name], { cwd: d })).err, /from e2b/)
  const build = (text, ...more) => belljar(['template', 'build', '-n', `bad-${run}`, '-f', '-', ...more], { cwd: d, input: text })
  for (const [text, code, pattern] of [
    ['FROM base\nRUN echo why >&2; exit 3\n', 1, /2: failed to run command .*exit status 3/],
    ['FROM base\nRUNN x\n', 2, /-:2: there is no instruction RUNN/],
    ['FROM base\nCOPY none .\n', 4, /-:2: COPY: there is no 'none'/],
    ['', 2, /FROM/],
    ['FROM base\0', 2, /no text/],
  ]) {
    const b = await build(text)
    assert.deepEqual([b.code, b.out], [code, ''], text + b.err)
    assert.match(b.err, pattern)
  }
  await fails(2, /--name NAME/, ['template', 'build', d])
  await fails(4, /no such directory/, ['template', 'build', 'none', '-n', name])
  await fails(4, /that is a file/, ['template', 'build', path.join(d, 'one'), '-n', name])
  await fails(4, /No such file/, ['template', 'build', '-f', 'none', '-n', name])
  await fails(2, /name/i, ['template', 'build', d, '-n', 'Not A Name'])
  const shown = await inTerminal([], ['template', 'build', d, '-n', name, '--no-cache'])
  assert.equal(shown.exit, 0)
  assert.ok(!shown.output.includes('\u001b[2J'))
  await good(['template', 'delete', name])
})

test('template list, info, tag, untag, delete', async () => {
  const name = `own-${run}`
  await Template.build(Template().fromBaseImage().runCmd('echo x >/tmp/x'), name, { cpuCount: 1, memoryMB: 512 })
  const row = (await line(['template', 'list'])).split('\n').map((r) => r.split('\t')).find((r) => r[0] === name)
  assert.deepEqual([row[2], row[3], row[6]], ['1', String(512 << 20), 'ready'])
  assert.equal((await json(['template', 'list'])).find((t) => t.aliases.includes(name)).cpuCount, 1)
  assert.match((await good(['template', 'info', name])).out, new RegExp(`${row[1]}.*${name}`))
  assert.deepEqual((await json(['template', 'tag', name, 'v1', 'stable'])).tags.sort(), ['stable', 'v1'])
  assert.match((await good(['template', 'info', name])).out, /^stable\t/m)
  const id = await create(`${name}:v1`)
  assert.equal(await line(['sandbox', 'exec', id, 'cat /tmp/x']), 'x')
  await good(['template', 'untag', name, 'v1'])
  await fails(4, /tag 'v1' does not exist/, ['sandbox', 'create', `${name}:v1`])
  await fails(2, /default/, ['template', 'untag', name, 'default'])
  assert.match((await good(['template', 'info', 'base'])).out, /base/)
  await good(['template', 'delete', name])
  await fails(4, /not found/, ['template', 'delete', name])
  await fails(4, /not found/, ['template', 'info', name])
})

test('keys create, list, revoke', async () => {
  const key = await line(['keys', 'create', `own-${run}`])
  assert.match(key, /^e2b_[0-9a-f]{40}$/)
  const row = (await line(['keys', 'list'])).split('\n').map((r) => r.split('\t')).find((r) => r[1] === `own-${run}`)
  assert.ok(row[2].endsWith(key.slice(-4)))
  assert.ok(!(await json(['keys', 'list'])).some((k) => JSON.stringify(k).includes(key)))
  assert.ok((await good(['sandbox', 'list', '--key', key])).out.includes(box))
  await fails(3, /./, ['keys', 'list', '--key', key]) // only the server's own one may
  await good(['keys', 'revoke', row[0]])
  await fails(3, /./, ['sandbox', 'list', '--key', key])
  await fails(4, /no API key of that id/, ['keys', 'revoke', row[0]])
})

test('doctor sees the host and the server', async () => {
  const rows = await json(['doctor'])
  const of = (name) => rows.find((r) => r.name === name)
  for (const name of ['kernel', 'user namespaces', 'overlay', 'loop devices', 'cgroups', 'network namespaces', 'nftables', 'seccomp', 'mkfs.ext4', 'disk', 'template', 'API port', 'sandbox port', 'server'])
    assert.equal(of(name).level, 'ok', JSON.stringify(of(name)))
  assert.match(of('server').text, /answers/)
  assert.match((await good(['doctor'])).out, /^ok +kernel/)
  const other = { BELLJAR_STATE: path.join(tmp, 'no-state'), BELLJAR_EDGE_USER: 'nobody-of-that-name' }
  const sick = await belljar(['doctor'], { env: other })
  assert.equal(sick.code, 11)
  assert.match(sick.out, /^FAIL +user +nobody-of-that-name is not there\n +-> useradd/m)
  assert.match(sick.out, /^FAIL +API port .*in use/m)
  assert.match(sick.out, /^FAIL +template +base is not made/m)
  assert.match(sick.out, /^warn +server +none runs/m)
  assert.ok(!fs.existsSync(other.BELLJAR_STATE))
})

test('up finds the server that runs, and proves it; down finds none', async () => {
  const told = await json(['up'])
  assert.deepEqual([told.E2B_API_KEY, told.E2B_API_URL, told.state], [process.env.E2B_API_KEY, process.env.E2B_API_URL, process.env.BELLJAR_STATE])
  assert.match((await good(['up'])).out, /^export E2B_API_KEY=e2b_/)
  await fails(11, /no template 'base'/, ['up'], { env: { BELLJAR_STATE: path.join(tmp, 'no-state') } })
  assert.match((await good(['down'], { env: { BELLJAR_STATE: tmp } })).out, /no server runs/)
  assert.deepEqual(await json(['down'], { env: { BELLJAR_STATE: tmp } }), { stopped: null })
  await fails(2, /cannot read/, ['up', '--config', path.join(tmp, 'none')])
})
