"""What every process asks of the operating system."""

import resource


def raise_file_limit() -> None:
    """Allows as many open files as the system lets this process have: every stream and every connection is one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
