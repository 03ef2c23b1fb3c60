"""Prints the block map of an image for bmaptool: which 4 KiB blocks hold something, with their checksums.

Blocks of zeros count as empty whether or not the file system here stored them, so that the map does not depend on
where the image was made.
"""

import hashlib
import itertools
import os
import sys

BLOCK = 4096


def ranges(path):
    """Runs of blocks that are not all zero: (first, last, sha256)."""
    zeros = bytes(BLOCK)
    with open(path, "rb") as image:
        numbered = ((n, block) for n, block in enumerate(iter(lambda: image.read(BLOCK), b"")))
        for empty, run in itertools.groupby(numbered, key=lambda pair: pair[1] == zeros[: len(pair[1])]):
            if empty:
                continue
            digest = hashlib.sha256()
            first = last = None
            for n, block in run:
                first = n if first is None else first
                last = n
                digest.update(block)
            yield first, last, digest.hexdigest()


def main():
    path = sys.argv[1]
    size = os.path.getsize(path)
    runs = list(ranges(path))
    mapped = sum(last - first + 1 for first, last, _ in runs)
    lines = "\n".join(
        f'        <Range chksum="{digest}"> {first}-{last} </Range>' if last > first
        else f'        <Range chksum="{digest}"> {first} </Range>'
        for first, last, digest in runs
    )
    text = f"""<?xml version="1.0" ?>
<bmap version="2.0">
    <ImageSize> {size} </ImageSize>
    <BlockSize> {BLOCK} </BlockSize>
    <BlocksCount> {-(-size // BLOCK)} </BlocksCount>
    <MappedBlocksCount> {mapped} </MappedBlocksCount>
    <ChecksumType> sha256 </ChecksumType>
    <BmapFileChecksum> CHECKSUM </BmapFileChecksum>
    <BlockMap>
{lines}
    </BlockMap>
</bmap>
"""
    # The file's own checksum is taken with zeros in its place.
    digest = hashlib.sha256(text.replace("CHECKSUM", "0" * 64).encode()).hexdigest()
    sys.stdout.write(text.replace("CHECKSUM", digest))


if __name__ == "__main__":
    main()
