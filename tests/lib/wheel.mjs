// A package index in a directory: simple/NAME/NAME-1.0-py3-none-any.whl, whose module NAME has `hello()`.
import { execFileSync } from 'node:child_process'

const script = `
import os, sys, zipfile
where, name = sys.argv[1:]
info = f'{name}-1.0.dist-info'
files = {f'{name}.py': f'def hello():\\n    return "hello from {name}"\\n',
         f'{info}/METADATA': f'Metadata-Version: 2.1\\nName: {name}\\nVersion: 1.0\\n',
         f'{info}/WHEEL': 'Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n'}
files[f'{info}/RECORD'] = ''.join(f'{f},,\\n' for f in [*files, f'{info}/RECORD'])
os.makedirs(f'{where}/simple/{name.replace("_", "-")}')
with zipfile.ZipFile(f'{where}/simple/{name.replace("_", "-")}/{name}-1.0-py3-none-any.whl', 'w') as z:
    for f, text in files.items():
        z.writestr(f, text)
`
export function makeIndex(where, name) { execFileSync('python3', ['-c', script, where, name]) }

// A step that installs from it as from any index: sandboxes reach no server of the host, so it serves it itself.
export const installFrom = (where, name) => `cd ${where} && { python3 -m http.server -b 127.0.0.1 8099 >/dev/null 2>&1 & } ; \\
    until curl -sf http://127.0.0.1:8099/simple/ >/dev/null; do sleep 0.1; done; \\
    pip install --no-cache-dir --disable-pip-version-check --index-url http://127.0.0.1:8099/simple ${name}`
