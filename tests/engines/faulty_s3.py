"""An S3 store that answers every request with one fault."""

import contextlib
import http.server
import threading

_ERROR = "<?xml version='1.0'?><Error><Code>{code}</Code><Message>as asked</Message></Error>"


@contextlib.contextmanager
def answering(status, code="", *, is_cut_off=False):
    """Yield the address of a store that fails like this, and the list of requests it got."""
    requests = []
    body = _ERROR.format(code=code).encode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def _answer(self):
            requests.append(f"{self.command} {self.path}")
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("ETag", '"0"')
            self.send_header("Content-Length", str(len(body) + 1000 * is_cut_off))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)
            self.close_connection = True

        do_GET = do_PUT = do_HEAD = _answer  # noqa: N815 - the names that http.server calls

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requests
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
