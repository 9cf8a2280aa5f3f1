// What a sandbox uses, through the SDK (core.md 2.7): the first sample comes within seconds.
import test from 'node:test'
import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { Sandbox } from 'e2b'

test('metrics of a running sandbox', async () => {
  const s = await Sandbox.create({ timeoutMs: 60_000 })
  try {
    let all = []
    for (let i = 0; i < 100 && !all.length; i++) {
      all = await s.getMetrics()
      if (!all.length) await sleep(200)
    }
    assert.ok(all.length, 'no sample within 20 s')
    const m = all[0]
    assert.ok(m.timestamp instanceof Date && Math.abs(m.timestamp - Date.now()) < 30_000)
    assert.ok(m.cpuCount >= 1 && m.cpuUsedPct >= 0 && m.cpuUsedPct <= 100)
    assert.ok(m.memTotal > 0 && m.memUsed <= m.memTotal && m.diskTotal > 0)
    assert.deepEqual(await Sandbox.getMetrics(s.sandboxId, { start: new Date(0), end: new Date(1000) }), [])
    const r = await fetch(`${process.env.E2B_API_URL}/sandboxes/metrics?sandbox_ids=${s.sandboxId},iunknown`, { headers: { 'X-API-KEY': process.env.E2B_API_KEY } })
    assert.deepEqual(Object.keys((await r.json()).sandboxes), [s.sandboxId])
  } finally {
    await s.kill()
  }
  await assert.rejects(Sandbox.getMetrics(s.sandboxId), /not found|404|doesn't exist/)
})
