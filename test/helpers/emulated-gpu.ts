import { existsSync } from 'node:fs'
import { constants } from 'node:os'
import { delimiter, join } from 'node:path'
import type { TestFn } from 'ava'
import { native } from '../../lib/binding/load-binding.js'
import { EMULATED_FOLDER } from './fake-gpu.js'

/**
 * Gives this process, and the ones it starts, emulated GPUs: the CUDA plug-in built for the CPU and a driver beside it
 * (`npm run build:emulated`). Called at the top of a test file, before anything looks for a device. Faults and sizes are
 * set by environment variables (test/emulated/emulated_runtime.cpp).
 *
 * @param test - ava's; its tests fail with what to do when the plug-in was not built
 * @param devices - how many GPUs there are
 */
export function emulatedGpu(test: TestFn, devices = 1): void {
  const plugin = join(EMULATED_FOLDER, 'taskfold_cuda.so')
  const driver = join(EMULATED_FOLDER, 'libcuda.so.1')
  test.before('emulated GPUs', (t) => {
    for (const file of [plugin, driver]) {
      if (!existsSync(file)) t.fail(`${file} is missing: run npm run build:emulated`)
    }
  })
  if (!existsSync(plugin) || !existsSync(driver)) return
  loadDriver(driver)
  const { env } = process
  env.LD_LIBRARY_PATH = [EMULATED_FOLDER, env.LD_LIBRARY_PATH]
    .filter((folder) => folder !== undefined && folder !== '')
    .join(delimiter)
  env.TASKFOLD_CUDA_LIBRARY = plugin
  env.TASKFOLD_EMULATED_DEVICES = String(devices)
  delete env.TASKFOLD_CUDA
  delete env.CUDA_VISIBLE_DEVICES
  native().setCudaLibrary(plugin)
}

/**
 * Loads a shared library that is no addon. Node says so and lets it go, but the fake driver stays loaded, and whoever
 * asks for libcuda.so.1 in this process gets it.
 */
function loadDriver(path: string): void {
  try {
    process.dlopen({ exports: {} }, path, constants.dlopen.RTLD_NOW)
  } catch {
    if (!native().cudaDriverPresent()) throw new Error(`${path} can't be loaded as this process's driver`)
  }
}
