// Prints what probeCuda finds in this process, twice, and whether the plug-in was mapped here. Arguments: sync or async, and
// the time limit in milliseconds.
import { readFileSync } from 'node:fs'
import { probeCuda, probeCudaAsync } from '../../lib/binding/probe-cuda.js'

const [way, limit] = process.argv.slice(2)
const timeout = limit === undefined ? undefined : Number(limit)
const ask = async () => (way === 'sync' ? probeCuda(timeout) : await probeCudaAsync(timeout))
const first = await ask()
const second = await ask()
const mapped = readFileSync('/proc/self/maps', 'utf8').includes('taskfold_cuda')
console.log(JSON.stringify({ first, same: JSON.stringify(first) === JSON.stringify(second), mapped }))
