// Control dies before its n-th write to the journal, and before its n-th message to engine or edges,
// for every n of each story in the lives of sandboxes. Whatever the client heard, what is there
// afterwards works, and nothing is left of the rest: no sandbox, no disk, no layer, no record.
import test from 'node:test'
import assert from 'node:assert/strict'
import crypto from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { spawn } from 'node:child_process'
import { Sandbox } from 'e2b'
import { pids, ready, state, until } from '../lib/server.mjs'

const run = crypto.randomBytes(4).toString('hex')

// strace kills the process on its way into the n-th such system call
async function dieBefore(call, n) {
  const [pid] = pids('belljar-control')
  const p = spawn('strace', ['-f', '-p', String(pid), '-e', `trace=${call}`, '-e', `inject=${call}:signal=KILL:when=${n}`, '-o', '/dev/null'], { stdio: ['ignore', 'ignore', 'pipe'] })
  let said = ''
  p.stderr.on('data', (d) => { said += d })
  await until(() => /attached/.test(said), 5000, 'strace attached')
  const ended = new Promise((ok) => p.on('exit', ok))
  return {
    pid,
    async stop(died) {
      if (died) await until(() => !pids('belljar-control').includes(pid), 10_000, 'control died')
      else p.kill('SIGINT')
      await ended
    },
  }
}

const create = (metadata, template = 'base') => Sandbox.create(template, { timeoutMs: 60_000, metadata })
const stories = {
  'create, pause, resume, kill': async (metadata) => {
    const s = await create(metadata)
    await s.pause()
    await Sandbox.connect(s.sandboxId, { timeoutMs: 60_000 })
    await s.kill()
  },
  'stop, cold resume, kill': async (metadata) => {
    const s = await create(metadata)
    await s.files.write('/home/user/kept', metadata.crash)
    await s.pause({ keepMemory: false })
    await Sandbox.connect(s.sandboxId, { timeoutMs: 60_000 })
    await s.kill()
  },
  'snapshot, create from it, delete it': async (metadata) => {
    const s = await create(metadata)
    const { snapshotId } = await s.createSnapshot({ name: metadata.crash })
    const t = await create(metadata, snapshotId)
    await Sandbox.deleteSnapshot(snapshotId)
    await Promise.all([s.kill(), t.kill()])
  },
  fork: async (metadata) => {
    const s = await create(metadata)
    const children = await s.fork({ count: 2 })
    await Promise.all([s, ...children].map((c) => c.kill()))
  },
  'claim of one started ahead': async (metadata) => {
    const s = await create(metadata, warm)
    await s.kill()
  },
}

const mine = async (metadata) => {
  const p = Sandbox.list({ query: { metadata } })
  const out = []
  while (p.hasNext) out.push(...(await p.nextItems()))
  return out
}
const names = (dir, pattern = /./) => fs.existsSync(`${state}/${dir}`) ? fs.readdirSync(`${state}/${dir}`).filter((n) => pattern.test(n)) : []
// what the engine holds for clients: sandboxes that run, disks that are kept, layers
const held = () => [...names('run/s', /^i/), ...names('kept', /^i/), ...names('layers', /^l[a-z0-9]{19}/)]

// a template with a start command, so that sandboxes are started ahead
const warm = `crash-${run}`
const dir = path.join(state, 'templates', warm)
fs.mkdirSync(dir, { recursive: true, mode: 0o755 })
fs.symlinkSync(fs.realpathSync(path.join(state, 'templates/base/rootfs')), `${dir}/rootfs`)
fs.writeFileSync(`${dir}/template.json`, JSON.stringify({ startCmd: 'sleep 1000', readyCmd: 'true' }))
test.after(() => fs.rmSync(dir, { recursive: true, force: true }))
const api = async (path) => (await fetch(process.env.E2B_API_URL + path, { headers: { 'X-API-KEY': process.env.E2B_API_KEY } })).json()
async function oneIsReady() {
  const ready = async () => (await api('/belljar/status')).warm.find((w) => w.templateID === warm)?.ready > 0
  if (await ready()) return
  await (await create({}, warm)).kill()
  await until(ready, 15_000, 'one is started ahead')
}

// what is left of the story works and can be ended
async function clean(metadata, what) {
  await until(async () => {
    for (const i of await mine(metadata)) {
      const s = await Sandbox.connect(i.sandboxId, { timeoutMs: 60_000 })
      assert.equal((await s.commands.run('echo there')).stdout, 'there\n')
      assert.equal(await s.kill(), true)
    }
    const p = Sandbox.listSnapshots({ name: metadata.crash })
    while (p.hasNext)
      for (const n of await p.nextItems()) {
        const s = await create(metadata, n.snapshotId)
        assert.equal((await s.commands.run('echo there')).stdout, 'there\n')
        await Promise.all([s.kill(), Sandbox.deleteSnapshot(n.snapshotId)])
      }
    return (await mine(metadata)).length === 0
  }, 20_000, `${what}: what is left works and can be killed`)
}

for (const [name, story] of Object.entries(stories)) for (const call of ['pwrite64', 'sendmsg']) {
  test(`${name}: control dies before each ${call}`, async () => {
    const before = held()
    let n = 1
    for (; n < 100; n++) {
      const metadata = { crash: `${run}-${call}-${n}` }
      const what = `${name}, ${call} ${n}`
      if (name.startsWith('claim')) await oneIsReady()
      const killer = await dieBefore(call, n)
      const died = await story(metadata).then(() => false, () => true)
      await killer.stop(died)
      if (died) await until(() => pids('belljar-control').some((p) => p !== killer.pid), 10_000, 'control restarted')
      await ready()
      await clean(metadata, what)
      await until(() => held().every((h) => before.includes(h)), 20_000, `${what}: the engine holds nothing more`)
      if (!died) break // n is behind the end of the story
    }
    console.log(`# ${name}: ${n - 1} crashes before ${call}`)
    assert.ok(n > 3 && n < 100, `${n - 1} crashes`)
  })
}
