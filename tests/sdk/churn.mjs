// churn COUNT: creates, uses and ends so many sandboxes, with pauses, disks, snapshots and forks in
// between, and kills of every process of the server, ever and again. Prints what the host holds
// before and after as 'NAME BEFORE AFTER', and fails when anything is left.
import crypto from 'node:crypto'
import fs from 'node:fs'
import path from 'node:path'
import { execFileSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { Sandbox } from 'e2b'
import { murder, murderManager, pids, ready, state, until } from '../lib/server.mjs'

const count = Number(process.argv[2] ?? 10_000)
const workers = 4
const run = crypto.randomBytes(4).toString('hex')
const metadata = { churn: run }
const chance = (one) => Math.random() < 1 / one

// -- what the host holds --

const services = () => ['belljar', 'belljar-control', 'belljar-engine', 'belljar-edge'].flatMap(pids)
const prefix = () => `bj${fs.readFileSync(`${state}/instance`, 'utf8').trim()}`

function census() {
  const c = {}
  const server = services()
  const group = `/belljar-${prefix()}/`
  const inside = (p) => { try { return fs.readFileSync(`/proc/${p}/cgroup`, 'utf8').includes(group) } catch { return false } }
  const procs = fs.readdirSync('/proc').filter((p) => /^\d+$/.test(p) && inside(p))
  c['processes in sandboxes'] = procs.length
  c['processes of the server'] = server.length
  c['mounts of the engine'] = Math.max(...pids('belljar-engine').map((p) => fs.readFileSync(`/proc/${p}/mountinfo`, 'utf8').split('\n').length))
  c['mounts of the host'] = fs.readFileSync('/proc/self/mountinfo', 'utf8').split('\n').length
  c.cgroups = Number(execFileSync('sh', ['-c', `find /sys/fs/cgroup -type d -path "*${group}*" | wc -l`]).toString())
  const spaces = new Set()
  for (const p of procs) for (const kind of ['net', 'mnt', 'pid', 'user', 'ipc', 'uts']) try { spaces.add(fs.readlinkSync(`/proc/${p}/ns/${kind}`)) } catch { /* gone */ }
  c['namespaces of sandboxes'] = spaces.size
  c['network devices'] = fs.readdirSync('/sys/class/net').filter((n) => n.startsWith(prefix())).length
  c['loop devices'] = execFileSync('losetup', ['-l', '-n', '-O', 'BACK-FILE']).toString().split('\n').filter((l) => l.includes(`${state}/`)).length
  c['descriptors of services'] = server.map((p) => fs.readdirSync(`/proc/${p}/fd`).length).reduce((a, b) => a + b, 0)
  c['sandboxes in run/s'] = fs.readdirSync(`${state}/run/s`).length
  for (const d of ['layers', 'kept']) c[`files in ${d}`] = fs.existsSync(`${state}/${d}`) ? fs.readdirSync(`${state}/${d}`).length : 0
  c['disk, MiB'] = Math.round(Number(execFileSync('du', ['-sx', '--block-size=1024', '--exclude=log', state]).toString().split('\t')[0]) / 1024)
  const pss = server.map((p) => Number(/^Pss:\s+(\d+)/m.exec(fs.readFileSync(`/proc/${p}/smaps_rollup`, 'utf8'))?.[1] ?? 0))
  c['memory of services, MiB'] = Math.round(pss.reduce((a, b) => a + b, 0) / 1024)
  execFileSync('sync')
  fs.writeFileSync('/proc/sys/vm/drop_caches', '3') // ended memory groups live on while a page of a cache is charged to them
  c['memory of the kernel, MiB'] = Math.round(['SUnreclaim', 'PageTables', 'KernelStack', 'Percpu'].map((k) => Number(new RegExp(`^${k}:\\s+(\\d+)`, 'm').exec(fs.readFileSync('/proc/meminfo', 'utf8'))[1])).reduce((a, b) => a + b, 0) / 1024)
  return c
}
// pools are refilled and caches grow at first use: how much more afterwards is no leak
const slack = (n) => ({
  'processes in sandboxes': 0, 'processes of the server': 2, 'mounts of the engine': 40, 'mounts of the host': 4, cgroups: 200, 'namespaces of sandboxes': 0,
  'network devices': 40, 'loop devices': 40, 'descriptors of services': 200, 'sandboxes in run/s': 0, 'files in layers': 0, 'files in kept': 0,
  'disk, MiB': 200, 'memory of services, MiB': 30, 'memory of the kernel, MiB': 150,
})[n]

// -- lives --

let done = 0, begun = 0
const failures = {}
async function life() {
  const s = await Sandbox.create({ timeoutMs: 120_000, metadata })
  if (chance(2)) await s.commands.run('head -c 200000 /dev/urandom > f; sha256sum f')
  if (chance(4)) { await s.pause(); await Sandbox.connect(s.sandboxId) }
  if (chance(12)) { await s.pause({ keepMemory: false }); await Sandbox.connect(s.sandboxId) }
  if (chance(12)) {
    const { snapshotId } = await s.createSnapshot()
    const t = await Sandbox.create(snapshotId, { timeoutMs: 120_000, metadata })
    await Sandbox.deleteSnapshot(snapshotId)
    await t.kill()
  }
  if (chance(20)) await Promise.all((await s.fork()).map((f) => f.kill()))
  if (chance(20)) await s.pause()
  await s.kill()
}
async function worker() {
  while (begun < count) {
    begun++
    try { await life() } catch (e) { const k = String(e.message).slice(0, 60); failures[k] = (failures[k] ?? 0) + 1 }
    done++
  }
}
let over = false
const kills = { 'belljar-control': 0, 'belljar-edge': 0, 'belljar-engine': 0, belljar: 0 }
async function reaper() {
  const order = ['belljar-control', 'belljar-engine', 'belljar-edge', 'belljar-engine', 'belljar-control', 'belljar']
  for (let i = 0; !over; i++) {
    await sleep(200 + Math.random() * 1000)
    const who = order[i % order.length]
    if (over) break
    try { await (who === 'belljar' ? murderManager() : murder(who)); kills[who]++; await ready() } catch (e) { console.log(`# ${who}: ${e.message}`) }
  }
}
async function end(filter) {
  const p = Sandbox.list({ query: { metadata: filter } })
  while (p.hasNext) await Promise.all((await p.nextItems()).map((i) => Sandbox.kill(i.sandboxId)))
}

for (let i = 0; i < 20; i++) await life() // pools and caches as they are in use
await sleep(2000)
const before = census()
const start = Date.now()
const reaping = reaper()
await Promise.all(Array.from({ length: workers }, worker))
over = true
await reaping
await ready()
await until(async () => { await end(metadata); const p = Sandbox.list({ query: { metadata } }); return (await p.nextItems()).length === 0 }, 30_000, 'the rest is ended')
for (const p = Sandbox.listSnapshots(); p.hasNext;) for (const n of await p.nextItems()) if (n.names.length === 0) await Sandbox.deleteSnapshot(n.snapshotId)
await until(() => fs.readdirSync(`${state}/run/s`).length <= before['sandboxes in run/s'], 30_000, 'the engine holds nothing of it').catch((e) => console.log(`# ${e.message}`))
await sleep(3000)
const after = census()
console.log(`# ${done} lives in ${Math.round((Date.now() - start) / 1000)} s; killed ${JSON.stringify(kills)}; interrupted ${JSON.stringify(failures)}`)
let bad = 0
for (const [n, was] of Object.entries(before)) {
  const good = after[n] <= was + slack(n)
  console.log(`${good ? 'ok' : 'FAIL'} ${n}: ${was} before, ${after[n]} after`)
  bad += !good
}
process.exit(bad ? 1 : 0)
