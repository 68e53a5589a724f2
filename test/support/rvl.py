# SPDX-License-Identifier: Apache-2.0
"""RVL as it was published, number by number: what the decoder is held against."""

import struct


def encode_rvl(depth):
    """Return the bytes that compressed_depth_image_transport writes for (H, W) uint16."""
    nibbles = []

    def write(number):
        while True:
            nibble, number = number & 7, number >> 3
            nibbles.append(nibble | (8 if number else 0))
            if not number:
                return

    pixels = [int(v) for v in depth.ravel()]
    i = previous = 0
    while i < len(pixels):
        for wanted in (False, True):
            j = i
            while j < len(pixels) and bool(pixels[j]) == wanted:
                j += 1
            write(j - i)
            for value in pixels[i:j] if wanted else ():
                delta, previous = value - previous, value
                write((delta << 1) ^ (delta >> 31))
            i = j
    nibbles += [0] * (-len(nibbles) % 8)
    words = [
        sum(n << (28 - 4 * k) for k, n in enumerate(nibbles[at : at + 8]))
        for at in range(0, len(nibbles), 8)
    ]
    size = struct.pack('<II', depth.shape[1], depth.shape[0])
    return size + b''.join(struct.pack('<I', word) for word in words)
