"""What client, scheduler and workers have written to their connections, and the memory of the workers."""

import distributed
from distributed.comm.tcp import TCP

written = 0


def begin(client):
    """Count from now on, in this process (client and scheduler) and in each worker."""
    _count()
    client.run(_count_there)


def _count():
    original = TCP.write
    if original.__name__ == "counting":  # of an earlier cluster
        return

    async def counting(self, *arguments, **options):
        global written
        found = await original(self, *arguments, **options)
        written += found
        return found

    TCP.write = counting


def _count_there():
    import cluster_count

    cluster_count._count()


def _written_there():
    import cluster_count

    return cluster_count.written


def moved(client):
    """Bytes written so far by all processes."""
    return written + sum(client.run(_written_there).values())


def _memory_there():
    with open("/proc/self/status", encoding="ascii") as status:
        kilobytes = {line.split(":")[0]: line.split()[1] for line in status if line.startswith("Vm")}
    return {"now": 1024 * int(kilobytes["VmRSS"]), "most": 1024 * int(kilobytes["VmHWM"])}


def memory(client):
    """Bytes that each worker holds, and the most that it held since `forget_the_most` (Linux)."""
    return client.run(_memory_there)


def _forget_there():
    import ctypes

    ctypes.CDLL(None).malloc_trim(0)  # what is kept free for what comes would not count then
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")


def forget_the_most(client):
    """Let workers give back what they do not use, and the most that they held begin with what they hold."""
    client.run(_forget_there)


def version():
    """Of Dask's scheduler."""
    return distributed.__version__
