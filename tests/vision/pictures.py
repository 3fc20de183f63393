"""Pictures of every kind that is decoded, and files that are damaged. Expected pixels are Pillow's."""
import io
import struct
import zlib

import numpy as np
import PIL.Image
import PIL.ImageOps

import scenes

PHOTO = scenes.PHOTOGRAPH


def noise(*shape, kind=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(kind).max, shape, endpoint=True).astype(kind)


def saved(image, form, **options):
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def photo(width, height):
    return PIL.Image.open(PHOTO).convert("RGB").resize((width, height))


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, bits, colour, rows, *extra, interlace=0):
    """A PNG by hand: what Pillow doesn't write."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlace))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def rows_of(array):
    """Each row behind its filter byte."""
    return b"".join(b"\0" + row.tobytes() for row in array)


def exif(orientation):
    tags = PIL.Image.Exif()
    tags[0x112] = orientation
    return tags


def big_endian_exif(orientation):
    return b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">H", 1) + struct.pack(">HHIHH", 0x112, 3, 1, orientation, 0) + bytes(4)


def xmp(orientation):
    return f'<x:xmpmeta><rdf:Description tiff:Orientation="{orientation}"/></x:xmpmeta>'.encode()


def good():
    """{name: the file's bytes}"""
    rgb, rgba = PIL.Image.fromarray(noise(13, 21, 3)), PIL.Image.fromarray(noise(13, 21, 4), "RGBA")
    grey = PIL.Image.fromarray(noise(13, 21))
    palette = photo(33, 21).quantize(37)
    cmyk = PIL.Image.fromarray(noise(24, 40, 4), "CMYK")
    files = {
        "rgb.png": saved(rgb, "PNG"), "rgba.png": saved(rgba, "PNG"), "grey.png": saved(grey, "PNG"),
        "grey_alpha.png": saved(rgba.convert("LA"), "PNG"), "bilevel.png": saved(grey.convert("1"), "PNG"),
        "palette.png": saved(palette, "PNG"), "palette_clear.png": saved(palette, "PNG", transparency=3),
        "palette_alpha.png": saved(palette, "PNG", transparency=bytes(range(0, 185, 5))),
        "rgb_clear.png": saved(rgb, "PNG", transparency=(1, 2, 3)), "grey_clear.png": saved(grey, "PNG", transparency=7),
        "grey16.png": saved(PIL.Image.fromarray(noise(5, 7, kind=np.uint16) >> noise(5, 7) % 16), "PNG"),
        "rgb16.png": png(5, 4, 16, 2, rows_of(noise(4, 30))), "rgba16.png": png(5, 4, 16, 6, rows_of(noise(4, 40))),
        "grey_alpha16.png": png(5, 4, 16, 4, rows_of(noise(4, 20))),
        "grey1.png": png(13, 4, 1, 0, rows_of(noise(4, 2))), "grey2.png": png(13, 4, 2, 0, rows_of(noise(4, 4))),
        "grey4.png": png(13, 4, 4, 0, rows_of(noise(4, 7))),
        "palette_short.png": png(4, 1, 8, 3, b"\0\0\1\2\xc8", chunk(b"PLTE", bytes([10, 20, 30, 40, 50, 60]))),
        "palette2.png": png(7, 2, 2, 3, rows_of(noise(2, 2)), chunk(b"PLTE", bytes(range(12)))),
        "one.png": saved(PIL.Image.fromarray(noise(1, 1, 3)), "PNG"), "exif.png": saved(rgb, "PNG", exif=exif(6)),
        "photo.jpg": PHOTO.read_bytes(), "grey.jpg": saved(photo(50, 33).convert("L"), "JPEG"),
        "progressive.jpg": saved(photo(50, 33), "JPEG", progressive=True), "restart.jpg": saved(photo(50, 33), "JPEG", restart_marker_rows=1),
        "444.jpg": saved(photo(50, 33), "JPEG", subsampling=0, quality=100), "422.jpg": saved(photo(51, 33), "JPEG", subsampling=1),
        "rgb.jpg": saved(photo(50, 33), "JPEG", keep_rgb=True), "cmyk.jpg": saved(cmyk, "JPEG"), "one.jpg": saved(photo(1, 1), "JPEG"),
        "motorola.jpg": saved(photo(50, 33), "JPEG", exif=big_endian_exif(8)), "xmp.jpg": saved(photo(50, 33), "JPEG", xmp=xmp(6)),
        "no_such_orientation.jpg": saved(photo(50, 33), "JPEG", exif=exif(9)),
        "extraneous.jpg": saved(photo(50, 33), "JPEG") + b"after the end",
    }
    for orientation in range(1, 9):
        files[f"exif{orientation}.jpg"] = saved(photo(50, 33), "JPEG", exif=exif(orientation))
    return files


def pixels(data):
    """What Pillow reads: [3, height, width]"""
    image = PIL.ImageOps.exif_transpose(PIL.Image.open(io.BytesIO(data)))
    return np.asarray(image.convert("RGB")).transpose(2, 0, 1)


def broken_byte(data, at):
    return data[:at] + bytes([data[at] ^ 0xff]) + data[at + 1:]


def damaged():
    """(name, the file's bytes, part of the message)"""
    rgb = saved(PIL.Image.fromarray(noise(13, 21, 3)), "PNG")
    jpeg, whole = saved(photo(50, 33), "JPEG"), PHOTO.read_bytes()
    size = jpeg.index(b"\xff\xc0") + 5
    scan = whole.index(b"\xff\xda")
    big = lambda w, h: rgb[:16] + struct.pack(">II", w, h) + rgb[24:29] + struct.pack(">I", zlib.crc32(rgb[12:16] + struct.pack(">II", w, h) + rgb[24:29])) + rgb[33:]  # noqa: E731
    return [
        ("empty", b"", "found no picture, expected PNG or JPEG"),
        ("text", b"not a picture", "found no picture, expected PNG or JPEG"),
        ("webp", saved(photo(4, 4), "WEBP"), "found WebP, expected PNG or JPEG"),
        ("gif", saved(photo(4, 4), "GIF"), "found GIF"),
        ("bmp", saved(photo(4, 4), "BMP"), "found BMP"),
        ("tiff", saved(photo(4, 4), "TIFF"), "found TIFF"),
        ("png signature alone", rgb[:8], "the PNG ends here"),
        ("png cut in the header", rgb[:20], "the PNG ends here"),
        ("png cut in the pixels", rgb[:len(rgb) // 2], "the PNG ends here"),
        ("png without its end", rgb[:-12], "the PNG ends here"),
        ("png header's checksum", broken_byte(rgb, 29), "damaged PNG: IHDR: CRC error"),
        ("png pixels' checksum", broken_byte(rgb, len(rgb) // 2), "damaged PNG"),
        ("png without pixels", big(0, 0), "damaged PNG"),
        ("png of 4 Gpx", big(65535, 65535), "at most 89478485"),
        ("png too wide", big(1 << 21, 1), "damaged PNG"),
        ("png of 64 Mpx in 1 kB", big(8000, 8000), f"which {len(big(8000, 8000))} bytes can't hold"),
        ("png of 3 bits", png(4, 1, 3, 0, b"\0\0\0"), "damaged PNG"),
        ("png palette missing", png(4, 1, 8, 3, b"\0\0\1\2\3"), "damaged PNG"),
        ("png chunk of 1.5 GB", rgb[:33] + struct.pack(">I", 0x5d000000) + b"eXIf" + rgb[33:], "the PNG ends here"),
        ("png rows missing", png(4, 9, 8, 0, b"\0\0\1\2\3"), "damaged PNG"),
        ("jpeg signature alone", jpeg[:3], "truncated JPEG"),
        ("jpeg cut in the header", jpeg[:size], "truncated JPEG"),
        ("jpeg cut in the pixels", whole[:len(whole) // 2], "truncated JPEG"),
        ("jpeg without its end", whole[:-2], "truncated JPEG"),
        ("jpeg end in the middle", whole[:scan + 2000] + b"\xff\xd9" + whole[scan + 2000:], "damaged JPEG: Corrupt JPEG data"),
        ("jpeg of no height", jpeg[:size] + b"\0\0" + jpeg[size + 2:], "damaged JPEG"),
        ("jpeg of 4 Gpx", jpeg[:size] + b"\xff\xdc\xff\xdc" + jpeg[size + 4:], "at most 89478485"),
        ("jpeg of 64 Mpx in 2 kB", jpeg[:size] + struct.pack(">HH", 8000, 8000) + jpeg[size + 4:], "the JPEG declares 64000000 pixels, which"),
        ("jpeg of 12 bits", jpeg[:size - 1] + b"\x0c" + jpeg[size:], "damaged JPEG"),
    ]
