"""stuck.py FILE GO: a process that no freezer stops, once GO was written to. FILE is on a file system
that is frozen by then: a thread waits in a write to the mapped file, which can be frozen, and the
process in munmap for that thread, which cannot."""
import ctypes
import os
import sys
import threading
import time

libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
fd = os.open(sys.argv[1], os.O_RDWR)
at = ctypes.c_void_p(libc.mmap(None, 4096, 3, 1, fd, 0))
open(sys.argv[2]).read()
writer = threading.Thread(target=lambda: libc.memset(at, 1, 1))
writer.start()


def state():
    return open(f"/proc/self/task/{writer.native_id}/stat").read().rsplit(")")[1].split()[0]


while state() != "D":
    time.sleep(0.01)
libc.munmap(at, 4096)
writer.join()
