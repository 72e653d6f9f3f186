"""tf_cuda_convert: all 25 pairs; 8 and 16 bits exhaustively."""

import unittest
from ctypes import byref

import numpy as np

import gpu
import reference as ref
import samples
import taskfold_cuda as tf


def convert(source, target, bits, count_inexact=True):
    array, result = gpu.upload(bits), gpu.garbage(bits.size, ref.RAW[target])
    inexact = gpu.upload(np.array([7], np.uint64)) if count_inexact else None
    job = tf.ConvertJob(source, target, bits.size, array.address, result.address, gpu.address(inexact))
    gpu.library().convert(gpu.queue(), byref(job))
    return result.read(), int(inexact.read()[0]) - 7 if inexact else None


def changed(source, target, bits, result):
    before, after = ref.widen(source, bits), ref.widen(target, result)
    return int((~((before == after) | (np.isnan(before) & np.isnan(after)))).sum())


class Convert(unittest.TestCase):
    def check(self, source, target, bits):
        wanted = ref.narrow(target, ref.widen(source, bits))
        result, inexact = convert(source, target, bits)
        np.testing.assert_array_equal(result, wanted)
        self.assertEqual(inexact, changed(source, target, bits, wanted))

    def test_every_value_of_8_and_16_bits(self):
        for source in (tf.F16, tf.BF16, tf.F8_E4M3, tf.F8_E5M2):
            every = np.arange(1 << 8 * tf.ITEM_BYTES[source]).astype(ref.RAW[source])
            for target in range(5):
                with self.subTest(source=tf.DTYPE_NAMES[source], target=tf.DTYPE_NAMES[target]):
                    self.check(source, target, every)

    def test_f32(self):
        rng = samples.generator("convert f32")
        bits = rng.integers(0, 1 << 32, samples.long_length(), np.uint32)
        special = np.array([0, 1, 0x7FFFFF, 0x800000, 0x7F7FFFFF, 0x7F800000, 0x7F800001, 0x7FFFFFFF], np.uint32)
        for target in range(5):
            with self.subTest(target=tf.DTYPE_NAMES[target]):
                drop = {tf.F32: 0, tf.F16: 13, tf.BF16: 16, tf.F8_E4M3: 20, tf.F8_E5M2: 21}[target]
                # Half-way between two neighbours, and one bit beside it.
                step = np.uint32(1 << drop)
                half = bits[:50_000] // step * step + step // np.uint32(2)
                parts = [special, special | np.uint32(1 << 31), half, half - np.uint32(1), half + np.uint32(1), bits]
                self.check(tf.F32, target, np.concatenate(parts))

    def test_lengths(self):
        rng = samples.generator("convert lengths")
        for count in samples.lengths():
            for source, target in ((tf.F32, tf.BF16), (tf.F8_E4M3, tf.F32), (tf.F16, tf.F8_E5M2)):
                with self.subTest(count=count, source=source, target=target):
                    self.check(source, target, samples.raw(rng, source, count, "wild"))

    def test_without_a_count(self):
        bits = np.arange(300, dtype=np.uint16)
        result, _ = convert(tf.F16, tf.F8_E4M3, bits, count_inexact=False)
        np.testing.assert_array_equal(result, ref.narrow(tf.F8_E4M3, ref.widen(tf.F16, bits)))

    def test_the_reference_agrees_with_torch(self):
        torch = gpu.torch()
        if torch is None:
            self.skipTest("no torch with a GPU")
        kinds = {tf.F16: "float16", tf.BF16: "bfloat16", tf.F8_E4M3: "float8_e4m3fn", tf.F8_E5M2: "float8_e5m2"}
        for dtype, name in kinds.items():
            every = np.arange(1 << 8 * tf.ITEM_BYTES[dtype]).astype(ref.RAW[dtype])
            wide = torch.from_numpy(every.view(f"i{every.itemsize}")).view(getattr(torch, name)).float().numpy()
            mine = ref.widen(dtype, every)
            np.testing.assert_array_equal(np.isnan(mine), np.isnan(wide))
            number = ~np.isnan(mine)
            np.testing.assert_array_equal(mine[number].view(np.uint32), wide[number].view(np.uint32))


if __name__ == "__main__":
    unittest.main()
