"""tf_cuda_scatter and tf_cuda_swap: stored deltas into dense tensors, and back."""

import unittest
from ctypes import byref

import numpy as np

import gpu
import reference as ref
import samples
import taskfold_cuda as tf

ITEMS = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}


class StoredDelta:
    """A delta in both index codes, on the device."""

    def __init__(self, mask, values, code, start_bytes=4):
        self.mask, self.code, self.start_bytes = mask, code, start_bytes
        self.kept = int(mask.sum())
        assert values.size == self.kept
        index = ref.positions_of(mask) if code == tf.INDEX_U16 else ref.bitmap_of(mask)
        self.starts = gpu.upload(ref.starts_of(mask).astype(ITEMS[start_bytes]))
        self.index = gpu.upload(index)
        self.values = gpu.upload(values)

    def struct(self):
        if self.kept == 0:
            return tf.Delta(None, None, None, 0, self.start_bytes, self.code)
        arrays = (self.starts.address, self.index.address, self.values.address)
        return tf.Delta(*arrays, self.kept, self.start_bytes, self.code)


def random_mask(rng, count, share):
    if share == 1:
        return np.ones(count, bool)
    mask = rng.random(count) < share
    # Blocks without an entry, and full ones.
    mask[: count // 7] = False
    mask[count // 7 : count // 5] = share > 0
    return mask


def random_items(rng, count, item_bytes):
    return rng.integers(0, 256, count * item_bytes, np.uint8).view(ITEMS[item_bytes])


def scatter(dense, elements, item_bytes, delta):
    refused = gpu.upload(np.array([3], np.uint64))
    job = tf.ScatterJob(dense.address, elements, item_bytes, delta, refused.address)
    gpu.library().scatter(gpu.queue(), byref(job))
    return int(refused.read()[0]) - 3


class Scatter(unittest.TestCase):
    def check(self, rng, count, item_bytes, code, start_bytes, share):
        dense, mask = random_items(rng, count, item_bytes), random_mask(rng, count, share)
        values = random_items(rng, int(mask.sum()), item_bytes)
        delta = StoredDelta(mask, values, code, start_bytes)
        array = gpu.upload(dense)
        self.assertEqual(scatter(array, count, item_bytes, delta.struct()), 0)
        dense[mask] = values
        np.testing.assert_array_equal(array.read(), dense)
        # What was read is as it was.
        if delta.kept:
            np.testing.assert_array_equal(delta.values.read(), values)

    def test_items_and_codes(self):
        rng = samples.generator("scatter")
        for count in samples.lengths():
            for item_bytes in ITEMS:
                for code in (tf.INDEX_U16, tf.INDEX_BITMAP):
                    for start_bytes in (4, 8):
                        for share in (0, 0.03, 0.6, 1):
                            with self.subTest(count=count, item=item_bytes, code=code, starts=start_bytes, share=share):
                                self.check(rng, count, item_bytes, code, start_bytes, share)

    def test_a_large_one(self):
        rng = samples.generator("scatter large")
        for code in (tf.INDEX_U16, tf.INDEX_BITMAP):
            self.check(rng, samples.long_length(), 2, code, 4, 0.1)

    def test_positions_behind_the_end(self):
        count = tf.BLOCK + 100
        mask = np.zeros(count, bool)
        mask[[5, 70, tf.BLOCK + 10, tf.BLOCK + 20]] = True
        delta = StoredDelta(mask, np.array([1, 2, 3, 4], np.uint16), tf.INDEX_U16)
        delta.index.write([5, 70, 10, 100])
        array = gpu.zeros(count, np.uint16)
        self.assertEqual(scatter(array, count, 2, delta.struct()), 1)
        wanted = np.zeros(count, np.uint16)
        wanted[[5, 70, tf.BLOCK + 10]] = [1, 2, 3]
        np.testing.assert_array_equal(array.read(), wanted)

    def test_lies_lead_nowhere(self):
        # Starts, positions and bits at random: whatever is written lies inside the tensor (the guard behind it, and
        # compute-sanitizer, see the rest).
        rng = samples.generator("scatter lies")
        for round in range(20 if gpu.small() else 100):
            count = int(rng.integers(1, 3 * tf.BLOCK))
            item_bytes = int(rng.choice([1, 2, 4, 8]))
            code = int(rng.integers(0, 2))
            mask = random_mask(rng, count, 0.05)
            if not mask.any():
                continue
            delta = StoredDelta(mask, random_items(rng, int(mask.sum()), item_bytes), code, 8)
            lies = int(rng.integers(0, 3))
            if lies != 1:
                delta.starts.write(rng.integers(0, 2**63, delta.starts.count, np.uint64) >> np.uint64(rng.integers(0, 62)))
            if lies != 0:
                delta.index.write(rng.integers(0, 1 << 8 * delta.index.dtype.itemsize, delta.index.count))
            array = gpu.garbage(count, ITEMS[item_bytes])
            with self.subTest(round=round):
                scatter(array, count, item_bytes, delta.struct())
                array.read()
                delta.values.read()

    def test_refused(self):
        array, refused = gpu.zeros(8, np.uint32), gpu.zeros(1, np.uint64)
        delta = StoredDelta(np.ones(8, bool), np.zeros(8, np.uint32), tf.INDEX_U16)
        good = delta.struct()
        bad = [
            tf.ScatterJob(array.address, 8, 3, good, refused.address),
            tf.ScatterJob(None, 8, 4, good, refused.address),
            tf.ScatterJob(array.address, 8, 4, good, None),
        ]
        for field, value in (("starts", None), ("index", None), ("values", None), ("start_bytes", 2), ("index_code", 2)):
            wrong = delta.struct()
            setattr(wrong, field, value)
            bad.append(tf.ScatterJob(array.address, 8, 4, wrong, refused.address))
        for i, job in enumerate(bad):
            with self.subTest(i), self.assertRaises(tf.CudaError) as caught:
                gpu.library().scatter(gpu.queue(), byref(job))
            self.assertEqual(caught.exception.status, tf.INVALID)


class Model:
    """Tensors with two tasks' deltas, on the device and as numpy arrays."""

    def __init__(self, rng, shapes, codes=(tf.INDEX_U16, tf.INDEX_BITMAP)):
        self.merged = [random_items(rng, count, item) for count, item in shapes]
        self.dense = [gpu.upload(m) for m in self.merged]
        self.tasks = []
        for task in range(2):
            deltas, wanted = [], []
            for i, (count, item) in enumerate(shapes):
                mask = random_mask(rng, count, [0.1, 0, 0.5, 1][(i + task) % 4])
                values = random_items(rng, int(mask.sum()), item)
                deltas.append(StoredDelta(mask, values, codes[(i + task) % 2], 4 if i % 2 else 8))
                wanted.append(np.where(mask, 0, self.merged[i]).astype(ITEMS[item]))
                wanted[-1][mask] = values
            self.tasks.append((deltas, wanted))
        self.shapes = shapes

    def swap(self, leave, enter):
        structs, blocks = [], 0
        nothing = tf.Delta(None, None, None, 0, 4, tf.INDEX_U16)
        for i, (count, item) in enumerate(self.shapes):
            parts = [nothing if task is None else self.tasks[task][0][i].struct() for task in (leave, enter)]
            structs.append(tf.SwapTensor(self.dense[i].address, count, item, 0, blocks, *parts))
            blocks += ref.block_count(count)
        table, refused = gpu.upload_structs(structs), gpu.zeros(1, np.uint64)
        job = tf.SwapJob(table.address, len(structs), blocks, refused.address)
        gpu.library().swap(gpu.queue(), byref(job))
        return int(refused.read()[0])


class Swap(unittest.TestCase):
    def check(self, model, wanted):
        for array, expected in zip(model.dense, wanted):
            np.testing.assert_array_equal(array.read(), expected)

    def round_trips(self, model):
        for leave, enter in ((None, 0), (0, 1), (1, 0), (0, 0), (0, None), (None, 1), (1, None)):
            self.assertEqual(model.swap(leave, enter), 0)
            self.check(model, model.merged if enter is None else model.tasks[enter][1])
            if enter is not None:
                for i, delta in enumerate(model.tasks[enter][0]):
                    np.testing.assert_array_equal(delta.values.read(), model.merged[i][delta.mask])
        for deltas, wanted in model.tasks:
            for delta, expected in zip(deltas, wanted):
                np.testing.assert_array_equal(delta.values.read(), expected[delta.mask])

    def test_round_trips(self):
        shapes = [(100, 2), (1, 4), (70_000, 2), (tf.BLOCK, 1), (tf.BLOCK + 1, 8), (3 * tf.BLOCK + 5, 2), (17, 1), (5_000, 4)]
        self.round_trips(Model(samples.generator("swap"), shapes))

    def test_one_tensor(self):
        for count in (1, 1000, 2 * tf.BLOCK + 1):
            for item in ITEMS:
                with self.subTest(count=count, item=item):
                    self.round_trips(Model(samples.generator("swap one"), [(count, item)]))

    def test_many_tensors(self):
        rng = samples.generator("swap many")
        count = 40 if gpu.small() else (80 if gpu.emulated() else 500)
        self.round_trips(Model(rng, [(int(rng.integers(1, 3_000)), 2) for _ in range(count)]))

    def test_an_empty_list(self):
        refused = gpu.zeros(1, np.uint64)
        gpu.library().swap(gpu.queue(), byref(tf.SwapJob(None, 0, 0, refused.address)))
        self.assertEqual(int(refused.read()[0]), 0)


if __name__ == "__main__":
    unittest.main()
