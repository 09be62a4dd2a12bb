"""One batch of a row's work in Python's multiprocessing.

Arguments: row, operations to warm up with, operations to time, one core per worker. Prints five numbers: operations
timed, nanoseconds, nanoseconds waited for a core, the right answer, the answer found.
"""

import multiprocessing
import os
import sys
import time
from multiprocessing import shared_memory

context = multiprocessing.get_context("fork")


class Lock:
    """Lock, add one to a plain counter in shared memory, unlock."""

    def __init__(self, parties):
        self.lock, self.count = context.Lock(), context.RawValue("Q", 0)

    def work(self, n):
        lock, count = self.lock, self.count
        for _ in range(n):
            with lock:
                count.value += 1

    def answer(self):
        return self.count.value


class RLock(Lock):
    def __init__(self, parties):
        self.lock, self.count = context.RLock(), context.RawValue("Q", 0)

    def work(self, n):
        lock, count = self.lock, self.count
        for _ in range(n):
            with lock:
                with lock:
                    count.value += 1


class Semaphore(Lock):
    def __init__(self, parties):
        self.lock, self.count = context.Semaphore(4), context.RawValue("Q", 0)

    def answer(self):
        return self.count.value if self.lock.get_value() == 4 else -1


class Event:
    def __init__(self, parties):
        self.event, self.seen = context.Event(), 0

    def work(self, n):
        event = self.event
        for _ in range(n):
            event.set()
            self.seen += event.is_set()
            event.clear()

    def answer(self):
        return self.seen if not self.event.is_set() else -1


class Condition:
    def __init__(self, parties):
        self.condition, self.count = context.Condition(context.Lock()), 0

    def work(self, n):
        condition = self.condition
        for _ in range(n):
            with condition:
                self.count += 1
                condition.notify()

    def answer(self):
        return self.count


class Barrier:
    """Every worker takes part in every round; one of them gets index 0."""

    every = True

    def __init__(self, parties):
        self.barrier, self.led = context.Barrier(parties), context.RawValue("Q", 0)

    def work(self, n):
        barrier, led = self.barrier, self.led
        for _ in range(n):
            if barrier.wait() == 0:
                led.value += 1

    def answer(self):
        return self.led.value


class Value:
    def __init__(self, parties):
        self.value = context.Value("Q", 0)

    def work(self, n):
        value = self.value
        for _ in range(n):
            with value.get_lock():
                value.value += 1

    def answer(self):
        return self.value.value


class Array:
    def __init__(self, parties):
        self.array, self.next = context.Array("Q", 1024), 0

    def work(self, n):
        array = self.array
        for i in range(self.next, self.next + n):
            with array.get_lock():
                array[i % 1024] += 1
        self.next += n

    def answer(self):
        return sum(self.array)


class Segment:
    def __init__(self, parties):
        self.name, self.done, self.right = f"procshare-compare-{os.getpid()}", 0, 0

    def work(self, n):
        for _ in range(n):
            self.done += 1
            made = shared_memory.SharedMemory(self.name, create=True, size=4096)
            opened = shared_memory.SharedMemory(self.name)
            made.buf[0] = self.done % 256
            self.right += opened.buf[0] == self.done % 256
            opened.close()
            made.close()
            made.unlink()

    def answer(self):
        return self.right


class Queue:
    """The first worker puts numbers, the second gets them; those that come in order count."""

    every = True

    def __init__(self, parties):
        self.queue, self.roles, self.right = context.Queue(1024), context.Value("i", 0), context.RawValue("Q", 0)
        self.role, self.next = None, 0

    def work(self, n):
        if self.role is None:
            with self.roles.get_lock():
                self.role = self.roles.value
                self.roles.value += 1
        numbers = range(self.next, self.next + n)
        self.next += n
        if self.role == 0:
            for number in numbers:
                self.queue.put(number)
        else:
            self.right.value += sum(self.queue.get() == number for number in numbers)

    def answer(self):
        return self.right.value


class LargeQueue(Queue):
    """The same with bytes objects that begin with their number."""

    size = 1 << 16

    def __init__(self, parties):
        super().__init__(parties)
        self.queue = Numbered(context.Queue(4), self.size)


class Numbered:
    """Puts a number as so many bytes, and gets the number of such bytes if none is missing."""

    def __init__(self, queue, size):
        self.queue, self.size = queue, size

    def put(self, number):
        self.queue.put(number.to_bytes(self.size, "little"))

    def get(self):
        item = self.queue.get()
        return int.from_bytes(item[:8], "little") if len(item) == self.size else None


class HugeQueue(LargeQueue):
    """The same with larger ones."""

    size = 1 << 20


def one():
    """The smallest task."""


def increment(number):
    """The smallest task that has a result."""
    return number + 1


class ProcessStart:
    """Starts a process for the smallest task, and waits for its end."""

    every = True

    def __init__(self, workers):
        self.done = 0

    def work(self, ops):
        for _ in range(ops):
            process = context.Process(target=one)
            process.start()
            process.join()
            self.done += process.exitcode == 0

    def answer(self):
        return self.done


class PoolMap:
    """Maps the smallest task over ten thousand numbers, in two workers; an operation is such a map."""

    every = True
    tasks = 10_000
    chunk = None

    def __init__(self, workers):
        self.pool = context.Pool(2)
        self.done = 0

    def work(self, ops):
        for _ in range(ops):
            results = self.pool.map(increment, range(self.tasks), self.chunk)
            self.done += sum(results) == self.tasks * (self.tasks + 1) // 2

    def answer(self):
        self.pool.terminate()
        return self.done


class PoolSingle(PoolMap):
    """Over a hundred, each task sent alone."""

    tasks = 100
    chunk = 1


class ManagerGet:
    """Asks a dict behind a proxy for one value after the other; the manager's process is on the first core."""

    served = True

    def __init__(self, parties):
        self.manager = context.Manager()
        self.keys, self.count = [f"key-{n:02}" for n in range(64)], context.Value("Q", 0)
        self.dict = self.manager.dict({key: n * 1000003 + 7 for n, key in enumerate(self.keys)})

    def work(self, n):
        get, keys = self.dict.get, self.keys
        right = 0
        for i in range(n):
            right += get(keys[i % 64]) == i % 64 * 1000003 + 7
        with self.count.get_lock():
            self.count.value += right

    def answer(self):
        self.manager.shutdown()
        return self.count.value


ROWS = {
    "manager-get": ManagerGet,
    "lock": Lock,
    "rlock": RLock,
    "semaphore": Semaphore,
    "event": Event,
    "condition": Condition,
    "barrier": Barrier,
    "value": Value,
    "array": Array,
    "segment": Segment,
    "process-start": ProcessStart,
    "pool-small": PoolMap,
    "pool-single": PoolSingle,
    "queue": Queue,
    "queue-64k": LargeQueue,
    "queue-1m": HugeQueue,
}


def waited():
    """Nanoseconds this thread was kept waiting for a core."""
    try:
        with open("/proc/thread-self/schedstat") as file:
            return int(file.read().split()[1])
    except OSError:
        return 0


def stint(rival, core, warm_up, ops, meet):
    """One worker's part: start and end by the clock all processes share, and time waited."""
    os.sched_setaffinity(0, {core})
    rival.work(warm_up)
    meet()
    before = waited()
    start = time.monotonic_ns()
    rival.work(ops)
    end = time.monotonic_ns()
    return start, end, waited() - before


def main():
    row, warm_up, ops, *cores = sys.argv[1:]
    cores = [int(core) for core in cores]
    if hasattr(ROWS[row], "served"):
        server, *cores = cores
        os.sched_setaffinity(0, {server})
    rival = ROWS[row](len(cores))
    times = 1 if len(cores) == 1 or hasattr(rival, "every") else len(cores)
    warm_up, ops = max(int(warm_up) // times, 1), max(int(ops) // times, 1)
    if len(cores) == 1:
        spans = [stint(rival, cores[0], warm_up, ops, lambda: None)]
    else:
        line, results = context.Barrier(len(cores)), context.SimpleQueue()

        def worker(core):
            results.put(stint(rival, core, warm_up, ops, line.wait))

        workers = [context.Process(target=worker, args=(core,)) for core in cores]
        for process in workers:
            process.start()
        spans = [results.get() for _ in workers]
        for process in workers:
            process.join()
    wall = max(end for _, end, _ in spans) - min(start for start, _, _ in spans)
    answer = rival.answer()
    expected = (warm_up + ops) * times
    print(ops * times, wall, max(wait for _, _, wait in spans), expected, answer)


main()
