"""tf_cuda_digest against XXH3-128."""

import unittest
from ctypes import byref

import numpy as np

import gpu
import taskfold_cuda as tf
import xxh3


def digests(data):
    array = gpu.upload(np.frombuffer(data, np.uint8))
    result = gpu.garbage(-(-len(data) // tf.LEAF) * 16, np.uint8)
    job = tf.DigestJob(array.address, len(data), result.address)
    gpu.library().digest(gpu.queue(), byref(job))
    return result.read().tobytes()


class Digest(unittest.TestCase):
    def check(self, count):
        data = np.random.default_rng(count).integers(0, 256, count, np.uint8).tobytes()
        wanted = b"".join(xxh3.digest(data[at : at + tf.LEAF]) for at in range(0, count, tf.LEAF))
        self.assertEqual(digests(data).hex(), wanted.hex(), f"{count} bytes")

    def test_short_ones(self):
        edges = [1, 2, 3, 4, 8, 9, 16, 17, 31, 32, 33, 64, 127, 128, 129, 239, 240, 241, 255, 256, 257, 511, 512, 513]
        for count in edges if gpu.small() else range(1, 530):
            self.check(count)

    def test_around_stripes_and_blocks(self):
        for count in (1023, 1024, 1025, 1087, 1088, 1089, 2048, 65536, 65537):
            self.check(count)

    def test_around_leaves(self):
        for extra in (-65, -1, 0, 1, 3, 200, 300):
            self.check(tf.LEAF + extra)
        self.check(3 * tf.LEAF + 17)

    def test_many_leaves(self):
        self.check(tf.LEAF * (5 if gpu.small() else 40 if gpu.emulated() else 1000) + 12345)

    def test_nothing(self):
        gpu.library().digest(gpu.queue(), byref(tf.DigestJob(None, 0, None)))
        gpu.wait()

    def test_own_code_agrees_with_the_package(self):
        if xxh3.xxhash is None:
            self.skipTest("no xxhash package: this file's code is the reference")
        for count in [*range(600), 1024, 5000, tf.LEAF]:
            data = np.random.default_rng(count).integers(0, 256, count, np.uint8).tobytes()
            self.assertEqual(xxh3.slow(data), xxh3.digest(data), f"{count} bytes")


if __name__ == "__main__":
    unittest.main()
