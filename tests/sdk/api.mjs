// The control API over plain HTTP, for what the SDK hides, and sandboxes that are ended afterwards.
import test from 'node:test'
import crypto from 'node:crypto'
import { Sandbox } from 'e2b'

export const run = crypto.randomBytes(4).toString('hex')
const made = new Set()
export const keep = (s) => { made.add(s.sandboxId ?? s.sandboxID); return s }
export const create = async (template = 'base', opts = {}) =>
  keep(await Sandbox.create(template, { timeoutMs: 300_000, ...opts, metadata: { run, ...opts.metadata } }))
test.after(async () => { await Promise.allSettled([...made].map((id) => Sandbox.kill(id))) })

export async function http(method, path, body, headers = {}, signal) {
  const r = await fetch(process.env.E2B_API_URL + path, {
    method,
    headers: { 'X-API-KEY': process.env.E2B_API_KEY, ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
    signal,
  })
  const text = await r.text()
  return { status: r.status, headers: r.headers, body: text ? JSON.parse(text) : undefined }
}
export const info = async (id) => (await http('GET', `/sandboxes/${id}`)).body
export const all = async (paginator) => {
  const out = []
  while (paginator.hasNext) out.push(...(await paginator.nextItems()))
  return out
}
export const sh = async (s, cmd) => (await s.commands.run(cmd)).stdout.trim()
