"""Devices, memory, copies, errors: taskfold_cuda.h."""

import ctypes
import unittest
from ctypes import byref, c_int32, c_void_p

import numpy as np

import gpu
import taskfold_cuda as tf


class Base(unittest.TestCase):
    def raises(self, status, call, *arguments):
        with self.assertRaises(tf.CudaError) as caught:
            call(*arguments)
        self.assertEqual(caught.exception.status, status, caught.exception)
        self.assertNotEqual(caught.exception.message, "")
        return caught.exception

    def test_devices(self):
        info = gpu.info()
        free, total = gpu.library().memory(gpu.device())
        self.assertGreater(info.multiprocessors, 0)
        self.assertGreaterEqual(info.major, 8)
        self.assertRegex(info.bus_id.decode(), r"^[0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2}\.")
        self.assertEqual(info.memory_bytes, total)
        self.assertLessEqual(free, total)
        versions = gpu.library().versions()
        self.assertGreaterEqual(versions.driver, versions.runtime // 1000 * 1000)

    def test_no_such_device(self):
        library = gpu.library()
        found = c_void_p()
        for call in (
            lambda: library.device_info(99, byref(tf.Device())),
            lambda: library.memory(99),
            lambda: library.allocate(99, 16, byref(found)),
            lambda: library.queue_create(99, byref(found)),
        ):
            self.raises(tf.FAILED, call)
            self.assertIsNone(found.value)

    def test_null_arguments(self):
        library = gpu.library()
        for call in (
            lambda: library.get_versions(None),
            lambda: library.device_count(None),
            lambda: library.device_info(0, None),
            lambda: library.device_memory(0, None, None),
            lambda: library.allocate(0, 16, None),
            lambda: library.allocate_pinned(16, None),
            lambda: library.ipc_export(0, None, None),
            lambda: library.queue_create(0, None),
            lambda: library.queue_wait(None),
            lambda: library.copy(gpu.queue(), None, None, 4),
            lambda: library.fill(gpu.queue(), None, 0, 4),
        ):
            self.raises(tf.INVALID, call)
        library.free(0, None)
        library.free_pinned(None) if not gpu.emulated() else None
        library.queue_destroy(None)
        self.assertIsNone(library.queue_stream(None))

    def test_empty_memory(self):
        found = c_void_p(1)
        gpu.library().allocate(gpu.device(), 0, byref(found))
        self.assertIsNone(found.value)

    def test_out_of_memory(self):
        _, total = gpu.library().memory(gpu.device())
        found = c_void_p()
        error = self.raises(tf.OUT_OF_MEMORY, gpu.library().allocate, gpu.device(), 2 * total, byref(found))
        self.assertIn("memory", error.message)
        # The next call must not report it again.
        self.assertEqual(gpu.upload(np.arange(5)).read().tolist(), list(range(5)))

    def test_memory_comes_back(self):
        library, device = gpu.library(), gpu.device()
        before, _ = library.memory(device)
        size = 64 << 20
        found = c_void_p()
        library.allocate(device, size, byref(found))
        self.assertEqual(found.value % 256, 0)
        self.assertLessEqual(library.memory(device)[0], before - size)
        library.free(device, found)
        self.assertGreater(library.memory(device)[0], before - size)

    def test_copies(self):
        for count in (1, 3, 4096, (1 << 20) + 5):
            values = np.random.default_rng(count).integers(0, 256, count, np.uint8)
            first, second = gpu.upload(values), gpu.garbage(count, np.uint8)
            gpu.library().copy(gpu.queue(), second.address, first.address, count)
            np.testing.assert_array_equal(second.read(), values)

    def test_pinned_copies(self):
        count = 3 << 20
        host = gpu.pinned(count)
        back = gpu.pinned(count)
        try:
            host[:] = np.random.default_rng(1).integers(0, 256, count, np.uint8)
            array = gpu.garbage(count, np.uint8)
            gpu.library().copy(gpu.queue(), array.address, host.ctypes.data, count)
            gpu.library().copy(gpu.queue(), back.ctypes.data, array.address, count)
            gpu.wait()
            np.testing.assert_array_equal(back, host)
        finally:
            gpu.free_pinned(host)
            gpu.free_pinned(back)

    def test_fill(self):
        array = gpu.garbage(1001, np.uint8)
        gpu.library().fill(gpu.queue(), array.address + 1, 7, 999)
        self.assertEqual(array.read().tolist(), [0xCD] + [7] * 999 + [0xCD])

    def test_two_queues(self):
        library = gpu.library()
        other = c_void_p()
        library.queue_create(gpu.device(), byref(other))
        try:
            self.assertNotEqual(library.queue_stream(other), library.queue_stream(gpu.queue()))
            array = gpu.zeros(100, np.uint8)
            library.fill(other, array.address, 9, 100)
            library.queue_wait(other)
            self.assertEqual(int(array.read().sum()), 900)
        finally:
            library.queue_destroy(other)

    def test_a_short_error_text(self):
        dll = ctypes.CDLL(gpu.library().path)
        dll.tf_cuda_device_count.argtypes = [ctypes.POINTER(c_int32), ctypes.c_char_p, ctypes.c_size_t]
        text = ctypes.create_string_buffer(b"x" * 8, 8)
        self.assertEqual(dll.tf_cuda_device_count(None, text, 4), tf.INVALID)
        self.assertEqual(text.raw[3:], b"\0xxxx")
        self.assertEqual(dll.tf_cuda_device_count(None, None, 0), tf.INVALID)


if __name__ == "__main__":
    unittest.main()
