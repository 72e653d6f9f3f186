"""A second process maps this one's memory, as a Python serving process would."""

import os
import subprocess
import sys
import unittest
from ctypes import byref, c_uint8, c_void_p

import numpy as np

import gpu
import taskfold_cuda as tf

CHILD = """
import sys
from ctypes import byref, c_uint8, c_void_p
import numpy as np
import gpu, taskfold_cuda as tf
handle = (c_uint8 * tf.IPC_BYTES).from_buffer_copy(bytes.fromhex(sys.argv[1]))
count = int(sys.argv[2])
found = c_void_p()
gpu.library().ipc_open(gpu.device(), handle, byref(found))
values = np.empty(count, np.uint32)
gpu.library().copy(gpu.queue(), values.ctypes.data, found, values.nbytes)
gpu.wait()
gpu.library().fill(gpu.queue(), found, 0, 4)
gpu.wait()
gpu.library().ipc_close(gpu.device(), found)
print(int(values.sum(dtype=np.uint64)))
"""


class Ipc(unittest.TestCase):
    def test_another_process_reads_and_writes(self):
        if gpu.emulated():
            self.skipTest("the emulated runtime has one process only")
        library, count = gpu.library(), 1_000_003
        values = np.random.default_rng(4).integers(1, 2**32, count, np.uint32)
        memory = c_void_p()
        library.allocate(gpu.device(), values.nbytes, byref(memory))
        try:
            library.copy(gpu.queue(), memory, values.ctypes.data, values.nbytes)
            gpu.wait()
            handle = (c_uint8 * tf.IPC_BYTES)()
            library.ipc_export(gpu.device(), memory, handle)
            command = [sys.executable, "-c", CHILD, bytes(handle).hex(), str(count)]
            env = {**os.environ, "TASKFOLD_TEST_MEMORY": "plugin"}
            folder = os.path.dirname(os.path.abspath(__file__))
            done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=folder, timeout=120)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(int(done.stdout), int(values.sum(dtype=np.uint64)))
            first = np.empty(2, np.uint32)
            library.copy(gpu.queue(), first.ctypes.data, memory, 8)
            gpu.wait()
            self.assertEqual(first.tolist(), [0, int(values[1])])
        finally:
            library.free(gpu.device(), memory)

    def test_refused_in_the_same_process(self):
        array = gpu.upload(np.arange(10))
        if gpu.torch() is not None:
            self.skipTest("torch's memory may be a part of an allocation")
        handle = (c_uint8 * tf.IPC_BYTES)()
        gpu.library().ipc_export(gpu.device(), array.address, handle)
        found = c_void_p()
        with self.assertRaises(tf.CudaError):
            gpu.library().ipc_open(gpu.device(), handle, byref(found))
        self.assertIsNone(found.value)
        self.assertEqual(array.read().tolist(), list(range(10)))


if __name__ == "__main__":
    unittest.main()
