# Nothing that a cell shows is lost when its reader is slow, and what waits for it is bounded. Left alone, the publishing
# socket drops messages past its high-water mark, the end of the cell among them, and printed text piles up before it.
def _belljar_stream():
    import json
    import threading

    import zmq
    from ipykernel.iostream import OutStream
    from jupyter_client.jsonutil import json_default

    # Characters or bytes given away by the cell before it waits until they were taken. A thousand messages of this size
    # may wait in the socket, whose mark cannot be moved once it is connected.
    most = 1 << 16
    thread = get_ipython().kernel.iopub_thread  # noqa: F821
    plain_write, plain_send = OutStream.write, thread.send_multipart
    given = 0

    # Half a surrogate pair is no Unicode: the message with it could not be sent, were it an error or a result.
    session = get_ipython().kernel.session  # noqa: F821
    plain_pack = session.pack

    def pack(message):
        try:
            return plain_pack(message)
        except UnicodeEncodeError:
            text = json.dumps(message, default=json_default, ensure_ascii=False)
            return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()

    session.pack = pack

    def configure():
        thread.socket.setsockopt(zmq.XPUB_NODROP, 1)

    # The thread that sends works in order: when it comes to `set`, it has sent what was given before.
    def give(size, flush=None):
        nonlocal given
        given += size
        alone = not thread.thread.is_alive() or not thread._is_master_process()
        if given < most or alone or threading.current_thread() is thread.thread:
            return
        given = 0
        taken = threading.Event()
        if flush:
            thread.schedule(flush)
        thread.schedule(taken.set)
        while not taken.wait(1) and thread.thread.is_alive():
            pass

    def write(self, string):
        written = plain_write(self, string)
        give(len(string), self._flush)
        return written

    def send_multipart(message, *args, **kwargs):
        plain_send(message, *args, **kwargs)
        if threading.current_thread() is not thread.thread:
            give(sum(len(part) for part in message))

    OutStream.write = write
    thread.send_multipart = send_multipart
    thread.schedule(configure)


_belljar_stream()
del _belljar_stream
