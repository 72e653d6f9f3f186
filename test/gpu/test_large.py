"""One tensor of more than 2^32 elements through everything. On a GPU with torch and 40 GB free, TASKFOLD_TEST_SIZE=big."""

import unittest
from ctypes import byref

import numpy as np

import gpu
import reference as ref
import taskfold_cuda as tf
import xxh3

ELEMENTS = (1 << 32) + 3 * tf.BLOCK + 77
CHUNK = 1 << 28


def chunks():
    for at in range(0, ELEMENTS, CHUNK):
        yield at, min(at + CHUNK, ELEMENTS)


class Large(unittest.TestCase):
    """F8_E4M3, whose values are kept small: nothing overflows, so torch rounds as docs/FORMAT.md says. λ = 1/2, whose
    products are exact, so that torch's two roundings are one."""

    @classmethod
    def setUpClass(cls):
        if not gpu.big() or gpu.torch() is None:
            raise unittest.SkipTest("wants a GPU, torch and TASKFOLD_TEST_SIZE=big")
        if gpu.library().memory(gpu.device())[0] < 40e9:
            raise unittest.SkipTest("wants 40 GB of free GPU memory")
        torch = gpu.torch()
        torch.manual_seed(5)
        cls.base, cls.task = cls.random(torch), cls.random(torch)
        cls.merged = gpu.garbage(ELEMENTS, np.uint8)
        tally = gpu.zeros(2, np.uint64)
        counts = gpu.zeros(1 << 15, np.uint64)
        cls.window = tf.Window(0, ref.KEY_END, 16, ((ref.KEY_END - 1) >> 16) + 1, counts.address, tally.address)
        tasks = gpu.pointers([cls.task])
        windows = (tf.Window * 1)(cls.window)
        job = tf.MergeJob(tf.F8_E4M3, 1, ELEMENTS, cls.base.address, tasks, 0.5, cls.merged.address, windows, None)
        gpu.library().merge(gpu.queue(), byref(job))
        gpu.wait()
        cls.counts = counts.read()

    @classmethod
    def tearDownClass(cls):
        cls.base = cls.task = cls.merged = None

    @staticmethod
    def random(torch):
        array = gpu.Array(ELEMENTS, np.uint8)
        array.memory.tensor[:ELEMENTS].random_(0, 256)
        # Exponents below 12: |x| < 32.
        array.memory.tensor[:ELEMENTS].bitwise_and_(0xDF)
        torch.cuda.synchronize()
        return array

    @staticmethod
    def wide(array, start, end):
        torch = gpu.torch()
        return array.memory.tensor[start:end].view(torch.float8_e4m3fn).float()

    def keys(self, start, end):
        torch = gpu.torch()
        u = self.wide(self.task, start, end) - self.wide(self.merged, start, end)
        return u.view(torch.int32) & 0x7FFFFFFF

    def test_merge_and_tallies(self):
        torch = gpu.torch()
        counts = torch.zeros(1 << 15, dtype=torch.int64, device=f"cuda:{gpu.device()}")
        for start, end in chunks():
            base, task = self.wide(self.base, start, end), self.wide(self.task, start, end)
            wanted = ((task - base) * 0.5 + base).to(torch.float8_e4m3fn).view(torch.uint8)
            self.assertTrue(torch.equal(self.merged.memory.tensor[start:end], wanted), f"θ* from {start}")
            counts += torch.bincount(self.keys(start, end) >> 16, minlength=1 << 15)
        np.testing.assert_array_equal(self.counts, counts.cpu().numpy().astype(np.uint64))

    def test_select_and_scatter(self):
        torch = gpu.torch()
        library, queue = gpu.library(), gpu.queue()
        threshold = 0x40000000
        blocks = ref.block_count(ELEMENTS)
        above, equal = gpu.garbage(blocks, np.uint32), gpu.garbage(blocks, np.uint32)
        rank = tf.RankJob(tf.F8_E4M3, threshold, ELEMENTS, self.merged.address, self.task.address, above.address, equal.address, None)
        library.rank(queue, byref(rank))
        ties = int(equal.read().sum(dtype=np.uint64)) // 2
        left = gpu.upload(np.array([ties], np.uint64))
        keep, starts = gpu.garbage(blocks, np.uint32), gpu.garbage(blocks + 1, np.uint64)
        place = tf.PlaceJob(blocks, above.address, equal.address, left.address, keep.address, starts.address)
        library.place(queue, byref(place))
        kept = int(starts.read()[-1])
        self.assertEqual(kept, int(above.read().sum(dtype=np.uint64)) + ties)
        values, positions = gpu.garbage(kept, np.uint8), gpu.garbage(kept, np.uint16)
        bits = gpu.garbage(blocks * tf.BLOCK // 64, np.uint64)
        emit = tf.EmitJob(
            *(tf.F8_E4M3, threshold, ELEMENTS, self.merged.address, self.task.address, keep.address, starts.address),
            *(values.address, positions.address, bits.address),
        )
        library.emit(queue, byref(emit))
        gpu.wait()
        dense = gpu.Array(ELEMENTS, np.uint8)
        library.copy(queue, dense.address, self.merged.address, ELEMENTS)
        refused = gpu.zeros(1, np.uint64)
        delta = tf.Delta(starts.address, positions.address, values.address, kept, 8, tf.INDEX_U16)
        library.scatter(queue, byref(tf.ScatterJob(dense.address, ELEMENTS, 1, delta, refused.address)))
        self.assertEqual(int(refused.read()[0]), 0)

        found, ties_left = 0, ties
        powers = 2 ** torch.arange(8, device=f"cuda:{gpu.device()}", dtype=torch.uint8)
        for start, end in chunks():
            key = self.keys(start, end)
            equals = key == threshold
            mask = key > threshold
            some = equals.nonzero()[:ties_left, 0]
            ties_left -= len(some)
            mask[some] = True
            places = mask.nonzero()[:, 0]
            count = len(places)
            mine = self.task.memory.tensor[start:end]
            self.assertTrue(torch.equal(values.memory.tensor[found : found + count], mine[places]), f"values from {start}")
            stored = positions.memory.tensor[2 * found : 2 * (found + count)].view(torch.int16).int() & 0xFFFF
            self.assertTrue(torch.equal(stored, (places % tf.BLOCK).int()), f"positions from {start}")
            if end % tf.BLOCK == 0:
                packed = bits.memory.tensor[start // 8 : end // 8].unsqueeze(1).bitwise_and(powers) != 0
                self.assertTrue(torch.equal(packed.reshape(-1), mask), f"bits from {start}")
            wanted = torch.where(mask, mine, self.merged.memory.tensor[start:end])
            self.assertTrue(torch.equal(dense.memory.tensor[start:end], wanted), f"scattered from {start}")
            found += count
        self.assertEqual(found, kept)

    def test_convert(self):
        torch = gpu.torch()
        result = gpu.garbage(ELEMENTS, np.uint16)
        job = tf.ConvertJob(tf.F8_E4M3, tf.BF16, ELEMENTS, self.task.address, result.address, None)
        gpu.library().convert(gpu.queue(), byref(job))
        gpu.wait()
        for start, end in chunks():
            wanted = self.wide(self.task, start, end).bfloat16().view(torch.int16)
            found = result.memory.tensor[2 * start : 2 * end].view(torch.int16)
            self.assertTrue(torch.equal(found, wanted), f"from {start}")

    def test_digest(self):
        leaves = -(-ELEMENTS // tf.LEAF)
        result = gpu.garbage(leaves * 16, np.uint8)
        gpu.library().digest(gpu.queue(), byref(tf.DigestJob(self.task.address, ELEMENTS, result.address)))
        found = result.read().reshape(leaves, 16)
        for leaf in (0, 1, leaves // 2, (1 << 32) // tf.LEAF - 1, (1 << 32) // tf.LEAF, leaves - 1):
            data = self.task.memory.tensor[leaf * tf.LEAF : min((leaf + 1) * tf.LEAF, ELEMENTS)].cpu().numpy()
            self.assertEqual(found[leaf].tobytes().hex(), xxh3.digest(data.tobytes()).hex(), f"leaf {leaf}")


if __name__ == "__main__":
    unittest.main()
