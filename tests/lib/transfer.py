"""Exports of templates that nobody would make: transfer.py CASE FILE."""
import hashlib
import io
import json
import struct
import sys
import tarfile

TYPES = {tarfile.REGTYPE: 0, tarfile.DIRTYPE: 1, tarfile.SYMTYPE: 2, tarfile.LNKTYPE: 3}


class Part:
    """Entries and their sum, as src/transfer/transfer_sum.c has it."""
    def __init__(self):
        self.entries, self.sum = [], hashlib.sha256()

    def add(self, path, data=b"", kind=tarfile.REGTYPE, link="", mode=0o644):
        t = tarfile.TarInfo(path)
        t.type, t.linkname, t.mode, t.size = kind, link, mode, len(data)
        self.entries.append((t, data))
        named = path + "/" if kind == tarfile.DIRTYPE and not path.endswith("/") else path
        for text in (named, link, ""):
            self.sum.update(struct.pack("<Q", len(text)) + text.encode())
        self.sum.update(struct.pack("<6q", TYPES.get(kind, 4), mode, 0, 0, 0, len(data)) + data)
        return self


def tree(*more):
    p = Part().add("rootfs", kind=tarfile.DIRTYPE, mode=0o755)
    for d in ("etc", "tmp", "usr", "usr/bin"):
        p.add("rootfs/" + d, kind=tarfile.DIRTYPE, mode=0o755)
    p.add("rootfs/etc/file", b"some text\n" * 20)
    for args, kw in more:
        p.add(*args, **kw)
    return p


def write(file, rootfs, layers=(), head=None, end=True, size=1 << 20):
    h = {"format": 1, "name": "hostile", "config": {},
         "rootfs": {"origin": "0" * 64, "sha256": rootfs.sum.hexdigest()},
         "layers": [{"origin": "l0", "size": size, "sha256": l.sum.hexdigest()} for l in layers]}
    h.update(head or {})
    text = json.dumps(h).encode()
    first = Part().add("belljar-template.json", text)
    last = Part().add("head.sha256", hashlib.sha256(text).hexdigest().encode())
    with tarfile.open(file, "w", format=tarfile.PAX_FORMAT) as out:
        for part in [first, rootfs, *layers] + ([last] if end else []):
            for t, data in part.entries:
                out.addfile(t, io.BytesIO(data))


def e(*args, **kw):
    return args, kw


LINK = e("rootfs/etc/out", kind=tarfile.SYMTYPE, link="/etc")
CASES = {
    "plain": lambda f: write(f, tree()),
    "dots": lambda f: write(f, tree(e("rootfs/../../escaped", b"x"))),
    "absolute": lambda f: write(f, tree(e("rootfs//etc/escaped", b"x"))),
    "through-link": lambda f: write(f, tree(LINK, e("rootfs/etc/out/escaped", b"x"))),
    "twice": lambda f: write(f, tree(e("rootfs/etc/a", b"1"), e("rootfs/etc/a", b"2"))),
    "over-link": lambda f: write(f, tree(LINK, e("rootfs/etc/out", b"x"))),
    "hard-outside": lambda f: write(f, tree(e("rootfs/etc/h", kind=tarfile.LNKTYPE, link="/etc/passwd"))),
    "hard-dots": lambda f: write(f, tree(e("rootfs/etc/h", kind=tarfile.LNKTYPE, link="rootfs/../../../env"))),
    "hard-through": lambda f: write(f, tree(LINK, e("rootfs/etc/h", kind=tarfile.LNKTYPE, link="rootfs/etc/out/passwd"))),
    "device": lambda f: write(f, tree(e("rootfs/etc/sda", kind=tarfile.BLKTYPE))),
    "no-parent": lambda f: write(f, tree(e("rootfs/no/such/file", b"x"))),
    "no-image": lambda f: write(f, tree(), [Part().add("layers/0/0", b"x" * 8192)]),
    "beyond": lambda f: write(f, tree(), [Part().add("layers/0/fff00", b"x" * 8192)]),
    "overlap": lambda f: write(f, tree(), [Part().add("layers/0/1000", b"x" * 8192).add("layers/0/2000", b"y")]),
    "unknown-layer": lambda f: write(f, tree(), [Part().add("layers/1/0", b"x")]),
    "offset": lambda f: write(f, tree(), [Part().add("layers/0/-1", b"x")]),
    "huge": lambda f: write(f, tree(), [Part().add("layers/0/0", b"x")], size=1 << 60),
    "stranger": lambda f: write(f, tree(e("other", b"x"))),
    "newer": lambda f: write(f, tree(), head={"format": 2}),
    "name": lambda f: write(f, tree(), head={"name": "../x"}),
    "no-config": lambda f: write(f, tree(), head={"config": []}),
    "origin": lambda f: write(f, tree(), head={"rootfs": {"origin": "../..", "sha256": "0" * 64}}),
    "wrong-sum": lambda f: write(f, tree(), head={"rootfs": {"origin": "0", "sha256": "0" * 64}}),
    "no-end": lambda f: write(f, tree(), end=False),
    "no-head": lambda f: tarfile.open(f, "w").close(),
}
if __name__ == "__main__":
    CASES[sys.argv[1]](sys.argv[2])
