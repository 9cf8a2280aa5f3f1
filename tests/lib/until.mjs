// Waiting for something to become true.
import { setTimeout as sleep } from 'node:timers/promises'

export async function until(fn, ms, what) {
  const end = Date.now() + ms
  let last
  while (Date.now() < end) {
    try { last = await fn(); if (last) return last } catch (e) { last = e }
    await sleep(20)
  }
  throw new Error(`${what}: not within ${ms} ms (last: ${last?.message ?? last})`)
}
