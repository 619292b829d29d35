"""Ports of this machine."""

import socket


def check_port(port: int, flag: str, host: str = "127.0.0.1") -> None:
    """Raises ValueError when something listens on it; `flag` is the option that takes another one."""
    with socket.socket() as probe:
        # As servers do: a connection that is still closing does not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ValueError(
                f"port {port} cannot be used ({error.strerror}); stop what listens there, or give another one: {flag}"
            ) from None


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on at the moment."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()
