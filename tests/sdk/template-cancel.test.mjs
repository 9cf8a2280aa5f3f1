// Builds that are cancelled, at every point of their way: an error with a known sentence, and nothing of
// them is left but the results of the steps they had done.
import test from 'node:test'
import assert from 'node:assert/strict'
import fs from 'node:fs'
import { Template } from 'e2b'
import { create, http, run, sh } from './api.mjs'
import { state, until } from '../lib/server.mjs'

const made = new Set()
const named = (n) => { const name = `cancel-${n}-${run}`; made.add(name); return name }
test.after(async () => { for (const n of made) await http('DELETE', `/templates/${n}`) })

const ask = async (name, tags) => {
  const r = await http('POST', '/v3/templates', { name, tags, cpuCount: 1, memoryMB: 512 })
  assert.equal(r.status, 202)
  return r.body
}
const at = (b) => `/templates/${b.templateID}/builds/${b.buildID}`
const steps = (...commands) => commands.map((c) => ({ type: 'RUN', args: [c] }))
const go = async (b, body) => assert.equal((await http('POST', `/v2${at(b)}`, { fromTemplate: 'base', ...body })).status, 202)
const cancel = (b, prefix = '') => http('POST', `${prefix}${at(b)}/cancel`)
const status = async (b) => (await http('GET', `${at(b)}/status`)).body
const says = (b, text) => until(async () => (await status(b)).logEntries.some((l) => l.message.includes(text)), 20_000, `the log says ${text}`)
const benches = () => fs.readdirSync(`${state}/run/s`).filter((n) => n.startsWith('b'))
const layers = () => fs.readdirSync(`${state}/layers`).sort().join()

// It has ended as a cancelled build does, and nothing of it can be found.
async function isOver(b, name) {
  const s = await status(b)
  assert.equal(s.status, 'error')
  assert.equal(s.reason.message, 'build was cancelled')
  assert.match(s.logEntries.at(-1).message, /build was cancelled$/)
  assert.equal(await Template.exists(name), false)
  assert.ok(!(await http('GET', '/templates')).body.some((t) => t.templateID === b.templateID))
  await assert.rejects(create(name), /404/)
  await until(() => benches().length === 0, 10_000, 'no sandbox is left')
}

test('one that waits; cancelled twice; then it cannot be started', async () => {
  const name = named('waits'), b = await ask(name)
  const r = await cancel(b)
  assert.deepEqual([r.status, r.body], [204, undefined])
  await isOver(b, name)
  const again = await cancel(b)
  assert.equal(again.status, 409)
  assert.match(again.body.message, /has ended already/)
  const late = await http('POST', `/v2${at(b)}`, { fromTemplate: 'base', steps: [] })
  assert.deepEqual([late.status, late.body.message], [400, 'build is not in waiting state'])
})

test('one whose step runs; its earlier steps are kept; another is made at once', async () => {
  const name = named('runs'), mark = `echo ${run} > /tmp/mark`
  const b = await ask(name)
  await go(b, { steps: steps(mark, 'sleep 600') })
  await says(b, 'RUN sleep 600')
  assert.equal((await cancel(b, '/v2')).status, 204)
  assert.equal((await status(b)).reason.step, '2')
  const next = await ask(name) // no waiting for what is being taken down
  await go(next, { steps: steps(mark, 'echo two >> /tmp/mark') })
  await until(async () => (await status(next)).status === 'ready', 30_000, 'it is ready')
  assert.ok((await status(next)).logEntries.some((l) => l.message.startsWith('CACHED [builder 1/2]')))
  assert.equal(await sh(await create(name), 'cat /tmp/mark'), `${run}\ntwo`)
  assert.equal((await status(b)).status, 'error')
  assert.equal((await cancel(b)).status, 409)
  const over = await cancel(next)
  assert.equal(over.status, 409)
  assert.equal((await status(next)).status, 'ready')
  await until(() => benches().length === 0, 10_000, 'no sandbox is left')
})

test('at any other point: nothing of it is left', async () => {
  const before = layers()
  for (const [point, body, text] of [
    ['opening', { steps: steps('true') }, undefined],
    ['running', { steps: steps('sleep 600') }, 'RUN sleep'],
    ['starting', { startCmd: 'sleep 600', readyCmd: 'false' }, 'Waiting for template to be ready'],
    ['pulling', { fromTemplate: undefined, fromImage: '127.0.0.1:9/nothing:1' }, undefined],
  ]) {
    const name = named(point), b = await ask(name)
    await go(b, { ...body, force: true })
    if (text) await says(b, text)
    const r = await cancel(b)
    assert.ok(r.status === 204 || (point === 'pulling' && r.status === 409), `${point}: ${r.status}`)
    if (r.status === 204) await isOver(b, name)
  }
  await until(() => layers() === before, 10_000, 'no layer is left').catch((e) => assert.fail(`${e.message}: ${layers()} was ${before}`))
  assert.deepEqual(fs.readdirSync(`${state}/run/s`).filter((n) => /^[bw]/.test(n)), [])
})

test('while a step becomes a layer: whichever came first, the next build has it right', async () => {
  const name = named('layer'), before = layers(), b = await ask(name)
  const body = { steps: steps(`head -c 64M /dev/urandom > /home/user/x; echo ${run} > /home/user/y`, 'sleep 600') }
  await go(b, body)
  await until(() => layers() !== before, 30_000, 'a layer is being made')
  assert.equal((await cancel(b)).status, 204)
  await isOver(b, name)
  const next = await ask(name)
  await go(next, { steps: [body.steps[0], ...steps('true')] })
  await until(async () => (await status(next)).status === 'ready', 30_000, 'it is ready')
  assert.equal(await sh(await create(name), 'stat -c %s x; cat y'), `${64 << 20}\n${run}`)
})

test('other builds go on: those of another tag', async () => {
  const name = named('others'), a = await ask(name, ['a']), other = await ask(name, ['b'])
  await go(a, { steps: steps('sleep 600') })
  await go(other, { steps: steps(`sleep 1 # ${run}`) })
  assert.equal((await cancel(a)).status, 204)
  await until(async () => (await status(other)).status === 'ready', 30_000, 'it is ready')
  assert.equal((await status(a)).reason.message, 'build was cancelled')
})

test('builds that are not there, and who may not', async () => {
  const name = named('unknown'), b = await ask(name), other = await ask(named('other'))
  const no = '00000000-0000-4000-8000-000000000000'
  for (const path of [`/templates/${b.templateID}/builds/${no}/cancel`, `/templates/${other.templateID}/builds/${b.buildID}/cancel`,
    `/templates/base/builds/${b.buildID}/cancel`, `/templates/${b.templateID}/builds/x/cancel`, `/templates/${'x'.repeat(200)}/builds/${b.buildID}/cancel`,
    `/templates/${b.templateID}/builds/%27/cancel`]) {
    const r = await http('POST', path)
    assert.equal(r.status, 404, path)
    assert.ok(r.body.message)
  }
  const stranger = await http('POST', `${at(b)}/cancel`, undefined, { 'X-API-KEY': `e2b_${'0'.repeat(40)}` })
  assert.equal(stranger.status, 401)
  assert.equal((await http('GET', `${at(b)}/cancel`)).status, 405)
  assert.equal((await status(b)).status, 'waiting')
  assert.equal((await cancel(b)).status, 204)
  assert.equal((await cancel(other)).status, 204)
})
