// A TLS front for the server under test, as a reverse proxy in front of a real one: api.<domain> goes to the API, every
// other name below it to the edge, Host kept. Returns { domain, ca, close }.
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import os from 'node:os'
import path from 'node:path'

export async function front(name = 'belljar.test') {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'front-'))
  const [key, cert] = [path.join(dir, 'key.pem'), path.join(dir, 'cert.pem')]
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj', `/CN=${name}`,
    '-addext', `subjectAltName=DNS:${name},DNS:*.${name}`, '-keyout', key, '-out', cert], { stdio: 'pipe' })
  const [api, edge] = [new URL(process.env.E2B_API_URL), new URL(process.env.E2B_SANDBOX_URL)]
  const server = https.createServer({ key: fs.readFileSync(key), cert: fs.readFileSync(cert) }, (request, reply) => {
    const to = request.headers.host.startsWith(`api.${name}`) ? api : edge
    const onward = http.request({ host: to.hostname, port: to.port, method: request.method, path: request.url, headers: request.headers }, (answer) => {
      reply.writeHead(answer.statusCode, answer.headers)
      reply.flushHeaders()
      answer.on('error', () => reply.destroy()).on('aborted', () => reply.destroy()).pipe(reply)
    })
    onward.on('error', () => reply.destroy())
    reply.on('close', () => onward.destroy())
    request.pipe(onward)
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    domain: `${name}:${server.address().port}`,
    ca: cert,
    close: () => { server.closeAllConnections(); server.close(); fs.rmSync(dir, { recursive: true }) },
  }
}
