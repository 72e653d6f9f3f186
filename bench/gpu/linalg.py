"""A randomized SVD's passes and the whole of it, beside torch.matmul and torch.svd_lowrank."""

from ctypes import byref

import numpy as np

import gpu
import measure
import taskfold_cuda as tf
from elementwise import device_tensor, near, random_array

torch = measure.torch
ROWS, COLUMNS, K = 4096, 11008, 40


class Sketches:
    """Passes over base and fine-tune, bf16, with everything on the device."""

    def __init__(self, matrix, minus):
        self.matrix, self.minus = matrix, minus
        self.x, self.y = gpu.Array(K * COLUMNS, np.float32), gpu.Array(K * ROWS, np.float32)
        self.wide_x, self.wide_y = gpu.Array(K * COLUMNS, np.float64), gpu.Array(K * ROWS, np.float64)
        self.r, self.status = gpu.Array(K * K, np.float64), gpu.Array(1, np.uint32)

    def operands(self):
        return (tf.BF16, tf.BF16, ROWS, COLUMNS, K, 1.0, self.matrix.address, self.minus.address)

    def forward(self, wide=True):
        out = (None, self.wide_y.address) if wide else (self.y.address, None)
        job = tf.SketchJob(*self.operands(), self.x.address, *out, ROWS, None, None)
        gpu.library().sketch_forward(gpu.queue(), byref(job))

    def backward(self):
        gpu.library().fill(gpu.queue(), self.wide_x.address, 0, self.wide_x.bytes)
        job = tf.BackwardJob(*self.operands(), self.y.address, None, ROWS, self.wide_x.address)
        gpu.library().sketch_backward(gpu.queue(), byref(job))

    def orthonormalize(self, wide, narrow, length):
        """CholeskyQR2."""
        columns = tf.Columns(wide.address, self.r.address, narrow.address, length, K, 0)
        batch = tf.ColumnsBatch((tf.Columns * 1)(columns), 1, 0, 1e-14, self.status.address)
        for _ in range(2):
            for step in ("gram", "cholesky", "solve"):
                getattr(gpu.library(), step)(gpu.queue(), byref(batch))

    def svd(self, start, iterations=2):
        """U [ROWS × K], σ, V of the difference, as svd_lowrank gives them; a small eigenproblem on the host."""
        device_tensor(self.x, torch.float32).copy_(start)
        torch.cuda.synchronize()
        self.forward()
        for _ in range(iterations):
            self.orthonormalize(self.wide_y, self.y, ROWS)
            self.backward()
            self.orthonormalize(self.wide_x, self.x, COLUMNS)
            self.forward()
        self.orthonormalize(self.wide_y, self.y, ROWS)
        self.backward()
        columns = tf.Columns(self.wide_x.address, self.r.address, None, COLUMNS, K, 0)
        gpu.library().gram(gpu.queue(), byref(tf.ColumnsBatch((tf.Columns * 1)(columns), 1, 0, 0.0, None)))
        values, vectors = np.linalg.eigh(self.r.read().reshape(K, K))
        sigma = np.sqrt(np.maximum(values[::-1], 1e-300))
        turn = torch.from_numpy(np.ascontiguousarray(vectors[:, ::-1])).to(f"cuda:{gpu.device()}")
        q = device_tensor(self.y, torch.float32).view(K, ROWS).double()
        b = device_tensor(self.wide_x, torch.float64).view(K, COLUMNS)
        return (turn.T @ q).T, sigma, ((turn.T @ b).T / torch.from_numpy(sigma).to(b.device))


def error_of(difference, u, sigma, v):
    """Relative, Frobenius."""
    sigma = torch.as_tensor(sigma, device=u.device, dtype=torch.float64)
    rest = difference.double() - (u.double() * sigma) @ v.double().T
    return float(rest.norm() / difference.double().norm())


def run(report):
    base, base_view = random_array(ROWS * COLUMNS, torch.bfloat16)
    matrix, view = near(base_view)
    # A difference with a spectrum, not noise alone.
    low = torch.randn(ROWS, 64, device=view.device) @ torch.randn(64, COLUMNS, device=view.device) * 0.01
    view.copy_((view.float() + low.view(-1)).bfloat16())
    difference = view.float().view(ROWS, COLUMNS) - base_view.float().view(ROWS, COLUMNS)
    start = torch.randn(K * COLUMNS, device=view.device)
    sketches = Sketches(matrix, base)
    device_tensor(sketches.x, torch.float32).copy_(start)
    torch.cuda.synchronize()

    def in_torch():
        return (view.float() - base_view.float()).view(ROWS, COLUMNS) @ start.view(K, COLUMNS).T

    sketches.forward(wide=False)
    y = device_tensor(sketches.y, torch.float32).view(K, ROWS)
    gpu.wait()
    exact = start.view(K, COLUMNS).double() @ difference.double().T
    size = start.view(K, COLUMNS).abs().double() @ difference.abs().double().T
    error = float(((y.double() - exact).abs() / size).max())
    report.check("sketch forward", error < 2**-20 + 2**-24 * COLUMNS**0.5)
    count = 2 * 2 * ROWS * COLUMNS
    names = {}
    for allow in (False, True):
        torch.backends.cuda.matmul.allow_tf32 = allow
        names["torch.matmul TF32" if allow else "torch.matmul f32"] = measure.torchs(in_torch)
    torch.backends.cuda.matmul.allow_tf32 = False
    report.add(f"sketch forward {ROWS}×{COLUMNS} bf16 difference, k={K}", measure.ours(lambda: sketches.forward(False)), count, **names)
    back = measure.torchs(lambda: y @ (view.float() - base_view.float()).view(ROWS, COLUMNS))
    report.add(f"sketch backward, k={K}", measure.ours(sketches.backward), count, **{"torch.matmul f32": back})
    sketches.forward()
    ms = measure.ours(lambda: sketches.orthonormalize(sketches.wide_y, sketches.y, ROWS))
    qr = measure.torchs(lambda: torch.linalg.qr(y.T.double()))
    report.add(f"CholeskyQR2 {ROWS}×{K} f64", ms, 0, **{"torch.linalg.qr": qr})

    mine = error_of(difference, *sketches.svd(start))
    theirs = error_of(difference, *torch.svd_lowrank(difference, q=K, niter=2))
    report.check("randomized SVD's error", mine < theirs * 1.001 + 1e-6)
    lowrank = measure.wall(lambda: torch.svd_lowrank(view.float().view(ROWS, COLUMNS) - base_view.float().view(ROWS, COLUMNS), q=K, niter=2))
    report.add(f"randomized SVD, k={K}, 2 iterations", measure.wall(lambda: sketches.svd(start)), 0, **{"torch.svd_lowrank": lowrank})
    report.rows[-1]["relative error"] = {"taskfold": mine, "torch.svd_lowrank": theirs}
