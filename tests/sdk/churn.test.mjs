// A short churn (see churn.mjs): some hundred sandboxes, used, paused, captured, while every process of
// the server is killed in turn. `make churn` does ten thousand.
import test from 'node:test'
import assert from 'node:assert/strict'
import path from 'node:path'
import { spawnSync } from 'node:child_process'

test('300 lives with kills of every process leave nothing', () => {
  const r = spawnSync('node', [path.join(import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname), 'churn.mjs'), '300'], { encoding: 'utf8' })
  console.log(r.stdout.replace(/^/gm, '    ') + r.stderr)
  assert.equal(r.status, 0)
  assert.match(r.stdout, /300 lives/)
})
