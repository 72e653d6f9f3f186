"""Slow and obvious references in numpy, from docs/FORMAT.md and native/core, for the kernels that must give the CPU's bits."""

import functools

import numpy as np

import taskfold_cuda as tf

CANONICAL = {tf.F32: 0x7FC00000, tf.F16: 0x7E00, tf.BF16: 0x7FC0, tf.F8_E4M3: 0x7F, tf.F8_E5M2: 0x7F}
RAW = {tf.F32: np.uint32, tf.F16: np.uint16, tf.BF16: np.uint16, tf.F8_E4M3: np.uint8, tf.F8_E5M2: np.uint8}
#: Bits behind the point, least exponent of a normal number, largest finite number, bits of infinity without sign.
_FORMAT = {
    tf.F16: (10, -14, 65504.0, 0x7C00),
    tf.BF16: (7, -126, float.fromhex("0x1.fep127"), 0x7F80),
    tf.F8_E4M3: (3, -6, 448.0, 0x7F),
    tf.F8_E5M2: (2, -14, 57344.0, 0x7C),
}
NAN_KEY = 0x7FC00000
KEY_END = 0x7FC00001
KEEP_NOTHING = 0xFFFFFFFF


def widen(dtype, raw):
    """Storage bits to f32, exactly; NaN become the canonical one, except those of F32 and BF16, which keep their bits."""
    raw = np.asarray(raw, RAW[dtype])
    if dtype == tf.F32:
        return raw.view(np.float32)
    if dtype == tf.BF16:
        return (raw.astype(np.uint32) << 16).view(np.float32)
    if dtype == tf.F16:
        half = raw
    elif dtype == tf.F8_E5M2:
        half = raw.astype(np.uint16) << 8
    else:
        return _e4m3()[raw]
    wide = half.view(np.float16).astype(np.float32)
    return np.where(np.isnan(wide), np.uint32(NAN_KEY).view(np.float32), wide)


@functools.cache
def _e4m3():
    table = np.empty(256, np.float32)
    for b in range(256):
        sign, exponent, mantissa = b >> 7, b >> 3 & 15, b & 7
        size = mantissa * 2.0**-9 if exponent == 0 else (8 + mantissa) * 2.0 ** (exponent - 10)
        table[b] = -size if sign else size
    table[[0x7F, 0xFF]] = np.uint32(NAN_KEY).view(np.float32)
    return table


@functools.cache
def _magnitudes(dtype):
    """All finite numbers from 0 up: the place of each is its bits."""
    last = _FORMAT[dtype][3] if dtype != tf.F8_E4M3 else 0x7F
    return widen(dtype, np.arange(last, dtype=RAW[dtype])).astype(np.float64)


def narrow(dtype, wide):
    """f32 to storage bits: to nearest even, too large to infinity (NaN in F8_E4M3), NaN to the canonical one."""
    wide = np.asarray(wide, np.float32)
    if dtype == tf.F32:
        return np.where(np.isnan(wide), np.uint32(NAN_KEY), wide.view(np.uint32))
    digits, least, largest, infinity = _FORMAT[dtype]
    with np.errstate(invalid="ignore"):
        size = np.abs(wide.astype(np.float64))
    finite = np.where(np.isfinite(size), size, 0.0)
    exponent = np.maximum(np.frexp(finite)[1] - 1, least)
    rounded = np.ldexp(np.rint(np.ldexp(finite, digits - exponent)), exponent - digits)
    over = (rounded > largest) | np.isinf(size)
    bits = np.searchsorted(_magnitudes(dtype), np.where(over, 0.0, rounded))
    bits = np.where(over, infinity, bits) | (np.signbit(wide).astype(np.int64) << (8 * tf.ITEM_BYTES[dtype] - 1))
    return np.where(np.isnan(wide), CANONICAL[dtype], bits).astype(RAW[dtype])


def fma(a, b, c):
    """round(a·b + c) of f32, rounded once: product and sum in f64, the sum's last bit odd when it was not exact."""
    with np.errstate(all="ignore"):
        product = np.float64(a) * np.asarray(b, np.float64)
        c = np.asarray(c, np.float64)
        total = product + c
        part = total - product
        error = (product - (total - part)) + (c - part)
        bits = total.view(np.int64).copy()
        inexact = np.isfinite(total) & np.isfinite(error) & (error != 0) & (bits & 1 == 0)
        # Towards the error: away from zero when it has the sum's sign.
        away = (error > 0) == (total > 0)
        bits[inexact] += np.where(away, 1, -1)[inexact]
        return bits.view(np.float64).astype(np.float32)


def merge(dtype, base, tasks, weight):
    """θ* as storage bits."""
    with np.errstate(all="ignore"):
        start = widen(dtype, base)
        total = np.zeros(start.shape, np.float32)
        for task in tasks:
            total = total + (widen(dtype, task) - start)
        return narrow(dtype, fma(np.float32(weight), total, start))


def keys(dtype, merged, task):
    """Rank keys of task − merged, or of the task's own values."""
    with np.errstate(all="ignore"):
        u = widen(dtype, task) if merged is None else widen(dtype, task) - widen(dtype, merged)
    return np.where(np.isnan(u), np.uint32(NAN_KEY), np.ascontiguousarray(u).view(np.uint32) & np.uint32(0x7FFFFFFF))


def tally(key, low, end, shift, bins):
    """above, counts and whether there is a NaN, as tf_cuda_window says."""
    inside = key[(key >= low) & (key < end)]
    counts = np.bincount((inside - np.uint32(low)) >> np.uint32(shift), minlength=bins).astype(np.uint64)
    return int((key >= end).sum()), counts, bool((key == NAN_KEY).any())


def first_by_rank(key, count):
    """Mask of the `count` entries of highest key, lower positions first among equals: by sorting."""
    order = np.argsort(-key.astype(np.int64), kind="stable")
    kept = np.zeros(key.size, bool)
    kept[order[:count]] = True
    return kept


def block_count(elements):
    return -(-elements // tf.BLOCK)


def per_block(mask):
    """How many are set in each block."""
    starts = np.arange(0, mask.size, tf.BLOCK)
    return np.add.reduceat(mask.astype(np.uint64), starts) if mask.size else np.zeros(0, np.uint64)


def starts_of(mask):
    return np.concatenate([np.zeros(1, np.uint64), np.cumsum(per_block(mask))]).astype(np.uint64)


def positions_of(mask):
    return (np.flatnonzero(mask) % tf.BLOCK).astype(np.uint16)


def bitmap_of(mask):
    """Bytes, least significant bit first."""
    return np.packbits(mask, bitorder="little")


def words_of(mask):
    """The bitmap as the 64-bit words that emit writes: whole blocks, spare bits 0."""
    padded = np.zeros(block_count(mask.size) * tf.BLOCK, bool)
    padded[: mask.size] = mask
    return bitmap_of(padded).view(np.uint64)
