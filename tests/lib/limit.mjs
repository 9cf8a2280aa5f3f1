// Loaded before every test file: a test, or what comes before the first, that waits for what never comes ends its file and says
// its name, instead of the whole run.
import { afterEach, beforeEach } from 'node:test'

const LIMIT_S = 300
const nameOf = (t) => t.fullName ?? t.name
const begin = (name) => setTimeout(() => {
  console.log(`\nFAIL ${name}: not over after ${LIMIT_S} s`)
  process.exit(1)
}, LIMIT_S * 1000)
const clocks = new Map()
const before = begin('what comes before the first test')

beforeEach((t) => {
  clearTimeout(before)
  clocks.set(nameOf(t), begin(t.name))
})
afterEach((t) => clearTimeout(clocks.get(nameOf(t))))
