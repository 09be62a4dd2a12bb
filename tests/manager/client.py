"""A client of a procshare manager: the standard library only, written from docs/protocol.md."""

import hashlib, hmac, os, socket, struct, sys


class Ref(int):
    """A reference to an object of the manager."""


def pack(v):
    if v is None: return b"\xc0"
    if v is True: return b"\xc3"
    if v is False: return b"\xc2"
    if isinstance(v, Ref): return b"\xd7\x01" + struct.pack(">Q", v)
    if isinstance(v, int): return b"\xd3" + struct.pack(">q", v) if v < 0 else b"\xcf" + struct.pack(">Q", v)
    if isinstance(v, float): return b"\xcb" + struct.pack(">d", v)
    if isinstance(v, str):
        b = v.encode()
        return b"\xdb" + struct.pack(">I", len(b)) + b
    if isinstance(v, bytes): return b"\xc6" + struct.pack(">I", len(v)) + v
    if isinstance(v, dict):
        return b"\xdf" + struct.pack(">I", len(v)) + b"".join(pack(k) + pack(x) for k, x in v.items())
    return b"\xdd" + struct.pack(">I", len(v)) + b"".join(map(pack, v))


def unpack(data):
    at = 0

    def take(n):
        nonlocal at
        at += n
        return data[at - n:at]

    def number(form):
        return struct.unpack(">" + form, take(struct.calcsize(form)))[0]

    def ext(n):
        kind = number("b")
        body = take(n)
        return Ref(int.from_bytes(body, "big")) if kind == 1 else (kind, body)

    def value():
        m = take(1)[0]
        if m < 0x80: return m
        if m < 0x90: return {value(): value() for _ in range(m & 15)}
        if m < 0xa0: return [value() for _ in range(m & 15)]
        if m < 0xc0: return take(m & 31).decode()
        if m >= 0xe0: return m - 256
        if m in (0xc0, 0xc2, 0xc3): return {0xc0: None, 0xc2: False, 0xc3: True}[m]
        if m in (0xc4, 0xc5, 0xc6): return take(number("BHI"[m - 0xc4]))
        if m in (0xc7, 0xc8, 0xc9): return ext(number("BHI"[m - 0xc7]))
        if m in (0xca, 0xcb): return number("fd"[m - 0xca])
        if 0xcc <= m <= 0xd3: return number("BHIQbhiq"[m - 0xcc])
        if 0xd4 <= m <= 0xd8: return ext(1 << (m - 0xd4))
        if m in (0xd9, 0xda, 0xdb): return take(number("BHI"[m - 0xd9])).decode()
        if m in (0xdc, 0xdd): return [value() for _ in range(number("HI"[m - 0xdc]))]
        if m in (0xde, 0xdf): return {value(): value() for _ in range(number("HI"[m - 0xde]))}
        raise ValueError(hex(m))

    result = value()
    assert at == len(data), "bytes behind the value"
    return result


class Refused(Exception):
    pass


class Manager:
    def __init__(self, address, key=None):
        kind, place = address.split(":", 1)
        if kind == "unix":
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(place)
        else:
            host, port = place.rsplit(":", 1)
            self.socket = socket.create_connection((host, int(port)))
        self.last = 0
        mine = pack(["procshare", 1, "key" if key else "peer", os.urandom(32), 0, 1 << 24])
        self.send(mine)
        theirs = self.receive()
        greeting = self.checked(theirs)
        assert greeting[:3] == ["procshare", 1, "key" if key else "peer"], greeting
        prove = lambda role: hmac.new(
            key, b"procshare " + role + b" proof\0" + b"".join(struct.pack(">Q", len(g)) + g for g in (mine, theirs)),
            hashlib.sha256).digest()
        self.send(pack([prove(b"client") if key else b""]))
        welcome = self.checked(self.receive())
        if key and not hmac.compare_digest(welcome[0], prove(b"server")):
            raise Refused("the server does not know the key")

    def checked(self, frame):
        value = unpack(frame)
        if len(value) == 3 and value[0] == 0:
            raise Refused(value[2])
        return value

    def send(self, content):
        self.socket.sendall(struct.pack(">I", len(content)) + content)

    def receive(self):
        def exactly(n):
            data = b""
            while len(data) < n:
                more = self.socket.recv(n - len(data))
                if not more: raise EOFError
                data += more
            return data
        return exactly(struct.unpack(">I", exactly(4))[0])

    def call(self, obj, method, *arguments):
        self.last += 1
        self.send(pack([self.last, int(obj), method, list(arguments)]))
        reply = unpack(self.receive())
        assert reply[0] == self.last, reply
        if len(reply) == 3:
            raise Refused(reply[1])
        return reply[1]

    def run(self, obj, method, *calls):
        """Many calls of one method at once; each has a result, or its kind of failure."""
        first = self.last + 1
        self.last += len(calls)
        self.send(pack([first, int(obj), method, *map(list, calls)]))
        found = {}
        while len(found) < len(calls):
            reply = unpack(self.receive())
            if reply[0] is None:
                found.update(enumerate(reply[2:], reply[1]))
            else:
                found[reply[0]] = reply[1]
        return [found[first + at] for at in range(len(calls))]


def main():
    key = os.environ.get("PROCSHARE_KEY")
    try:
        m = Manager(sys.argv[1], key.encode() if key else None)
    except Refused as reason:
        return print("refused:", reason)
    shared, kind = m.call(0, "open", "dict", "shared")
    assert kind == "dict" and isinstance(shared, Ref)
    assert m.call(shared, "get", "from rust") == [[1, 2.5, None]]
    assert m.call(shared, "get", "nothing") == []
    m.call(shared, "set", "from python", {"x": 0.25})
    m.call(shared, "set", 1.0, "one")
    assert m.call(shared, "get", 1) == ["one"]
    try:
        m.call(shared, "set", float("nan"), 1)
        raise SystemExit("NaN was taken")
    except Refused as fault:
        assert str(fault) == "bad-key"
    assert m.run(shared, "get", ["from rust"], [1], ["nothing"]) == [[[1, 2.5, None]], ["one"], []]
    assert m.run(shared, "len", []) == [3]
    run = m.run(shared, "set", ["run", 1], [float("nan"), 1], ["run", 2])
    assert run == [None, "bad-key", None], run
    queue, _ = m.call(0, "open", "queue", "queue")
    m.call(queue, "put", ["task", 7], None)
    inner, _ = m.call(0, "create", "list", "from python", [1, 3, 2])
    m.call(inner, "sort", True)
    m.call(shared, "set", "inner", inner)
    assert m.call(shared, "get", "inner") == [inner]
    lock, _ = m.call(0, "create", "lock", None)
    fence, mishap = m.call(lock, "acquire", 1, None)
    assert fence > 0 and mishap is None
    m.call(lock, "release", fence, False)
    print("all is well")


main()
