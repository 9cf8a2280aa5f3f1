"""terminal.py PLAN COMMAND...: runs COMMAND in a terminal and does what PLAN says, a JSON list of steps:

["until", TEXT]      waits until TEXT was printed
["type", TEXT]       types it
["size", ROWS, COLS] changes the size of the terminal
["signal", NUMBER]   sends it to COMMAND
["raw", BOOL]        waits until the terminal is raw, or is not

Prints JSON: {"exit": status, "echo": whether the terminal echoes in the end, "output": all of it}. A step that takes longer
than 100 s ends with status 1 and what was printed.
"""
import fcntl, json, os, select, struct, sys, termios, time

LIMIT_S = 100
fd, keep = os.openpty()  # ours stays open: the terminal outlives its program
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
pid = os.fork()
if pid == 0:
    os.environ["TERM"] = "xterm"
    os.close(fd)
    os.setsid()
    fcntl.ioctl(keep, termios.TIOCSCTTY, 0)
    for n in range(3):
        os.dup2(keep, n)
    os.execvp(sys.argv[2], sys.argv[2:])
seen = [b"", 0]  # all of it, and how much was waited for


def echoes():
    return bool(termios.tcgetattr(keep)[3] & termios.ECHO)


def read(until_s):
    ready, _, _ = select.select([fd], [], [], max(0, until_s - time.monotonic()))
    if ready:
        try:
            seen[0] += os.read(fd, 65536)
        except OSError:
            pass


def wait(what, is_there):
    until_s = time.monotonic() + LIMIT_S
    while not is_there():
        if time.monotonic() > until_s:
            sys.exit(f"{what} did not come; the terminal has {seen[0]!r}")
        read(min(until_s, time.monotonic() + 0.05))


for step, *args in json.loads(sys.argv[1]):
    if step == "until":
        text = args[0].encode()
        wait(text, lambda: text in seen[0][seen[1]:])
        seen[1] = seen[0].index(text, seen[1]) + len(text)
    elif step == "type":
        os.write(fd, args[0].encode())
    elif step == "size":
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", args[0], args[1], 0, 0))
    elif step == "signal":
        os.kill(pid, args[0])
    elif step == "raw":
        wait(f"raw {args[0]}", lambda: echoes() != args[0])
ended = []


def has_ended():
    if not ended:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            ended.append(os.waitstatus_to_exitcode(status))
    return bool(ended)


wait("the end", has_ended)
read(time.monotonic() + 0.1)
print(json.dumps({"exit": ended[0], "echo": echoes(), "output": seen[0].decode(errors="replace")}))
