// Waiting for something to become true. `ms` is more than it takes on a quiet machine; a busy one is not wrong for that.
import { setTimeout as sleep } from 'node:timers/promises'

const PATIENCE = 5

export async function until(fn, ms, what) {
  const end = Date.now() + ms * PATIENCE
  let last
  while (Date.now() < end) {
    try { last = await fn(); if (last) return last } catch (e) { last = e }
    await sleep(20)
  }
  throw new Error(`${what}: not within ${ms * PATIENCE} ms (last: ${last?.message ?? last})`)
}
