// Draws a chart in a sandbox and writes the picture and its values: npm install && node chart.mjs [FILE.png]
// Needs the exports that `make up` prints (sudo cat /var/lib/belljar/env).
import { writeFileSync } from 'node:fs'
import { Sandbox } from '@e2b/code-interpreter'

const file = process.argv[2] ?? 'chart.png'
const sandbox = await Sandbox.create()
try {
  const { error, results } = await sandbox.runCode(`
import numpy as np
import matplotlib.pyplot as plt

t = np.linspace(0, 12, 200)
fig, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
for ratio in (0.05, 0.2, 0.6):
    left.plot(t, 1 - np.exp(-ratio * t) * np.cos(np.sqrt(1 - ratio**2) * t), label=f"damping {ratio}")
left.set_title("Step response")
left.set_xlabel("Time (s)")
left.set_ylabel("Position (m)")
left.grid(alpha=0.3)
left.legend()
right.bar(["0.05", "0.2", "0.6"], [85.4, 52.7, 9.5], label="overshoot", color="tab:orange")
right.set_title("Overshoot")
right.set_xlabel("Damping")
right.set_ylabel("Overshoot (%)")
fig.suptitle("A mass on a spring")
plt.show()
`)
  if (error) throw new Error(error.traceback)
  const [{ png, chart }] = results
  writeFileSync(file, Buffer.from(png, 'base64'))
  for (const { type, title, elements } of chart.elements)
    console.log(`${type} "${title}":`, elements.map((e) => e.points ? `${e.label}, ${e.points.length} points` : `${e.label}: ${e.value}`).join('; '))
} finally {
  await sandbox.kill()
}
