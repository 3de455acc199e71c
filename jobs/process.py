"""What every process asks of the operating system and of Python."""

import gc
import resource


def raise_file_limit() -> None:
    """Allows as many open files as the system lets this process have: every stream and every connection is one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def settle() -> None:
    """To be called when everything is loaded: the garbage collector looks at none of it again.

    It would, after every few hundred requests, and hold up all of them for some 20 ms.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)
