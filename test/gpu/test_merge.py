"""tf_cuda_merge and tf_cuda_count: θ*'s bits and the tallies of the keys."""

import unittest
from ctypes import byref

import numpy as np

import gpu
import reference as ref
import samples
import taskfold_cuda as tf


class Tally:
    """A window with its counters on the device, started at 5 to see that calls add."""

    def __init__(self, low, end, shift):
        self.low, self.end, self.shift = low, end, shift
        self.bins = ((end - 1 - low) >> shift) + 1 if end > low else 0
        self.counts = gpu.upload(np.full(max(self.bins, 1), 5, np.uint64))
        self.tally = gpu.upload(np.array([5, 0], np.uint64))

    def struct(self):
        return tf.Window(self.low, self.end, self.shift, self.bins, self.counts.address, self.tally.address)

    def check(self, case, key):
        above, counts, has_nan = ref.tally(key, self.low, self.end, self.shift, self.bins)
        found = self.tally.read()
        case.assertEqual(int(found[0]) - 5, above, "above")
        case.assertEqual(bool(found[1]), has_nan, "NaN")
        if self.bins:
            np.testing.assert_array_equal(self.counts.read() - np.uint64(5), counts)


def windows():
    """Whole key space in bins of 65 536; a narrow one; a middle one; only NaN looked for."""
    yield 0, ref.KEY_END, 16
    yield 0x3D000000, 0x3D000000 + 1777, 0
    yield 0x3C000000, 0x3E800000, 12
    yield ref.KEY_END, ref.KEY_END, 0


def run_merge(dtype, base, tasks, weight, tallies=None, merged_tally=None):
    arrays = [gpu.upload(task) for task in tasks]
    start, merged = gpu.upload(base), gpu.garbage(base.size, ref.RAW[dtype])
    structs = None if tallies is None else (tf.Window * len(tallies))(*[t.struct() for t in tallies])
    job = tf.MergeJob(
        dtype,
        len(tasks),
        base.size,
        start.address,
        gpu.pointers(arrays),
        weight,
        merged.address,
        structs,
        gpu.address(merged_tally),
    )
    gpu.library().merge(gpu.queue(), byref(job))
    return merged.read()


class Merge(unittest.TestCase):
    def check(self, dtype, base, tasks, weight, window=None):
        wanted = ref.merge(dtype, base, tasks, weight)
        tallies = None if window is None else [Tally(*window) for _ in tasks]
        nan = gpu.zeros(2, np.uint64)
        merged = run_merge(dtype, base, tasks, weight, tallies, nan)
        np.testing.assert_array_equal(merged, wanted)
        self.assertEqual(bool(nan.read()[1]), bool(np.isnan(ref.widen(dtype, wanted)).any()))
        for tally, task in zip(tallies or [], tasks):
            tally.check(self, ref.keys(dtype, wanted, task))

    def test_dtypes_and_windows(self):
        rng = samples.generator("merge")
        for dtype in range(5):
            for kind in ("plain", "few", "wild"):
                for window in windows():
                    with self.subTest(dtype=tf.DTYPE_NAMES[dtype], kind=kind, window=window):
                        base = samples.raw(rng, dtype, 70_001 if not gpu.small() else 5_003, kind)
                        tasks = [samples.near(rng, dtype, base) for _ in range(3)]
                        self.check(dtype, base, tasks, 0.3, window)

    def test_task_counts(self):
        rng = samples.generator("merge tasks")
        for tasks in (1, 2, 3, 4, 5, 7, 8, 9, 16, 33, 64):
            for dtype in (tf.BF16, tf.F32, tf.F8_E4M3):
                with self.subTest(tasks=tasks, dtype=tf.DTYPE_NAMES[dtype]):
                    base = samples.raw(rng, dtype, 3_001)
                    self.check(dtype, base, [samples.near(rng, dtype, base) for _ in range(tasks)], 0.4, (0, ref.KEY_END, 16))

    def test_lengths(self):
        rng = samples.generator("merge lengths")
        for count in samples.lengths():
            for dtype in range(5):
                with self.subTest(count=count, dtype=tf.DTYPE_NAMES[dtype]):
                    base = samples.raw(rng, dtype, count)
                    self.check(dtype, base, [samples.near(rng, dtype, base) for _ in range(2)], 0.5, (0, ref.KEY_END, 16))

    def test_weights(self):
        rng = samples.generator("merge weights")
        for weight in (0.0, -0.0, 1.0, -1.0, 1e-40, 3e38, float("inf"), 0.1):
            for dtype in range(5):
                for kind in ("plain", "wild"):
                    with self.subTest(weight=weight, dtype=tf.DTYPE_NAMES[dtype], kind=kind):
                        base = samples.raw(rng, dtype, 4_001, kind)
                        other = samples.raw(rng, dtype, 4_001, kind)
                        self.check(dtype, base, [other, samples.near(rng, dtype, base)], weight, (0, ref.KEY_END, 16))

    def test_the_fma_is_not_two_roundings(self):
        # 1 + ε squared minus 1 + 2ε: two roundings lose it.
        one = np.float32(1) + np.float32(2**-12)
        base = -np.full(64, one * one, np.float32)
        task = base + one
        wanted = ref.merge(tf.F32, base.view(np.uint32), [task.view(np.uint32)], one)
        np.testing.assert_array_equal(run_merge(tf.F32, base.view(np.uint32), [task.view(np.uint32)], one), wanted)

    def test_a_large_one(self):
        rng = samples.generator("merge large")
        for dtype in (tf.BF16, tf.F32):
            base = samples.raw(rng, dtype, samples.long_length())
            self.check(dtype, base, [samples.near(rng, dtype, base) for _ in range(2)], 0.3, (0x3C000000, ref.KEY_END, 14))

    def test_without_tallies(self):
        rng = samples.generator("merge alone")
        base = samples.raw(rng, tf.F16, 3_333)
        tasks = [samples.near(rng, tf.F16, base) for _ in range(2)]
        np.testing.assert_array_equal(run_merge(tf.F16, base, tasks, 0.3), ref.merge(tf.F16, base, tasks, 0.3))

    def test_refused(self):
        base, out = gpu.zeros(4, np.uint32), gpu.zeros(4, np.uint32)
        one = gpu.pointers([base])

        def job(**changes):
            fields = {
                "dtype": tf.F32,
                "task_count": 1,
                "elements": 4,
                "base": base.address,
                "tasks": one,
                "lambda_": 0.5,
                "merged": out.address,
            }
            return tf.MergeJob(**{**fields, **changes})

        bad = [{"dtype": 5}, {"dtype": -1}, {"task_count": 0}, {"task_count": 65}]
        bad += [{"base": None}, {"tasks": None}, {"merged": None}]
        for changes in bad:
            with self.subTest(changes), self.assertRaises(tf.CudaError) as caught:
                gpu.library().merge(gpu.queue(), byref(job(**changes)))
            self.assertEqual(caught.exception.status, tf.INVALID)
        with self.assertRaises(tf.CudaError):
            gpu.library().merge(gpu.queue(), None)
        with self.assertRaises(tf.CudaError):
            gpu.library().merge(None, byref(job()))


class Count(unittest.TestCase):
    def check(self, dtype, merged, task, window):
        tally = Tally(*window)
        arrays = [None if merged is None else gpu.upload(merged), gpu.upload(task)]
        job = tf.CountJob(dtype, task.size, gpu.address(arrays[0]), arrays[1].address, tally.struct())
        gpu.library().count(gpu.queue(), byref(job))
        gpu.wait()
        tally.check(self, ref.keys(dtype, merged, task))

    def test_differences_and_values(self):
        rng = samples.generator("count")
        for dtype in range(5):
            for kind in ("plain", "few", "wild"):
                for window in windows():
                    for count in (70_001,) if not gpu.small() else (3_003,):
                        task = samples.raw(rng, dtype, count, kind)
                        for merged in (None, samples.near(rng, dtype, task)):
                            with self.subTest(dtype=tf.DTYPE_NAMES[dtype], kind=kind, window=window):
                                self.check(dtype, merged, task, window)

    def test_lengths(self):
        rng = samples.generator("count lengths")
        for count in samples.lengths():
            for dtype in range(5):
                with self.subTest(count=count, dtype=tf.DTYPE_NAMES[dtype]):
                    task = samples.raw(rng, dtype, count)
                    self.check(dtype, samples.near(rng, dtype, task), task, (0, ref.KEY_END, 16))

    def test_all_equal(self):
        task = np.full(200_000, 0x3F80, np.uint16)
        self.check(tf.BF16, None, task, (0, ref.KEY_END, 16))


if __name__ == "__main__":
    unittest.main()
