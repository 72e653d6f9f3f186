"""tf_cuda_rank, place and emit: the entries of highest rank, in the order of their positions."""

import unittest
from ctypes import byref

import numpy as np

import gpu
import reference as ref
import samples
import taskfold_cuda as tf


def rank(dtype, merged, task, threshold, elements, tally=None):
    blocks = ref.block_count(elements)
    above, equal = gpu.garbage(blocks, np.uint32), gpu.garbage(blocks, np.uint32)
    job = tf.RankJob(
        dtype,
        threshold,
        elements,
        gpu.address(merged),
        task.address,
        above.address,
        equal.address,
        gpu.address(tally),
    )
    gpu.library().rank(gpu.queue(), byref(job))
    return above, equal


def place(above, equal, ties):
    blocks = above.count
    left = gpu.upload(np.array([ties], np.uint64))
    keep, starts = gpu.garbage(blocks, np.uint32), gpu.garbage(blocks + 1, np.uint64)
    job = tf.PlaceJob(blocks, above.address, equal.address, left.address, keep.address, starts.address)
    gpu.library().place(gpu.queue(), byref(job))
    return keep, starts, left


def emit(dtype, merged, task, threshold, elements, keep, starts, kept, outputs=(True, True, True)):
    blocks = ref.block_count(elements)
    values = gpu.garbage(kept, ref.RAW[dtype]) if outputs[0] else None
    positions = gpu.garbage(kept, np.uint16) if outputs[1] else None
    bits = gpu.garbage(blocks * tf.BLOCK // 64, np.uint64) if outputs[2] else None
    job = tf.EmitJob(
        dtype,
        threshold,
        elements,
        gpu.address(merged),
        task.address,
        keep.address,
        starts.address,
        gpu.address(values),
        gpu.address(positions),
        gpu.address(bits),
    )
    gpu.library().emit(gpu.queue(), byref(job))
    return values, positions, bits


class Select(unittest.TestCase):
    def check(self, dtype, merged, task, keep_count, outputs=(True, True, True)):
        key = ref.keys(dtype, merged, task)
        mask = ref.first_by_rank(key, keep_count)
        threshold = int(key[mask].min()) if keep_count else ref.KEEP_NOTHING
        ties = keep_count - int((key > threshold).sum())
        arrays = (None if merged is None else gpu.upload(merged), gpu.upload(task))
        tally = gpu.upload(np.array([11, 0], np.uint64))

        above, equal = rank(dtype, *arrays, threshold, task.size, tally)
        np.testing.assert_array_equal(above.read(), ref.per_block(key > threshold))
        np.testing.assert_array_equal(equal.read(), ref.per_block(key == threshold))
        found = tally.read()
        self.assertEqual(int(found[0]), 11, "above is not rank's to change")
        self.assertEqual(bool(found[1]), bool((key == ref.NAN_KEY).any()))

        keep, starts, left = place(above, equal, ties)
        np.testing.assert_array_equal(keep.read(), ref.per_block(mask & (key == threshold)))
        np.testing.assert_array_equal(starts.read(), ref.starts_of(mask))
        self.assertEqual(int(left.read()[0]), 0)

        results = emit(dtype, *arrays, threshold, task.size, keep, starts, keep_count, outputs)
        wanted = (task[mask], ref.positions_of(mask), ref.words_of(mask))
        for result, expected in zip(results, wanted):
            if result is not None:
                np.testing.assert_array_equal(result.read(), expected)

    def test_dtypes_and_ties(self):
        rng = samples.generator("select")
        count = 3_001 if gpu.small() else 150_003
        for dtype in range(5):
            for kind in ("plain", "few", "wild"):
                task = samples.raw(rng, dtype, count, kind)
                for merged in (None, samples.near(rng, dtype, task)):
                    for share in (0, 0.01, 0.1, 0.5, 1):
                        with self.subTest(dtype=tf.DTYPE_NAMES[dtype], kind=kind, merged=merged is not None, share=share):
                            self.check(dtype, merged, task, int(share * count))

    def test_lengths(self):
        rng = samples.generator("select lengths")
        for count in samples.lengths():
            for dtype in range(5):
                for share in (0.1, 1):
                    with self.subTest(count=count, dtype=tf.DTYPE_NAMES[dtype], share=share):
                        task = samples.raw(rng, dtype, count)
                        self.check(dtype, samples.near(rng, dtype, task), task, int(share * count))

    def test_all_equal(self):
        # Nothing but ties: the lowest positions are kept, over the borders of blocks.
        for count in (1, 100, tf.BLOCK, tf.BLOCK + 1, 2 * tf.BLOCK - 1):
            with self.subTest(count=count):
                self.check(tf.BF16, None, np.full(2 * tf.BLOCK + 5, 0x3F80, np.uint16), count)
        self.check(tf.F32, np.full(70_000, 9, np.uint32), np.full(70_000, 9, np.uint32), 66_000)

    def test_outputs_that_are_not_wanted(self):
        rng = samples.generator("select outputs")
        task = samples.raw(rng, tf.F16, 70_000)
        for outputs in ((True, False, False), (False, True, False), (False, False, True), (True, False, True)):
            with self.subTest(outputs):
                self.check(tf.F16, None, task, 7_000, outputs)

    def test_a_large_one(self):
        rng = samples.generator("select large")
        for dtype in (tf.BF16, tf.F32):
            task = samples.raw(rng, dtype, samples.long_length())
            self.check(dtype, samples.near(rng, dtype, task), task, task.size // 10)

    def test_ties_run_over_several_calls(self):
        # A tensor in two pieces, as streaming does it: what the first leaves of the ties, the second may keep.
        above, equal = gpu.upload(np.array([3, 0], np.uint32)), gpu.upload(np.array([4, 5], np.uint32))
        keep, starts, left = place(above, equal, 20)
        self.assertEqual(keep.read().tolist(), [4, 5])
        self.assertEqual(starts.read().tolist(), [0, 7, 12])
        self.assertEqual(int(left.read()[0]), 11)

    def test_many_blocks(self):
        rng = samples.generator("place")
        for blocks in (0, 1, 2, 255, 256, 257, 1023, 1024, 1025, 5_000, 100_003):
            with self.subTest(blocks=blocks):
                above = rng.integers(0, 32_768, blocks, np.uint32)
                equal = np.where(rng.random(blocks) < 0.5, 0, rng.integers(0, 32_768, blocks, np.uint32)).astype(np.uint32)
                total = int(equal.sum(dtype=np.uint64))
                for ties in {0, 1, total // 2, total, total + 3}:
                    keep, starts, left = place(gpu.upload(above), gpu.upload(equal), ties)
                    ends = np.minimum(np.cumsum(equal, dtype=np.uint64), np.uint64(ties))
                    kept = np.diff(np.concatenate([np.zeros(1, np.uint64), ends]))
                    np.testing.assert_array_equal(keep.read(), kept)
                    wanted = np.concatenate([np.zeros(1, np.uint64), np.cumsum(kept + above)])
                    np.testing.assert_array_equal(starts.read(), wanted.astype(np.uint64))
                    self.assertEqual(int(left.read()[0]), ties - min(ties, total))


if __name__ == "__main__":
    unittest.main()
