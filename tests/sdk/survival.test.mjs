// A sandbox outlives control, edge, engine and manager (design.md): kill -9 of each, in any order,
// and the same SDK object works on, with the same processes inside.
import test from 'node:test'
import assert from 'node:assert/strict'
import { Sandbox } from 'e2b'
import { murder, murderManager, ready, until } from '../lib/server.mjs'

const victims = {
  control: () => murder('belljar-control'),
  edge: () => murder('belljar-edge'),
  engine: () => murder('belljar-engine'),
  manager: murderManager,
}
const orders = [['control'], ['edge'], ['engine'], ['manager'],
  ['edge', 'engine', 'control'], ['control', 'engine', 'edge'], ['engine', 'manager', 'control']]

for (const order of orders) {
  test(`survives kill -9 of ${order.join(', ')}`, async () => {
    const s = await Sandbox.create({ timeoutMs: 120_000, envs: { KEPT: 'yes' } })
    try {
      await s.commands.run('echo before > ~/file; cat /proc/sys/kernel/random/boot_id > ~/boot')
      const h = await s.commands.run('sleep 1000', { background: true })
      for (const v of order) await victims[v]()
      await ready()
      await until(async () => s.isRunning(), 10_000, 'the edge knows the sandbox again')
      const r = await s.commands.run(`cat ~/file; echo $KEPT; kill -0 ${h.pid} && echo alive; cmp ~/boot /proc/sys/kernel/random/boot_id && echo same`)
      assert.equal(r.stdout, 'before\nyes\nalive\nsame\n')
      assert.ok((await s.commands.list()).some((p) => p.pid === h.pid), 'the command is still listed')
      assert.equal((await s.getInfo()).state, 'running')
      const t = await Sandbox.create({ timeoutMs: 60_000 })
      assert.equal((await t.commands.run('echo new')).stdout, 'new\n')
      assert.equal(await t.kill(), true)
    } finally {
      assert.equal(await s.kill(), true)
    }
    assert.equal(await s.isRunning(), false)
  })
}
