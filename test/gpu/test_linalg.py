"""tf_cuda_sketch_*, gram, cholesky, solve: within the errors that taskfold_cuda_linalg.h states, and the same every time."""

import unittest
from ctypes import byref

import numpy as np

import gpu
import reference as ref
import samples
import taskfold_cuda as tf

HALF_ULP = 2.0**-24
#: Three products of TF32 a term.
PRODUCT = 2.0**-20


class Matrix:
    """A dense matrix or a difference of two: on the device, and as f32 of the host."""

    def __init__(self, rng, rows, columns, dtype, minus_dtype=None, scale=1.0):
        self.rows, self.columns, self.dtype, self.scale = rows, columns, dtype, np.float32(scale)
        self.bits = samples.finite(dtype, samples.raw(rng, dtype, rows * columns))
        self.array = gpu.upload(self.bits)
        self.minus_dtype = dtype if minus_dtype is None else minus_dtype
        self.minus = None
        plain = ref.widen(dtype, self.bits)
        if minus_dtype is not None:
            minus = ref.narrow(minus_dtype, plain + rng.standard_normal(plain.size, np.float32) * np.float32(0.1))
            self.minus = gpu.upload(minus)
            plain = plain - ref.widen(minus_dtype, minus)
        self.difference = plain.astype(np.float64).reshape(rows, columns)
        self.values = self.difference * np.float64(self.scale)

    def fields(self):
        kinds = (self.dtype, self.minus_dtype, self.rows, self.columns)
        return kinds, self.scale, (self.array.address, gpu.address(self.minus))


def forward(matrix, x, y_stride=None, totals=True, wide=False):
    """y in f32, or in f64 when `wide`; the squared norm; whether something is not finite."""
    kinds, scale, pointers = matrix.fields()
    k = x.size // matrix.columns
    stride = matrix.rows if y_stride is None else y_stride
    y = gpu.garbage(k * stride, np.float64 if wide else np.float32)
    norm, not_finite = (gpu.zeros(1, np.float64), gpu.zeros(1, np.uint64)) if totals else (None, None)
    sketch = gpu.upload(x.astype(np.float32))
    out = (None, y.address) if wide else (y.address, None)
    ends = (sketch.address, *out, stride, gpu.address(norm), gpu.address(not_finite))
    gpu.library().sketch_forward(gpu.queue(), byref(tf.SketchJob(*kinds, k, scale, *pointers, *ends)))
    result = y.read().reshape(k, stride)
    return result, *((float(norm.read()[0]), int(not_finite.read()[0])) if totals else (None, None))


def backward(matrix, y, z):
    """z + y·D; with products and sums in f64 when y is f64."""
    kinds, scale, pointers = matrix.fields()
    array, total = gpu.upload(y), gpu.upload(z.astype(np.float64))
    sources = (None, array.address) if y.dtype == np.float64 else (array.address, None)
    job = tf.BackwardJob(*kinds, len(y), scale, *pointers, *sources, y.shape[1], total.address)
    gpu.library().sketch_backward(gpu.queue(), byref(job))
    return total.read().reshape(len(y), matrix.columns)


def shapes():
    yield from ((1, 1, 1), (1, 17, 3), (5, 1, 2), (33, 65, 8), (127, 129, 17), (64, 64, 16))
    if not gpu.small():
        yield from ((300, 1000, 40), (1000, 300, 40), (40, 50, 200), (16, 16, tf.MAX_SKETCH))
    if not gpu.small() and not gpu.emulated():
        yield from ((4096, 11008, 40), (11008, 4096, 40), (4096, 4096, 300))


class Sketch(unittest.TestCase):
    def close(self, found, wanted, size, terms, name):
        """|error| ≤ (2^-20 + rounding of a sum of so many terms) · Σ|terms|."""
        error = np.abs(found - wanted)
        bound = (PRODUCT + (terms + 2) * HALF_ULP) * size + 1e-37
        self.assertTrue((error <= bound).all(), f"{name}: worst {np.max(error / bound):.3g} of the bound")
        gpu.note(f"{name}: error / Σ|terms|", float(np.max(error / np.maximum(size, 1e-300))))

    def check(self, matrix, k, rng):
        x = rng.choice(np.float32([-1, 1]), (k, matrix.columns)) * rng.random((k, 1), np.float32)
        y, norm, not_finite = forward(matrix, x)
        size = np.abs(x).astype(np.float64) @ np.abs(matrix.values).T
        self.close(y, x.astype(np.float64) @ matrix.values.T, size, matrix.columns, "sketch forward")
        total = float((matrix.difference**2).sum())
        self.assertLessEqual(abs(norm - total), 1e-6 * total)
        self.assertEqual(not_finite, 0)
        again, *_ = forward(matrix, x)
        np.testing.assert_array_equal(again.view(np.uint32), y.view(np.uint32), "not the same bits twice")

        wide, *_ = forward(matrix, x, wide=True)
        np.testing.assert_array_equal(wide.astype(np.float32), y)

        back = rng.standard_normal((k, matrix.rows), np.float32)
        before = rng.standard_normal((k, matrix.columns))
        z = backward(matrix, back, before)
        size = np.abs(back).astype(np.float64) @ np.abs(matrix.values)
        wanted = before + back.astype(np.float64) @ matrix.values
        self.close(z, wanted, size + np.abs(before) * 2.0**-30, matrix.rows, "sketch backward")
        exact = backward(matrix, back.astype(np.float64), before)
        error = np.abs(exact - wanted) / (size + np.abs(before) + 1e-300)
        # Of D itself, the product with the scale is rounded.
        self.assertLess(error.max(), 2.0**-44 if matrix.scale == 1 else 2 * HALF_ULP, "backward in f64")
        again = backward(matrix, back, before)
        np.testing.assert_array_equal(again.view(np.uint64), z.view(np.uint64), "not the same bits twice")

    def test_shapes(self):
        rng = samples.generator("sketch shapes")
        for rows, columns, k in shapes():
            for dtype, minus in ((tf.BF16, tf.BF16), (tf.F32, None)):
                with self.subTest(rows=rows, columns=columns, k=k, dtype=tf.DTYPE_NAMES[dtype]):
                    self.check(Matrix(rng, rows, columns, dtype, minus), k, rng)

    def test_dtypes(self):
        rng = samples.generator("sketch dtypes")
        for dtype in range(5):
            for minus in (None, *range(5)):
                with self.subTest(dtype=tf.DTYPE_NAMES[dtype], minus=minus):
                    self.check(Matrix(rng, 70, 90, dtype, minus, scale=0.37), 9, rng)

    def test_pieces_of_rows(self):
        rng = samples.generator("sketch pieces")
        matrix = Matrix(rng, 60, 40, tf.F32)
        x = rng.standard_normal((5, 40), np.float32)
        y, *_ = forward(matrix, x, y_stride=100)
        wanted, *_ = forward(matrix, x)
        np.testing.assert_array_equal(y[:, :60], wanted)
        self.assertTrue((y[:, 60:].view(np.uint8) == 0xCD).all(), "wrote outside of its rows")

    def test_without_totals(self):
        rng = samples.generator("sketch totals")
        matrix = Matrix(rng, 20, 30, tf.F16)
        x = rng.standard_normal((4, 30), np.float32)
        np.testing.assert_array_equal(forward(matrix, x, totals=False)[0], forward(matrix, x)[0])

    def test_not_finite(self):
        rng = samples.generator("sketch not finite")
        for value in (np.nan, np.inf, -np.inf):
            matrix = Matrix(rng, 50, 60, tf.F32)
            bits = matrix.bits.copy().view(np.float32)
            bits[1234] = value
            matrix.array.write(bits.view(np.uint32))
            _, _, not_finite = forward(matrix, np.ones((3, 60), np.float32))
            self.assertEqual(not_finite, 1)

    def test_refused(self):
        rng = samples.generator("sketch refused")
        matrix = Matrix(rng, 4, 4, tf.F32)
        kinds, scale, pointers = matrix.fields()
        x, y = gpu.zeros(8, np.float32), gpu.zeros(8, np.float32)

        def job(**changes):
            found = tf.SketchJob(*kinds, 2, scale, *pointers, x.address, y.address, None, 4, None, None)
            for name, value in changes.items():
                setattr(found, name, value)
            return found

        for changes in ({"dtype": 9}, {"k": 0}, {"k": tf.MAX_SKETCH + 1}, {"matrix": None}, {"x": None}, {"y": None}):
            with self.subTest(changes), self.assertRaises(tf.CudaError) as caught:
                gpu.library().sketch_forward(gpu.queue(), byref(job(**changes)))
            self.assertEqual(caught.exception.status, tf.INVALID)


class Batch:
    """Matrices of k vectors of length n on the device."""

    def __init__(self, matrices, narrow=False):
        self.host = matrices
        self.s = [gpu.upload(m.astype(np.float64)) for m in matrices]
        self.r = [gpu.garbage(len(m) ** 2, np.float64) for m in matrices]
        self.narrow = [gpu.garbage(m.size, np.float32) if narrow else None for m in matrices]
        self.status = gpu.garbage(len(matrices), np.uint32)
        parts = zip(self.s, self.r, self.narrow, matrices)
        rows = [(s.address, r.address, gpu.address(f), m.shape[1], len(m), 0) for s, r, f, m in parts]
        self.structs = (tf.Columns * len(matrices))(*[tf.Columns(*row) for row in rows])

    def run(self, name, least=0.0):
        batch = tf.ColumnsBatch(self.structs, len(self.host), 0, least, self.status.address)
        getattr(gpu.library(), name)(gpu.queue(), byref(batch))

    def gram(self):
        self.run("gram")

    def cholesky(self, least):
        self.run("cholesky", least)
        return self.status.read()

    def solve(self):
        self.run("solve")

    def read_s(self, i):
        return self.s[i].read().reshape(self.host[i].shape)

    def read_r(self, i):
        return self.r[i].read().reshape(len(self.host[i]), -1)


def batches(rng):
    sizes = [(1, 1), (2, 5), (8, 100), (16, 16), (17, 333), (40, 1000), (64, 500), (72, 4096)]
    if not gpu.small():
        sizes += [(128, 300)]
    if not gpu.small() and not gpu.emulated():
        sizes += [(300, 11008), (tf.MAX_SKETCH, 4096)]
    yield [rng.standard_normal(size) for size in sizes]
    yield [rng.standard_normal((16, 200)) * 10.0 ** rng.integers(-12, 12) for _ in range(30)]
    # Columns of very different length: Cholesky scales them.
    yield [rng.standard_normal((20, 100)) * 10.0 ** np.linspace(-8, 8, 20)[:, None]]


class ThinQr(unittest.TestCase):
    def test_gram_cholesky_solve(self):
        rng = samples.generator("thin qr")
        for matrices in batches(rng):
            batch = Batch(matrices, narrow=True)
            batch.gram()
            for i, m in enumerate(matrices):
                norms = np.sqrt((m**2).sum(axis=1))
                error = np.abs(batch.read_r(i) - m @ m.T) / np.outer(norms, norms)
                self.assertLess(error.max(), 1e-13 * max(1, m.shape[1] / 1000), m.shape)
            self.assertEqual(batch.cholesky(1e-12).tolist(), [0] * len(matrices))
            for i, m in enumerate(matrices):
                r, norms = batch.read_r(i), np.sqrt((m**2).sum(axis=1))
                self.assertTrue((np.tril(r, -1) == 0).all() and (np.diag(r) > 0).all(), m.shape)
                error = np.abs(r.T @ r - m @ m.T) / np.outer(norms, norms)
                self.assertLess(error.max(), 1e-12, m.shape)
            batch.solve()
            for i, m in enumerate(matrices):
                q, r = batch.read_s(i), batch.read_r(i)
                np.testing.assert_array_equal(batch.narrow[i].read(), q.astype(np.float32).reshape(-1))
                norms = np.sqrt((m**2).sum(axis=1))[:, None]
                self.assertLess(np.abs(r.T @ q - m).max(axis=1, keepdims=True).max() / norms.max(), 1e-11, m.shape)
                if m.shape[1] >= 2 * len(m):
                    off = np.abs(q @ q.T - np.eye(len(m))).max()
                    self.assertLess(off, 1e-8, m.shape)
                    gpu.note("CholeskyQR: orthogonality after one pass", off)

    def test_the_same_bits_twice(self):
        rng = samples.generator("thin qr again")
        matrices = [rng.standard_normal((40, 3000)) for _ in range(3)]
        found = []
        for _ in range(2):
            batch = Batch(matrices)
            batch.gram()
            batch.cholesky(1e-12)
            batch.solve()
            found.append([batch.read_s(i).view(np.uint64) for i in range(3)])
        for first, second in zip(*found):
            np.testing.assert_array_equal(first, second)

    def test_dependent_columns(self):
        rng = samples.generator("thin qr dependent")
        good = rng.standard_normal((6, 50))
        bad = good.copy()
        bad[4] = bad[1] - 2 * bad[2]
        zero = good.copy()
        zero[3] = 0
        batch = Batch([good, bad, zero, np.zeros((3, 10))])
        batch.gram()
        self.assertEqual(batch.cholesky(1e-10).tolist(), [0, 1, 1, 1])

    def test_an_empty_batch(self):
        for name in ("gram", "cholesky", "solve"):
            getattr(gpu.library(), name)(gpu.queue(), byref(tf.ColumnsBatch(None, 0, 0, 0.0, None)))
        gpu.library().multiply(gpu.queue(), byref(tf.ProductBatch(None, 0, 0)))
        gpu.wait()


class Multiply(unittest.TestCase):
    def test_products(self):
        rng = samples.generator("multiply")
        sizes = [(1, 1, 1), (3, 5, 100), (16, 64, 1000), (40, 72, 333), (17, 1, 65)]
        if not gpu.small():
            sizes += [(64, 128, 4096)]
        kept, structs, wanted = [], [], []
        for rows, k, n in sizes:
            for transposed in (0, 1):
                m, s = rng.standard_normal((rows, k)), rng.standard_normal((k, n))
                stride = (rows if transposed else n) + 3
                out = gpu.garbage((n if transposed else rows) * stride, np.float32)
                arrays = (gpu.upload(m), gpu.upload(s), out)
                structs.append(tf.Product(*[a.address for a in arrays], n, stride, rows, k, transposed, 0))
                kept.append(arrays)
                product = m @ s
                wanted.append((product.T if transposed else product, np.abs(m) @ np.abs(s), stride))
        batch = tf.ProductBatch((tf.Product * len(structs))(*structs), len(structs), 0)
        gpu.library().multiply(gpu.queue(), byref(batch))
        for (_, _, out), (product, size, stride) in zip(kept, wanted):
            found = out.read().reshape(-1, stride)
            width = product.shape[1]
            bound = HALF_ULP * np.abs(product) + 1e-13 * size.max()
            self.assertTrue((np.abs(found[:, :width] - product) <= bound).all(), product.shape)
            self.assertTrue((found[:, width:].copy().view(np.uint8) == 0xCD).all(), "wrote outside of its rows")


if __name__ == "__main__":
    unittest.main()
