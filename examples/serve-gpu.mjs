// A family on a GPU for another process: node examples/serve-gpu.mjs <family> <task> [device]
//
// Writes one line of JSON: handles of the memory (CUDA IPC, hex) and each tensor's place in it. Then every line on stdin
// is a task to switch to (an empty line: the merged model), and is answered by such a line once the switch is done. The
// consumer asks only while it does not compute. In Python, for instance with CuPy (not tried on a GPU yet):
//
//   server = subprocess.Popen(["node", "examples/serve-gpu.mjs", family, task], stdin=PIPE, stdout=PIPE, text=True)
//   model = json.loads(server.stdout.readline())
//   base = cupy.cuda.runtime.ipcOpenMemHandle(bytes.fromhex(model["handle"]))
//   place = model["tensors"]["lm_head.weight"]            # memory 'task': open taskHandle instead
//   memory = cupy.cuda.UnownedMemory(base + place["offset"], place["byteLength"], None)
//   weight = cupy.ndarray(place["shape"], cupy.float16, cupy.cuda.MemoryPointer(memory, 0))
import { createInterface } from 'node:readline'
import { openFamily } from 'taskfold'

const [folder, task, device = 'cuda:0'] = process.argv.slice(2)
if (task === undefined) {
  console.error('usage: node examples/serve-gpu.mjs <family> <task> [device]')
  process.exit(2)
}

const family = await openFamily(folder)
const model = await family.load(task, { device })
const hex = (handle) => (handle === null ? null : Buffer.from(handle).toString('hex'))

async function describe() {
  const { handle, taskHandle, tensors, ...rest } = await model.ipcHandle()
  const shared = {
    ...rest,
    handle: hex(handle),
    taskHandle: hex(taskHandle),
    tensors: Object.fromEntries(tensors),
  }
  console.log(JSON.stringify(shared))
}

try {
  await describe()
  for await (const line of createInterface({ input: process.stdin })) {
    try {
      await model.switchTo(line.trim() === '' ? null : line.trim())
      await describe()
    } catch (error) {
      console.log(JSON.stringify({ error: error.message, hint: error.hint }))
    }
  }
} finally {
  await model.close()
}
