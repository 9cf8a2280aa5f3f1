// Loaded before every test file: a test that waits for what never comes ends its file, and says its name, instead of the whole run.
import { afterEach, beforeEach } from 'node:test'

const LIMIT_S = 300
const clocks = new Map()

beforeEach((t) => {
  clocks.set(t.fullName ?? t.name, setTimeout(() => {
    console.log(`\nFAIL ${t.name}: not over after ${LIMIT_S} s`)
    process.exit(1)
  }, LIMIT_S * 1000))
})
afterEach((t) => clearTimeout(clocks.get(t.fullName ?? t.name)))
