// sandbox.git: every helper with its options and its errors, against git daemon and against a server
// that asks for a password, both inside the sandbox.
import test, { before, after } from 'node:test'
import assert from 'node:assert/strict'
import { Sandbox, CommandExitError, GitAuthError, GitUpstreamError, InvalidArgumentError } from 'e2b'
import { until } from '../lib/until.mjs'

// git over HTTP for one user: the program that git brings for it, behind a password
const SERVER = `
import base64, http.server, os, subprocess
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def serve(self):
        if self.headers.get('Authorization') != 'Basic ' + base64.b64encode(b'ada:secret').decode():
            self.send_response(401); self.send_header('WWW-Authenticate', 'Basic realm="git"')
            self.send_header('Content-Length', '0'); self.end_headers(); return
        path, _, query = self.path.partition('?')
        n = self.headers.get('Content-Length')
        if n is None and self.headers.get('Transfer-Encoding') == 'chunked':
            body = b''
            while (size := int(self.rfile.readline(), 16)):
                body += self.rfile.read(size); self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(n or 0))
        env = dict(os.environ, GIT_PROJECT_ROOT='/tmp/served', GIT_HTTP_EXPORT_ALL='1', PATH_INFO=path, QUERY_STRING=query,
                   REQUEST_METHOD=self.command, CONTENT_TYPE=self.headers.get('Content-Type', ''), CONTENT_LENGTH=str(len(body)),
                   REMOTE_USER='ada', HTTP_CONTENT_ENCODING=self.headers.get('Content-Encoding', ''))
        out = subprocess.run(['git', 'http-backend'], input=body, env=env, capture_output=True).stdout
        head, _, data = out.partition(b'\\r\\n\\r\\n')
        fields = [l.split(': ', 1) for l in head.decode().split('\\r\\n') if l]
        status = next((int(v.split()[0]) for k, v in fields if k == 'Status'), 200)
        self.send_response(status)
        for k, v in fields:
            if k != 'Status': self.send_header(k, v)
        self.send_header('Content-Length', str(len(data))); self.end_headers(); self.wfile.write(data)
    do_GET = do_POST = serve
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer(('127.0.0.1', 9419), H).serve_forever()
`
const PLAIN = 'git://127.0.0.1:9418/repo.git', LOCKED = 'http://127.0.0.1:9419/repo.git'
let s, git, serial = 0
const run = async (cmd, opts) => (await s.commands.run(cmd, opts)).stdout.trim()
const place = () => `/tmp/work/${++serial}`
async function repo(files = {}) {
  const path = place()
  await git.init(path, { initialBranch: 'main' })
  for (const [name, data] of Object.entries({ 'a.txt': 'one\n', ...files })) await s.files.write(`${path}/${name}`, data)
  await git.add(path)
  await git.commit(path, 'first')
  return path
}

before(async () => {
  s = await Sandbox.create({ timeoutMs: 600_000 })
  git = s.git
  await git.configureUser('Ada', 'ada@example.com')
  await s.files.write('/tmp/server.py', SERVER)
  await run('mkdir -p /tmp/served /tmp/work')
  await s.commands.run('git daemon --base-path=/tmp/served --export-all --enable=receive-pack --reuseaddr --listen=127.0.0.1 --port=9418', { background: true, timeoutMs: 0 })
  await s.commands.run('python3 /tmp/server.py', { background: true, timeoutMs: 0 })
  const path = await repo({ 'b.txt': 'b\n' })
  await run(`git clone -q --bare ${path} /tmp/served/repo.git && git -C /tmp/served/repo.git config http.receivepack true && git -C /tmp/served/repo.git branch other`)
  await until(() => run(`git ls-remote ${PLAIN} >/dev/null && curl -s -o /dev/null http://127.0.0.1:9419/`).then(() => true), 15_000, 'both servers answer')
})
after(async () => { await s.kill() })

test('init: the branch, bare', async () => {
  const [plain, bare] = [place(), place()]
  await git.init(plain, { initialBranch: 'trunk' })
  await git.init(bare, { bare: true })
  assert.equal(await run(`git -C ${plain} symbolic-ref HEAD; git -C ${bare} rev-parse --is-bare-repository`), 'refs/heads/trunk\ntrue')
})

test('add, status and commit', async () => {
  const path = await repo({ 'gone.txt': 'x', 'old.txt': 'a long enough text to be found again\n' })
  assert.deepEqual([(await git.status(path)).isClean, (await git.status(path)).currentBranch], [true, 'main'])
  await run(`cd ${path} && echo two >> a.txt && rm gone.txt && git mv old.txt new.txt && echo n > untracked`)
  const st = await git.status(path)
  const labels = Object.fromEntries(st.fileStatus.map((f) => [f.name, f.status]))
  assert.deepEqual(labels, { 'a.txt': 'modified', 'gone.txt': 'deleted', 'new.txt': 'renamed', untracked: 'untracked' })
  assert.equal(st.fileStatus.find((f) => f.name === 'new.txt').renamedFrom, 'old.txt')
  assert.deepEqual([st.isClean, st.hasStaged, st.hasUntracked, st.stagedCount, st.untrackedCount], [false, true, true, 1, 1])
  await git.add(path, { files: ['a.txt'] })
  assert.equal((await git.status(path)).stagedCount, 2)
  await git.add(path, { all: false })
  await git.commit(path, "a message with 'quotes' and $dollars", { authorName: 'Bob', authorEmail: 'bob@example.com' })
  assert.equal(await run(`git -C ${path} log -1 --format='%an %ae %s'`), "Bob bob@example.com a message with 'quotes' and $dollars")
  await assert.rejects(git.commit(path, 'nothing'), CommandExitError)
  await git.commit(path, 'nothing', { allowEmpty: true })
  assert.equal(await run(`git -C ${path} rev-list --count HEAD`), '3')
})

test('a conflict is a status of its own', async () => {
  const path = await repo()
  await git.createBranch(path, 'side')
  await run(`cd ${path} && echo side > a.txt && git commit -qam side && git checkout -q main && echo main > a.txt && git commit -qam main && git merge side || true`)
  const st = await git.status(path)
  assert.deepEqual([st.hasConflicts, st.conflictCount, st.fileStatus[0].status], [true, 1, 'conflict'])
})

test('branches', async () => {
  const path = await repo()
  await git.createBranch(path, 'feature/x')
  assert.deepEqual(await git.branches(path), { branches: ['feature/x', 'main'], currentBranch: 'feature/x' })
  await git.commit(path, 'more', { allowEmpty: true })
  await git.checkoutBranch(path, 'main')
  assert.equal((await git.branches(path)).currentBranch, 'main')
  await assert.rejects(git.deleteBranch(path, 'feature/x'), CommandExitError) // not merged
  await git.deleteBranch(path, 'feature/x', { force: true })
  assert.deepEqual((await git.branches(path)).branches, ['main'])
  await assert.rejects(git.checkoutBranch(path, 'none'), CommandExitError)
  await run(`git -C ${path} checkout -q --detach`)
  assert.equal((await git.status(path)).detached, true)
})

test('reset and restore', async () => {
  const path = await repo()
  const a = () => run(`cat ${path}/a.txt`)
  await run(`echo two > ${path}/a.txt`)
  await git.add(path)
  await git.reset(path, { paths: ['a.txt'] })
  assert.deepEqual([(await git.status(path)).hasStaged, await a()], [false, 'two'])
  await git.restore(path, { paths: ['a.txt'] })
  assert.equal(await a(), 'one')
  await run(`echo three > ${path}/a.txt`)
  await git.add(path)
  await git.restore(path, { paths: ['a.txt'], staged: true })
  assert.deepEqual([(await git.status(path)).hasStaged, await a()], [false, 'three'])
  await run(`git -C ${path} commit -qam three`)
  await git.restore(path, { paths: ['a.txt'], source: 'HEAD~1', staged: true, worktree: true })
  assert.equal(await a(), 'one')
  await git.reset(path, { mode: 'hard', target: 'HEAD~1' })
  assert.equal((await git.status(path)).isClean, true)
  for (const mode of ['soft', 'mixed', 'merge', 'keep']) await git.reset(path, { mode })
  await assert.rejects(git.reset(path, { mode: 'gentle' }), InvalidArgumentError)
  await assert.rejects(git.restore(path, { paths: [] }), InvalidArgumentError)
  await assert.rejects(git.restore(path, { paths: ['a.txt'], staged: false, worktree: false }), InvalidArgumentError)
})

test('remotes', async () => {
  const path = await repo()
  assert.equal(await git.remoteGet(path, 'origin'), undefined)
  await git.remoteAdd(path, 'origin', 'git://127.0.0.1/none.git')
  await assert.rejects(git.remoteAdd(path, 'origin', PLAIN), CommandExitError)
  await git.remoteAdd(path, 'origin', PLAIN, { overwrite: true, fetch: true })
  assert.equal(await git.remoteGet(path, 'origin'), PLAIN)
  assert.match(await run(`git -C ${path} branch -r`), /origin\/other/)
  await assert.rejects(git.remoteAdd(path, '', PLAIN), InvalidArgumentError)
  await assert.rejects(git.remoteGet(path, ''), InvalidArgumentError)
})

test('config in its scopes', async () => {
  const path = await repo()
  await git.setConfig('pull.rebase', 'false')
  await git.setConfig('belljar.here', 'yes', { scope: 'local', path })
  await git.setConfig('belljar.there', 'yes', { scope: 'system', user: 'root' })
  assert.equal(await git.getConfig('pull.rebase'), 'false')
  assert.equal(await git.getConfig('belljar.here', { scope: 'local', path }), 'yes')
  assert.equal(await git.getConfig('belljar.there', { scope: 'system' }), 'yes')
  assert.equal(await git.getConfig('belljar.here'), undefined)
  await git.configureUser('Local', 'local@example.com', { scope: 'local', path })
  assert.equal(await run(`git -C ${path} config user.name`), 'Local')
  await assert.rejects(git.setConfig('', 'x'), InvalidArgumentError)
  await assert.rejects(git.setConfig('a.b', 'x', { scope: 'local' }), InvalidArgumentError)
  await assert.rejects(git.configureUser('', ''), InvalidArgumentError)
})

test('clone, push and pull by git daemon; ahead and behind', async () => {
  const [one, two] = [place(), place()]
  await git.clone(PLAIN, { path: one })
  await git.clone(PLAIN, { path: two, branch: 'main', depth: 1, cwd: '/tmp/work' })
  assert.deepEqual((await git.branches(two)).branches, ['main'])
  await s.files.write(`${one}/pushed`, 'x')
  await git.add(one)
  await git.commit(one, 'pushed')
  const ahead = await git.status(one)
  assert.deepEqual([ahead.upstream, ahead.ahead, ahead.behind], ['origin/main', 1, 0])
  await git.push(one)
  await run(`git -C ${two} fetch -q`)
  assert.equal((await git.status(two)).behind, 1)
  await git.pull(two)
  assert.equal(await s.files.read(`${two}/pushed`), 'x')
  await git.createBranch(one, 'topic')
  await git.commit(one, 'topic', { allowEmpty: true })
  await assert.rejects(git.pull(one), GitUpstreamError)
  await assert.rejects(git.push(one, { setUpstream: false }), GitUpstreamError)
  await git.push(one, { remote: 'origin', branch: 'topic', setUpstream: true })
  assert.equal((await git.status(one)).upstream, 'origin/topic')
  await git.pull(one, { remote: 'origin', branch: 'main' })
  await assert.rejects(git.clone('git://127.0.0.1:9418/none.git', { path: place() }), GitAuthError) // the daemon says "access denied"
  await assert.rejects(git.clone('git://127.0.0.1:1/none.git', { path: place() }), CommandExitError)
})

test('passwords: asked for, given, wrong, not left behind', async () => {
  const wrong = [{}, { username: 'ada', password: 'wrong' }]
  for (const opts of wrong) await assert.rejects(git.clone(LOCKED, { path: place(), ...opts }), GitAuthError)
  await assert.rejects(git.clone(LOCKED, { path: place(), password: 'secret' }), InvalidArgumentError)
  const ada = { username: 'ada', password: 'secret' }, path = place(), kept = place()
  await git.clone(LOCKED, { path, ...ada })
  assert.equal(await git.remoteGet(path, 'origin'), LOCKED)
  await git.clone(LOCKED, { path: kept, ...ada, dangerouslyStoreCredentials: true })
  assert.match(await git.remoteGet(kept, 'origin'), /ada:secret@/)
  await git.commit(path, 'by ada', { allowEmpty: true })
  await assert.rejects(git.push(path), GitAuthError)
  await assert.rejects(git.push(path, { password: 'secret' }), InvalidArgumentError)
  await git.push(path, ada)
  assert.equal(await git.remoteGet(path, 'origin'), LOCKED)
  await assert.rejects(git.pull(path), GitAuthError)
  await assert.rejects(git.pull(path, { password: 'secret' }), InvalidArgumentError)
  await git.pull(path, ada)
  await git.remoteAdd(path, 'second', PLAIN)
  await assert.rejects(git.push(path, ada), InvalidArgumentError) // which of the two?
  await assert.rejects(git.dangerouslyAuthenticate({ username: 'ada', password: '' }), InvalidArgumentError)
  await git.dangerouslyAuthenticate({ ...ada, host: '127.0.0.1:9419', protocol: 'http' })
  await git.pull(path, { remote: 'origin', branch: 'main' })
})

test('options of every command: user, cwd, environment, time', async () => {
  const path = place()
  await git.init(path, { user: 'root' })
  assert.equal(await run(`stat -c %U ${path}`), 'root')
  await git.init('relative', { cwd: '/tmp/work' })
  assert.equal(await s.files.exists('/tmp/work/relative/.git'), true)
  const own = await repo()
  await git.commit(own, 'dated', { allowEmpty: true, envs: { GIT_AUTHOR_DATE: '2001-02-03T04:05:06Z' } })
  assert.equal(await run(`git -C ${own} log -1 --format=%ad --date=format:%Y`), '2001')
})
