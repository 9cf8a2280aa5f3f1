// API keys that are made and revoked, and logins of command lines.
import test from 'node:test'
import assert from 'node:assert/strict'
import { Sandbox } from 'e2b'
import { murder, ready } from '../lib/server.mjs'
import { http, run } from './api.mjs'

const api = process.env.E2B_API_URL
const keys = async () => (await http('GET', '/api-keys')).body
const make = async (name) => (await http('POST', '/api-keys', { name })).body
const drop = (id) => http('DELETE', `/api-keys/${id}`)
const as = (key) => ({ 'X-API-KEY': key })
const list = async (key) => (await http('GET', '/v2/sandboxes', undefined, as(key))).status
const form = (path, fields, opts = {}) => fetch(api + path, { method: 'POST', redirect: 'manual', body: new URLSearchParams(fields), ...opts })
test.after(async () => { for (const k of await keys()) await drop(k.id) })

test('a key opens the API until it is revoked, also after a restart', async () => {
  const name = `robot-${run}`
  const r = await http('POST', '/api-keys', { name })
  assert.equal(r.status, 201)
  const { id, key, mask } = r.body
  assert.match(key, /^e2b_[0-9a-f]{40}$/)
  assert.deepEqual(mask, { prefix: 'e2b_', valueLength: 40, maskedValuePrefix: key.slice(4, 6), maskedValueSuffix: key.slice(-4) })
  const s = await Sandbox.create({ apiKey: key, timeoutMs: 30_000 })
  assert.equal((await s.commands.run('echo hi')).stdout, 'hi\n')
  assert.equal(await s.kill(), true)
  const listed = (await keys()).find((k) => k.id === id)
  assert.equal(listed.name, name)
  assert.equal(listed.key, undefined)
  assert.ok(!JSON.stringify(await keys()).includes(key))
  assert.ok(Date.parse(listed.lastUsed) >= Date.parse(listed.createdAt))
  await murder('belljar-control')
  await ready()
  assert.equal(await list(key), 200)
  const named = await http('PATCH', `/api-keys/${id}`, { name: 'other' })
  assert.deepEqual([named.status, named.body.name], [200, 'other'])
  assert.equal((await drop(id)).status, 204)
  assert.equal((await drop(id)).status, 404)
  assert.equal(await list(key), 401)
  await murder('belljar-control')
  await ready()
  assert.equal(await list(key), 401)
})

test('only the key of the server makes keys, and names are checked', async () => {
  const { id, key } = await make(`plain-${run}`)
  for (const [method, path, body] of [['GET', '/api-keys'], ['POST', '/api-keys', { name: 'x' }], ['DELETE', `/api-keys/${id}`], ['PATCH', `/api-keys/${id}`, { name: 'x' }]]) {
    const r = await http(method, path, body, as(key))
    assert.equal(r.status, 403, `${method} ${path}`)
    assert.match(r.body.message, /server's own key/)
  }
  for (const body of [{}, { name: '' }, { name: ' ' }, { name: 7 }, { name: 'a\nb' }, { name: 'x'.repeat(97) }])
    assert.equal((await http('POST', '/api-keys', body)).status, 400, JSON.stringify(body))
  assert.equal((await http('PATCH', `/api-keys/${id}`, {})).status, 400)
  assert.equal((await http('GET', '/api-keys', undefined, as('e2b_' + '0'.repeat(40)))).status, 401)
})

test('a login: page, form, token, team, refresh, revoke', async () => {
  const next = 'http://localhost:40123'
  const page = await fetch(`${api}/docs/api/cli?next=${encodeURIComponent(next)}&cliVersion=2.19.0`)
  assert.equal(page.status, 200)
  assert.match(page.headers.get('content-security-policy'), /frame-ancestors 'none'/)
  assert.match(await page.text(), /<input type=hidden name=next value="http:\/\/localhost:40123">/)
  const wrong = await form('/docs/api/cli', { next, key: 'e2b_' + '1'.repeat(40) })
  assert.equal(wrong.status, 401)
  assert.match(await wrong.text(), /has no such key/)
  const r = await form('/docs/api/cli', { next, key: process.env.E2B_API_KEY })
  assert.equal(r.status, 302)
  const to = new URL(r.headers.get('location'))
  assert.equal(to.origin, next)
  const q = Object.fromEntries(to.searchParams)
  assert.deepEqual([q.email, q.clientId, q.tokenEndpoint, q.revokeEndpoint], ['root@belljar', 'e2b-cli', `${api}/oauth/token`, `${api}/oauth/revoke`])
  const payload = JSON.parse(Buffer.from(q.accessToken.split('.')[1], 'base64url'))
  assert.ok(payload.exp > Date.now() / 1000 + 600)
  const teams = (token) => fetch(`${api}/teams`, { headers: { Authorization: `Bearer ${token}` } })
  const [team] = await (await teams(q.accessToken)).json()
  assert.equal(team.isDefault, true)
  assert.equal(await list(team.apiKey), 200)
  assert.equal((await http('GET', `/templates?teamID=${team.teamID}`, undefined, as(team.apiKey))).status, 200)
  const other = await http('GET', '/templates?teamID=0b5ba3b5-0000-4000-8000-000000000000', undefined, as(team.apiKey))
  assert.deepEqual([other.status, other.body.message], [400, 'Team ID param mismatch with the API key'])
  // a login has one key: the next call renews it
  const [again] = await (await teams(q.accessToken)).json()
  assert.equal(again.teamID, team.teamID)
  assert.deepEqual([await list(team.apiKey), await list(again.apiKey)], [401, 200])
  assert.equal(await list(q.refreshToken), 401, 'a refresh token is no key')
  const fresh = await (await form('/oauth/token', { grant_type: 'refresh_token', refresh_token: q.refreshToken, client_id: q.clientId })).json()
  assert.equal((await teams(fresh.access_token)).status, 200)
  const bad = await form('/oauth/token', { grant_type: 'refresh_token', refresh_token: again.apiKey })
  assert.deepEqual([bad.status, (await bad.json()).error], [400, 'invalid_grant'])
  assert.equal((await (await form('/oauth/token', { grant_type: 'password' })).json()).error, 'unsupported_grant_type')
  const [last] = await (await teams(fresh.access_token)).json()
  assert.equal((await form('/oauth/revoke', { token: q.refreshToken, token_type_hint: 'refresh_token' })).status, 200)
  assert.equal((await teams(fresh.access_token)).status, 401)
  assert.equal(await list(last.apiKey), 401)
})

test('a login ends with the key that it was made with', async () => {
  const { id, key } = await make(`person-${run}`)
  const r = await form('/docs/api/cli', { next: 'http://127.0.0.1:4012/', key })
  const q = new URL(r.headers.get('location')).searchParams
  assert.equal(q.get('email'), `person-${run}@belljar`)
  const [team] = await (await fetch(`${api}/teams`, { headers: { Authorization: `Bearer ${q.get('accessToken')}` } })).json()
  assert.equal(await list(team.apiKey), 200)
  await drop(id)
  assert.equal(await list(team.apiKey), 401)
})

test('tokens that are forged, and pages that would lead elsewhere', async () => {
  const r = await form('/docs/api/cli', { next: 'http://localhost:40123', key: process.env.E2B_API_KEY })
  const q = new URL(r.headers.get('location')).searchParams
  const [head, payload, mac] = q.get('accessToken').split('.')
  const later = Buffer.from(JSON.stringify({ ...JSON.parse(Buffer.from(payload, 'base64url')), exp: 9e9 })).toString('base64url')
  for (const token of ['', 'x', 'a.b', `${head}.${payload}.`, `${head}.${payload}`, `${head}.${later}.${mac}`, `${Buffer.from('{"alg":"none"}').toString('base64url')}.${later}.`, `${head}.${payload}.${mac}x`, q.get('refreshToken'), 'a'.repeat(2000) + '.b.c'])
    assert.equal((await fetch(`${api}/teams`, { headers: { Authorization: `Bearer ${token}` } })).status, 401, token.slice(0, 80))
  assert.equal((await fetch(`${api}/teams`)).status, 401)
  for (const next of ['', 'https://localhost:1', 'http://localhost', 'http://localhost:', 'http://localhost:0', 'http://localhost:99999', 'http://localhost:1@example.com', 'http://localhost:1/x', 'http://localhost:1?x', 'http://example.com:80', 'javascript:alert(1)', 'http://localhost:1\r\nX: y']) {
    assert.equal((await fetch(`${api}/docs/api/cli?next=${encodeURIComponent(next)}`)).status, 400, next)
    assert.equal((await form('/docs/api/cli', { next, key: process.env.E2B_API_KEY })).status, 400, next)
  }
  const shown = await (await fetch(`${api}/docs/api/cli?state=error&error=${encodeURIComponent('<img src=x onerror=alert(1)>')}`)).text()
  assert.ok(!shown.includes('<img'))
  assert.equal((await form('/docs/api/cli', 'x=%zz')).status, 400)
  assert.equal((await form('/oauth/token', 'grant_type=%')).status, 400)
  await form('/oauth/revoke', { token: q.get('refreshToken') })
})
