"""PDFs that hold text and no scan, small enough to be read as what they are."""

import zlib


def printed(*texts, size=(595, 842), encryption=b"", is_deflated=False):
    """A PDF of so many pages, each with one line of text and no scan."""
    kids = b" ".join(b"%d 0 R" % (4 + 2 * number) for number in range(len(texts)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, len(texts)),
        _FONT,
    ]
    for text in texts:
        content = b"BT /F1 24 Tf 72 720 Td (%s) Tj ET" % text.encode()
        objects += [
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %d %d] /Contents %d 0 R "
            b"/Resources << /Font << /F1 3 0 R >> >> >>" % (*size, len(objects) + 2),
            _deflated(content) if is_deflated else _stream(content),
        ]
    return _assembled(objects, encryption)


def filled_in(text):
    """A PDF of one empty page with a form field in which this text was written."""
    content = b"BT /F1 24 Tf 2 5 Td (%s) Tj ET" % text.encode()
    look = b"/Subtype /Form /BBox [0 0 328 30] /Resources << /Font << /F1 6 0 R >> >> "
    return _assembled(
        [
            b"<< /Type /Catalog /Pages 2 0 R /AcroForm << /Fields [4 0 R] >> >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Annots [4 0 R] >>",
            b"<< /Type /Annot /Subtype /Widget /FT /Tx /T (name) /V (%s) /F 4 "
            b"/Rect [72 700 400 730] /AP << /N 5 0 R >> >>" % text.encode(),
            _stream(content, look),
            _FONT,
        ]
    )


def printed_over(picture, text):
    """A PDF of one page with a JPEG of its whole size below a line of text."""
    jpeg, (width, height) = picture
    content = b"q 595 0 0 842 0 0 cm /P Do Q BT /F1 8 Tf 72 720 Td (%s) Tj ET" % text.encode()
    kind = b"/Subtype /Image /ColorSpace /DeviceGray /BitsPerComponent 8 /Filter /DCTDecode "
    return _assembled(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [4 0 R] /Count 1 >>",
            _FONT,
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 5 0 R /Resources "
            b"<< /Font << /F1 3 0 R >> /XObject << /P 6 0 R >> >> >>",
            _stream(content),
            _stream(jpeg, kind + b"/Width %d /Height %d " % (width, height)),
        ]
    )


def with_endless_page(number, count):
    """A PDF of so many pages, one of which draws the same line a thousand million times."""
    depth = 9
    first = 4 + 2 * count
    kids = b" ".join(b"%d 0 R" % (4 + 2 * page) for page in range(count))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [%s] /Count %d >>" % (kids, count),
        _FONT,
    ]
    for page in range(1, count + 1):
        content = b"/X Do" if page == number else b"BT /F1 24 Tf 72 720 Td (%d) Tj ET" % page
        objects += [
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents %d 0 R /Resources "
            b"<< /Font << /F1 3 0 R >> /XObject << /X %d 0 R >> >> >>" % (len(objects) + 2, first),
            _stream(content),
        ]
    form = b"/Type /XObject /Subtype /Form /BBox [0 0 595 842] "
    for level in range(depth):
        inner = b"/Resources << /XObject << /X %d 0 R >> >> " % (first + level + 1)
        objects.append(_stream(b"/X Do " * 10, form + inner))
    objects.append(_stream(b"0 0 100 100 re f 50 50 m 100 200 300 400 500 100 c S", form))
    return _assembled(objects)


_FONT = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"


def _stream(content, more=b""):
    return b"<< /Length %d %s>>\nstream\n%s\nendstream" % (len(content), more, content)


def _deflated(content):
    return _stream(zlib.compress(content), b"/Filter /FlateDecode ")


def _assembled(objects, encryption=b""):
    out, offsets = bytearray(b"%PDF-1.4\n"), []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer\n<< /Size %d /Root 1 0 R %s>>\n" % (len(objects) + 1, encryption)
    return bytes(out) + b"startxref\n%d\n%%%%EOF\n" % start
