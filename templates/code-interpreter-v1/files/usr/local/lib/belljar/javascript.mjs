// Runs JavaScript and TypeScript cells, one after another, for belljar-interp: requests come as lines of JSON on
// descriptor 3, answers go to 4, a byte on 5 interrupts. What a cell prints is simply written to 1 and 2.
//
// Cells are evaluated by V8's own console mode ("replMode"): declarations stay and may be repeated, await works at
// the top level, the last expression is the result. A second thread hears interrupts, for the first one may be in an
// endless loop.
import fs from 'node:fs'
import inspector from 'node:inspector'
import { createRequire } from 'node:module'
import path from 'node:path'
import readline from 'node:readline'
import { execFileSync } from 'node:child_process'
import { pathToFileURL } from 'node:url'
import util from 'node:util'
import { Worker, isMainThread, parentPort } from 'node:worker_threads'

if (isMainThread) main()
else watch()

// -- the second thread --

function watch() {
  const session = new inspector.Session()
  session.connectToMainThread()
  let answered = true
  parentPort.on('message', () => { answered = true })
  const byte = Buffer.alloc(1)
  const listen = () => fs.read(5, byte, 0, 1, null, (error, n) => {
    if (error || n === 0) return
    answered = false
    parentPort.postMessage('interrupt')
    // a thread that does not answer is busy: only then, for a termination waits for the next thing it does
    setTimeout(() => { if (!answered) session.post('Runtime.terminateExecution', () => {}) }, 100)
    listen()
  })
  listen()
}

// -- the first thread --

function main() {
  const isTypeScript = process.argv.includes('--typescript')
  const session = new inspector.Session()
  session.connect()
  const watcher = new Worker(new URL(import.meta.url))
  let abandon // ends the cell under way when it only waits for something
  watcher.on('message', () => {
    watcher.postMessage('here')
    abandon?.()
  })
  process.on('SIGINT', () => {})
  // a cell waits for who reads what it prints: a queue would grow, and be cut off where the cell ends
  for (const stream of [process.stdout, process.stderr]) stream._handle?.setBlocking?.(true)
  prepare()

  const say = (message) => {
    // half a surrogate pair is no Unicode, and the reader would refuse all of the message
    const line = Buffer.from(JSON.stringify(message, (_, v) => typeof v === 'string' ? v.toWellFormed() : v) + '\n')
    for (let at = 0; at < line.length;) at += fs.writeSync(4, line, at)
  }
  globalThis.display = (value) => {
    const data = isBundle(value) ? value : bundle(value)
    if (data) say({ type: 'result', data, main: false })
  }
  const fail = (error) => say({ type: 'error', ...describe(error) })
  process.on('uncaughtException', (error) => { if (abandon) fail(error); else console.error(error) })
  process.on('unhandledRejection', (error) => { if (abandon) fail(error); else console.error(error) })

  const evaluate = (code) => new Promise((resolve, reject) => {
    abandon = () => reject(interrupted())
    session.post('Runtime.evaluate', { expression: code, replMode: true, awaitPromise: true, objectGroup: 'cell' },
      (error, reply) => {
        if (error) reject(error.code === 'ERR_INSPECTOR_COMMAND' ? interrupted() : error)
        else resolve(reply)
      })
  })
  // The value itself, of which the console protocol only gives a handle.
  const valueOf = (handle) => {
    if (!handle.objectId) return 'unserializableValue' in handle ? Function(`return ${handle.unserializableValue}`)() : handle.value
    session.post('Runtime.callFunctionOn', { objectId: handle.objectId, functionDeclaration: `function () { globalThis[Symbol.for('belljar.take')](this) }` }, () => {})
    return taken
  }
  let taken
  Object.defineProperty(globalThis, Symbol.for('belljar.take'), { value: (v) => { taken = v } })

  const run = async (code) => {
    if (isTypeScript) code = strip(code)
    const reply = await evaluate(imports(code))
    if (reply.exceptionDetails) throw reply.exceptionDetails.exception ? valueOf(reply.exceptionDetails.exception) : new Error(reply.exceptionDetails.text)
    const data = bundle(valueOf(reply.result))
    if (data) say({ type: 'result', data, main: true })
  }

  const operations = {
    async run({ code }) {
      try { await run(code) } catch (error) { fail(error) }
      abandon = undefined
      session.post('Runtime.releaseObjectGroup', { objectGroup: 'cell' }, () => {})
      taken = undefined
    },
    env({ set, unset }) {
      for (const [name, value] of Object.entries(set ?? {}))
        if (name && !name.includes('=')) process.env[name] = value
      for (const name of unset ?? []) delete process.env[name]
    },
  }
  let last = Promise.resolve()
  readline.createInterface({ input: fs.createReadStream(null, { fd: 3 }) }).on('line', (line) => {
    const request = JSON.parse(line)
    last = last.then(() => operations[request.op](request)).catch(fail).then(() => say({ type: 'done' }))
  }).on('close', () => process.exit())
  say({ type: 'ready' })
}

// What a cell finds as globals, as in a file of its own in the working directory.
function prepare() {
  const file = () => path.join(process.cwd(), 'cell.js')
  const own = (...args) => createRequire(file())(...args)
  const like = createRequire(file())
  Object.defineProperties(own, { resolve: { get: () => createRequire(file()).resolve }, cache: { value: like.cache }, main: { value: undefined } })
  // the plain one waits for the console sessions to end, which are ours and do not
  process.exit = () => process.kill(process.pid, 'SIGKILL')
  globalThis.require = own
  globalThis.module = { exports: {} }
  globalThis.exports = globalThis.module.exports
  Object.defineProperty(globalThis, '__dirname', { get: () => process.cwd(), configurable: true })
  Object.defineProperty(globalThis, '__filename', { get: file, configurable: true })
  // Paths are looked for where the cell is, not where this file is; CommonJS is found by require, ES modules by
  // import: what only one of them can load is loaded by it.
  Object.defineProperty(globalThis, '__import', { value: async (name, options) => {
    name = String(name)
    if (/^(node:|data:|file:)/.test(name)) return import(name, options)
    if (/^\.{0,2}\//.test(name)) return import(new URL(name, pathToFileURL(process.cwd() + '/')).href, options)
    return import(resolve(name, file()), options)
  } })
}

// As Node resolves a bare name for import: the package's "import" condition, in node_modules above the cell.
function resolve(name, from) {
  const parts = name.split('/')
  const packageName = parts.slice(0, name[0] === '@' ? 2 : 1).join('/')
  const inside = '.' + name.slice(packageName.length).replace(/^(?=.)/, '')
  for (const dir of createRequire(from).resolve.paths(name) ?? []) {
    const root = path.join(dir, packageName)
    let manifest
    try { manifest = JSON.parse(fs.readFileSync(path.join(root, 'package.json'))) } catch { continue }
    const found = condition(lookUp(manifest.exports, inside))
    if (found) return pathToFileURL(path.join(root, found)).href
    if (!manifest.exports && inside === '.' && manifest.main === undefined && manifest.type === 'module') return pathToFileURL(path.join(root, 'index.js')).href
    return pathToFileURL(createRequire(from).resolve(name)).href
  }
  return name // a module of Node itself, or the error that Node gives
}

function lookUp(table, inside) {
  if (typeof table === 'string' || Array.isArray(table)) return inside === '.' ? table : undefined
  if (!table) return undefined
  if (!Object.keys(table).some((key) => key.startsWith('.'))) return inside === '.' ? table : undefined
  if (inside in table) return table[inside]
  for (const [key, target] of Object.entries(table)) {
    const star = key.indexOf('*')
    if (star < 0 || !inside.startsWith(key.slice(0, star)) || !inside.endsWith(key.slice(star + 1))) continue
    const found = condition(target)
    return found && found.replaceAll('*', inside.slice(star, inside.length - (key.length - star - 1)))
  }
}

function condition(target) {
  if (typeof target === 'string') return target
  if (Array.isArray(target)) return target.map(condition).find(Boolean)
  for (const [name, next] of Object.entries(target ?? {}))
    if (['node', 'import', 'module-sync', 'default'].includes(name)) {
      const found = condition(next)
      if (found) return found
    }
}

// -- source text --

function strip(code) {
  const tsconfig = JSON.stringify({ compilerOptions: { verbatimModuleSyntax: true, experimentalDecorators: true } })
  try {
    return execFileSync('esbuild', ['--loader=ts', '--format=esm', '--target=es2022', '--log-level=error', '--color=false', `--tsconfig-raw=${tsconfig}`],
      { input: code, encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'], maxBuffer: Infinity })
  } catch (error) {
    const e = new SyntaxError(error.stderr?.trim() || error.message)
    e.stack = `${e.name}: ${e.message}`
    throw e
  }
}

// Import declarations become awaited imports, import(...) goes through __import: the console mode knows neither.
// Strings, comments, templates and regular expressions are read past; what is in ${} is looked at.
export function imports(code) {
  let out = '', at = 0, canStartRegExp = true
  const stack = []
  while (at < code.length) {
    const rest = code.slice(at, at + 2000)
    const top = stack[stack.length - 1]
    let m
    if (top === '`') {
      if (code[at] === '\\') { out += code.slice(at, at + 2); at += 2; continue }
      if (code[at] === '`') stack.pop()
      else if (rest.startsWith('${')) { stack.push('${'); out += '${'; at += 2; canStartRegExp = true; continue }
      out += code[at++]
      canStartRegExp = false
      continue
    }
    if ((m = /^(?:\/\/[^\n]*|\/\*)/.exec(rest))) {
      const end = m[0] === '/*' ? code.indexOf('*/', at + 2) : at + m[0].length - 2
      const stop = rest.startsWith('//') ? lineEnd(code, at) : end < 0 ? code.length : end + 2
      out += code.slice(at, stop)
      at = stop
      continue
    }
    if (code[at] === '"' || code[at] === "'") {
      const stop = quoteEnd(code, at)
      out += code.slice(at, stop)
      at = stop
      canStartRegExp = false
      continue
    }
    if (code[at] === '/' && canStartRegExp && (m = /^\/(?:[^\\/\n[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\/[a-z]*/.exec(code.slice(at)))) {
      out += m[0]
      at += m[0].length
      canStartRegExp = false
      continue
    }
    if ((m = /^[A-Za-z_$][\w$]*/.exec(rest))) {
      const word = m[0]
      const declaration = word === 'import' && stack.length === 0 && isStatement(out) && declarationAt(code, at)
      if (declaration) {
        out += declaration.text
        at = declaration.end
      } else if (word === 'import' && /^import\s*\(/.test(rest) && !/\.\s*$/.test(out)) {
        out += '__import'
        at += 6
      } else {
        out += word
        at += word.length
      }
      canStartRegExp = /^(?:return|typeof|case|in|of|delete|void|throw|new|await|yield|else|do|instanceof)$/.test(word)
      continue
    }
    const c = code[at]
    if (c === '`') stack.push('`')
    else if ('([{'.includes(c)) stack.push(c)
    else if (')]}'.includes(c)) stack.pop()
    if (!/\s/.test(c)) canStartRegExp = !/[\w)\]}.]/.test(c)
    out += c
    at++
  }
  return out
}

const lineEnd = (code, at) => { const end = code.indexOf('\n', at); return end < 0 ? code.length : end }
function quoteEnd(code, at) {
  const quote = code[at++]
  while (at < code.length && code[at] !== quote && code[at] !== '\n') at += code[at] === '\\' ? 2 : 1
  return Math.min(at + 1, code.length)
}
const isStatement = (before) => /(?:^|[;}\n])\s*$/.test(before)

// import a, { b as c } from 'x' -> const { default: a, b: c } = await __import('x')
function declarationAt(code, at) {
  const m = /^import\s*(?:([\w$]+)\s*,?\s*)?(?:\*\s*as\s+([\w$]+)\s*|\{([^}]*)\}\s*)?(?:from\s*)?(['"])([^'"\n]+)\4(?:\s*(?:with|assert)\s*(\{[^}]*\}))?/.exec(code.slice(at))
  if (!m || /^import\s*\(/.test(m[0])) return undefined
  const [whole, main, all, names, , name, attributes] = m
  const call = `await __import(${JSON.stringify(name)}${attributes ? `, { with: ${attributes} }` : ''})`
  const parts = []
  if (main) parts.push(`default: ${main}`)
  for (const one of (names ?? '').split(',').map((s) => s.trim()).filter(Boolean))
    parts.push(one.replace(/\s+as\s+/, ': '))
  const text = all
    ? `const ${all} = ${call}${main ? `; const ${main} = ${all}.default` : ''}`
    : parts.length ? `const { ${parts.join(', ')} } = ${call}` : `void ${call}`
  return { text, end: at + whole.length }
}

// -- values --

const isBundle = (value) => value && Object.getPrototypeOf(value) === Object.prototype && Object.keys(value).length > 0 &&
  Object.keys(value).every((key) => /^[\w.+-]+\/[\w.+-]+$/.test(key))

// How a value wants to be shown, by the conventions of JavaScript kernels; undefined has no result.
function bundle(value) {
  if (value === undefined) return undefined
  const own = value?.[Symbol.for('Jupyter.display')]
  if (typeof own === 'function') return own.call(value)
  const data = {}
  if (typeof value?._toMime === 'function') return value._toMime()
  for (const [method, type] of [['_toHtml', 'text/html'], ['_toSvg', 'image/svg+xml'], ['_toPng', 'image/png'], ['_toJpeg', 'image/jpeg'], ['_toMarkdown', 'text/markdown'], ['_toLatex', 'text/latex'], ['toHtml', 'text/html']])
    if (typeof value?.[method] === 'function') data[type] = value[method]()
  data['text/plain'] = util.inspect(value)
  return data
}

function interrupted() {
  const e = new Error('Execution was interrupted')
  e.name = 'KeyboardInterrupt'
  e.stack = 'KeyboardInterrupt: Execution was interrupted'
  return e
}

// Lines of this file are of no interest to who wrote the cell.
function describe(error) {
  if (!(error instanceof Error) && typeof error?.stack !== 'string')
    return { name: 'Error', value: typeof error === 'string' ? error : util.inspect(error), traceback: `Uncaught ${util.inspect(error)}` }
  const stack = String(error.stack).split('\n').filter((l) => !/javascript\.mjs|at new Promise \(<anonymous>\)|node:internal|node:inspector|node:readline|node:events/.test(l))
  return { name: String(error.name), value: String(error.message), traceback: stack.join('\n') }
}
