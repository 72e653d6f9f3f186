"""Random inputs with what usually goes wrong in them. Every test seeds by its own name, so a failure repeats."""

import zlib

import numpy as np

import gpu
import reference
import taskfold_cuda as tf


def generator(name):
    return np.random.default_rng(zlib.crc32(name.encode()))


def raw(rng, dtype, count, kind="plain"):
    """Storage bits. plain: about 1, close enough for many ties; wild: any bits at all; few: some values, many ties."""
    if kind == "wild":
        return rng.integers(0, 256, count * tf.ITEM_BYTES[dtype], np.uint8).view(reference.RAW[dtype])
    if kind == "few":
        return reference.narrow(dtype, rng.choice(np.float32([0, -0.0, 0.5, -0.5, 1, 1.5]), count))
    return reference.narrow(dtype, rng.standard_normal(count, np.float32))


def near(rng, dtype, base, share=0.5):
    """A fine-tune: `share` of the values moved a little."""
    with np.errstate(all="ignore"):
        moved = reference.widen(dtype, base) + rng.standard_normal(base.size, np.float32) * np.float32(0.05)
    return np.where(rng.random(base.size) < share, reference.narrow(dtype, moved), base)


def finite(dtype, bits):
    """The same with zeros in place of NaN and infinity."""
    return np.where(np.isfinite(reference.widen(dtype, bits)), bits, 0).astype(reference.RAW[dtype])


def lengths():
    """Around the borders of 16-byte words and of blocks."""
    edges = [0, 1, 2, 15, 16, 17, 127, 1000, 4099]
    blocks = [tf.BLOCK - 1, tf.BLOCK, tf.BLOCK + 1]
    if gpu.small():
        return [*edges[:6], 4099, tf.BLOCK + 1]
    return [*edges, *blocks, 3 * tf.BLOCK + 77]


def long_length():
    return 2 * tf.BLOCK + 33 if gpu.small() else (1_000_003 if gpu.emulated() else 20_000_003)
