"""Codes of deltas of one tensor each (docs/FORMAT.md, "Delta files"), for read_family.py: numpy only."""

import numpy as np

from read_streams import Rans, check_padding, read_table

BLOCK = 65536
BITS = {
    "F64": 64, "I64": 64, "U64": 64, "C64": 64, "F32": 32, "I32": 32, "U32": 32, "F16": 16, "BF16": 16, "I16": 16,
    "U16": 16, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I8": 8, "U8": 8,
    "BOOL": 8, "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4,
}


def as_items(data, dtype):
    """Bytes as unsigned integers, one an element where elements have whole bytes."""
    return np.frombuffer(data, dtype="<u%d" % max(1, BITS[dtype] // 8))


class Bits:
    """Bits of bytes, the lowest of each first."""

    def __init__(self, data):
        self.bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8), bitorder="little")
        self.at = 0

    def take(self, count):
        """The next `count` bits as a number, lowest first."""
        bits = self.bits[self.at : self.at + count]
        assert bits.size == count
        self.at += count
        return int((bits.astype(np.int64) << np.arange(count)).sum())

    def ones(self):
        """How many ones stand before the next zero, which is skipped."""
        count = int(np.argmin(self.bits[self.at :]))
        assert self.bits[self.at + count] == 0
        self.at += count + 1
        return count

    def finish(self):
        """Less than a byte is left, all zeros."""
        assert self.bits.size - self.at < 8 and not self.bits[self.at :].any()


def read_offsets(data, count):
    """Offsets of the streams of blocks, and where what follows them begins."""
    width = 4 if count < 2**29 else 8
    length = ((count + BLOCK - 1) // BLOCK + 1) * width
    offsets = np.frombuffer(data[:length], dtype="<u%d" % width).astype(np.int64)
    assert offsets[0] == 0 and (np.diff(offsets) >= 0).all()
    return offsets, length


def read_rice(index, starts, count):
    """Positions of gaps in Golomb-Rice codes."""
    offsets, front = read_offsets(index, count)
    check_padding(index, front + int(offsets[-1]))
    positions = []
    for block, entries in enumerate(np.diff(starts)):
        stream = index[front + offsets[block] : front + offsets[block + 1]]
        assert (entries == 0) == (len(stream) == 0)
        if entries == 0:
            continue
        bits, at = Bits(stream[1:]), -1
        for _ in range(entries):
            at += 1 + (bits.ones() << stream[0] | bits.take(stream[0]))
            assert at < BLOCK
            positions.append(block * BLOCK + at)
        bits.finish()
    return np.array(positions, dtype=np.int64)


def read_positions(tensor, stem, stored, count):
    """Flat positions of the kept entries, and the first entry of every block."""
    kept, code = tensor["kept"], tensor["index"]
    blocks = (count + BLOCK - 1) // BLOCK
    if code == "all":
        assert kept == count and stem + ".index" not in stored and stem + ".blocks" not in stored
        return np.arange(count), np.minimum(np.arange(blocks + 1) * BLOCK, count)
    index = stored[stem + ".index"][2]
    starts = np.frombuffer(stored[stem + ".blocks"][2], dtype="<u8" if kept >= 2**32 else "<u4")[: blocks + 1]
    starts = starts.astype(np.int64)
    if code == "bitmap":
        marks = np.unpackbits(np.frombuffer(index, dtype=np.uint8), bitorder="little")
        positions = np.flatnonzero(marks[:count])
        assert not marks[count:].any()
    elif code == "rice":
        positions = read_rice(index, starts, count)
    else:
        assert code == "u16"
        inside = np.frombuffer(index, dtype="<u2")[:kept].astype(np.int64)
        positions = inside + BLOCK * np.repeat(np.arange(blocks), np.diff(starts))
    assert positions.size == kept and (np.diff(positions) > 0).all() and positions[-1] < count
    assert (np.searchsorted(positions, BLOCK * np.arange(blocks)) == starts[:-1]).all() and starts[-1] == kept
    return positions, starts


def read_coded(value, starts, size, count):
    """Items whose high byte, behind the exponent's turn to the top, is entropy-coded."""
    offsets, front = read_offsets(value, count)
    table, front = read_table(value, front)
    check_padding(value, front + int(offsets[-1]))
    items = []
    for block, entries in enumerate(np.diff(starts).tolist()):
        stream = value[front + offsets[block] : front + offsets[block + 1]]
        assert (entries == 0) == (len(stream) == 0)
        if entries == 0:
            continue
        raw = entries * (size - 1)
        rans = Rans(stream[raw:])
        for i in range(entries):
            low = int.from_bytes(stream[i * (size - 1) : (i + 1) * (size - 1)], "little")
            turned = rans.symbol(i & 1, table) << (8 * (size - 1)) | low
            items.append(turned >> 1 | (turned & 1) << (8 * size - 1))
        rans.finish()
    return np.array(items, dtype="<u%d" % size)


def read_added(tensor, stem, stored):
    """What codecs sign and int4 add, as float32."""
    kept, value = tensor["kept"], np.frombuffer(stored[stem + ".value"][2], dtype=np.uint8)
    if tensor["values"] == "sign":
        negative = np.unpackbits(value, bitorder="little")
        assert not negative[kept:].any()
        return np.where(negative[:kept] == 1, -1, 1).astype(np.float32) * np.float32(tensor["scale"])
    nibbles = np.stack([value & 15, value >> 4], axis=1).reshape(-1)
    assert not nibbles[kept:].any() and not (nibbles == 8).any()
    codes = nibbles[:kept].astype(np.int32)
    scales = np.frombuffer(stored[stem + ".scale"][2], dtype="<f2").astype(np.float32)
    return (codes - (codes & 8) * 2).astype(np.float32) * np.repeat(scales, 64)[:kept]


def apply_delta(base, tensor, stem, stored):
    """Replaces the kept positions of `base`, a flat array of unsigned integers, or adds to them."""
    out = base.copy()
    kept, count, dtype = tensor["kept"], out.size, tensor["dtype"]
    if kept == 0:
        return out
    positions, starts = read_positions(tensor, stem, stored, count)
    values = tensor.get("values", "plain")
    if values == "plain":
        out[positions] = as_items(stored[stem + ".value"][2], dtype)[:kept]
    elif values == "coded":
        out[positions] = read_coded(stored[stem + ".value"][2], starts, BITS[dtype] // 8, count)
    else:
        add_values(out, positions, read_added(tensor, stem, stored), dtype)
    return out


def add_values(items, positions, added, dtype):
    """Adds float32 numbers to items at `positions`; a zero, also a negative one, leaves the bits as they are."""
    positions, added = positions[added != 0], added[added != 0]
    items[positions] = round_items(widen(items[positions], dtype) + added, dtype)


def float_values(dtype):
    """Every finite value of an 8-bit dtype that is not negative, ascending by its bits."""
    exponent_bits, mantissa_bits = {"F8_E4M3": (4, 3), "F8_E5M2": (5, 2)}[dtype]
    bits = np.arange(0x7F if dtype == "F8_E4M3" else 0x7C)
    exponent, mantissa = bits >> mantissa_bits, bits & (2**mantissa_bits - 1)
    bias = 2 ** (exponent_bits - 1) - 1
    fraction = mantissa / 2.0**mantissa_bits + (exponent > 0)
    return fraction * 2.0 ** (np.maximum(exponent, 1) - bias)


def widen(items, dtype):
    """Items as float32."""
    if dtype == "F32":
        return items.astype("<u4").view("<f4")
    if dtype == "BF16":
        return (items.astype("<u4") << 16).view("<f4")
    if dtype == "F16":
        return items.astype("<u2").view("<f2").astype(np.float32)
    finite = float_values(dtype)
    special = np.full(128, np.nan)
    special[: finite.size] = finite
    if dtype == "F8_E5M2":
        special[0x7C] = np.inf
    magnitude = special[items & 0x7F]
    return np.where(items & 0x80, -magnitude, magnitude).astype(np.float32)


def round_items(values, dtype):
    """float32 as items, halves to even; what is too large becomes infinity, or NaN where there is none."""
    if dtype == "F32":
        return np.where(np.isnan(values), np.uint32(0x7FC00000), values.view("<u4"))
    if dtype == "BF16":
        bits = values.view("<u4").astype(np.uint64)
        rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")
        return np.where(np.isnan(values), np.uint16(0x7FC0), rounded)
    if dtype == "F16":
        with np.errstate(over="ignore"):
            return np.where(np.isnan(values), np.uint16(0x7E00), values.astype("<f2").view("<u2"))
    finite, last = float_values(dtype), 0x7E if dtype == "F8_E4M3" else 0x7B
    magnitude = np.abs(values.astype(np.float64))
    above = np.minimum(np.searchsorted(finite, magnitude), last)
    below = np.maximum(above - 1, 0)
    to_above, to_below = finite[above] - magnitude, magnitude - finite[below]
    bits = np.where((to_below < to_above) | ((to_below == to_above) & (below % 2 == 0)), below, above)
    # Halfway to the next step that there would be, the even one: up when the last is odd.
    limit = finite[last] + (finite[last] - finite[last - 1]) / 2
    too_large = magnitude > limit if last % 2 == 0 else magnitude >= limit
    bits = np.where(too_large, 0x7F if dtype == "F8_E4M3" else 0x7C, bits)
    bits = bits | np.where(np.signbit(values), 0x80, 0)
    return np.where(np.isnan(values), 0x7F, bits).astype(np.uint8)
