"""Entropy-coded parts of the family pack (docs/FORMAT.md), for read_family.py: standard library and numpy only."""

import numpy as np

BLOCK = 65536
OWN_BLOCKS = 32768


class Rans:
    """Two states of 32 bits that share words of 16, frequencies of 12 bits."""

    def __init__(self, data):
        words = np.frombuffer(data, dtype="<u2").astype(np.int64)
        self.states = [int(words[0] | words[1] << 16), int(words[2] | words[3] << 16)]
        assert min(self.states) >= 65536
        self.words = iter(words[4:].tolist())

    def refill(self, which):
        if self.states[which] < 65536:
            self.states[which] = self.states[which] << 16 | next(self.words)

    def symbol(self, which, table):
        frequencies, starts, slots = table
        state = self.states[which]
        symbol = int(slots[state & 4095])
        self.states[which] = int(frequencies[symbol]) * (state >> 12) + (state & 4095) - int(starts[symbol])
        self.refill(which)
        return symbol

    def raw(self, which, count):
        """The next `count` ≤ 16 bits as a number."""
        value = self.states[which] & ((1 << count) - 1)
        self.states[which] >>= count
        self.refill(which)
        return value

    def number(self, which, table):
        """A token and its extra bits."""
        token = self.symbol(which, table)
        base, bits = number_of(token)
        return base + self.raw(which, bits)

    def finish(self):
        assert self.states == [65536, 65536] and next(self.words, None) is None


def number_of(token):
    """What a token of the number code stands for, and how many extra bits follow it."""
    if token < 16:
        return token, 0
    assert token < 64
    bits = (token - 16) // 4 + 2
    return (4 + (token & 3)) << bits, bits


def read_varint(data, at):
    """Gives a LEB128 number and where the next thing begins."""
    value, shift = 0, 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            assert byte > 0 or shift == 7, "not the shortest form"
            return value, at


def read_table(data, at):
    """Gives (frequencies, starts, symbol of each slot) and where the next thing begins."""
    count, at = read_varint(data, at)
    frequencies = []
    for _ in range(count):
        frequency, at = read_varint(data, at)
        frequencies.append(frequency)
    assert sum(frequencies) == 4096 and frequencies[-1] > 0
    frequencies = np.array(frequencies)
    return (frequencies, np.cumsum(frequencies) - frequencies, np.repeat(np.arange(count), frequencies)), at


def check_padding(data, used):
    assert len(data) == (used + 7) // 8 * 8 and not any(data[used:])


def step_blocks(sizes):
    """Gives the segments of every block: (tensor, its first element, elements)."""
    blocks, joint = [], 0
    for tensor, size in enumerate(sizes):
        if size >= OWN_BLOCKS:
            blocks += [[(tensor, at, min(BLOCK, size - at))] for at in range(0, size, BLOCK)]
            joint = 0
        elif joint > 0 and joint + size <= BLOCK:
            blocks[-1].append((tensor, 0, size))
            joint += size
        else:
            blocks.append([(tensor, 0, size)])
            joint = size
    return blocks


def read_step(tables, directory, codes, sizes, step):
    """Gives for each coded tensor the positions of its nonzero codes and what they add, as float32."""
    count, at = read_varint(tables, 0)
    assert count <= 256
    pairs = []
    for _ in range(count):
        run, at = read_table(tables, at)
        level, at = read_table(tables, at)
        pairs.append((run, level))
    check_padding(tables, at)
    positions, numbers = [[] for _ in sizes], [[] for _ in sizes]
    at = front = 0
    for block in step_blocks(sizes):
        segments = []
        for tensor, begin, elements in block:
            entries, at = read_varint(directory, at)
            assert entries <= elements
            if entries > 0:
                pair, at = read_varint(directory, at)
                segments.append((tensor, begin, elements, entries, pairs[pair]))
        if not segments:
            continue
        words, at = read_varint(directory, at)
        assert words <= 4 * sum(entries for _, _, _, entries, _ in segments)
        rans = Rans(codes[front : front + 8 + 2 * words])
        front += 8 + 2 * words
        for tensor, begin, elements, entries, (run, level) in segments:
            place = -1
            for _ in range(entries):
                place += 1 + rans.number(0, run)
                base, bits = number_of(rans.symbol(1, level))
                raw = rans.raw(1, bits + 1)
                size = base + (raw >> 1) + 1
                positions[tensor].append(begin + place)
                numbers[tensor].append(-size if raw & 1 else size)
            assert place < elements
        rans.finish()
    check_padding(directory, at)
    check_padding(codes, front)
    return [
        (np.array(where, dtype=np.int64), np.array(codes_of, dtype=np.float32) * np.float32(step))
        for where, codes_of in zip(positions, numbers)
    ]
