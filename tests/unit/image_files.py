"""Image files as a test wants them, and what the decoder makes of them."""

import io
import struct
import zlib

import pillow_heif
from PIL import Image, ImageDraw, ImageFont

from scanmill import images
from scanmill.settings import Settings

pillow_heif.register_heif_opener()


def page(text="TOTAL 42", size=(300, 200)):
    picture = Image.new("L", size, 255)
    ImageDraw.Draw(picture).text((20, 20), text, fill=0, font=ImageFont.load_default(30))
    return picture


def saved(picture, kind, **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def frames(kind, count=3, **options):
    first, *others = [page(f"PAGE {number}") for number in range(1, count + 1)]
    return saved(first, kind, save_all=True, append_images=others, **options)


def oriented(kind, orientation, **options):
    exif = Image.Exif()
    exif[0x112] = orientation
    return saved(page().transpose(Image.Transpose.ROTATE_90), kind, exif=exif, **options)


def flipped(data, position):
    return data[:position] + bytes([data[position] ^ 0xFF]) + data[position + 1 :]


def png(width, height):
    def chunk(name, body):
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    row = b"\0" + b"\xaa" * ((width + 7) // 8)
    body = zlib.compress(row * min(height, 1000), 9)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )


def wide(mode, low, high):
    picture = Image.new(mode, (300, 200), high)
    picture.paste(low, (50, 50, 150, 100))
    return picture


def written(tmp_path, *contents):
    paths = [tmp_path / f"{number}.png" for number in range(len(contents))]
    for path, data in zip(paths, contents, strict=True):
        path.write_bytes(data)
    return paths


def decode(tmp_path, *contents, program=images.DECODER, **options):
    out_dir = tmp_path / "pages"
    out_dir.mkdir(exist_ok=True)
    settings = Settings(**options)
    paths = written(tmp_path, *contents)
    decoder = images.Decoder(settings, program=program)
    return [decoder.decode(path, out_dir=out_dir) for path in paths]


def opened(raster):
    with Image.open(raster.path) as picture:
        picture.load()
        return picture


GOOD = saved(page(), "PNG")
