// The server under test, seen from the host: its processes, and ending and restarting them.
import fs from 'node:fs'
import { execFileSync, spawn } from 'node:child_process'
import path from 'node:path'
import { until } from './until.mjs'

export { until }

export const state = process.env.BELLJAR_STATE
export const bin = process.env.BELLJAR_BIN

const read = (file) => { try { return fs.readFileSync(file, 'latin1') } catch { return '' } }

// pids of our programs called `name` (belljar, belljar-control ...) that belong to this state
export function pids(name) {
  const manager = Number(execFileSync('sh', ['-c',
    // F_GETLK through flock's table: the manager holds a lock on $STATE/lock
    `ino=$(stat -c %i "$1/lock"); awk -v i=":$ino " '$6 ~ i || $0 ~ i {print $5; exit}' /proc/locks`, 'sh', state]).toString().trim() || 0)
  if (name === 'belljar') return manager ? [manager] : []
  // whose child it is first: the command line of what forks all the time (a fork bomb) is long in coming
  return fs.readdirSync('/proc').filter((p) => /^\d+$/.test(p) && Number(read(`/proc/${p}/stat`).split(') ')[1]?.split(' ')[1]) === manager)
    .filter((p) => { const argv = read(`/proc/${p}/cmdline`).split('\0'); return argv[0] === name && argv.some((a) => a.startsWith(state)) }).map(Number)
}

// kill -9 of a service; resolves when the manager has started another
export async function murder(name) {
  const before = pids(name)
  if (!before.length) throw new Error(`no ${name} runs`)
  for (const p of before) process.kill(p, 'SIGKILL')
  await until(() => { const now = pids(name); return now.length === before.length && now.every((p) => !before.includes(p)) }, 10_000, `${name} restarted`)
}

export async function murderManager() {
  const [pid] = pids('belljar')
  process.kill(pid, 'SIGKILL')
  await until(() => pids('belljar')[0] !== pid, 5000, 'manager ended')
  const log = fs.openSync(path.join(state, 'log/server.log'), 'a')
  spawn(path.join(bin, 'belljar'), ['serve'], { stdio: ['ignore', log, log], detached: true }).unref()
  fs.closeSync(log)
  await until(() => pids('belljar-control').length, 5000, 'manager started')
}

export async function ready() {
  await until(async () => (await fetch(process.env.E2B_API_URL + '/health')).ok, 10_000, 'API answers')
}
