// node --import names.mjs: every name below belljar.test is this machine, as a wildcard entry of a DNS server would say.
import dns from 'node:dns'

const plain = dns.lookup
dns.lookup = (name, options, callback) => {
  if (!/(^|\.)belljar\.test$/.test(name)) return plain(name, options, callback)
  const done = callback ?? options
  return process.nextTick(() => (options?.all ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4)))
}
