// Control dies before its n-th write to the journal, and before its n-th message to engine or edges,
// for every n in the life of a sandbox: create, pause, resume, kill. Whatever the client heard, what
// is there afterwards works, and nothing is left of the rest.
import test from 'node:test'
import assert from 'node:assert/strict'
import crypto from 'node:crypto'
import fs from 'node:fs'
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

async function story(metadata) {
  const s = await Sandbox.create({ timeoutMs: 60_000, metadata })
  await s.pause()
  await Sandbox.connect(s.sandboxId, { timeoutMs: 60_000 })
  await s.kill()
}

const mine = async (metadata) => {
  const p = Sandbox.list({ query: { metadata } })
  const out = []
  while (p.hasNext) out.push(...(await p.nextItems()))
  return out
}
const held = () => fs.readdirSync(`${state}/run/s`).length

for (const call of ['pwrite64', 'sendmsg']) {
  test(`control dies before each ${call}`, async () => {
    const before = held()
    let n = 1
    for (; n < 100; n++) {
      const metadata = { crash: `${run}-${call}-${n}` }
      const killer = await dieBefore(call, n)
      const died = await story(metadata).then(() => false, () => true)
      await killer.stop(died)
      if (died) await until(() => pids('belljar-control').some((p) => p !== killer.pid), 10_000, 'control restarted')
      await ready()
      // operations under way are finished when the engine has been asked what it has
      await until(async () => {
        const l = await mine(metadata)
        for (const i of l) {
          const s = await Sandbox.connect(i.sandboxId, { timeoutMs: 60_000 })
          assert.equal((await s.commands.run('echo there')).stdout, 'there\n')
          assert.equal(await s.kill(), true)
        }
        return (await mine(metadata)).length === 0
      }, 20_000, `${call} ${n}: what is left works and can be killed`)
      await until(() => held() === before, 20_000, `${call} ${n}: the engine holds nothing more`)
      if (!died) break // n is behind the end of the story
    }
    assert.ok(n > 5 && n < 100, `${n - 1} crashes`)
  })
}
